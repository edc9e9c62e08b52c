// Asio runs what is rare: signals, the grace period, monitoring. The clients' bytes are the workers'
// business.
#include "server.hpp"

#include "admin.hpp"
#include "balancer.hpp"
#include "event.hpp"
#include "log.hpp"
#include "notify.hpp"
#include "signals_blocked.hpp"
#include "socket_options.hpp"
#include "worker.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <memory>
#include <sstream>
#include <system_error>
#include <thread>
#include <vector>

namespace harbor {

using asio::experimental::awaitable_operators::operator||;
using asio::ip::tcp;

namespace {

[[noreturn]] void cannot_listen(const tcp::endpoint& endpoint, int error) {
    std::ostringstream text;
    text << "cannot listen on " << endpoint;
    throw std::system_error(error, std::system_category(), text.str());
}

/// A bound socket, not listening yet. With `shared`, others of this user's may bind the same port.
Descriptor bind_to(const tcp::endpoint& endpoint, bool shared) {
    Descriptor socket(
        ::socket(endpoint.data()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!socket) {
        cannot_listen(endpoint, errno);
    }
    const int on = 1;
    // Without this a restarted server could not bind its port while connections of its predecessor sit in
    // TIME_WAIT (man 7 socket, SO_REUSEADDR).
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) {
        cannot_listen(endpoint, errno);
    }
    if (::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) < 0) {
        cannot_listen(endpoint, errno);
    }
    return socket;
}

tcp::endpoint local_endpoint(const Descriptor& socket) {
    tcp::endpoint endpoint;
    auto length = static_cast<socklen_t>(endpoint.capacity());
    ::getsockname(socket.get(), endpoint.data(), &length);
    endpoint.resize(length);
    return endpoint;
}

//! [harbor:listeners]
/// One listener for each worker, all on the same port.
std::vector<Descriptor> open_listeners(tcp::endpoint endpoint, const Config& config) {
    const bool shared = config.threads > 1;
    if (shared && endpoint.port() != 0) {
        // Sharing a port would let a second balancer start beside this one and take half of its clients,
        // without a word. So ask first for the port alone.
        bind_to(endpoint, false);
    }
    std::vector<Descriptor> listeners;
    for (unsigned i = 0; i < config.threads; ++i) {
        Descriptor listener = bind_to(endpoint, shared);
        // Sockets inherit these from the listener that accepts them: three calls less for every client.
        set_socket_options(listener.get(), config);
        if (::listen(listener.get(), SOMAXCONN) < 0) {
            cannot_listen(endpoint, errno);
        }
        endpoint = local_endpoint(listener); // the port, if any would do
        listeners.push_back(std::move(listener));
    }
    return listeners;
}
//! [harbor:listeners]

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

    /// Starts the threads. `ended` is set, on the thread that runs `control`, when the last worker has
    /// nothing left to do. Not part of the constructor: when the system refuses the third thread, the
    /// destructor has to stop the two that run.
    void start(asio::io_context& control, Event& ended) {
        const SignalsBlocked blocked;
        for (const auto& worker : workers_) {
            threads_.emplace_back([this, &worker = *worker, &control, &ended] {
                worker.run();
                asio::post(control, [this, &ended] {
                    if (--running_ == 0) {
                        ended.set();
                    }
                });
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
    std::size_t running_;
    std::vector<std::thread> threads_;
};

asio::awaitable<void> supervise(Balancer& balancer, Crew& crew, Event& ended, asio::signal_set& signals) {
    co_await signals.async_wait(asio::use_awaitable);

    balancer.draining = true; // whoever asks /readyz knows before the port is closed
    notify("STOPPING=1");
    const auto grace = balancer.config.shutdown_grace;
    log_info("draining: connections open: " + std::to_string(balancer.inflight.taken()) +
             ", milliseconds to finish: " + std::to_string(grace.count()));
    crew.drain();

    asio::steady_timer timer(co_await asio::this_coro::executor, grace);
    co_await (ended.wait() || timer.async_wait(asio::use_awaitable) ||
              signals.async_wait(asio::use_awaitable));

    const unsigned left = balancer.inflight.taken();
    if (left > 0) {
        log_warning("cut: connections that had not finished: " + std::to_string(left));
        crew.cut();
        co_await ended.wait();
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
    asio::signal_set signals(context, SIGINT, SIGTERM);
    const tcp::endpoint listen_endpoint = resolve(config.listen).front();
    const tcp::endpoint metrics_endpoint = resolve(config.metrics_listen).front();
    auto admin = listen_for_admin(context.get_executor(), metrics_endpoint);
    auto listeners = open_listeners(listen_endpoint, config);
    const tcp::endpoint endpoint = local_endpoint(listeners.front());
    Event ended(context.get_executor());
    Crew crew(balancer, std::move(listeners));
    crew.start(context, ended);
    std::cerr << "metrics on " << admin.local_endpoint() << '\n';
    std::cerr << "listening on " << endpoint << '\n';
    notify("READY=1");

    asio::co_spawn(context, answer_admin_requests(std::move(admin), balancer), asio::detached);
    asio::co_spawn(context, supervise(balancer, crew, ended, signals),
                   [&context](const std::exception_ptr& failure) {
                       context.stop();
                       if (failure) {
                           std::rethrow_exception(failure); // out of run(), below
                       }
                   });
    context.run(); // returns when the last connection is gone: monitoring is answered until then

    // A signal that comes now finds nobody to obey it, and must not turn an orderly end into a death by
    // signal.
    sigset_t late;
    ::sigemptyset(&late);
    ::sigaddset(&late, SIGINT);
    ::sigaddset(&late, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &late, nullptr);
}

} // namespace harbor
