// Dialling is the only moment when a failure can be hidden from the client: not one byte has been passed on
// yet, so another backend can take over. Once a byte has been sent, nobody can know whether the backend has
// acted on it, and to send it to a second one could buy the book twice.
#include "dial.hpp"

#include "socket_options.hpp"

#include <asio/connect.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <vector>

namespace harbor {

using asio::experimental::awaitable_operators::operator||;
using asio::ip::tcp;

namespace {

asio::awaitable<asio::error_code> connect(tcp::socket& socket, const Endpoints& endpoints,
                                          std::chrono::milliseconds timeout) {
    asio::steady_timer timer(socket.get_executor(), timeout);
    asio::error_code error;
    // A host that drops our packets answers nothing at all, and the kernel would go on for two minutes (man 7
    // tcp, tcp_syn_retries). The first of the two to end cancels the other. This costs a few allocations,
    // once for each dial; a race like this around every read would cost as much for every message.
    const auto first =
        co_await (asio::async_connect(socket, endpoints, asio::redirect_error(asio::use_awaitable, error)) ||
                  timer.async_wait(asio::use_awaitable));
    co_return first.index() == 0 ? error : asio::error::timed_out;
}

/// It was this machine that had nothing left: the backend is not to blame, and must not be punished for it.
bool out_of_resources(const asio::error_code& error) {
    return error == std::errc::too_many_files_open || error == std::errc::too_many_files_open_in_system ||
           error == std::errc::no_buffer_space || error == std::errc::not_enough_memory ||
           error == std::errc::address_not_available;
}

} // namespace

asio::awaitable<Lease> dial(tcp::socket& socket, Balancer& balancer) {
    std::vector<const Backend*> tried;
    for (unsigned attempt = 0; attempt <= balancer.config.dial_retries; ++attempt) {
        Lease lease = balancer.pool.pick(tried);
        if (!lease) {
            break; // every backend has had its chance
        }
        ++balancer.metrics.dials;
        if (attempt > 0) {
            ++balancer.metrics.retries;
        }
        const asio::error_code error =
            co_await connect(socket, lease->endpoints, balancer.config.dial_timeout);
        if (!error) {
            balancer.pool.dial_succeeded(*lease);
            set_options(socket, balancer.config);
            co_return lease;
        }
        ++balancer.metrics.dial_failures;
        ++lease->dial_failures;
        if (!out_of_resources(error)) {
            balancer.pool.dial_failed(*lease);
        }
        tried.push_back(&*lease);
    }
    co_return Lease();
}

} // namespace harbor
