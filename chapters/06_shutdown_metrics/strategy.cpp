// The three strategies, from the one that knows nothing to the one that looks at everything.
//
// Round-robin is exact and blind: with requests of very different length, the long ones pile up wherever they
// fall. Least-connections sees the load, but looks at every backend, and when several balancers do so at once
// they all send the next client to the same one. Power-of-two-choices looks at two and avoids both: with
// random arrivals the most loaded backend is then only log log n above the average, where a single random
// choice gives log n / log log n (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
// 2001).
#include "strategy.hpp"

#include <atomic>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace harbor {

namespace {

class RoundRobin : public Strategy {
public:
    Backend& pick(std::span<Backend* const> candidates) override {
        // fetch_add gives every caller a number of its own, so no turn is lost and none is taken twice,
        // however many threads ask at once. Relaxed order is enough: the number itself is all we want, and it
        // publishes no other data.
        const std::uint64_t turn = turns_.fetch_add(1, std::memory_order_relaxed);
        return *candidates[turn % candidates.size()];
    }

private:
    std::atomic<std::uint64_t> turns_{0};
};

class LeastConnections : public Strategy {
public:
    Backend& pick(std::span<Backend* const> candidates) override {
        std::vector<Backend*> least;
        unsigned fewest = std::numeric_limits<unsigned>::max();
        for (Backend* candidate : candidates) {
            const unsigned in_flight = candidate->in_flight.load(std::memory_order_relaxed);
            if (in_flight < fewest) {
                fewest = in_flight;
                least.clear();
            }
            if (in_flight == fewest) {
                least.push_back(candidate);
            }
        }
        // Ties are the normal case when traffic is light. If they went to the first, it would do all the
        // work.
        const std::uint64_t turn = turns_.fetch_add(1, std::memory_order_relaxed);
        return *least[turn % least.size()];
    }

private:
    std::atomic<std::uint64_t> turns_{0};
};

class PowerOfTwo : public Strategy {
public:
    Backend& pick(std::span<Backend* const> candidates) override {
        if (candidates.size() == 1) {
            return *candidates.front();
        }
        // A generator for each thread: a shared one would need a lock, and would be the only one in the whole
        // path.
        thread_local std::minstd_rand random{std::random_device{}()};
        // Two different ones: the second is drawn from those that are left, and steps over the first.
        const std::size_t first =
            std::uniform_int_distribution<std::size_t>(0, candidates.size() - 1)(random);
        std::size_t second = std::uniform_int_distribution<std::size_t>(0, candidates.size() - 2)(random);
        second += second >= first ? 1 : 0;

        const unsigned first_load = candidates[first]->in_flight.load(std::memory_order_relaxed);
        const unsigned second_load = candidates[second]->in_flight.load(std::memory_order_relaxed);
        return *candidates[second_load < first_load ? second : first];
    }
};

} // namespace

std::unique_ptr<Strategy> make_strategy(std::string_view name) {
    if (name == "round-robin" || name == "rr" || name == "roundrobin") {
        return std::make_unique<RoundRobin>();
    }
    if (name == "least-connections" || name == "least" || name == "leastconn" || name == "least-requests" ||
        name == "leastrequests" || name == "lc") {
        return std::make_unique<LeastConnections>();
    }
    if (name == "power-of-two" || name == "p2c") {
        return std::make_unique<PowerOfTwo>();
    }
    return nullptr;
}

} // namespace harbor
