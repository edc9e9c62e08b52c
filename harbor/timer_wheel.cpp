// A hashed wheel (G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels", 1987): an array of
// lists, one for each tick. To set a timer is to put it into the list of its tick, to let time pass is to
// empty one list a tick; both take the same time whether there are ten timers or a hundred thousand. A heap,
// as Asio and libuv have it, takes the logarithm of their number for each change, and moves memory about.
//
// What makes it so cheap here is that connections hardly ever touch it. An idle deadline slides with every
// byte, but a connection only writes down when that was; its entry stays where it is, and when the entry
// comes up, the connection looks at the note and puts itself in again for the rest.
//
// A due time further away than the wheel is wide goes into the last slot, and is looked at once a turn.
#include "timer_wheel.hpp"

#include <algorithm>

namespace harbor {

void TimerWheel::Entry::unlink() {
    if (wheel_ == nullptr) {
        return;
    }
    *link_ = next_;
    if (next_ != nullptr) {
        next_->link_ = link_;
    }
    --wheel_->size_;
    wheel_ = nullptr;
}

std::uint64_t TimerWheel::tick_of(Clock::time_point due) const {
    if (due <= start_) {
        return 0;
    }
    return static_cast<std::uint64_t>((due - start_ + tick - Clock::duration(1)) / tick);
}

//! [harbor:wheel_link]
void TimerWheel::link(Entry& entry) {
    const std::uint64_t at = std::clamp(tick_of(entry.due_), current_ + 1, current_ + slots - 1);
    Entry*& slot = slots_[at % slots];
    entry.next_ = slot;
    entry.link_ = &slot;
    if (slot != nullptr) {
        slot->link_ = &entry.next_;
    }
    slot = &entry;
    entry.wheel_ = this;
    ++size_;
    next_ = std::min(next_, at);
}
//! [harbor:wheel_link]

void TimerWheel::insert(Entry& entry, Clock::time_point due) {
    entry.unlink();
    entry.due_ = due;
    link(entry);
}

//! [harbor:wheel_expire]
void TimerWheel::expire(Clock::time_point now) {
    const auto last = static_cast<std::uint64_t>(std::max(now - start_, Clock::duration::zero()) / tick);
    if (size_ == 0) {
        current_ = std::max(current_, last); // nothing to find on the way
        return;
    }
    if (last > slots) {
        current_ = std::max(current_, last - slots); // after a quiet day, to look at each slot once is enough
    }
    while (current_ < last) {
        ++current_;
        // Take the list out of the wheel first: whoever is called back may put itself, or others, in again,
        // and may destroy entries that are still to come.
        Entry* list = nullptr;
        std::swap(list, slots_[current_ % slots]);
        if (list != nullptr) {
            list->link_ = &list;
        }
        while (list != nullptr) {
            Entry& entry = *list;
            entry.unlink();
            if (tick_of(entry.due_) > current_) {
                link(entry); // it was further away than the wheel is wide
            } else {
                entry.expired(now);
            }
        }
    }
}
//! [harbor:wheel_expire]

std::optional<std::chrono::milliseconds> TimerWheel::until_next(Clock::time_point now) {
    if (size_ == 0) {
        return std::nullopt;
    }
    // Asked before every wait, so it must not look at the same empty slots each time.
    next_ = std::max(next_, current_ + 1);
    while (slots_[next_ % slots] == nullptr) { // ends: size_ > 0
        ++next_;
    }
    // Signed, because that time may have passed: multiplied by an unsigned number, a duration is unsigned.
    const auto wait = start_ + static_cast<std::int64_t>(next_) * tick - now;
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(wait), std::chrono::milliseconds::zero());
}

} // namespace harbor
