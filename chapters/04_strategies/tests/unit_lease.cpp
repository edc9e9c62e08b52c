// The lease: one connection is counted from here to there, once up and once down, whatever happens in
// between.
//
// Moving is what makes it hard. A lease wanders from the pool into a session, and each step leaves an empty
// one behind whose destructor runs as well. If that one gives back too, the count falls below zero, which for
// an unsigned number means that the backend looks like the busiest in the world.
#include "lease.hpp"

#include "pool.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <cstddef>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using harness::lesson;

namespace {

constexpr auto section = "chapter 04, The lease";

harbor::Lease passed_on(harbor::Lease lease) {
    return lease;
}

} // namespace

TEST_CASE("a lease counts for as long as it lives") {
    INFO(lesson("two leases of one backend were taken, the second inside a block",
                "the count is changed in one place only", section));
    harbor::Backend backend({"127.0.0.1", "9001"});

    REQUIRE(backend.in_flight == 0);
    {
        const harbor::Lease first(backend);
        REQUIRE(backend.in_flight == 1);
        REQUIRE(&*first == &backend);
        REQUIRE(first->name == "127.0.0.1:9001");
        {
            const harbor::Lease second(backend);
            REQUIRE(backend.in_flight == 2);
        }
        REQUIRE(backend.in_flight == 1);
    }
    REQUIRE(backend.in_flight == 0);
}

TEST_CASE("a lease that was moved from gives nothing back") {
    INFO(lesson("a lease was moved on, into a function and out of it again, and through a vector that grew",
                "the destructor of the empty lease that is left behind gives back as well", section));
    harbor::Backend backend({"127.0.0.1", "9001"});
    {
        harbor::Lease first(backend);
        const harbor::Lease second(std::move(first));
        REQUIRE(backend.in_flight == 1);
        REQUIRE(&*second == &backend);
    }
    REQUIRE(backend.in_flight == 0);
    {
        const harbor::Lease lease = passed_on(passed_on(harbor::Lease(backend)));
        REQUIRE(backend.in_flight == 1);
    }
    REQUIRE(backend.in_flight == 0);
    {
        std::vector<harbor::Lease> leases;
        for (unsigned i = 1; i <= 100; ++i) {
            leases.emplace_back(backend);
            REQUIRE(backend.in_flight == i);
        }
        leases.pop_back();
        REQUIRE(backend.in_flight == 99);
    }
    REQUIRE(backend.in_flight == 0);
}

TEST_CASE("a lease cannot be copied") {
    INFO(lesson("the compiler was asked whether a lease can be copied",
                "a copy would count once and be given back twice", section));
    REQUIRE_FALSE(std::is_copy_constructible_v<harbor::Lease>);
    REQUIRE_FALSE(std::is_copy_assignable_v<harbor::Lease>);
    REQUIRE(std::is_nothrow_move_constructible_v<harbor::Lease>);
}

TEST_CASE("a lease is given back when an exception passes") {
    INFO(lesson("an exception was thrown while a lease was held",
                "the count is lowered by hand, at the end of a function", section));
    harbor::Backend backend({"127.0.0.1", "9001"});

    try {
        const harbor::Lease lease(backend);
        throw std::runtime_error("the connection broke");
    } catch (const std::runtime_error&) {
        REQUIRE(backend.in_flight == 0);
    }
    std::optional<harbor::Lease> lease(std::in_place, backend);
    lease.reset();
    REQUIRE(backend.in_flight == 0);
}

TEST_CASE("every pick of the pool counts until its lease goes") {
    INFO(lesson("three leases of a pool of two were held, then the first was given back",
                "the pool picks without counting, or counts twice", section));
    harbor::Pool pool({{"127.0.0.1", "9001"}, {"127.0.0.1", "9002"}});

    std::optional<harbor::Lease> first(pool.pick());
    const harbor::Lease second = pool.pick();
    const harbor::Lease third = pool.pick();
    REQUIRE(third->name == "127.0.0.1:9001");
    REQUIRE(third->in_flight == 2);
    REQUIRE(second->in_flight == 1);

    first.reset();
    REQUIRE(third->in_flight == 1);
}

TEST_CASE("leases of many threads add up to nothing in the end") {
    INFO(lesson("eight threads took leases from one pool, 10,000 each, holding up to ten at a time",
                "the count is not atomic, or is read, changed and stored in separate steps",
                "chapter 04, Counting"));
    const std::string name = GENERATE("round-robin", "least-connections", "power-of-two");
    harbor::Pool pool({{"127.0.0.1", "9001"}, {"127.0.0.1", "9002"}, {"127.0.0.1", "9003"}},
                      harbor::make_strategy(name));
    INFO("strategy: " << name);
    std::vector<harbor::Backend*> backends;
    {
        // The pool keeps its backends to itself, so each is met once through a lease: as long as all are
        // held, a count of one means that this backend is new.
        std::vector<harbor::Lease> leases;
        for (int tries = 0; tries < 1000 && backends.size() < 3; ++tries) {
            leases.push_back(pool.pick());
            if (leases.back()->in_flight == 1) {
                backends.push_back(&*leases.back());
            }
        }
    }
    REQUIRE(backends.size() == 3);

    constexpr std::size_t count = 8;
    std::latch start(count);
    std::vector<std::thread> threads;
    while (threads.size() < count) {
        threads.emplace_back([&] {
            start.arrive_and_wait();
            for (int round = 0; round < 1000; ++round) {
                std::vector<harbor::Lease> leases;
                for (int n = 0; n < 10; ++n) {
                    leases.push_back(pool.pick());
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }

    for (const harbor::Backend* backend : backends) {
        REQUIRE(backend->in_flight == 0);
    }
}
