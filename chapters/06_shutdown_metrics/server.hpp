// Listening: from an address to one coroutine for each client.
#pragma once

#include "balancer.hpp"
#include "workers.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/signal_set.hpp>

namespace harbor {

/// Binds `endpoint` and starts to listen there; port 0 lets the kernel choose a free one.
///
/// Throws std::system_error, naming the endpoint and the reason, when that is not possible.
asio::ip::tcp::acceptor listen_on(const asio::any_io_executor& executor,
                                  const asio::ip::tcp::endpoint& endpoint);

//! [ch06:accept_interface]
/// Accepts clients for ever and spawns serve() for each, on the workers in turn. A client that
/// finds LB_MAX_INFLIGHT others is closed at once. Ends when it is
/// cancelled. Runs on the acceptor's executor. The references must outlive it.
asio::awaitable<void> accept_clients(asio::ip::tcp::acceptor acceptor, Balancer& balancer, Workers& workers);
//! [ch06:accept_interface]

//! [ch06:shutdown_interface]
/// Accepts clients until the first signal, then shuts down: from then on new clients are refused, and those
/// that are there may finish. What is left after LB_SHUTDOWN_GRACE_MS, or at a second signal, is reset.
/// Returns when the last connection is gone, so within the grace period.
asio::awaitable<void> serve_until_signalled(asio::ip::tcp::acceptor acceptor, asio::signal_set& signals,
                                            Balancer& balancer, Workers& workers);
//! [ch06:shutdown_interface]

} // namespace harbor
