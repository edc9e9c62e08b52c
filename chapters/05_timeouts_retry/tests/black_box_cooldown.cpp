// The cooldown: a backend that has failed is left alone for a while, then one client finds out for all.
//
// Without a cooldown every second client goes through a failure first, which costs a round trip when the
// backend refuses and the whole dial timeout when it does not answer. The price of having one is paid by the
// backend: it may have been back for seconds before anybody looks. That is why one success is enough to bring
// it back, and why the try is left to one client: when a backend is not back yet, only one has waited for
// nothing.
//
// The subject is time here, so there are bounds. The lower ones are exact (nothing before the cooldown is
// over), the upper ones are "eventually", or leave as much room as the configured times allow.
#include "served.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/program.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

using namespace harness;

TEST_CASE("a backend that failed is dialled again after its cooldown and one success brings it back") {
    INFO(lesson("B refused a client, came up at once, and clients kept coming",
                "too early: a failed dial starts no cooldown; B gets less than its share afterwards: a "
                "success does not clear it",
                "chapter 05, Cooldown"));
    constexpr Millis cooldown{1200};
    const Backend a(behave::echo_with_greeting("A"));
    Backend b = Backend::refusing(behave::echo_with_greeting("B"));
    const Program harbor(
        {{"BACKENDS", addresses({&a, &b})}, {"LB_BACKEND_COOLDOWN_MS", std::to_string(cooldown.count())}});

    // Round-robin: one of these two is dialled to B first.
    const auto before_the_failure = Clock::now();
    REQUIRE(equal_shares(shares(harbor.endpoint(), 2), 2, 1));
    b.start_listening();

    std::string previous;
    const auto served_by_b = [&] {
        previous = greeting(harbor.endpoint());
        return previous == "B";
    };
    REQUIRE(eventually(served_by_b, "a client to be served by B"));
    const auto left_alone =
        std::chrono::duration_cast<Millis>(b.connection(1).accepted_at - before_the_failure);
    REQUIRE(is_between("from before B's failure to its next connection", left_alone, almost(cooldown),
                       cooldown + patience()));
    REQUIRE(b.connection_count() == 1);

    for (int i = 0; i < 10; ++i) {
        const std::string next = greeting(harbor.endpoint());
        INFO("client " << i + 1 << " after B's return was served by " << next << ", the one before by "
                       << previous);
        REQUIRE(next != previous);
        previous = next;
    }
}

TEST_CASE("when a backend that is still down is due only one client tries it") {
    INFO(lesson("a backend answered no dial, cooled down, and was due; then 10 clients came at once",
                "at the end of the cooldown the backend was put back into rotation, so half of the clients "
                "waited for the dial timeout",
                "chapter 05, Cooldown"));
    constexpr Millis dial_timeout{900};
    constexpr Millis cooldown{1000};
    const Blackhole down;
    const Backend up(behave::echo_with_greeting("up"));
    const Program harbor({{"BACKENDS", down.address() + "," + up.address()},
                          {"LB_DIAL_TIMEOUT_MS", std::to_string(dial_timeout.count())},
                          {"LB_BACKEND_COOLDOWN_MS", std::to_string(cooldown.count())}});

    // Round-robin: one of these two waits for the black hole, and both are served in the end.
    REQUIRE(equal_shares(shares(harbor.endpoint(), 2), 2, 1));
    const Deadline due(cooldown + Millis{1});
    REQUIRE(eventually([&due] { return due.passed(); }, "the cooldown to be over"));

    const auto start = Clock::now();
    std::vector<Client> clients;
    for (int i = 0; i < 10; ++i) {
        clients.push_back(harbor.connect());
    }
    for (Client& client : clients) {
        REQUIRE(served_by(client) == "up");
    }
    // The connections of those who had to wait for the black hole were made one dial timeout later.
    std::size_t waited = 0;
    const auto connections = up.connections();
    REQUIRE(connections.size() == 12);
    for (std::size_t i = 2; i < connections.size(); ++i) {
        waited += connections[i].accepted_at - start >= almost(dial_timeout) ? 1 : 0;
    }
    REQUIRE(waited == 1);
}
