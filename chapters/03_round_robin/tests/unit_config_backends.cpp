// Reading a list of backends, the dev seed and the number of threads, without starting anything.
//
// The black-box tests see that a bad list is refused; what a good one has become is seen here, entry by
// entry: a name is kept as it was written, because it is what logs and metrics will call the backend for the
// rest of its life.
#include "config.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <map>
#include <string>
#include <vector>

using harness::contains;
using harness::lesson;

namespace {

using Variables = std::map<std::string, std::string>;

harbor::Config read(const Variables& variables) {
    return harbor::read_config([&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

std::vector<std::string> backends_of(const Variables& variables) {
    std::vector<std::string> texts;
    for (const harbor::Address& address : read(variables).backends) {
        texts.push_back(harbor::to_text(address));
    }
    return texts;
}

/// What reading it complains about; empty if it does not.
std::string complaint_about(const Variables& variables) {
    try {
        read(variables);
        return "";
    } catch (const harbor::ConfigError& error) {
        return error.what();
    }
}

} // namespace

TEST_CASE("a list of backends keeps its order and its words") {
    INFO(lesson(
        "BACKENDS named five backends: by address, by name, and with IPv6",
        "entries are sorted, or their text is rewritten, or an IPv6 address is split at its own colons",
        "chapter 03, A list of backends"));

    REQUIRE(backends_of(
                {{"BACKENDS", "db-2.example:5432,10.0.0.7:80,[::1]:9001,localhost:1,[fe80::1:2]:65535"}}) ==
            std::vector<std::string>{"db-2.example:5432", "10.0.0.7:80", "[::1]:9001", "localhost:1",
                                     "[fe80::1:2]:65535"});
}

TEST_CASE("a list of one backend is a list") {
    INFO(lesson("BACKENDS named a single backend",
                "the list is taken apart at commas only, and there is none",
                "chapter 03, A list of backends"));

    REQUIRE(backends_of({{"BACKENDS", "[2001:db8::7]:443"}}) ==
            std::vector<std::string>{"[2001:db8::7]:443"});
    const harbor::Config config = read({{"BACKENDS", "[2001:db8::7]:443"}});
    REQUIRE(config.backends.front().host == "2001:db8::7");
    REQUIRE(config.backends.front().port == "443");
}

TEST_CASE("a bad entry is quoted in the complaint about its list") {
    INFO(lesson("one entry of BACKENDS was wrong", "the complaint names the whole list only, or nothing",
                "chapter 03, A list of backends"));

    for (const std::string entry : {"", " ", "a", "a:", ":1", "a:0", "a:65536", "a:1x", "a:-1", "a: 1",
                                    " a:1", "::1:9001", "[::1]", "[::1]9001", "[::1:9001"}) {
        const std::string list = "first:1," + entry + ",last:2";
        INFO("BACKENDS=" << list);
        const std::string complaint = complaint_about({{"BACKENDS", list}});
        CHECK(contains(complaint, "BACKENDS='" + list + "'"));
        CHECK(contains(complaint, "the entry '" + entry + "'"));
        CHECK(contains(complaint, "host:port[,host:port...]"));
    }
}

TEST_CASE("an empty entry at either end of a list is an entry") {
    INFO(lesson("the list began or ended with a comma, or was nothing else, or was empty",
                "the loop over the entries ends at the last comma", "chapter 03, A list of backends"));

    for (const std::string list : {"", ",", "a:1,", ",a:1", "a:1,b:2,"}) {
        INFO("BACKENDS=" << list);
        CHECK(contains(complaint_about({{"BACKENDS", list}}), "the entry ''"));
    }
}

TEST_CASE("a backend may stand in the list once") {
    INFO(lesson("the same host and port stood in the list twice",
                "only neighbours are compared, or only hosts", "chapter 03, A list of backends"));

    REQUIRE(contains(complaint_about({{"BACKENDS", "a:1,b:1,a:2,a:1"}}), "'a:1' is there twice"));
    REQUIRE(contains(complaint_about({{"BACKENDS", "[::1]:1,[::1]:1"}}), "'[::1]:1' is there twice"));
    REQUIRE(complaint_about({{"BACKENDS", "a:1,b:1,a:2,[::1]:1"}}).empty());
}

TEST_CASE("the dev seed is two ports of this machine") {
    INFO(lesson("LB_ALLOW_DEV_SEED was 1 and BACKENDS was not set", "the list of the dev seed is another one",
                "chapter 03, The dev seed"));
    const Variables variables{{"LB_ALLOW_DEV_SEED", "1"}};

    REQUIRE(read(variables).dev_seed);
    REQUIRE(backends_of(variables) == std::vector<std::string>{"127.0.0.1:9001", "127.0.0.1:9002"});
}

TEST_CASE("the dev seed is used only where there is no list") {
    INFO(lesson("LB_ALLOW_DEV_SEED was 1, or not, beside a list, an empty list, or none",
                "the dev seed replaces a list, or is used without having been asked for",
                "chapter 03, The dev seed"));
    const Variables both{{"LB_ALLOW_DEV_SEED", "1"}, {"BACKENDS", "a:1"}};

    REQUIRE_FALSE(read(both).dev_seed);
    REQUIRE(backends_of(both) == std::vector<std::string>{"a:1"});
    REQUIRE(contains(complaint_about({{"LB_ALLOW_DEV_SEED", "1"}, {"BACKENDS", ""}}), "BACKENDS=''"));
    REQUIRE(contains(complaint_about({}), "LB_ALLOW_DEV_SEED=1"));
    REQUIRE(contains(complaint_about({{"LB_ALLOW_DEV_SEED", "0"}}), "BACKENDS is not set"));
    REQUIRE(contains(complaint_about({{"LB_ALLOW_DEV_SEED", "yes"}}), "LB_ALLOW_DEV_SEED='yes'"));
}

TEST_CASE("the number of threads is read whole") {
    INFO(lesson(
        "LB_THREADS was a number, or nearly one, or not set",
        "the text is converted up to the first character that does not fit, or a default is taken instead",
        "chapter 03, Several threads"));
    const std::string list = "a:1,b:2";

    REQUIRE(read({{"BACKENDS", list}}).threads >= 1);
    REQUIRE(read({{"BACKENDS", list}, {"LB_THREADS", "1"}}).threads == 1);
    REQUIRE(read({{"BACKENDS", list}, {"LB_THREADS", "7"}}).threads == 7);
    for (const std::string value : {"", "0", "-1", "x", "2x", " 2", "1.5", "0x2", "99999999999999999999"}) {
        CHECK(contains(complaint_about({{"BACKENDS", list}, {"LB_THREADS", value}}),
                       "LB_THREADS='" + value + "'"));
    }
}
