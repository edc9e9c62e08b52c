// Least-connections: the next client goes where the fewest are, and when several have the fewest, to each of
// them.
//
// The first half is what the strategy is chosen for: a backend that is stuck with long requests gets no more
// until it has caught up. The second half is what it is cursed for when it is missing. While traffic is light
// everybody has nothing, so a tie is the normal case, and a strategy that takes the first of the least sends
// all of it to one backend.
#include "held.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <exception>
#include <latch>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace harness;

namespace {

struct ThreeBackends {
    Backend a{behave::echo_with_greeting("A")};
    Backend b{behave::echo_with_greeting("B")};
    Backend c{behave::echo_with_greeting("C")};
    std::string list = addresses({&a, &b, &c});
};

} // namespace

TEST_CASE("least-connections leaves the busy backend alone") {
    INFO(lesson("one of three backends held eight connections, the others none, and 30 visitors came",
                "the connections are not counted, or the turn decides and not the count",
                "chapter 04, Least connections"));
    ThreeBackends backends;
    Program harbor(held_environment(backends.list, "least-connections"));
    Held held(harbor);
    held.make_load({{"A", 8}, {"B", 0}, {"C", 0}});

    auto shares = visits(harbor.endpoint(), 30);

    INFO("served by: " << describe(shares));
    REQUIRE(shares["A"] == 0);
    REQUIRE(shares["B"] + shares["C"] == 30);
}

TEST_CASE("least-connections shares ties") {
    INFO(lesson(
        "one of three backends held eight connections; 60 visitors came one after the other, so that the two "
        "others had nothing whenever the next came",
        "of those with the fewest connections it is always the first that is taken",
        "chapter 04, Fair ties"));
    ThreeBackends backends;
    Program harbor(held_environment(backends.list, "least-connections", "1"));
    Held held(harbor);
    // In the middle, so that neither `the first` nor `the last` is a fair answer.
    held.make_load({{"A", 0}, {"B", 8}, {"C", 0}});

    std::map<std::string, int> shares;
    for (int i = 0; i < 60; ++i) {
        ++shares[visit(harbor.endpoint())];
        held.exchange();
    }

    // In turn it would be 30 each. To draw lots is fair too, so the bound is one that lots keep.
    INFO("served by: " << describe(shares));
    REQUIRE(shares["B"] == 0);
    REQUIRE(shares["A"] >= 15);
    REQUIRE(shares["C"] >= 15);
}

TEST_CASE("least-connections makes uneven loads even") {
    INFO(lesson("three backends held six, three and no connections; nine clients came and stayed",
                "only the idle backend is preferred, or only two of the backends are compared",
                "chapter 04, Least connections"));
    ThreeBackends backends;
    Program harbor(held_environment(backends.list, "least-connections", "1"));
    Held held(harbor);
    held.make_load({{"A", 6}, {"B", 3}, {"C", 0}});

    held.connect(9);

    REQUIRE(equal_shares(held.loads(), 6, 3));
}

TEST_CASE("least-connections with eight clients at once leaves the busy backend alone and counts every end") {
    INFO(lesson(
        "one of three backends held 30 connections while eight clients at once made 20 visits each; then all "
        "but four of the 30 left and eight clients came to stay",
        "the count is changed by several threads in more than one step, and drifts", "chapter 04, Counting"));
    ThreeBackends backends;
    Program harbor(held_environment(backends.list, "least-connections", "4"));
    Held held(harbor);
    held.make_load({{"A", 30}, {"B", 0}, {"C", 0}});

    constexpr std::size_t clients = 8;
    std::vector<std::map<std::string, int>> seen(clients);
    std::vector<std::string> troubles(clients);
    std::latch start(clients);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < clients; ++i) {
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            try {
                seen[i] = visits(harbor.endpoint(), 20);
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
    }
    // With several threads an end may still be on its way to be counted; an end that was lost stays lost.
    REQUIRE(eventually(
        [&] {
            held.make_load({{"A", 4}, {"B", 0}, {"C", 0}});
            held.connect(8);
            return equal_shares(held.loads(), 4, 3);
        },
        "the counts to be as if nobody else had ever come"));
}
