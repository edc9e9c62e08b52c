// A mistake somewhere in a list of backends.
//
// A list is typed by hand or pasted together by a script, so it comes with a comma too many, a port with a
// digit too many, the same line twice. A balancer that drops the entry it does not understand starts with
// fewer servers than the operator believes to have, and tells nobody; one that keeps it fails every n-th
// client. So a bad entry makes the whole list bad, and the message has to name it: in a list of thirty
// "invalid value" is no help.
//
// Every test first starts the program with the list as it was meant. Only then does the refusal of the other
// one mean that the mistake was seen, and not that lists are refused.
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <string>
#include <string_view>

using namespace harness;

namespace {

// Nobody has to listen there: a list is judged before anything is dialled.
constexpr auto good_list = "127.0.0.1:9101,127.0.0.1:9102,127.0.0.1:9103";

void require_that_lists_are_taken(const std::string& list = good_list) {
    INFO("the list as it was meant: " << list);
    REQUIRE_NOTHROW(Program({{"BACKENDS", list}}));
}

/// `entry` is what is wrong about the list, and has to be named.
void require_refusal(const std::string& list, std::string_view entry) {
    INFO("BACKENDS=" << list);
    REQUIRE(run_expecting_refusal({{"BACKENDS", list}}).names({"BACKENDS", entry}));
}

} // namespace

TEST_CASE("a comma too many in the list of backends is refused") {
    INFO(lesson(
        "the list had an empty entry: at its beginning, in its middle, at its end, or nothing but that",
        "the list is split by a function that swallows empty pieces, or that stops at the last comma",
        "chapter 03, A list of backends"));
    require_that_lists_are_taken();

    // An empty entry cannot be quoted; then the list itself has to be.
    for (const std::string list :
         {"127.0.0.1:9101,127.0.0.1:9102,", ",127.0.0.1:9101,127.0.0.1:9102",
          "127.0.0.1:9101,,127.0.0.1:9102", ",", "127.0.0.1:9101, ,127.0.0.1:9102"}) {
        require_refusal(list, list);
    }
    require_refusal("", "");
}

TEST_CASE("a port out of range in the list of backends is refused by name") {
    INFO(lesson("one entry of the list had the port 0, 65536, -1, or one with far too many digits",
                "the port is cut down to 16 bits, or only the first entry is looked at",
                "chapter 03, A list of backends"));
    require_that_lists_are_taken("127.0.0.1:1,127.0.0.1:65535");

    for (const std::string entry :
         {"127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:99999999999999999999"}) {
        require_refusal("127.0.0.1:9101," + entry + ",127.0.0.1:9103", entry);
        require_refusal("127.0.0.1:9101,127.0.0.1:9102," + entry, entry);
    }
}

TEST_CASE("an entry without a usable port or host is refused by name") {
    INFO(lesson(
        "one entry of the list had letters for a port, no port, no host, or something after the port",
        "the text is converted up to the first character that does not fit, or a missing part is made up",
        "chapter 03, A list of backends"));
    require_that_lists_are_taken();

    for (const std::string entry : {"127.0.0.1:http", "127.0.0.1:91o2", "127.0.0.1:9102x", "127.0.0.1:",
                                    "127.0.0.1", ":9102", "127.0.0.1:9102;127.0.0.1:9104", "::1:9102"}) {
        require_refusal("127.0.0.1:9101," + entry + ",127.0.0.1:9103", entry);
    }
}

TEST_CASE("a backend that is listed twice is refused by name") {
    INFO(lesson("the same backend stood in the list twice, side by side or apart",
                "duplicates are not looked for; the backend would get two turns in each round",
                "chapter 03, A list of backends"));
    // The same host with another port is another backend, and so is the same port of another host.
    require_that_lists_are_taken("127.0.0.1:9101,127.0.0.1:9102,127.0.0.2:9101");

    require_refusal("127.0.0.1:9101,127.0.0.1:9101", "127.0.0.1:9101");
    require_refusal("127.0.0.1:9101,127.0.0.1:9102,127.0.0.1:9103,127.0.0.1:9102", "127.0.0.1:9102");
}
