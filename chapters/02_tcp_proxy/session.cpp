//! [ch02:session_essay]
// A session owns two sockets and lends them to two coroutines.
//
// `serve` is their parent: it waits until both have ended, so what they borrow from its frame outlives them,
// and when it ends nothing of the connection is left. The alternative, two detached coroutines that share the
// sockets through a shared_ptr, works too, but then nobody knows when the connection is over, and every later
// chapter has to know.
//! [ch02:session_essay]
#include "session.hpp"

#include "relay.hpp"

#include <asio/connect.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

namespace harbor {

//! [ch02:both_at_once]
using asio::experimental::awaitable_operators::operator&&;
using asio::ip::tcp;
//! [ch02:both_at_once]

//! [ch02:dial]
asio::awaitable<void> serve(tcp::socket client, const Backend& chosen) {
    // Dial at once, without waiting for the client's first byte: in many protocols (SMTP, MySQL, SSH) the
    // server speaks first. Bytes that the client sends meanwhile wait in the kernel.
    tcp::socket backend(client.get_executor());
    asio::error_code error;
    co_await asio::async_connect(backend, chosen.endpoints, asio::redirect_error(asio::use_awaitable, error));
    if (error) {
        co_return;
    }
    //! [ch02:dial]

    //! [ch02:relay_both]
    co_await (relay(client, backend) && relay(backend, client));
}
//! [ch02:relay_both]

} // namespace harbor
