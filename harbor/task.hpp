// The coroutines of the data plane.
//
// asio::awaitable can do more than is needed here, and every wait in it goes through an operation object, an
// executor and the io_context's queue. A Task knows only two things: what to do, and who waits for it. To
// park costs the storing of one handle where the event will find it (Socket, Sleep, the worker's run queue);
// to be woken costs one call. The price is that a Task lives on one thread for ever and that whoever holds
// the handle must resume it exactly once.
//
// Tasks are lazy: calling the function makes the frame, co_await runs it. That is what makes it safe to hand
// the callee references to the caller's locals: the caller cannot go on, or go away, before the callee has
// ended.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace harbor {

namespace detail {

//! [harbor:task_promise]
struct TaskPromiseBase {
    std::coroutine_handle<> continuation = std::noop_coroutine(); // who waits for the end
    unsigned* countdown = nullptr; // set by Both: the continuation waits for so many ends
    std::exception_ptr exception;

    std::suspend_always initial_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept { exception = std::current_exception(); }

    struct AtEnd {
        bool await_ready() noexcept { return false; }
        // Symmetric transfer: the frame that ends jumps to the one that waits, so that a chain of tasks that
        // all end at once does not grow the stack.
        template<typename Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
            TaskPromiseBase& promise = ended.promise();
            if (promise.countdown != nullptr && --*promise.countdown > 0) {
                return std::noop_coroutine();
            }
            return promise.continuation;
        }
        void await_resume() noexcept {}
    };
    AtEnd final_suspend() noexcept { return {}; }
};
//! [harbor:task_promise]

template<typename T>
struct TaskPromise : TaskPromiseBase {
    std::optional<T> value;
    void return_value(T result) { value.emplace(std::move(result)); }
    T result() { return std::move(*value); }
};

template<>
struct TaskPromise<void> : TaskPromiseBase {
    void return_void() noexcept {}
    void result() noexcept {}
};

} // namespace detail

//! [harbor:task]
/// A coroutine that runs when it is awaited, once. An exception that leaves it arrives at the one who awaits.
template<typename T = void>
class [[nodiscard]] Task {
public:
    struct promise_type : detail::TaskPromise<T> {
        Task get_return_object() noexcept {
            return Task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
    };

    /// No task at all; not to be awaited.
    Task() = default;
    Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    Task& operator=(Task&& other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    /// Destroys the frame, also one that is parked: whatever it waits for forgets it.
    ~Task() {
        if (frame_) {
            frame_.destroy();
        }
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
        frame_.promise().continuation = waiter;
        return frame_;
    }
    T await_resume() {
        if (frame_.promise().exception) {
            std::rethrow_exception(frame_.promise().exception);
        }
        return frame_.promise().result();
    }

    /// Runs it up to its first wait without awaiting its end: for the few that have no caller, and live in an
    /// object.
    void start() { frame_.resume(); }

private:
    friend class Both;
    explicit Task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

    std::coroutine_handle<promise_type> frame_;
};
//! [harbor:task]

/// Runs two tasks side by side and ends when both have: `co_await Both(a(), b())`.
class [[nodiscard]] Both {
public:
    Both(Task<> first, Task<> second) noexcept : first_(std::move(first)), second_(std::move(second)) {}

    bool await_ready() const noexcept { return false; }
    //! [harbor:task_both]
    bool await_suspend(std::coroutine_handle<> waiter) noexcept {
        for (Task<>* task : {&first_, &second_}) {
            task->frame_.promise().continuation = waiter;
            task->frame_.promise().countdown = &left_;
            task->start();
        }
        // The third count is ours: had both ended by now, they must not resume a waiter that is still on its
        // way into this wait.
        return --left_ > 0;
    }
    //! [harbor:task_both]
    void await_resume() {
        first_.await_resume();
        second_.await_resume();
    }

private:
    Task<> first_;
    Task<> second_;
    unsigned left_ = 3;
};

/// A coroutine that starts at once, belongs to nobody, and frees itself at its end. It must not let an
/// exception out.
//! [harbor:task_detached]
struct Detached {
    struct promise_type {
        Detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };
};
//! [harbor:task_detached]

} // namespace harbor
