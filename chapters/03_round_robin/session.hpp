//! [ch03:session_interface]
// One client of the balancer, from its connection to its end.
#pragma once

#include "pool.hpp"

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

namespace harbor {

/// Picks a backend, dials it and relays both ways until both directions have ended. When the dial fails the
/// client is closed.
///
/// Owns the socket: it is closed when the coroutine ends, whatever the reason. Never throws because of the
/// network. Runs on the socket's executor, and only there. The pool must outlive the coroutine.
asio::awaitable<void> serve(asio::ip::tcp::socket client, Pool& pool);

} // namespace harbor
//! [ch03:session_interface]
