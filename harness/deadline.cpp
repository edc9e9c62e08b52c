// Polling with a growing pause: a condition that is true at once costs nothing, one that takes long costs
// little. Waking on the event itself would need every condition to have a channel to wake through; most look
// at another process.
#include "deadline.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>

namespace harness {
namespace {

double patience_factor() {
    // Read once: getenv is not safe beside a setenv in another thread.
    static const double factor = [] {
        const char* text = std::getenv("HARBOR_PATIENCE");
        const double value = text != nullptr ? std::strtod(text, nullptr) : 1.0;
        return value > 0 ? value : 1.0;
    }();
    return factor;
}

template<typename Ask>
bool poll_until(const Ask& ask, Millis limit) {
    const Deadline deadline(limit);
    Millis pause{1};
    for (;;) {
        // Whether the time is over is decided before the question, so that the last answer is one from after
        // it.
        const bool last_time = deadline.passed();
        if (ask())
            return true;
        if (last_time)
            return false;
        std::this_thread::sleep_for(std::min(pause, deadline.left() + Millis{1}));
        pause = std::min(pause * 2, Millis{20});
    }
}

} // namespace

Millis patience() {
    return Millis{static_cast<Millis::rep>(10000.0 * patience_factor())};
}

Millis Deadline::left() const {
    return std::max(Millis{0}, std::chrono::duration_cast<Millis>(at_ - Clock::now()));
}

int Deadline::for_poll() const {
    if (passed())
        return 0;
    return static_cast<int>(std::min<Millis::rep>(left().count() + 1, 3'600'000));
}

Verdict eventually(const std::function<bool()>& condition, std::string_view what, Millis limit) {
    const Stopwatch watch;
    if (poll_until(condition, limit))
        return Verdict::yes(std::string(what) + ", after " + std::to_string(watch.elapsed().count()) + " ms");
    return Verdict::no("waited " + std::to_string(limit.count()) + " ms for " + std::string(what) +
                       ", in vain");
}

Verdict eventually(const std::function<Verdict()>& condition, std::string_view what, Millis limit) {
    Verdict last;
    const auto ask = [&] {
        last = condition();
        return last.ok;
    };
    if (poll_until(ask, limit))
        return last;
    return Verdict::no("waited " + std::to_string(limit.count()) + " ms for " + std::string(what) +
                       ", in vain; at the end: " + last.explanation);
}

Verdict throughout(Millis period, const std::function<bool()>& condition, std::string_view what) {
    const Stopwatch watch;
    if (poll_until([&] { return !condition(); }, period))
        return Verdict::no(std::string(what) + ": no longer so after " +
                           std::to_string(watch.elapsed().count()) + " ms");
    return Verdict::yes(std::string(what) + ", for " + std::to_string(period.count()) + " ms");
}

} // namespace harness
