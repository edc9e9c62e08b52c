// One client of the balancer, from its connection to its end.
#pragma once

#include "balancer.hpp"

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

namespace harbor {

//! [ch05:session_interface]
/// Dials a backend and relays both ways until both directions have ended. When no dial succeeds the client is
/// closed; when no byte moves for LB_IO_TIMEOUT_MS both sides are reset.
///
/// Owns the socket: it is closed when the coroutine ends, whatever the reason. Never throws because of the
/// network. Runs on the socket's executor, and only there. The balancer must outlive the coroutine.
/// The slot is given back when it ends.
asio::awaitable<void> serve(asio::ip::tcp::socket client, Slot slot, Balancer& balancer);
//! [ch05:session_interface]

} // namespace harbor
