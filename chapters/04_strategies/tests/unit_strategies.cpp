// The three strategies without sockets: loads are written into the backends, and picks are counted.
//
// Through a running program a load has to be built from connections and is never quite still. Here it is
// exactly what the test says, so ties can be checked to the last pick, and random choices by the thousand.
#include "strategy.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

using harness::is_between;
using harness::lesson;

namespace {

/// Backends with these loads, called 127.0.0.1:1, 127.0.0.1:2, …
class Loaded {
public:
    Loaded(std::initializer_list<unsigned> loads) {
        for (const unsigned load : loads) {
            const std::string port = std::to_string(backends_.size() + 1);
            backends_.push_back(std::make_unique<harbor::Backend>(harbor::Address{"127.0.0.1", port}));
            backends_.back()->in_flight = load;
            candidates_.push_back(backends_.back().get());
        }
    }

    /// How often each is picked, in their order, when the loads stay as they are.
    std::vector<int> picks(harbor::Strategy& strategy, int count) const {
        std::map<const harbor::Backend*, int> counted;
        for (int i = 0; i < count; ++i) {
            ++counted[&strategy.pick(candidates_)];
        }
        std::vector<int> result;
        for (const harbor::Backend* candidate : candidates_) {
            result.push_back(std::exchange(counted[candidate], 0));
        }
        return result;
    }

    harbor::Backend& operator[](std::size_t index) { return *backends_[index]; }

private:
    std::vector<std::unique_ptr<harbor::Backend>> backends_;
    std::vector<harbor::Backend*> candidates_;
};

} // namespace

TEST_CASE("each name and alias makes its strategy") {
    INFO(lesson("make_strategy was given every name of the contract, and some that are none",
                "a name is missing, misspelt, or stands for another strategy", "chapter 04, Names"));
    const std::vector<std::vector<std::string>> strategies = {
        {"round-robin", "rr", "roundrobin"},
        {"least-connections", "least", "leastconn", "least-requests", "leastrequests", "lc"},
        {"power-of-two", "p2c"}};

    std::vector<const std::type_info*> types;
    for (const auto& names : strategies) {
        for (const std::string& name : names) {
            INFO(name);
            const auto strategy = harbor::make_strategy(name);
            REQUIRE(strategy != nullptr);
            const harbor::Strategy& made = *strategy;
            if (name == names.front()) {
                types.push_back(&typeid(made));
            }
            REQUIRE(typeid(made) == *types.back());
        }
    }
    REQUIRE(*types[0] != *types[1]);
    REQUIRE(*types[1] != *types[2]);
    REQUIRE(*types[2] != *types[0]);

    for (const std::string name :
         {"", " ", "r", "rrr", "RR", "round", "least-connection", "p2", "random", "rr "}) {
        INFO(name);
        REQUIRE(harbor::make_strategy(name) == nullptr);
    }
}

TEST_CASE("round-robin looks at no load") {
    INFO(lesson("three backends with very different loads were picked from 300 times",
                "the load plays a part, or two strategies share a turn", "chapter 04, The interface"));
    const Loaded backends{9, 0, 4};
    const auto one = harbor::make_strategy("round-robin");
    const auto another = harbor::make_strategy("round-robin");

    for (int i = 0; i < 100; ++i) {
        REQUIRE(backends.picks(*one, 1) == backends.picks(*another, 1));
    }
    REQUIRE(backends.picks(*one, 300) == std::vector<int>{100, 100, 100});
}

TEST_CASE("least-connections picks the least wherever it stands") {
    INFO(lesson(
        "one of four backends had fewer connections than the others; it stood at each place in turn",
        "the search stops at the first that has fewer than the one before, or leaves out an end of the list",
        "chapter 04, Least connections"));
    const auto strategy = harbor::make_strategy("least-connections");

    REQUIRE(Loaded{1, 2, 3, 4}.picks(*strategy, 20) == std::vector<int>{20, 0, 0, 0});
    REQUIRE(Loaded{3, 1, 2, 2}.picks(*strategy, 20) == std::vector<int>{0, 20, 0, 0});
    REQUIRE(Loaded{3, 2, 1, 9}.picks(*strategy, 20) == std::vector<int>{0, 0, 20, 0});
    REQUIRE(Loaded{7, 7, 7, 6}.picks(*strategy, 20) == std::vector<int>{0, 0, 0, 20});
}

