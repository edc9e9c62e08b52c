//! [ch05:backoff]
// How long to wait before trying again what has just failed.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

namespace harbor {

/// 5 ms, then twice as long after every further failure, up to a second.
class Backoff {
public:
    /// The time to wait after one more failure.
    std::chrono::milliseconds next() { return std::exchange(delay_, std::min(delay_ * 2, highest)); }

    /// It worked: the next failure is a first one again.
    void reset() { delay_ = lowest; }

private:
    static constexpr std::chrono::milliseconds lowest{5};
    static constexpr std::chrono::milliseconds highest{1000};

    std::chrono::milliseconds delay_ = lowest;
};

} // namespace harbor
//! [ch05:backoff]
