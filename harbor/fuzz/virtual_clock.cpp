#include "virtual_clock.hpp"

#include <atomic>
#include <cstdint>

#include <time.h>

namespace fuzz {

namespace {
std::atomic<std::int64_t> ahead{0}; // nanoseconds
}

void advance_clock(std::chrono::nanoseconds by) {
    ahead += by.count();
}

extern "C" {
int real_clock_gettime(clockid_t, timespec*) __asm__("__real_clock_gettime");
int wrapped_clock_gettime(clockid_t, timespec*) __asm__("__wrap_clock_gettime");
}

int wrapped_clock_gettime(clockid_t clock, timespec* time) {
    const int result = real_clock_gettime(clock, time);
    if (result == 0 && clock == CLOCK_MONOTONIC) {
        constexpr std::int64_t second = 1'000'000'000;
        const std::int64_t total = time->tv_nsec + ahead;
        time->tv_sec += total / second;
        time->tv_nsec = total % second;
    }
    return result;
}

} // namespace fuzz
