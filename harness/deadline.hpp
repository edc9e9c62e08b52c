/// Deadlines: how long the harness waits, and for what.
///
/// No test sleeps for a fixed time: a sleep is too short on a busy machine and too long on every other. Tests
/// wait for a condition, with a deadline so generous that only a condition that never comes runs into it.
///
/// Everything here may be used from any thread.
#pragma once

#include "verdict.hpp"

#include <chrono>
#include <functional>
#include <string_view>

namespace harness {

using Millis = std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// How long to wait for something that ought to happen at once: 10 s, times HARBOR_PATIENCE if that is set (a
/// number such as `5`, for valgrind or a very slow machine).
Millis patience();

/// Longer than any test runs: for the backends of the harness, which wait until they are told to stop.
constexpr Millis forever = std::chrono::hours(24);

/// A point in time to be done by.
class Deadline {
public:
    explicit Deadline(Millis from_now = patience()) : at_(Clock::now() + from_now) {}
    bool passed() const { return Clock::now() >= at_; }
    /// Never negative; 0 when passed.
    Millis left() const;
    /// The same as poll(2) wants it, rounded up so that poll does not spin through the last millisecond.
    int for_poll() const;

private:
    Clock::time_point at_;
};

/// Measures how long something took.
class Stopwatch {
public:
    Millis elapsed() const { return std::chrono::duration_cast<Millis>(Clock::now() - started_); }
    void restart() { started_ = Clock::now(); }

private:
    Clock::time_point started_ = Clock::now();
};

/// Waits until `condition` holds; `what` completes the sentence "waited 10000 ms for …".
///
///     REQUIRE(eventually([&] { return harbor.process().open_descriptors() == before; }, "every descriptor to
///     be closed"));
Verdict eventually(const std::function<bool()>& condition, std::string_view what, Millis limit = patience());
/// The same with a condition that explains itself: the last explanation is part of the verdict.
Verdict eventually(const std::function<Verdict()>& condition, std::string_view what,
                   Millis limit = patience());

/// Watches for `period` that `condition` goes on holding. Only for showing that something does NOT happen,
/// where a lower bound in time is the subject; it costs the whole period when all is well.
Verdict throughout(Millis period, const std::function<bool()>& condition, std::string_view what);

} // namespace harness
