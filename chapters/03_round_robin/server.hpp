//! [ch03:server_interface]
// Listening: from an address to one coroutine for each client.
#pragma once

#include "pool.hpp"
#include "workers.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

namespace harbor {

/// Binds `endpoint` and starts to listen there; port 0 lets the kernel choose a free one.
///
/// Throws std::system_error, naming the endpoint and the reason, when that is not possible.
asio::ip::tcp::acceptor listen_on(const asio::any_io_executor& executor,
                                  const asio::ip::tcp::endpoint& endpoint);

/// Accepts clients for ever and spawns serve() for each, on the workers in turn. Runs on the acceptor's
/// executor. The pool and the workers must outlive it.
asio::awaitable<void> accept_clients(asio::ip::tcp::acceptor acceptor, Pool& pool, Workers& workers);

} // namespace harbor
//! [ch03:server_interface]
