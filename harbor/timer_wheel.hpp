// Timers by the ten thousand.
#pragma once

#include "clock.hpp"

#include <array>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <optional>

namespace harbor {

/// Calls entries back when their time has come, up to one tick later and never earlier. For one thread only.
///
/// Time is handed in, never looked up: a test decides what time it is.
class TimerWheel {
public:
    static constexpr std::chrono::milliseconds tick{10};
    static constexpr std::uint64_t slots = 1024; // so the wheel turns once in about ten seconds

    //! [harbor:wheel_entry]
    /// Something with a time. It may be in one wheel at a time, and leaves it when it is destroyed.
    class Entry {
    public:
        Entry() = default;
        virtual ~Entry() { unlink(); }
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;

        /// Its time has come; it is no longer in the wheel, and may be put in again.
        virtual void expired(Clock::time_point now) = 0;

    private:
        friend TimerWheel;
        void unlink();

        TimerWheel* wheel_ = nullptr; // null while in none
        Entry** link_ = nullptr; // what points here: the slot, or the entry before
        Entry* next_ = nullptr;
        Clock::time_point due_{};
    };
    //! [harbor:wheel_entry]

    class Sleep;

    explicit TimerWheel(Clock::time_point start) : start_(start) {}

    /// Puts the entry in, or moves it.
    void insert(Entry& entry, Clock::time_point due);
    void remove(Entry& entry) { entry.unlink(); }

    /// Calls back everything that is due at `now`.
    void expire(Clock::time_point now);

    /// How long from `now` until expire() may have something to do; nothing when the wheel is empty. Rounded
    /// up to whole milliseconds, as epoll_wait takes them.
    std::optional<std::chrono::milliseconds> until_next(Clock::time_point now);

    std::size_t size() const { return size_; }

private:
    std::uint64_t tick_of(Clock::time_point due) const; // the first tick that is not before it
    void link(Entry& entry);

    Clock::time_point start_;
    std::uint64_t current_ = 0; // all ticks up to this one have been dealt with
    std::array<Entry*, slots> slots_{};
    std::size_t size_ = 0;
    std::uint64_t next_ = 0; // no slot between current_ and this tick has an entry
};

/// To be awaited: resumes the coroutine at that time, or a little later.
class TimerWheel::Sleep : Entry {
public:
    Sleep(TimerWheel& wheel, Clock::time_point until) : wheel_(wheel), until_(until) {}

    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
        waiter_ = waiter;
        wheel_.insert(*this, until_);
    }
    void await_resume() const {}

private:
    void expired(Clock::time_point) override { waiter_.resume(); }

    TimerWheel& wheel_;
    Clock::time_point until_;
    std::coroutine_handle<> waiter_;
};

} // namespace harbor
