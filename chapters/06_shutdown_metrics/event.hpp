//! [ch06:event]
// Something that happens once, and that coroutines can wait for.
#pragma once

#include "clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

namespace harbor {

/// Not set at first; once set, every wait returns at once. For one thread only.
///
/// Asio has no such thing, but a timer that is far away and then brought near behaves just so.
class Event {
public:
    explicit Event(const asio::any_io_executor& executor) : timer_(executor, Clock::time_point::max()) {}

    void set() { timer_.expires_at(Clock::time_point::min()); } // wakes everybody who waits

    asio::awaitable<void> wait() {
        asio::error_code
            ignored; // woken by set(), or cancelled because something else came first: it is over
        co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }

private:
    asio::steady_timer timer_;
};

} // namespace harbor
//! [ch06:event]
