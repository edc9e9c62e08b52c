// What a learner gets to read when bytes differ.
#include <harness/catch.hpp>
#include <harness/deadline.hpp>
#include <harness/socket.hpp>
#include <harness/trace.hpp>
#include <harness/verdict.hpp>

#include <sstream>

using namespace harness;

namespace {

std::string explained(const Verdict& verdict) {
    std::ostringstream text;
    text << verdict;
    return text.str();
}

} // namespace

TEST_CASE("equal bytes are the same bytes") {
    REQUIRE(same_bytes("", ""));
    REQUIRE(same_bytes(make_bytes(1000), make_bytes(1000)));
}

TEST_CASE("the caret stands under the first difference") {
    const Verdict verdict = same_bytes("one\ntwo", "one\ntwa");
    REQUIRE_FALSE(verdict);
    REQUIRE(verdict.explanation.find("  expected: one\\ntwo  (end)\n"
                                     "  got:      one\\ntwa  (end)\n"
                                     "                   ^") != std::string::npos);
}

TEST_CASE("the caret counts an ellipsis as one column") {
    const std::string expected = std::string(40, 'a') + "X" + std::string(40, 'b');
    const std::string got = std::string(40, 'a') + "Y" + std::string(40, 'b');
    const std::string text = explained(same_bytes(expected, got));
    REQUIRE(contains(text, "  got:      …aaaaaaaaaaaaaaaaYbbbbbbbbbbbbbbbbbbbbbbb…\n"
                           "                             ^"));
}

TEST_CASE("a missing end is recognised") {
    const std::string bytes = make_bytes(1000);
    REQUIRE(contains(explained(same_bytes(bytes, bytes.substr(0, 990))), "the last 10 bytes are missing"));
    REQUIRE(contains(explained(same_bytes(bytes, "")), "nothing came at all"));
}

TEST_CASE("bytes that came twice are recognised") {
    const std::string bytes = make_bytes(1000);
    REQUIRE(contains(explained(same_bytes(bytes, bytes + bytes.substr(900))),
                     "the last 100 bytes came once more"));
    REQUIRE(contains(explained(same_bytes(bytes, bytes + "!")), "followed by 1 byte too many"));
    const std::string repeated = bytes.substr(0, 500) + bytes.substr(300, 200) + bytes.substr(500);
    REQUIRE(contains(explained(same_bytes(bytes, repeated)),
                     "a block came twice: the 200 bytes from offset 300 stand once more at offset 500"));
}

TEST_CASE("blocks that are missing or have changed places are recognised") {
    const std::string bytes = make_bytes(1000);
    REQUIRE(contains(explained(same_bytes(bytes, bytes.substr(0, 100) + bytes.substr(150))),
                     "50 bytes are missing at offset 100"));
    const std::string swapped =
        bytes.substr(0, 100) + bytes.substr(300, 200) + bytes.substr(100, 200) + bytes.substr(500);
    REQUIRE(contains(explained(same_bytes(bytes, swapped)), "two blocks changed places"));
}

TEST_CASE("no diagnosis is better than a wrong one") {
    const std::string text =
        explained(same_bytes(std::string(100, 'a'), std::string(50, 'a') + std::string(50, 'b')));
    REQUIRE(text.find("twice") == std::string::npos);
    REQUIRE(text.find("missing") == std::string::npos);
}

TEST_CASE("shares are compared by name and number") {
    REQUIRE(equal_shares({{"A", 3}, {"B", 3}}, 3));
    REQUIRE_FALSE(equal_shares({{"A", 3}, {"B", 2}}, 3));
    REQUIRE_FALSE(equal_shares({{"A", 3}}, 3, 2));
    REQUIRE_FALSE(equal_shares({}, 3));
}

TEST_CASE("eventually waits for what comes and gives up on what does not") {
    int asked = 0;
    REQUIRE(eventually([&] { return ++asked == 5; }, "the fifth time"));
    REQUIRE_FALSE(eventually([] { return false; }, "nothing", Millis{20}));
    const Verdict verdict = eventually([] { return Verdict::no("still blue"); }, "red", Millis{20});
    REQUIRE(contains(verdict.explanation, "for red, in vain; at the end: still blue"));
}

TEST_CASE("throughout notices when it is over") {
    REQUIRE(throughout(Millis{20}, [] { return true; }, "calm"));
    int asked = 0;
    REQUIRE_FALSE(throughout(patience(), [&] { return ++asked < 3; }, "calm"));
}

TEST_CASE("the trace merges what belongs together") {
    trace::begin();
    for (int i = 0; i < 1000; ++i) {
        trace::add("client 1", trace::Event::sent, {.bytes = "ten bytes."});
        trace::add("backend A #1", trace::Event::received, {.bytes = "ten bytes."});
    }
    trace::add("client 1", trace::Event::fin_sent);
    trace::add("client 1", trace::Event::received, {.bytes = "7 bytes"});
    const std::string text = trace::text();
    INFO(text);
    REQUIRE(std::count(text.begin(), text.end(), '\n') == 4);
    REQUIRE(contains(text, "sent 10000 bytes (in 1000 parts"));
    REQUIRE(contains(text, "received 10000 bytes"));
    REQUIRE(contains(text, "FIN sent"));
    REQUIRE(contains(text, "received 7 bytes"));
}

TEST_CASE("the trace keeps a short dialogue apart and stays bounded") {
    trace::begin();
    for (int i = 0; i < 2; ++i) {
        trace::add("client 1", trace::Event::sent, {.bytes = "hello"});
        trace::add("client 1", trace::Event::received, {.bytes = "hello"});
    }
    const std::string dialogue = trace::text();
    REQUIRE(std::count(dialogue.begin(), dialogue.end(), '\n') == 4);
    for (int i = 0; i < 100000; ++i)
        trace::note("again");
    const std::string text = trace::text();
    REQUIRE(std::count(text.begin(), text.end(), '\n') < 500);
    REQUIRE(contains(text.substr(text.find("lines left out") - 20, 40), "lines left out"));
    trace::begin();
    REQUIRE(trace::text().empty());
}
