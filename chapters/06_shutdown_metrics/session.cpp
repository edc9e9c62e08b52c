// A session owns two sockets and lends them to two coroutines.
//
// `serve` is their parent: it waits until both have ended, so what they borrow from its frame outlives them,
// and when it ends nothing of the connection is left. The alternative, two detached coroutines that share the
// sockets through a shared_ptr, works too, but then nobody knows when the connection is over, and every later
// chapter has to know.
#include "session.hpp"

#include "dial.hpp"
#include "idle_deadline.hpp"
#include "relay.hpp"
#include "socket_options.hpp"

#include <asio/experimental/awaitable_operators.hpp>

#include <exception>

namespace harbor {

using asio::experimental::awaitable_operators::operator&&;
using asio::experimental::awaitable_operators::operator||;
using asio::ip::tcp;

//! [ch06:converse]
namespace {

/// Dials a backend and relays both ways until both directions have ended, or have been idle for too long.
asio::awaitable<void> converse(tcp::socket& client, tcp::socket& backend, Balancer& balancer) {
    try {
        set_options(client, balancer.config);

        // Dial at once, without waiting for the client's first byte: in many protocols (SMTP, MySQL, SSH) the
        // server speaks first. Bytes that the client sends meanwhile wait in the kernel.
        // The lease counts as in flight for as long as this coroutine lives.
        const Lease lease = co_await dial(backend, balancer);
        if (!lease) {
            co_return;
        }
        //! [ch06:converse]

        //! [ch06:converse_idle]
        IdleDeadline deadline(client.get_executor(), balancer.config.io_timeout);
        const auto first = co_await ((relay(client, backend, deadline) && relay(backend, client, deadline)) ||
                                     deadline.passed());
        if (first.index() == 1) {
            // Neither peer has ended the stream, so neither may see an end: it could take it for the whole
            // answer.
            reset(client);
            reset(backend);
        }
        //! [ch06:converse_idle]
        //! [ch06:converse_throws]
    } catch (const std::exception&) {
        // A strategy of somebody's own has thrown, or memory has run out. It must not leave this coroutine:
        // the race in serve() waits for the first of the two that succeeds, so a client would be held, by
        // nobody, until the cut.
        reset(client);
        reset(backend);
    }
}

} // namespace
//! [ch06:converse_throws]

//! [ch06:serve_cut]
asio::awaitable<void> serve(tcp::socket client, [[maybe_unused]] Slot slot, Balancer& balancer, Event& cut) {
    tcp::socket backend(client.get_executor());
    // Wherever the connection is when the time is up, dialling or relaying, this one race ends it.
    const auto first = co_await (converse(client, backend, balancer) || cut.wait());
    if (first.index() == 1) {
        reset(client);
        reset(backend);
    }
}
//! [ch06:serve_cut]

} // namespace harbor
