// The listener.
//
// It does nothing but accept: a client is handed to a coroutine of its own before the next is looked at, so
// that no client can keep others waiting.
#include "server.hpp"

#include "session.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
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

//! [ch03:accept_clients]
asio::awaitable<void> accept_clients(tcp::acceptor acceptor, Pool& pool, Workers& workers) {
    for (;;) {
        // The socket belongs to the worker's io_context from the start, and stays there.
        const asio::any_io_executor worker = workers.next();
        asio::error_code error;
        tcp::socket client =
            co_await acceptor.async_accept(worker, asio::redirect_error(asio::use_awaitable, error));
        if (error) {
            continue; // one client less; that this loop can spin is the subject of chapter 05
        }
        // The new coroutine owns the socket: it is a parameter, and lives in the coroutine's
        // frame. A lambda with captures would not do: its captures live in the lambda, which is gone by the
        // time the coroutine first resumes.
        asio::co_spawn(worker, serve(std::move(client), pool), asio::detached);
    }
}
//! [ch03:accept_clients]

} // namespace harbor
