// A strategy of one's own: written in this file, used by the pool as it is.
//
// That is the promise of the interface: whoever has an idea for a better choice derives a class, and changes
// nothing that others have written and tested. So these strategies live here and nowhere else.
#include "pool.hpp"
#include "strategy.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

using harness::lesson;

namespace {

std::vector<harbor::Address> three_addresses() {
    return {{"127.0.0.1", "9003"}, {"127.0.0.1", "9001"}, {"127.0.0.1", "9002"}};
}

/// Fills one backend after the other: the first that has fewer than two connections, the last if none has.
class FillUp : public harbor::Strategy {
public:
    harbor::Backend& pick(std::span<harbor::Backend* const> candidates) override {
        for (harbor::Backend* candidate : candidates) {
            if (candidate->in_flight.load() < 2) {
                return *candidate;
            }
        }
        return *candidates.back();
    }
};

/// Takes the first, and writes down who there was to choose from.
class Witness : public harbor::Strategy {
public:
    explicit Witness(std::vector<std::string>& seen) : seen_(seen) {}

    harbor::Backend& pick(std::span<harbor::Backend* const> candidates) override {
        for (const harbor::Backend* candidate : candidates) {
            seen_.push_back(candidate->name);
        }
        return *candidates.front();
    }

private:
    std::vector<std::string>& seen_;
};

} // namespace

TEST_CASE("a strategy of the reader decides without any change to the pool") {
    INFO(lesson(
        "a strategy defined in the test, which fills up one backend after the other, was given to a pool",
        "the pool knows its strategies by name, or does not tell them how busy the backends are",
        "chapter 04, The interface"));
    harbor::Pool pool(three_addresses(), std::make_unique<FillUp>());

    std::vector<harbor::Lease> leases;
    std::vector<std::string> picked;
    for (int i = 0; i < 7; ++i) {
        leases.push_back(pool.pick());
        picked.push_back(leases.back()->name);
    }
    REQUIRE(picked == std::vector<std::string>{"127.0.0.1:9003", "127.0.0.1:9003", "127.0.0.1:9001",
                                               "127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9002",
                                               "127.0.0.1:9002"});

    // With all of them given back the first has room again.
    leases.clear();
    REQUIRE(pool.pick()->name == "127.0.0.1:9003");
}

TEST_CASE("a strategy is shown every backend in the order of the list") {
    INFO(lesson("a strategy defined in the test wrote down what it was given to choose from",
                "backends are missing, or come in another order than they were configured in",
                "chapter 04, The interface"));
    std::vector<std::string> seen;
    harbor::Pool pool(three_addresses(), std::make_unique<Witness>(seen));

    const harbor::Lease lease = pool.pick();

    REQUIRE(seen == std::vector<std::string>{"127.0.0.1:9003", "127.0.0.1:9001", "127.0.0.1:9002"});
    REQUIRE(lease->name == "127.0.0.1:9003");
}

TEST_CASE("a pool that is given no strategy goes round") {
    INFO(lesson("a pool was made from its addresses alone", "the default is another strategy, or none",
                "chapter 04, The interface"));
    harbor::Pool pool(three_addresses());

    const harbor::Lease busy = pool.pick();
    std::vector<std::string> picked;
    for (int i = 0; i < 3; ++i) {
        picked.push_back(pool.pick()->name);
    }

    REQUIRE(busy->in_flight == 1);
    REQUIRE(picked == std::vector<std::string>{"127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"});
}
