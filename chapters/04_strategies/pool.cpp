//! [ch04:pool_essay]
// The pool is the only thing that the threads share, so it is the only place that has to think about threads.
//
// The set of backends never changes after the start: any number of threads may read it without a lock. What
// changes are the counts of connections, which are atomic, and whatever the strategy remembers.
//
// Why a vector: picking needs the n-th backend, a step of one multiplication, and going through all of them
// touches memory in order. A list or a map would be better at adding and removing, which does not happen
// here.
#include "pool.hpp"

#include <utility>

namespace harbor {
//! [ch04:pool_essay]

//! [ch04:pool_made]
// Each backend is made in its place and never moves: sessions keep pointers to it.
Pool::Pool(const std::vector<Address>& addresses, std::unique_ptr<Strategy> strategy)
    : backends_(addresses.begin(), addresses.end()), strategy_(std::move(strategy)) {
    for (Backend& backend : backends_) {
        candidates_.push_back(&backend);
    }
}
//! [ch04:pool_made]

//! [ch04:pick]
Lease Pool::pick() {
    return Lease(strategy_->pick(candidates_));
}

} // namespace harbor
//! [ch04:pick]
