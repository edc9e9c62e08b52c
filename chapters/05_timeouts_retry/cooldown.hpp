//! [ch05:cooldown_state]
// Whether a backend may be dialled, after dials that failed.
#pragma once

#include "clock.hpp"

#include <atomic>
#include <chrono>

namespace harbor {

/// One backend's state: up, or cooling down until some time, or due for another try. Thread-safe.
///
/// The time is always handed in, never looked up: a test decides what time it is.
class Cooldown {
public:
    /// A dial has failed: the backend is left alone for `period`.
    void failed(Clock::time_point now, std::chrono::milliseconds period);

    /// A dial has succeeded: whatever was wrong is over.
    void succeeded();
    //! [ch05:cooldown_state]

    //! [ch05:cooldown_claim]
    /// Not to be picked yet.
    bool cooling(Clock::time_point now) const { return until() > now; }

    /// True for every caller when the backend is up. When it is due, true for one caller only, and the others
    /// have to wait for another `period`: one client tries out whether the backend is back, not all of them.
    bool claim(Clock::time_point now, std::chrono::milliseconds period);

    /// The end of the cooldown; the clock's epoch when the backend is up.
    Clock::time_point until() const { return until_.load(std::memory_order_relaxed); }

private:
    static constexpr Clock::time_point up{};

    std::atomic<Clock::time_point> until_{up};
};

} // namespace harbor
//! [ch05:cooldown_claim]
