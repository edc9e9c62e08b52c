//! [ch03:workers_class]
// The threads that serve connections.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <cstddef>
#include <thread>
#include <vector>

namespace harbor {

/// A fixed number of threads, each running an io_context of its own.
class Workers {
public:
    /// Starts `count` threads, at least one. Throws std::system_error when the system has no more threads to
    /// give. They end, and the connections with them, when the object goes.
    explicit Workers(std::size_t count);

    /// The executor of each worker in turn. For the accepting thread only.
    asio::any_io_executor next();
    //! [ch03:workers_class]

    //! [ch03:worker_struct]
private:
    struct Worker {
        Worker() = default;
        Worker(const Worker&) = delete;
        Worker& operator=(const Worker&) = delete;
        ~Worker();

        asio::io_context context{1};
        // Keeps run() waiting for work while there is no connection yet.
        asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
        std::thread thread;
    };

    std::vector<Worker> workers_;
    std::size_t turns_ = 0;
};

} // namespace harbor
//! [ch03:worker_struct]
