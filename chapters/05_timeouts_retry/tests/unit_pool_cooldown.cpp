// The pool under failures, with a clock that the test sets: who is left out, who is tried all the same, who
// has the try.
//
// Nothing is dialled here. The backends are addresses, and the test itself says how the dials ended.
#include "pool.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using harbor::Address;
using harbor::Backend;
using harbor::Clock;
using harbor::Lease;
using harbor::make_strategy;
using harbor::Pool;
using harness::describe;

namespace {

constexpr Clock::time_point start{1000h};
constexpr Clock::duration instant{1};
constexpr std::chrono::milliseconds cooldown = 5s;

const Address a{"127.0.0.1", "9001"};
const Address b{"127.0.0.1", "9002"};
const Address c{"127.0.0.1", "9003"};

std::string port_of(const Lease& lease) {
    return lease->name.substr(lease->name.find(':') + 1);
}

/// By port: the shares of so many clients who come at the same instant, and whose dials have not ended yet.
std::map<std::string, int> picks(Pool& pool, int count, Clock::time_point now) {
    std::map<std::string, int> shares;
    for (int i = 0; i < count; ++i) {
        ++shares[port_of(pool.pick({}, now))];
    }
    return shares;
}

/// Dials for one client after the other until it is this backend's turn, and lets that dial fail.
void fail(Pool& pool, const Address& address, Clock::time_point now) {
    for (;;) {
        const Lease lease = pool.pick({}, now);
        if (port_of(lease) == address.port) {
            pool.dial_failed(*lease, now);
            return;
        }
    }
}

} // namespace

TEST_CASE("backends that this client has tried are left out") {
    Pool pool({a, b, c}, make_strategy("round-robin"), cooldown);
    std::vector<const Backend*> tried;
    std::map<std::string, int> seen;
    for (int i = 0; i < 3; ++i) {
        const Lease lease = pool.pick(tried, start);
        REQUIRE(lease);
        tried.push_back(&*lease);
        ++seen[port_of(lease)];
    }
    REQUIRE(describe(seen) == "1 x 9001, 1 x 9002, 1 x 9003");
    REQUIRE_FALSE(pool.pick(tried, start));
}

TEST_CASE("the others share exactly what a backend in cooldown does not get") {
    Pool pool({a, b, c}, make_strategy("round-robin"), cooldown);
    fail(pool, b, start);
    REQUIRE(describe(picks(pool, 10, start)) == "5 x 9001, 5 x 9003");
    REQUIRE(describe(picks(pool, 10, start + cooldown - instant)) == "5 x 9001, 5 x 9003");
}

TEST_CASE("a backend that is due gets one client and after its success its whole share") {
    Pool pool({a, b, c}, make_strategy("round-robin"), cooldown);
    fail(pool, b, start);
    const auto due = start + cooldown;
    REQUIRE(picks(pool, 30, due)["9002"] == 1);
    REQUIRE(picks(pool, 30, due + cooldown - instant)["9002"] == 0);
    // Nobody has said how that dial ended, so another client may try.
    REQUIRE(picks(pool, 30, due + cooldown)["9002"] == 1);

    const auto due_again = due + 2 * cooldown;
    for (;;) {
        const Lease lease = pool.pick({}, due_again);
        if (port_of(lease) == b.port) {
            pool.dial_succeeded(*lease);
            break;
        }
    }
    REQUIRE(describe(picks(pool, 30, due_again)) == "10 x 9001, 10 x 9002, 10 x 9003");
}

TEST_CASE("with all cooling down every client gets the one due soonest") {
    Pool pool({a, b, c}, make_strategy("round-robin"), cooldown);
    fail(pool, b, start);
    fail(pool, c, start + 1s);
    fail(pool, a, start + 2s);
    const auto now = start + 3s;
    REQUIRE(describe(picks(pool, 10, now)) == "10 x 9002");

    // For a client who has tried that one already it is the next.
    const Lease first = pool.pick({}, now);
    const std::vector<const Backend*> tried{&*first};
    REQUIRE(port_of(pool.pick(tried, now)) == "9003");

    pool.dial_failed(*first, now);
    REQUIRE(describe(picks(pool, 10, now)) == "10 x 9003");
    pool.dial_succeeded(*first);
    REQUIRE(describe(picks(pool, 10, now)) == "10 x 9002");
}

TEST_CASE("a single backend is never left out") {
    Pool pool({a}, make_strategy("round-robin"), cooldown);
    fail(pool, a, start);
    REQUIRE(describe(picks(pool, 3, start)) == "3 x 9001");
    // When it is due too: one client has the try, and the others have nowhere else to go.
    REQUIRE(describe(picks(pool, 3, start + cooldown)) == "3 x 9001");
}

TEST_CASE("every strategy leaves out what cools down") {
    const std::string strategy = GENERATE("round-robin", "least-connections", "power-of-two");
    INFO("strategy: " << strategy);
    Pool pool({a, b, c}, make_strategy(strategy), cooldown);
    fail(pool, a, start);
    fail(pool, b, start);
    REQUIRE(describe(picks(pool, 10, start)) == "10 x 9003");
}

TEST_CASE("of several threads one gets the backend that is due") {
    Pool pool({a, b}, make_strategy("round-robin"), cooldown);
    fail(pool, b, start);
    constexpr int threads = 4;
    constexpr int clients = 500;
    std::atomic<int> waiting{threads};
    std::atomic<int> tries{0};
    const auto pick_many = [&] {
        waiting.fetch_sub(1);
        while (waiting.load() > 0) {
            std::this_thread::yield();
        }
        for (int i = 0; i < clients; ++i) {
            tries.fetch_add(port_of(pool.pick({}, start + cooldown)) == b.port ? 1 : 0);
        }
    };
    std::vector<std::thread> pickers;
    for (int i = 0; i < threads; ++i) {
        pickers.emplace_back(pick_many);
    }
    for (std::thread& picker : pickers) {
        picker.join();
    }
    REQUIRE(tries == 1);
}

TEST_CASE("a try that another thread has taken does not count as in flight") {
    Pool pool({a, b}, make_strategy("round-robin"), cooldown);
    fail(pool, b, start);
    std::vector<Lease> leases;
    unsigned in_flight = 0;
    for (int i = 0; i < 10; ++i) {
        leases.push_back(pool.pick({}, start + cooldown));
    }
    for (const Lease& lease : leases) {
        in_flight = port_of(lease) == b.port ? lease->in_flight.load() : in_flight;
    }
    REQUIRE(in_flight == 1);
}