TEST_CASE("least-connections follows the load as it changes") {
    INFO(lesson("the loads of two backends were changed between picks",
                "a load is remembered instead of read", "chapter 04, Least connections"));
    Loaded backends{0, 5};
    const auto strategy = harbor::make_strategy("least-connections");

    REQUIRE(backends.picks(*strategy, 3) == std::vector<int>{3, 0});
    backends[0].in_flight = 6;
    REQUIRE(backends.picks(*strategy, 3) == std::vector<int>{0, 3});
    backends[1].in_flight = 7;
    REQUIRE(backends.picks(*strategy, 3) == std::vector<int>{3, 0});
}

TEST_CASE("least-connections shares ties exactly") {
    INFO(
        lesson("several backends had the same, smallest load, and were picked from again and again",
               "of those with the fewest connections it is always the first that is taken, or lots are drawn",
               "chapter 04, Fair ties"));
    const auto strategy = harbor::make_strategy("least-connections");

    REQUIRE(Loaded{0, 0, 0}.picks(*strategy, 300) == std::vector<int>{100, 100, 100});
    REQUIRE(Loaded{3, 3, 3, 3, 3}.picks(*strategy, 500) == std::vector<int>{100, 100, 100, 100, 100});
    REQUIRE(Loaded{2, 9, 2}.picks(*strategy, 200) == std::vector<int>{100, 0, 100});
    REQUIRE(Loaded{9, 2, 2, 3, 2}.picks(*strategy, 300) == std::vector<int>{0, 100, 100, 0, 100});
}

TEST_CASE("power-of-two compares two different backends") {
    INFO(lesson(
        "three backends had loads of 0, 1 and 2, and were picked from 3,000 times",
        "the second draw can hit the first one again; or all three are compared, or the busier is taken",
        "chapter 04, Power of two choices"));
    const auto strategy = harbor::make_strategy("power-of-two");

    // Of the three pairs two contain the idlest. The busiest is the busier one of any pair, and could win
    // only if it were drawn twice. One standard deviation is 26.
    const std::vector<int> picks = Loaded{2, 0, 1}.picks(*strategy, 3000);
    REQUIRE(picks[0] == 0);
    REQUIRE(is_between("the picks of the idlest", picks[1], 1800, 2200));
    REQUIRE(is_between("the picks of the one between", picks[2], 800, 1200));
}

TEST_CASE("power-of-two with two backends always takes the lesser") {
    INFO(lesson("two backends had different loads, and were picked from 1,000 times",
                "the same backend is drawn twice, or the loads are not compared",
                "chapter 04, Power of two choices"));
    const auto strategy = harbor::make_strategy("power-of-two");

    REQUIRE(Loaded{4, 5}.picks(*strategy, 1000) == std::vector<int>{1000, 0});
    REQUIRE(Loaded{5, 4}.picks(*strategy, 1000) == std::vector<int>{0, 1000});
}

TEST_CASE("power-of-two draws every backend alike") {
    INFO(lesson("five backends had the same load, and were picked from 5,000 times",
                "an end of the list is never drawn, or ties go to the one that stands first",
                "chapter 04, Power of two choices"));
    const auto strategy = harbor::make_strategy("power-of-two");

    // One standard deviation is 28.
    for (const int picks : Loaded{3, 3, 3, 3, 3}.picks(*strategy, 5000)) {
        REQUIRE(is_between("the picks of one of five", picks, 800, 1200));
    }
}

TEST_CASE("a single backend is picked by every strategy") {
    INFO(lesson("there was only one backend, with some load", "power-of-two looks for a second one in vain",
                "chapter 04, Power of two choices"));

    for (const std::string name : {"round-robin", "least-connections", "power-of-two"}) {
        INFO(name);
        const auto strategy = harbor::make_strategy(name);
        REQUIRE(Loaded{3}.picks(*strategy, 10) == std::vector<int>{10});
    }
}
