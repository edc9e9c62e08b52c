// However a connection ends, it stops counting.
//
// A count that goes up when a client comes and is forgotten once in a thousand ends is worse than none: the
// backend looks busier every day, gets fewer clients every day, and nothing in the log says why. So each way
// to end has a test of its own, and all of them tell the same story. Two backends hold six connections each,
// those of A end in some way, and six new clients come: with least-connections all of them have to go to A,
// until both have six again.
#include "held.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <functional>
#include <string>

using namespace harness;

namespace {

constexpr std::size_t held_by_each = 6;

/// Greets, echoes, and does as it is told: closes at a `c`, resets at an `r`.
Behaviour obedient(const std::string& name) {
    return [name](Peer& peer) {
        peer.send(name + "\n");
        for (std::string bytes = peer.receive_some(); !bytes.empty(); bytes = peer.receive_some()) {
            if (bytes == "c") {
                return;
            }
            if (bytes == "r") {
                peer.reset();
                return;
            }
            peer.send(bytes);
        }
    };
}

/// The story above; `end` ends one connection.
void require_that_ends_are_counted(const std::function<void(Client&)>& end) {
    Backend a(obedient("A"));
    Backend b(obedient("B"));
    // One thread: see held.hpp.
    Program harbor(held_environment(addresses({&a, &b}), "least-connections", "1"));
    Held held(harbor);
    held.make_load({{"A", held_by_each}, {"B", held_by_each}});

    for (Client& client : held.clients_of("A")) {
        end(client);
    }
    held.clients_of("A").clear();
    REQUIRE(a.wait_for_open_connections_at_most(0));
    held.exchange();

    auto shares = held.connect(held_by_each);
    INFO("the new clients were served by: " << describe(shares));
    REQUIRE(shares["A"] == held_by_each);
}

constexpr auto cause =
    "the count is lowered in only some of the ways in which a session can end, instead of by "
    "whatever ends with it";

} // namespace

TEST_CASE("clients that leave stop counting") {
    INFO(lesson("six clients of one backend sent FIN, waited for the FIN of the other side, and closed",
                cause, "chapter 04, The lease"));
    require_that_ends_are_counted([](Client& client) { leave(client); });
}

TEST_CASE("clients that reset stop counting") {
    INFO(lesson("six clients of one backend reset their connections", cause, "chapter 04, The lease"));
    require_that_ends_are_counted([](Client& client) { client.reset(); });
}

TEST_CASE("connections that the backend ends stop counting") {
    INFO(lesson("a backend ended six connections with a FIN, and the clients followed", cause,
                "chapter 04, The lease"));
    require_that_ends_are_counted([](Client& client) {
        client.send("c");
        client.receive_until_end();
        client.close();
    });
}

TEST_CASE("connections that the backend resets stop counting") {
    INFO(lesson("a backend reset six connections", cause, "chapter 04, The lease"));
    require_that_ends_are_counted([](Client& client) {
        client.send("r");
        client.receive_until_end();
        client.close();
    });
}

TEST_CASE("dials that fail stop counting") {
    INFO(lesson("a backend with no connections refused 20 clients, then it listened again and six more came",
                "the connection is counted before the dial, and not discounted when the dial fails",
                "chapter 04, The lease"));
    Backend a(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    Environment environment = held_environment(addresses({&a, &b}), "least-connections", "1");
    // From chapter 05 on a failed dial would be hidden by a second try, and the backend left alone for a
    // while.
    environment.set("LB_DIAL_RETRIES", "0");
    environment.set("LB_BACKEND_COOLDOWN_MS", "0");
    Program harbor(environment);
    Held held(harbor);
    held.make_load({{"A", 0}, {"B", held_by_each}});

    a.stop_listening();
    for (int i = 0; i < 20; ++i) {
        // Nobody greets: A has the fewest, and refuses. Were these still counted, B would soon seem the
        // better choice.
        Client client = harbor.connect();
        client.half_close();
        REQUIRE(client.receive_until_end().bytes.empty());
    }
    a.start_listening();
    held.exchange();

    auto shares = held.connect(held_by_each);
    INFO("the new clients were served by: " << describe(shares));
    REQUIRE(shares["A"] == held_by_each);
}
