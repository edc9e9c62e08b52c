// Power of two choices: two backends are drawn at random, and the client goes to the one with fewer
// connections.
//
// Looking at two costs the same however many backends there are, and is nearly as good as looking at all of
// them. Random choices cannot be checked one by one, but some things never happen: the busier of two is not
// taken, and the busiest of all is the busier of any two. The rest is checked with bounds that a right
// program misses less than once in ten million runs.
#include "held.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <cstddef>
#include <exception>
#include <latch>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace harness;

TEST_CASE("power-of-two never picks the busier of two") {
    INFO(lesson(
        "one of two backends held eight connections, the other none; five clients came and stayed, and then "
        "40 visitors",
        "the same backend is drawn twice, and then compared with itself; or the loads are not compared",
        "chapter 04, Power of two choices"));
    Backend a(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    Program harbor(held_environment(addresses({&a, &b}), "power-of-two"));
    Held held(harbor);
    held.make_load({{"A", 8}, {"B", 0}});

    auto stayed = held.connect(5);
    held.make_load({{"A", 8}, {"B", 0}});
    auto visited = visits(harbor.endpoint(), 40);

    INFO("served by: " << describe(stayed) << ", and then " << describe(visited));
    REQUIRE(stayed["A"] == 0);
    REQUIRE(visited["A"] == 0);
}

TEST_CASE("power-of-two never picks the busiest but does not know the idlest") {
    INFO(lesson("four backends held 12, five, five and no connections, and 60 visitors came",
                "the same backend is drawn twice, and then compared with itself; or all backends are "
                "compared, which is "
                "another strategy",
                "chapter 04, Power of two choices"));
    Backend a(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    Backend c(behave::echo_with_greeting("C"));
    Backend d(behave::echo_with_greeting("D"));
    Program harbor(held_environment(addresses({&a, &b, &c, &d}), "power-of-two"));
    Held held(harbor);
    held.make_load({{"A", 12}, {"B", 5}, {"C", 0}, {"D", 5}});

    auto shares = visits(harbor.endpoint(), 60);

    // C is one of the two in half of all draws, so the others get about 15 each.
    INFO("served by: " << describe(shares));
    REQUIRE(shares["A"] == 0);
    REQUIRE(shares["B"] > 0);
    REQUIRE(shares["C"] > 0);
    REQUIRE(shares["D"] > 0);
}

TEST_CASE("power-of-two spreads over all idle backends and not in turn") {
    INFO(lesson("200 visitors came one after the other to four backends that had nothing else to do",
                "a backend is never drawn, or drawn far too often, or the two that are compared follow a "
                "fixed pattern",
                "chapter 04, Power of two choices"));
    Backend a(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    Backend c(behave::echo_with_greeting("C"));
    Backend d(behave::echo_with_greeting("D"));
    Program harbor(held_environment(addresses({&a, &b, &c, &d}), "power-of-two"));

    std::vector<std::string> came;
    std::map<std::string, int> shares;
    for (int i = 0; i < 200; ++i) {
        came.push_back(visit(harbor.endpoint()));
        ++shares[came.back()];
    }

    // 50 each, give or take 6 (one standard deviation); the bounds are six and eight of those away.
    INFO("served by: " << describe(shares));
    REQUIRE(shares.size() == 4);
    for (const auto& [name, share] : shares) {
        REQUIRE(is_between("the share of " + name, share, 13, 100));
    }
    bool in_turn = true;
    for (std::size_t i = 4; i < came.size(); ++i) {
        in_turn = in_turn && came[i] == came[i - 4];
    }
    REQUIRE_FALSE(in_turn);
}

TEST_CASE("power-of-two with eight clients at once never picks the busier of two") {
    INFO(lesson(
        "one of two backends held 30 connections, and eight clients at once made 15 visits each",
        "the threads do not see each other's connections, or the random numbers are shared without care",
        "chapter 04, Counting"));
    Backend a(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    Program harbor(held_environment(addresses({&a, &b}), "power-of-two", "4"));
    Held held(harbor);
    held.make_load({{"A", 30}, {"B", 0}});

    constexpr std::size_t clients = 8;
    std::vector<std::map<std::string, int>> seen(clients);
    std::vector<std::string> troubles(clients);
    std::latch start(clients);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < clients; ++i) {
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            try {
                seen[i] = visits(harbor.endpoint(), 15);
            } catch (const std::exception& failure) {
                troubles[i] = failure.what();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }

    for (std::size_t i = 0; i < clients; ++i) {
        REQUIRE(troubles[i].empty());
        REQUIRE(seen[i]["A"] == 0);
        REQUIRE(seen[i]["B"] == 15);
    }
}
