// The listener.
//
// It does nothing but accept: a client is handed to a coroutine of its own before the next is looked at, so
// that no client can keep others waiting.
#include "server.hpp"

#include "backoff.hpp"
#include "session.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <sstream>
#include <system_error>

namespace harbor {

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

//! [ch05:accept_balancer]
asio::awaitable<void> accept_clients(tcp::acceptor acceptor, Balancer& balancer, Workers& workers) {
    //! [ch05:accept_balancer]
    //! [ch05:accept_backoff]
    asio::steady_timer timer(acceptor.get_executor());
    Backoff backoff;
    for (;;) {
        // The socket belongs to the worker's io_context from the start, and stays there.
        const asio::any_io_executor worker = workers.next();
        asio::error_code error;
        tcp::socket client =
            co_await acceptor.async_accept(worker, asio::redirect_error(asio::use_awaitable, error));
        if (error) {
            // Descriptors or memory have run out (EMFILE, ENFILE, ENOBUFS, ENOMEM), or a client left while it
            // waited (ECONNABORTED). The queue is as full as before, so to try again at once would keep a
            // core busy until somebody closes a connection. To give up would be worse: all of this passes.
            timer.expires_after(backoff.next());
            co_await timer.async_wait(asio::use_awaitable);
            continue;
        }
        backoff.reset();
        //! [ch05:accept_backoff]
        //! [ch05:accept_limit]
        Slot slot = balancer.inflight.take();
        if (!slot) {
            continue; // full: `client` closes here. Left in the queue it would wait for an answer that may
                      // never come.
        }
        // The new coroutine owns the socket: it is a parameter, and lives in the coroutine's
        // frame. A lambda with captures would not do: its captures live in the lambda, which is gone by the
        // time the coroutine first resumes.
        asio::co_spawn(worker, serve(std::move(client), std::move(slot), balancer), asio::detached);
    }
}
//! [ch05:accept_limit]

} // namespace harbor
