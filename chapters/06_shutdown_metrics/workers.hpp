// The threads that serve connections, and their end.
#pragma once

#include "event.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <cstddef>
#include <thread>
#include <vector>

namespace harbor {

//! [ch06:worker_struct]
/// A fixed number of threads, each running an io_context of its own.
class Workers {
public:
    struct Worker {
        Worker() = default;
        Worker(const Worker&) = delete;
        Worker& operator=(const Worker&) = delete;
        ~Worker();

        asio::io_context context{1};
        // Keeps run() waiting for work while there is no connection yet.
        asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
        std::thread thread;
        Event cut{context.get_executor()}; // once set, every connection of this worker is reset
    };
    //! [ch06:worker_struct]

    //! [ch06:workers_class]
    /// Starts `count` threads, at least one. Throws std::system_error when the system has no more threads to
    /// give. They end, and the connections with them, when the object goes. All other functions are for the
    /// thread that runs `accepting`.
    Workers(std::size_t count, const asio::any_io_executor& accepting);

    /// Each worker in turn.
    Worker& next();

    /// From now on a thread ends when its last connection does.
    void drain();

    /// Returns when all threads have ended.
    asio::awaitable<void> drained() { return drained_.wait(); }

    /// Resets all connections that are left.
    void cut();

private:
    //! [ch06:workers_class]
    //! [ch06:workers_members]
    std::vector<Worker> workers_;
    std::size_t turns_ = 0;
    std::size_t running_ = 0;
    Event drained_;
};

} // namespace harbor
//! [ch06:workers_members]
