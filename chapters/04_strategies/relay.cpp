// The relay: a connection is two of these, one in each direction, and they know nothing of each other.
//
// The invariant: at any moment one buffer holds everything that was read and not yet written. Nothing else is
// queued, so memory is bounded whatever the peers do, and the pace of the slower peer reaches the faster one
// through TCP's own flow control. A queue between a reader and a writer would be faster only until it is
// full, and then it has to do the same; without a bound it is how proxies die.
#include "relay.hpp"

#include <asio/buffer.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>

namespace harbor {

using asio::ip::tcp;

asio::awaitable<void> relay(tcp::socket& from, tcp::socket& to) {
    std::array<char, 64 * 1024> buffer;
    asio::error_code error;
    while (!error) {
        // A peer that is silent keeps us here. Meanwhile the other direction may close both sockets: the read
        // then ends with operation_aborted.
        const std::size_t received = co_await from.async_read_some(
            asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
        if (!error) {
            // A peer that does not read keeps us here, and nothing is read from `from` until it does.
            co_await asio::async_write(to, asio::buffer(buffer, received),
                                       asio::redirect_error(asio::use_awaitable, error));
        }
    }

    if (error == asio::error::eof) {
        // `from` has sent its last byte, and all of them are written: pass on the end, and only that. The
        // other direction is not over: a client may well end its request this way and wait for the answer.
        to.shutdown(tcp::socket::shutdown_send, error);
    } else {
        // A reset, a broken pipe, a timeout of TCP itself: bytes may be missing. If we ended the streams
        // politely now, half an answer would look like a whole one.
        reset(from);
        reset(to);
    }
}

void reset(tcp::socket& socket) {
    asio::error_code ignored; // the socket may be closed already, by the other direction
    // To linger for zero seconds means: do not send what is left, do not say goodbye (man 7 socket,
    // SO_LINGER).
    socket.set_option(asio::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
}

} // namespace harbor
