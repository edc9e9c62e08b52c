//! [ch05:cooldown_ends]
// Passive health checking: nobody asks the backends how they are, the clients' own dials tell.
//
// All of the state is one point in time, so it changes as a whole and needs no lock. Counting failures before
// the cooldown begins (nginx: max_fails) forgives single mishaps, but sends more clients to a backend that is
// down; a dial that fails costs a retry, and a cooldown that is not deserved costs only a few seconds of one
// backend.
#include "cooldown.hpp"

namespace harbor {

void Cooldown::failed(Clock::time_point now, std::chrono::milliseconds period) {
    until_.store(now + period, std::memory_order_relaxed);
}

void Cooldown::succeeded() {
    until_.store(up, std::memory_order_relaxed);
}
//! [ch05:cooldown_ends]

//! [ch05:claim]
bool Cooldown::claim(Clock::time_point now, std::chrono::milliseconds period) {
    Clock::time_point seen = until();
    if (seen == up) {
        return true;
    }
    // Whoever moves the time on has the try. If it is never finished (its client left), the backend is due
    // again later.
    return seen <= now && until_.compare_exchange_strong(seen, now + period, std::memory_order_relaxed);
}

} // namespace harbor
//! [ch05:claim]
