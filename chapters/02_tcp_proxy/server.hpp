// Listening: from an address to one coroutine for each client.
#pragma once

#include "backend.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

namespace harbor {

/// Binds `endpoint` and starts to listen there; port 0 lets the kernel choose a free one.
///
/// Throws std::system_error, naming the endpoint and the reason, when that is not possible.
asio::ip::tcp::acceptor listen_on(const asio::any_io_executor& executor,
                                  const asio::ip::tcp::endpoint& endpoint);

//! [ch02:server_interface]
/// Accepts clients for ever and spawns serve() for each. Runs on the acceptor's executor. The backend must
/// outlive it.
asio::awaitable<void> accept_clients(asio::ip::tcp::acceptor acceptor, const Backend& backend);
//! [ch02:server_interface]

} // namespace harbor
