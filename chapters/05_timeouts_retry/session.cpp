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

namespace harbor {

using asio::experimental::awaitable_operators::operator&&;
//! [ch05:serve_race]
using asio::experimental::awaitable_operators::operator||;
//! [ch05:serve_race]
using asio::ip::tcp;

//! [ch05:serve_dial]
asio::awaitable<void> serve(tcp::socket client, [[maybe_unused]] Slot slot, Balancer& balancer) {
    set_options(client, balancer.config);

    // Dial at once, without waiting for the client's first byte: in many protocols (SMTP, MySQL, SSH) the
    // server speaks first. Bytes that the client sends meanwhile wait in the kernel.
    tcp::socket backend(client.get_executor());
    // The lease counts as in flight for as long as this coroutine lives.
    const Lease lease = co_await dial(backend, balancer);
    if (!lease) {
        co_return;
    }
    //! [ch05:serve_dial]

    //! [ch05:serve_idle]
    IdleDeadline deadline(client.get_executor(), balancer.config.io_timeout);
    const auto first = co_await ((relay(client, backend, deadline) && relay(backend, client, deadline)) ||
                                 deadline.passed());
    if (first.index() == 1) {
        // Neither peer has ended the stream, so neither may see an end: it could take it for the whole
        // answer.
        reset(client);
        reset(backend);
    }
}
//! [ch05:serve_idle]

} // namespace harbor
