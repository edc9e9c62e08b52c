// Backends that do not even refuse.
//
// A machine that is switched off, or behind a firewall that drops packets, answers nothing, and the kernel
// goes on trying for two minutes. The dial timeout is what turns such a backend into one that has failed. A
// black hole here is a listener whose queue is full: the kernel drops what comes, as the firewall does.
//
// A black hole also makes attempts countable, which refusing ports do not: each one costs a dial timeout.
#include "served.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/program.hpp>

#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <vector>

using namespace harness;

namespace {

/// Several at once, because each takes a moment to prove that it is one.
class Blackholes {
public:
    explicit Blackholes(std::size_t count) {
        std::vector<std::future<std::unique_ptr<Blackhole>>> making;
        for (std::size_t i = 0; i < count; ++i) {
            making.push_back(std::async(std::launch::async, [] { return std::make_unique<Blackhole>(); }));
        }
        for (auto& made : making) {
            holes_.push_back(made.get());
        }
    }

    std::string addresses() const {
        std::string text;
        for (const auto& hole : holes_) {
            text += (text.empty() ? "" : ",") + hole->address();
        }
        return text;
    }

private:
    std::vector<std::unique_ptr<Blackhole>> holes_;
};

} // namespace

TEST_CASE("a backend that does not answer fails over within the dial timeout and cools down") {
    INFO(lesson("one of two backends answered no dial; 22 clients came, one after the other",
                "it hangs: a dial has no deadline; every second client waits: a dial that ran out of time "
                "starts no cooldown",
                "chapter 05, Dial timeout"));
    constexpr Millis dial_timeout{400};
    const Blackhole down;
    const Backend up(behave::echo_with_greeting("up"));
    const Program harbor({{"BACKENDS", down.address() + "," + up.address()},
                          {"LB_DIAL_TIMEOUT_MS", std::to_string(dial_timeout.count())},
                          {"LB_BACKEND_COOLDOWN_MS", "60000"}});

    Stopwatch watch;
    REQUIRE(equal_shares(shares(harbor.endpoint(), 2), 2, 1));
    REQUIRE(is_between("the first two clients, of whom one met the black hole,", watch.elapsed(),
                       almost(dial_timeout), Millis{5000}));

    watch.restart();
    REQUIRE(equal_shares(shares(harbor.endpoint(), 20), 20, 1));
    // Half of them would have waited, 4000 ms together.
    REQUIRE(is_between("the next twenty clients together", watch.elapsed(), Millis{0}, Millis{2000}));
}

TEST_CASE("what a client sends during the dials arrives at the last backend once and in order") {
    INFO(lesson("a client sent 100000 bytes and FIN while its first backend did not answer; a second one did",
                "bytes that were read before the dial had succeeded were lost, or sent again, with the retry",
                "chapter 05, Retry on another backend"));
    const std::string bytes = make_bytes(100000);
    const Blackhole down;
    const Backend up(behave::echo());
    const Program harbor({{"BACKENDS", down.address() + "," + up.address()},
                          {"LB_DIAL_TIMEOUT_MS", "300"},
                          {"LB_BACKEND_COOLDOWN_MS", "1"}});

    // Round-robin: one of the two meets the black hole first.
    for (std::size_t i = 1; i <= 2; ++i) {
        Client client = harbor.connect();
        client.send(bytes);
        client.half_close();
        REQUIRE(client.receive_until_end().is_exactly(bytes));
        REQUIRE(up.saw_bytes(i, bytes));
        REQUIRE(up.saw_end_of_stream(i));
    }
    REQUIRE(up.connection_count() == 2);
}

TEST_CASE("a client tries no more backends than the retries allow and is then closed at once") {
    INFO(lesson("ten backends answered no dial, with LB_DIAL_RETRIES=1; one client came",
                "too soon: there was no second attempt; too late: all backends are tried, or the client is "
                "left waiting after the last",
                "chapter 05, When all are down"));
    constexpr Millis dial_timeout{300};
    const Blackholes down(10);
    const Program harbor({{"BACKENDS", down.addresses()},
                          {"LB_DIAL_TIMEOUT_MS", std::to_string(dial_timeout.count())},
                          {"LB_DIAL_RETRIES", "1"}});

    const Stopwatch watch;
    Client client = harbor.connect();
    REQUIRE(sent_away(client));
    // Two attempts take 600 ms, all ten would take 3000.
    REQUIRE(
        is_between("until the client was closed", watch.elapsed(), almost(dial_timeout * 2), Millis{2500}));
}

TEST_CASE("a client tries each backend at most once however many retries there are") {
    INFO(lesson(
        "both backends answered no dial, with LB_DIAL_RETRIES=20; one client came",
        "a backend that has just failed this client is dialled for it again, until the retries are used up",
        "chapter 05, When all are down"));
    constexpr Millis dial_timeout{300};
    const Blackholes down(2);
    const Program harbor({{"BACKENDS", down.addresses()},
                          {"LB_DIAL_TIMEOUT_MS", std::to_string(dial_timeout.count())},
                          {"LB_DIAL_RETRIES", "20"},
                          {"LB_BACKEND_COOLDOWN_MS", "1"}});

    const Stopwatch watch;
    Client client = harbor.connect();
    REQUIRE(sent_away(client));
    // Two attempts take 600 ms, all 21 would take 6300.
    REQUIRE(
        is_between("until the client was closed", watch.elapsed(), almost(dial_timeout * 2), Millis{4000}));
}
