// The pool is the only thing that the threads share, so it is the only place that has to think about threads.
//
// The set of backends never changes after the start: any number of threads may read it without a lock. What
// changes are the counts of connections and the cooldowns, which are atomic, and whatever the strategy
// remembers.
//
// Why a vector: picking needs the n-th backend, a step of one multiplication, and going through all of them
// touches memory in order. A list or a map would be better at adding and removing, which does not happen
// here.
#include "pool.hpp"

#include <algorithm>
#include <utility>

namespace harbor {

// Each backend is made in its place and never moves: sessions keep pointers to it.
Pool::Pool(const std::vector<Address>& addresses, std::unique_ptr<Strategy> strategy,
           std::chrono::milliseconds cooldown)
    : backends_(addresses.begin(), addresses.end()), strategy_(std::move(strategy)), cooldown_(cooldown) {}

Lease Pool::pick(std::span<const Backend* const> tried, Clock::time_point now) {
    for (;;) {
        std::vector<Backend*> candidates;
        Backend* due_soonest = nullptr;
        for (Backend& backend : backends_) {
            if (std::find(tried.begin(), tried.end(), &backend) != tried.end()) {
                continue;
            }
            if (!backend.cooldown.cooling(now)) {
                candidates.push_back(&backend);
            }
            if (due_soonest == nullptr || backend.cooldown.until() < due_soonest->cooldown.until()) {
                due_soonest = &backend;
            }
        }
        if (due_soonest == nullptr) {
            return {};
        }
        if (candidates.empty()) {
            // To refuse the client would be certain failure; a backend that failed a moment ago may be back.
            return Lease(*due_soonest);
        }
        Backend& chosen = strategy_->pick(candidates);
        if (chosen.cooldown.claim(now, cooldown_)) {
            return Lease(chosen);
        }
        // Another thread has just taken the one try of a backend that is due: it cools down again, so look
        // anew.
    }
}

void Pool::dial_succeeded(Backend& backend) {
    backend.cooldown.succeeded();
}

void Pool::dial_failed(Backend& backend, Clock::time_point now) {
    backend.cooldown.failed(now, cooldown_);
}

} // namespace harbor
