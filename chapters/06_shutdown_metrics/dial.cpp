// Dialling is the only moment when a failure can be hidden from the client: not one byte has been passed on
// yet, so another backend can take over. Once a byte has been sent, nobody can know whether the backend has
// acted on it, and to send it to a second one could buy the book twice.
#include "dial.hpp"

#include "socket_options.hpp"

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <cerrno>
#include <variant>
#include <vector>

namespace harbor {

using asio::experimental::awaitable_operators::operator||;
using asio::ip::tcp;

namespace {

/// Tries one address after the other. asio::async_connect does that too, but it hides why a socket could not
/// be opened.
asio::awaitable<asio::error_code> connect_to_any(tcp::socket& socket, const Endpoints& endpoints) {
    asio::error_code error = asio::error::not_found;
    for (const tcp::endpoint& endpoint : endpoints) {
        socket.close(error); // the address before, or the backend before
        socket.open(endpoint.protocol(), error);
        if (!error) {
            co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
        }
        if (!error) {
            break;
        }
    }
    co_return error;
}

asio::awaitable<asio::error_code> connect(tcp::socket& socket, const Endpoints& endpoints,
                                          std::chrono::milliseconds timeout) {
    asio::steady_timer timer(socket.get_executor(), timeout);
    // A host that drops our packets answers nothing at all, and the kernel would go on for two minutes (man 7
    // tcp, tcp_syn_retries). The first of the two to end cancels the other. This costs a few allocations,
    // once for each dial; a race like this around every read would cost as much for every message.
    const auto first = co_await (connect_to_any(socket, endpoints) || timer.async_wait(asio::use_awaitable));
    co_return first.index() == 0 ? std::get<0>(first) : asio::error::timed_out;
}

/// It was this machine that had nothing left: the backend is not to blame, and must not be punished for it.
bool out_of_resources(const asio::error_code& error) {
    // By number: Asio's errors do not all know which std::errc they stand for.
    const int number = error.category() == asio::error::get_system_category() ? error.value() : 0;
    return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM ||
           number == EADDRNOTAVAIL;
}

} // namespace

asio::awaitable<Lease> dial(tcp::socket& socket, Balancer& balancer) {
    std::vector<const Backend*> tried;
    for (unsigned attempt = 0; attempt <= balancer.config.dial_retries; ++attempt) {
        Lease lease = balancer.pool.pick(tried);
        if (!lease) {
            break; // every backend has had its chance
        }
        //! [ch06:dial_counted]
        ++balancer.metrics.dials;
        if (attempt > 0) {
            ++balancer.metrics.retries;
        }
        const asio::error_code error =
            co_await connect(socket, lease->endpoints, balancer.config.dial_timeout);
        //! [ch06:dial_counted]
        if (!error) {
            balancer.pool.dial_succeeded(*lease);
            set_options(socket, balancer.config);
            co_return lease;
        }
        //! [ch06:dial_cut]
        if (error == asio::error::operation_aborted) {
            break; // cut: the backend has not failed, it was not waited for
        }
        //! [ch06:dial_cut]
        //! [ch06:dial_failed]
        ++balancer.metrics.dial_failures;
        ++lease->dial_failures;
        //! [ch06:dial_failed]
        if (!out_of_resources(error)) {
            balancer.pool.dial_failed(*lease);
        }
        tried.push_back(&*lease);
    }
    co_return Lease();
}

} // namespace harbor
