// The listener.
//
// It does nothing but accept: a client is handed to a coroutine of its own before the next is looked at, so
// that no client can keep others waiting.
#include "server.hpp"

#include "backoff.hpp"
#include "session.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <iostream>
#include <sstream>
#include <system_error>

namespace harbor {

//! [ch06:server_race]
using asio::experimental::awaitable_operators::operator||;
//! [ch06:server_race]
using asio::ip::tcp;

tcp::acceptor listen_on(const asio::any_io_executor& executor, const tcp::endpoint& endpoint) {
    try {
        tcp::acceptor acceptor(executor, endpoint.protocol());
        // Without this a restarted server could not bind its port while connections of its predecessor sit in
        // TIME_WAIT, for a minute on Linux (man 7 socket, SO_REUSEADDR).
        acceptor.set_option(tcp::acceptor::reuse_address(true));
        acceptor.bind(endpoint);
        acceptor.listen();
        return acceptor;
    } catch (const std::system_error& failure) {
        std::ostringstream text;
        text << "cannot listen on " << endpoint;
        throw std::system_error(failure.code(), text.str());
    }
}

asio::awaitable<void> accept_clients(tcp::acceptor acceptor, Balancer& balancer, Workers& workers) {
    asio::steady_timer timer(acceptor.get_executor());
    Backoff backoff;
    for (;;) {
        //! [ch06:accept_worker]
        // The socket belongs to the worker's io_context from the start, and stays there.
        Workers::Worker& worker = workers.next();
        asio::error_code error;
        tcp::socket client =
            co_await acceptor.async_accept(worker.context, asio::redirect_error(asio::use_awaitable, error));
        if (error == asio::error::operation_aborted) {
            co_return; // the shutdown has begun
        }
        //! [ch06:accept_worker]
        //! [ch06:accept_errors]
        if (error) {
            ++balancer.metrics.accept_errors;
            //! [ch06:accept_errors]
            // Descriptors or memory have run out (EMFILE, ENFILE, ENOBUFS, ENOMEM), or a client left while it
            // waited (ECONNABORTED). The queue is as full as before, so to try again at once would keep a
            // core busy until somebody closes a connection. To give up would be worse: all of this passes.
            timer.expires_after(backoff.next());
            co_await timer.async_wait(asio::use_awaitable);
            continue;
        }
        //! [ch06:accept_counted]
        backoff.reset();
        ++balancer.metrics.accepts;
        Slot slot = balancer.inflight.take();
        if (!slot) {
            ++balancer.metrics.capacity_dropped;
            continue; // full: `client` closes here. Left in the queue it would wait for an answer that may
                      // never come.
        }
        //! [ch06:accept_counted]
        //! [ch06:accept_spawn]
        // The new coroutine owns the socket: it is a parameter, and lives in the coroutine's
        // frame. A lambda with captures would not do: its captures live in the lambda, which is gone by the
        // time the coroutine first resumes.
        asio::co_spawn(worker.context, serve(std::move(client), std::move(slot), balancer, worker.cut),
                       asio::detached);
    }
}
//! [ch06:accept_spawn]

//! [ch06:stop_accepting]
asio::awaitable<void> serve_until_signalled(tcp::acceptor acceptor, asio::signal_set& signals,
                                            Balancer& balancer, Workers& workers) {
    const auto executor = acceptor.get_executor();
    // The signal cancels the accept, or the backoff it is waiting out. The acceptor goes with the coroutine
    // that owned it: the port is closed, and whoever connects now is refused.
    co_await (accept_clients(std::move(acceptor), balancer, workers) ||
              signals.async_wait(asio::use_awaitable));

    const auto grace = balancer.config.shutdown_grace;
    std::ostringstream text;
    text << "draining: connections open: " << balancer.inflight.taken()
         << ", milliseconds to finish: " << grace.count() << '\n';
    std::cerr << text.str();
    workers.drain();
    //! [ch06:stop_accepting]

    //! [ch06:wait_and_cut]
    asio::steady_timer timer(executor, grace);
    co_await (workers.drained() || timer.async_wait(asio::use_awaitable) ||
              signals.async_wait(asio::use_awaitable));

    const unsigned left = balancer.inflight.taken();
    if (left > 0) {
        std::cerr << "cut: connections that had not finished: " + std::to_string(left) + '\n';
        workers.cut();
        co_await workers.drained();
    }
}
//! [ch06:wait_and_cut]

} // namespace harbor
