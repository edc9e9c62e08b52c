// Balancing, where the chapters' tests leave off: many backends, slow ones, and ones that come and go.
#include "conformance.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/program.hpp>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace harness;
using conformance::measured;

namespace {

/// The greeting, or nothing when the client is sent away.
std::string served_by(Client& client) {
    try {
        return client.receive_line();
    } catch (const Failure&) {
        return "";
    }
}

} // namespace

TEST_CASE("two hundred backends get the same share to the client") {
    INFO(lesson("400 clients came, one after the other, to 200 backends", "turns are skipped or taken twice",
                "chapter 03, Taking turns"));
    constexpr int count = 200;
    std::vector<std::unique_ptr<Backend>> backends;
    std::string list;
    for (int i = 0; i < count; ++i) {
        backends.push_back(
            std::make_unique<Backend>(behave::echo_with_greeting("backend " + std::to_string(i))));
        list += (i > 0 ? "," : "") + backends.back()->address();
    }
    const Program harbor({{"BACKENDS", list}});

    const std::map<std::string, int> got = shares(harbor.endpoint(), 2 * count);

    const Verdict equal = equal_shares(got, 2, count);
    measured(equal ? "2 each" : std::to_string(got.size()) + " of 200 backends used, or not equally");
    REQUIRE(equal);
}

TEST_CASE("one backend of three is slow and only its own clients wait") {
    INFO(lesson("nine clients were connected side by side; one of the three backends never said a word",
                "a slow backend is taken for a failed one, or holds up the clients of the others",
                "chapter 03, Taking turns"));
    const Backend fast(behave::echo_with_greeting("fast"));
    const Backend slow(behave::silent());
    const Backend quick(behave::echo_with_greeting("quick"));
    const Program harbor({{"BACKENDS", addresses({&fast, &slow, &quick})}});

    std::vector<Client> clients;
    for (int i = 0; i < 9; ++i) {
        clients.push_back(harbor.connect());
        // One after the other, so that the turns are those of the clients.
        REQUIRE(eventually(
            [&] {
                return fast.connection_count() + slow.connection_count() + quick.connection_count() >=
                       clients.size();
            },
            "the client to reach a backend"));
    }
    int served = 0;
    int waiting = 0;
    for (std::size_t i = 0; i < clients.size(); ++i) {
        if (i % 3 == 1) {
            waiting += clients[i].stays_silent(Millis{20}) ? 1 : 0;
        } else {
            served += served_by(clients[i]).empty() ? 0 : 1;
        }
    }

    measured(std::to_string(served) + " of 6 served, " + std::to_string(waiting) + " of 3 wait");
    REQUIRE(served == 6);
    REQUIRE(waiting == 3);
}

TEST_CASE("a backend that comes and goes costs no client") {
    INFO(lesson("one of two backends refused, listened, refused, and so on; 40 clients came in between",
                "a failed dial is not tried again elsewhere, or a backend that is back is not used again",
                "chapter 05, Cooldown"));
    const Backend steady(behave::echo_with_greeting("steady"));
    Backend flapping(behave::echo_with_greeting("flapping"));
    const Program harbor({{"BACKENDS", addresses({&steady, &flapping})}, {"LB_BACKEND_COOLDOWN_MS", "1"}});

    int served = 0;
    for (int i = 0; i < 10; ++i) {
        i % 2 == 0 ? flapping.stop_listening() : flapping.start_listening();
        for (int j = 0; j < 4; ++j) {
            Client client = harbor.connect();
            served += served_by(client).empty() ? 0 : 1;
        }
    }

    measured(std::to_string(served) + " of 40 served");
    REQUIRE(served == 40);
}

TEST_CASE("a backend that has come back gets its turns again") {
    INFO(lesson("one of two backends refused, and then listened again; clients came until it had served one",
                "a backend that has failed once is not tried again after its cooldown",
                "chapter 05, Cooldown"));
    const Backend steady(behave::echo_with_greeting("steady"));
    Backend returning = Backend::refusing(behave::echo_with_greeting("returning"));
    const Program harbor({{"BACKENDS", addresses({&steady, &returning})}, {"LB_BACKEND_COOLDOWN_MS", "50"}});
    REQUIRE(equal_shares(shares(harbor.endpoint(), 4), 4, 1));

    returning.start_listening();
    const Verdict back = eventually(
        [&] {
            Client client = harbor.connect();
            return served_by(client) == "returning";
        },
        "a client to be served by the backend that is back");

    measured(back ? "used again" : "not used again within 10 s");
    REQUIRE(back);
    REQUIRE(equal_shares(shares(harbor.endpoint(), 10), 5, 2));
}
