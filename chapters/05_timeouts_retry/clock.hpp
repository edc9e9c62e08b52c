//! [ch05:clock]
// The clock of every timeout and deadline.
#pragma once

#include <chrono>

namespace harbor {

/// Steady, so that setting the system's time neither cuts connections off nor keeps them for ever.
using Clock = std::chrono::steady_clock;

} // namespace harbor
//! [ch05:clock]
