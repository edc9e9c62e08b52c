// The in-flight cap: as many clients as were agreed, and not one more.
//
// Every balancer has a limit; the question is only whether it is one that somebody chose. Over the limit a
// client is accepted and closed: it knows at once, and can go elsewhere. Left in the queue it would wait for
// its own timeout.
//
// What makes a cap dangerous is counting. A place that is not given back in one of the many ways a connection
// can end is lost for good, and after enough of them the balancer serves nobody, idle and in perfect health.
// So each test lets more connections end in its way than there are places, and then counts the places: no
// fewer than before, and no more.
#include "served.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <cstddef>
#include <string>
#include <vector>

using namespace harness;

namespace {

constexpr std::size_t places = 3;

Environment capped(const Backend& backend, const std::string& io_timeout = "60000") {
    return {{"BACKENDS", backend.address()},
            {"LB_MAX_INFLIGHT", std::to_string(places)},
            {"LB_BACKEND_COOLDOWN_MS", "1"},
            {"LB_IO_TIMEOUT_MS", io_timeout}};
}

} // namespace

TEST_CASE("a client over the cap is closed at once and the others do not notice") {
    INFO(lesson("three clients were served, which was the cap; a fourth came, and then one of the three left",
                "the fourth served: nobody counts; left waiting: it was not accepted; no room later: the "
                "place was not given back",
                "chapter 05, The in-flight cap"));
    const Backend backend(behave::echo_with_greeting("A"));
    const Program harbor(capped(backend));

    std::vector<Client> clients;
    for (std::size_t i = 0; i < places; ++i) {
        clients.push_back(harbor.connect());
        REQUIRE(served_by(clients.back()) == "A");
    }
    Client over = harbor.connect();
    REQUIRE(sent_away(over));
    REQUIRE(backend.connection_count() == places);
    for (Client& client : clients) {
        client.send("go on");
        REQUIRE(client.receive(5) == "go on");
    }

    clients.back().half_close();
    REQUIRE(clients.back().ends_cleanly());
    clients.pop_back();
    REQUIRE(has_room_for_exactly(1, harbor));
    // Nobody who was sent away has reached the backend.
    REQUIRE(backend.connection_count() == places + 1);
}

TEST_CASE("the place of a connection that was reset is given back once") {
    INFO(lesson("one client stayed; four connections were reset by their clients and four by the backend; "
                "the cap was three",
                "the place is given back at a clean end only, or by both directions",
                "chapter 05, The in-flight cap"));
    // The reset answers a byte, so that it cannot be taken for a dial that failed.
    const Backend backend([](Peer& peer) {
        peer.send("A\n");
        if (!peer.receive_some().empty()) {
            peer.reset();
        }
    });
    const Program harbor(capped(backend));

    Client stays = harbor.connect();
    REQUIRE(served_by(stays) == "A");
    std::vector<Client> clients;
    const auto is_served = [&] {
        clients.push_back(harbor.connect());
        return served_by(clients.back()) == "A";
    };
    for (std::size_t i = 0; i <= places; ++i) {
        // The place of the one before may take a moment to become free.
        REQUIRE(eventually(is_served, "a client to be served, to reset its connection"));
        clients.back().reset();
        REQUIRE(eventually(is_served, "a client to be served, to be reset by the backend"));
        clients.back().send("x");
        REQUIRE(clients.back().ends_with_reset());
    }
    REQUIRE(has_room_for_exactly(places - 1, harbor));
}

TEST_CASE("the place of a client that could not be served is given back once") {
    INFO(lesson(
        "one client was served; four came while the only backend refused; the cap was three; then it came up",
        "the place is given back where a relay ends, which a failed dial never reaches",
        "chapter 05, The in-flight cap"));
    Backend backend(behave::echo_with_greeting("A"));
    const Program harbor(capped(backend));
    Client stays = harbor.connect();
    REQUIRE(served_by(stays) == "A");

    backend.stop_listening();
    for (std::size_t i = 0; i <= places; ++i) {
        Client client = harbor.connect();
        REQUIRE(sent_away(client));
    }
    backend.start_listening();
    REQUIRE(has_room_for_exactly(places - 1, harbor));
}

TEST_CASE("the place of a connection that was idle for too long is given back once") {
    INFO(lesson(
        "three clients were served, which was the cap, and were cut for their silence; then others came",
        "the place is given back where a relay ends by itself, and not where the deadline ends it",
        "chapter 05, The in-flight cap"));
    const Backend backend(behave::echo_with_greeting("A"));
    // Long enough for the clients of has_room_for_exactly() to be there together.
    const Program harbor(capped(backend, "1500"));

    std::vector<Client> clients;
    for (std::size_t i = 0; i < places; ++i) {
        clients.push_back(harbor.connect());
        REQUIRE(served_by(clients.back()) == "A");
    }
    for (Client& client : clients) {
        REQUIRE(sent_away(client));
    }
    REQUIRE(has_room_for_exactly(places, harbor));
}
