//! [ch03:pool_head]
// The pool is the only thing that the threads share, so it is the only place that has to think about threads.
//
// The backends never change after the start: any number of threads may read them without a lock. Only the
// turn changes, and one atomic counter keeps it. A mutex around an ordinary counter would be just as correct;
// but a thread that is interrupted while it holds the mutex makes all others wait, and an atomic increment
// cannot be interrupted halfway.
//
// Why a vector: picking needs the n-th backend, a step of one multiplication, and going through all of them
// touches memory in order. A list or a map would be better at adding and removing, which does not happen
// here.
#include "pool.hpp"

namespace harbor {

// Each backend is made in its place and never moves: sessions keep pointers to it.
Pool::Pool(const std::vector<Address>& addresses) : backends_(addresses.begin(), addresses.end()) {}
//! [ch03:pool_head]

//! [ch03:pick]
const Backend* Pool::pick() {
    // fetch_add gives every caller a number of its own, so no turn is lost and none is taken twice, however
    // many threads ask at once. Relaxed order is enough: the number itself is all we want, and it publishes
    // no other data.
    const std::uint64_t turn = picks_.fetch_add(1, std::memory_order_relaxed);
    return &backends_[turn % backends_.size()];
}

} // namespace harbor
//! [ch03:pick]
