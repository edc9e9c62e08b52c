// One thread and everything that belongs to it.
#pragma once

#include "backoff.hpp"
#include "balancer.hpp"
#include "buffer_pool.hpp"
#include "clock.hpp"
#include "connection.hpp"
#include "descriptor.hpp"
#include "pipe_pool.hpp"
#include "ready_set.hpp"
#include "task.hpp"
#include "timer_wheel.hpp"

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <vector>

namespace harbor {

/// Accepts clients from a listener of its own and serves them, all on the thread that calls run().
class Worker {
public:
    /// Takes the listener, which must be non-blocking. `metrics` is the worker's own; the balancer is shared.
    /// Throws std::system_error when the kernel has no descriptors left.
    Worker(Balancer& balancer, WorkerMetrics& metrics, Descriptor listener);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    ~Worker();

    /// Serves until it has been told to drain and the last connection has ended.
    void run();

    // For any thread; both return at once.

    /// Accepts who is waiting already, and then nobody any more.
    void drain();
    /// Resets all connections, and those that come from now on.
    void cut();

    // For the worker's own thread.

    /// The time when the present round of events began; cheaper than asking the clock, and never later than
    /// now.
    Clock::time_point now() const { return now_; }
    bool cutting() const { return cutting_; }

    Balancer& balancer() { return balancer_; }
    WorkerMetrics& metrics() { return metrics_; }
    ReadySet& ready() { return ready_; }
    TimerWheel& wheel() { return wheel_; }
    BufferPool& buffers() { return buffers_; }
    PipePool& pipes() { return pipes_; }

    /// Resumes the coroutine after the events of the present round. Never fails: whoever could not be noted
    /// down would be lost, so there is always room (make_room_to_schedule).
    void schedule(std::coroutine_handle<> parked) { scheduled_.push_back(parked); }

    /// Lets everybody else have a turn.
    auto yield() {
        struct Turn {
            Worker& worker;
            bool await_ready() const { return false; }
            void await_suspend(std::coroutine_handle<> waiter) const { worker.schedule(waiter); }
            void await_resume() const {}
        };
        return Turn{*this};
    }

    /// Waits for so long, or a little longer.
    auto sleep(std::chrono::milliseconds period) { return TimerWheel::Sleep(wheel_, now_ + period); }

    void enter(Connection& connection);
    void leave(Connection& connection);
    /// Counts, and logs if asked to, how a connection went. Once, at its end.
    void account_for(const Connection& connection);

private:
    Task<> accept_clients();
    Task<> obey();
    enum class Accepted { somebody, nobody, failed };
    Accepted accept_one();
    void run_scheduled();
    void make_room_to_schedule();

    Balancer& balancer_;
    WorkerMetrics& metrics_;
    Clock::time_point now_;
    ReadySet ready_;
    TimerWheel wheel_;
    BufferPool buffers_;
    PipePool pipes_;
    std::vector<std::coroutine_handle<>> scheduled_;
    Connection* connections_ = nullptr;
    std::size_t connection_count_ = 0;
    bool draining_ = false;
    bool cutting_ = false;

    std::atomic<bool> drain_wanted_{false};
    std::atomic<bool> cut_wanted_{false};
    Socket bell_; // an eventfd: how other threads wake this one
    Socket listener_;
    Task<> acceptor_;
    Task<> obedience_;
};

} // namespace harbor
