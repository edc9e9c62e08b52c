// The steady clock, with a hand on it: the linker puts this in the place of clock_gettime (ld --wrap, which
// is why the fuzz targets link the C++ library statically).
#pragma once

#include <chrono>

namespace fuzz {

/// Moves the steady clock of this process on.
void advance_clock(std::chrono::nanoseconds by);

} // namespace fuzz
