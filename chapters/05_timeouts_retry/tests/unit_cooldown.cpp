// One backend's cooldown, with a clock that the test sets.
//
// From outside a cooldown can only be waited for, and "exactly" cannot be told from "about". Here the time is
// handed in, so the last instant of a cooldown and the first one after it can both be asked about.
#include "cooldown.hpp"

#include <harness/catch.hpp>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using harbor::Clock;
using harbor::Cooldown;

namespace {

// Any time will do, except the epoch, which may stand for "never".
constexpr Clock::time_point start{1000h};
constexpr Clock::duration instant{1};

} // namespace

TEST_CASE("a backend that has not failed is up and everybody may try it") {
    Cooldown cooldown;
    REQUIRE_FALSE(cooldown.cooling(start));
    REQUIRE(cooldown.claim(start, 5s));
    REQUIRE(cooldown.claim(start, 5s));
    REQUIRE_FALSE(cooldown.cooling(start));
}

TEST_CASE("a backend that has failed cools down until exactly the end of the period") {
    Cooldown cooldown;
    cooldown.failed(start, 5s);
    REQUIRE(cooldown.until() == start + 5s);
    REQUIRE(cooldown.cooling(start));
    REQUIRE(cooldown.cooling(start + 5s - instant));
    REQUIRE_FALSE(cooldown.claim(start + 5s - instant, 5s));
    REQUIRE_FALSE(cooldown.cooling(start + 5s));
}

TEST_CASE("one success clears a cooldown at once") {
    Cooldown cooldown;
    cooldown.failed(start, 5s);
    cooldown.failed(start + 1s, 5s);
    cooldown.succeeded();
    REQUIRE_FALSE(cooldown.cooling(start + 1s));
    REQUIRE(cooldown.claim(start + 1s, 5s));
    REQUIRE(cooldown.claim(start + 1s, 5s));
}

TEST_CASE("a backend that is due is claimed once and cools down again meanwhile") {
    Cooldown cooldown;
    cooldown.failed(start, 5s);
    const auto due = start + 5s;
    REQUIRE(cooldown.claim(due, 3s));
    REQUIRE_FALSE(cooldown.claim(due, 3s));
    REQUIRE(cooldown.cooling(due));
    REQUIRE(cooldown.until() == due + 3s);
    // The one who claimed it never told how it ended: somebody else may try.
    REQUIRE(cooldown.claim(due + 3s, 3s));
}

TEST_CASE("a failure of the one who claimed starts the whole period again") {
    Cooldown cooldown;
    cooldown.failed(start, 5s);
    REQUIRE(cooldown.claim(start + 5s, 5s));
    cooldown.failed(start + 7s, 5s);
    REQUIRE(cooldown.cooling(start + 12s - instant));
    REQUIRE_FALSE(cooldown.cooling(start + 12s));
}

TEST_CASE("of several threads one claims a backend that is due") {
    constexpr int rounds = 2000;
    constexpr int claimers = 4;
    Cooldown cooldown;
    std::atomic<int> ready{0};
    std::atomic<int> claims{0};
    // Every round is a second later than the one before, and everybody asks in each.
    const auto claim_in_every_round = [&] {
        for (int round = 1; round <= rounds; ++round) {
            ready.fetch_add(1);
            while (ready.load() < round * claimers) {
                std::this_thread::yield();
            }
            claims.fetch_add(cooldown.claim(start + round * 1s, 1s) ? 1 : 0);
        }
    };
    cooldown.failed(start, 1s);
    std::vector<std::thread> threads;
    for (int i = 0; i < claimers; ++i) {
        threads.emplace_back(claim_in_every_round);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    REQUIRE(claims == rounds);
}
