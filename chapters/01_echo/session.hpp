//! [ch01:session_interface]
// One client of the echo server, from its first byte to its last.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

#include <string>

namespace harbor {

/// Sends `greeting`, then every byte that arrives back to where it came from, until the client ends its
/// stream.
///
/// Owns the socket: it is closed when the coroutine ends, whatever the reason. Never throws because of the
/// network. Runs on the socket's executor, and only there.
asio::awaitable<void> serve(asio::ip::tcp::socket client, std::string greeting);

} // namespace harbor
//! [ch01:session_interface]
