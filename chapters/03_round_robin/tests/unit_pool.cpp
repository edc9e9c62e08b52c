// The pool alone: whose turn it is, asked by one thread and by many.
//
// From outside a client can only be counted after it has been accepted, handed to a thread and dialled, and
// all of that takes so long that two threads seldom ask at the same moment. Here they do nothing else. What
// is checked is what an atomic counter promises and an ordinary one does not: however the threads are mixed,
// each turn is taken exactly once.
#include "pool.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <latch>
#include <string>
#include <thread>
#include <vector>

using harness::lesson;

namespace {

/// 127.0.0.1 with these ports.
std::vector<harbor::Address> local(const std::vector<std::string>& ports) {
    std::vector<harbor::Address> addresses;
    for (const std::string& port : ports) {
        addresses.push_back({"127.0.0.1", port});
    }
    return addresses;
}

} // namespace

TEST_CASE("the pool hands out its backends in the order of the list") {
    INFO(lesson(
        "a pool of four backends was asked ten times, by one thread",
        "the backends are kept in a container that sorts them, or the turn starts anywhere but at the first",
        "chapter 03, Taking turns"));
    harbor::Pool pool(local({"9004", "9002", "9003", "9001"}));

    std::vector<std::string> picked;
    for (int i = 0; i < 10; ++i) {
        picked.push_back(pool.pick()->name);
    }

    REQUIRE(picked == std::vector<std::string>{"127.0.0.1:9004", "127.0.0.1:9002", "127.0.0.1:9003",
                                               "127.0.0.1:9001", "127.0.0.1:9004", "127.0.0.1:9002",
                                               "127.0.0.1:9003", "127.0.0.1:9001", "127.0.0.1:9004",
                                               "127.0.0.1:9002"});
}

TEST_CASE("a pool of one hands out that one") {
    INFO(lesson("a pool of a single backend was asked five times",
                "the turn is taken modulo the wrong number", "chapter 03, Taking turns"));
    harbor::Pool pool(local({"9001"}));

    for (int i = 0; i < 5; ++i) {
        REQUIRE(pool.pick()->name == "127.0.0.1:9001");
    }
}

TEST_CASE("the backends of a pool stay where they are") {
    INFO(lesson(
        "the first backend was picked, then the others, then the first again",
        "picking copies or moves backends: a session that holds a pointer to one would look into nothing",
        "chapter 03, Why a vector"));
    harbor::Pool pool(local({"9001", "9002", "9003"}));

    const auto* first = &*pool.pick();
    for (int i = 0; i < 2; ++i) {
        REQUIRE(&*pool.pick() != first);
    }
    REQUIRE(&*pool.pick() == first);
}

TEST_CASE("each turn is taken once however many threads ask") {
    INFO(lesson(
        "eight threads asked a pool of seven backends at once, again and again for half a second",
        "the counter is read and increased in two steps, and between them another thread did the same; or "
        "each thread keeps a turn of its own",
        "chapter 03, Why an atomic"));
    constexpr std::size_t askers = 8;
    constexpr std::size_t size = 7;
    harbor::Pool pool(local({"9001", "9002", "9003", "9004", "9005", "9006", "9007"}));
    // One round, alone, to learn who is who. Looking for a pointer among a few takes hardly any time, so that
    // the threads spend theirs in pick(), where they are wanted.
    std::vector<const harbor::Backend*> backends;
    while (backends.size() < size) {
        // A pointer in this chapter, a lease from the next on: both are followed in the same way.
        backends.push_back(&*pool.pick());
    }

    std::vector<std::vector<std::size_t>> seen(askers);
    std::latch start(askers);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < askers; ++i) {
        threads.emplace_back([&, i] {
            std::vector<std::size_t> counts(size);
            start.arrive_and_wait();
            // For a time and not a number of times: how many picks it takes until two threads meet depends on
            // the machine, and on what else it does.
            const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
            while (std::chrono::steady_clock::now() < end) {
                for (int n = 0; n < 1009; ++n) { // a prime: no whole number of rounds
                    const auto place = std::find(backends.begin(), backends.end(), &*pool.pick());
                    ++counts[static_cast<std::size_t>(place - backends.begin())];
                }
            }
            seen[i] = counts;
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }

    std::vector<std::size_t> total(size);
    std::size_t picks = 0;
    for (const std::vector<std::size_t>& counts : seen) {
        for (std::size_t i = 0; i < size; ++i) {
            total[i] += counts[i];
            picks += counts[i];
        }
    }
    // In the end all rounds are whole but the last, and that one has come as far as the picks go.
    std::vector<std::size_t> expected(size, picks / size);
    for (std::size_t i = 0; i < picks % size; ++i) {
        ++expected[i];
    }
    REQUIRE(total == expected);
}
