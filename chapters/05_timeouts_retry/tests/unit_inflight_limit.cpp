// The in-flight cap when threads really compete: a moment's excess cannot be seen from outside.
#include "inflight_limit.hpp"

#include <harness/catch.hpp>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

using harbor::InflightLimit;
using harbor::Slot;

TEST_CASE("slots are handed out up to the limit and come back with their owners") {
    InflightLimit limit(2);
    Slot first = limit.take();
    REQUIRE(first);
    {
        const Slot second = limit.take();
        REQUIRE(second);
        REQUIRE_FALSE(limit.take());
        REQUIRE(limit.taken() == 2);
    }
    REQUIRE(limit.taken() == 1);

    Slot moved = std::move(first);
    REQUIRE(limit.taken() == 1);
    moved = limit.take();
    REQUIRE(moved);
    REQUIRE(limit.taken() == 1);
    moved.reset();
    REQUIRE(limit.taken() == 0);
}

TEST_CASE("threads that compete for slots never hold more than the limit and give all of them back") {
    constexpr unsigned highest = 3;
    InflightLimit limit(highest);
    std::atomic<unsigned> held{0};
    std::atomic<unsigned> most{0};
    const auto compete = [&] {
        for (int i = 0; i < 20000; ++i) {
            const Slot slot = limit.take();
            if (!slot) {
                continue;
            }
            const unsigned now = held.fetch_add(1) + 1;
            for (unsigned seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
            }
            if (i % 16 == 0) {
                std::this_thread::yield(); // so that the others meet a full house also on a single core
            }
            held.fetch_sub(1);
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) {
        threads.emplace_back(compete);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    REQUIRE(most <= highest);
    REQUIRE(limit.taken() == 0);
}
