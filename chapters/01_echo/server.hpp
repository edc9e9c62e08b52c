//! [ch01:server_interface]
// Listening: from a port number to one coroutine for each client.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

#include <string>

namespace harbor {

/// Binds `endpoint` and starts to listen there; port 0 lets the kernel choose a free one.
///
/// Throws std::system_error, naming the endpoint and the reason, when that is not possible.
asio::ip::tcp::acceptor listen_on(const asio::any_io_executor& executor,
                                  const asio::ip::tcp::endpoint& endpoint);

/// Accepts clients for ever and spawns serve() for each. Runs on the acceptor's executor.
asio::awaitable<void> accept_clients(asio::ip::tcp::acceptor acceptor, std::string greeting);

} // namespace harbor
//! [ch01:server_interface]
