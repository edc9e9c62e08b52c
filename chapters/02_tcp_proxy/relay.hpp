//! [ch02:relay_interface]
// One direction of a connection: bytes from one socket to the other.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

namespace harbor {

/// Passes every byte from `from` to `to`, in order and once, and then how the stream ended: a clean end as a
/// half-close of `to`, anything else as a reset of both sockets.
///
/// Holds at most one buffer of 64 KiB. The sockets belong to the caller and must outlive the coroutine. Runs
/// on their executor, and only there. Never throws because of the network.
asio::awaitable<void> relay(asio::ip::tcp::socket& from, asio::ip::tcp::socket& to);

/// Closes the socket so that its peer sees a reset, and drops what was not sent yet. Closed sockets are left
/// alone.
void reset(asio::ip::tcp::socket& socket);

} // namespace harbor
//! [ch02:relay_interface]
