//! [ch01:server_head]
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
//! [ch01:server_head]

//! [ch01:listen_on]
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
//! [ch01:listen_on]

//! [ch01:accept_clients]
asio::awaitable<void> accept_clients(tcp::acceptor acceptor, std::string greeting) {
    for (;;) {
        asio::error_code error;
        tcp::socket client = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
        if (error) {
            continue; // one client less; that this loop can spin is the subject of chapter 05
        }
        // The new coroutine owns the socket and its copy of the greeting: they are its parameters, and live
        // in its frame. A lambda with captures would not do: its captures live in the lambda, which is gone
        // by the time the coroutine first resumes.
        asio::co_spawn(acceptor.get_executor(), serve(std::move(client), greeting), asio::detached);
    }
}

} // namespace harbor
//! [ch01:accept_clients]
