// Asio runs what is rare: signals and the grace period. The clients' bytes are the workers' business, and
// monitoring has a thread of its own.
#include "server.hpp"

#include "admin.hpp"
#include "balancer.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "notify.hpp"
#include "worker.hpp"

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <sys/signalfd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace harbor {

using asio::experimental::awaitable_operators::operator||;
using asio::ip::tcp;

namespace {

/// The workers and their threads.
class Crew {
public:
    Crew(Balancer& balancer, std::vector<Descriptor> listeners) : running_(listeners.size()) {
        for (std::size_t i = 0; i < listeners.size(); ++i) {
            workers_.push_back(
                std::make_unique<Worker>(balancer, balancer.metrics[i], std::move(listeners[i])));
        }
    }
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;
    ~Crew() {
        drain();
        cut();
        for (std::thread& thread : threads_) {
            thread.join();
        }
    }

    /// Starts the threads. The last worker that has nothing left to do stops `control`: nobody has anything
    /// to wait for then. Not part of the constructor: when the system refuses the third thread, the
    /// destructor has to stop the two that run.
    void start(asio::io_context& control) {
        for (const auto& worker : workers_) {
            threads_.emplace_back([this, &worker = *worker, &control] {
                worker.run();
                if (--running_ == 0) {
                    control.stop();
                }
            });
        }
    }
    void drain() {
        for (const auto& worker : workers_) {
            worker->drain();
        }
    }
    void cut() {
        for (const auto& worker : workers_) {
            worker->cut();
        }
    }

private:
    std::vector<std::unique_ptr<Worker>> workers_;
    std::atomic<std::size_t> running_;
    std::vector<std::thread> threads_;
};

/// The endpoint for monitoring and its thread.
class Monitoring {
public:
    Monitoring(const Balancer& balancer, Descriptor listener) : admin_(balancer, std::move(listener)) {
        thread_ = std::thread(&Admin::run, &admin_);
    }
    Monitoring(const Monitoring&) = delete;
    Monitoring& operator=(const Monitoring&) = delete;
    ~Monitoring() {
        admin_.stop();
        thread_.join();
    }

private:
    Admin admin_;
    std::thread thread_;
};

/// SIGTERM and SIGINT, to be waited for.
///
/// They are read from a descriptor (man 2 signalfd), and no handler ever runs: a handler can be called so
/// fast, by somebody who sends without pause, that the thread it interrupts comes to nothing else. They stay
/// blocked to the end of the process, so that one that comes at the very end does not turn an orderly end
/// into a death by signal.
class Signals {
public:
    /// For all threads that are started from now on.
    explicit Signals(asio::io_context& context) : descriptor_(context, open()) {}

    asio::awaitable<void> next() {
        co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
        signalfd_siginfo which{};
        asio::error_code none_after_all;
        descriptor_.read_some(asio::buffer(&which, sizeof which), none_after_all);
    }

private:
    static int open() {
        sigset_t both;
        ::sigemptyset(&both);
        ::sigaddset(&both, SIGINT);
        ::sigaddset(&both, SIGTERM);
        ::pthread_sigmask(SIG_BLOCK, &both, nullptr);
        const int descriptor = ::signalfd(-1, &both, SFD_NONBLOCK | SFD_CLOEXEC);
        if (descriptor < 0) {
            throw std::system_error(errno, std::system_category(), "signalfd");
        }
        return descriptor;
    }

    asio::posix::stream_descriptor descriptor_;
};

asio::awaitable<void> supervise(Balancer& balancer, Crew& crew, Signals& signals) {
    co_await signals.next();

    balancer.draining = true; // whoever asks /readyz knows before the port is closed
    notify("STOPPING=1");
    const auto grace = balancer.config.shutdown_grace;
    log_info("draining: connections open: " + std::to_string(balancer.inflight.taken()) +
             ", milliseconds to finish: " + std::to_string(grace.count()));
    crew.drain();

    asio::steady_timer timer(co_await asio::this_coro::executor, grace);
    co_await (timer.async_wait(asio::use_awaitable) || signals.next());

    const unsigned left = balancer.inflight.taken();
    if (left > 0) {
        log_warning("cut: connections that had not finished: " + std::to_string(left));
        crew.cut();
    }
}

} // namespace

void run(const Config& config) {
    std::signal(SIGPIPE, SIG_IGN); // splice(2) cannot be told not to raise it
    if (config.dev_seed) {
        log_warning("BACKENDS is not set, and LB_ALLOW_DEV_SEED=1: using the development backends");
    }
    Balancer balancer(config);

    asio::io_context context(1);
    // From here on a signal is an event like any other. Before the ports are open, so that none comes too
    // early.
    Signals signals(context);
    const tcp::endpoint listen_endpoint = resolve(config.listen).front();
    const tcp::endpoint metrics_endpoint = resolve(config.metrics_listen).front();
    Descriptor metrics_listener = listen_on(metrics_endpoint);
    auto listeners = listen_for_workers(listen_endpoint, config);
    const tcp::endpoint metrics_at = local_endpoint(metrics_listener);
    const tcp::endpoint clients_at = local_endpoint(listeners.front());
    // In this order: monitoring is answered until the last connection is gone.
    Monitoring monitoring(balancer, std::move(metrics_listener));
    Crew crew(balancer, std::move(listeners));
    crew.start(context);
    std::cerr << "metrics on " << metrics_at << '\n';
    std::cerr << "listening on " << clients_at << '\n';
    notify("READY=1");

    asio::co_spawn(context, supervise(balancer, crew, signals), [](const std::exception_ptr& failure) {
        if (failure) {
            std::rethrow_exception(failure); // out of run(), below
        }
    });
    context.run(); // returns when all connections have ended, or are being cut
}

} // namespace harbor
