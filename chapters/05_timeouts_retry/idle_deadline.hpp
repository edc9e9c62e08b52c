//! [ch05:idle_class]
// When a connection has been silent for too long.
#pragma once

#include "clock.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>

namespace harbor {

/// A deadline that slides: every touch() moves it `timeout` into the future. For the coroutines of one
/// connection.
class IdleDeadline {
public:
    /// A timeout of zero means never.
    IdleDeadline(const asio::any_io_executor& executor, std::chrono::milliseconds timeout);

    /// A byte has moved, in either direction.
    void touch() { last_active_ = Clock::now(); }

    /// Returns when the deadline has passed. The object must outlive the coroutine.
    asio::awaitable<void> passed();

private:
    const std::chrono::milliseconds timeout_;
    Clock::time_point last_active_;
    asio::steady_timer timer_;
};

} // namespace harbor
//! [ch05:idle_class]
