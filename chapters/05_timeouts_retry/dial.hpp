//! [ch05:dial_interface]
// From a client to a connected backend.
#pragma once

#include "balancer.hpp"
#include "lease.hpp"

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

namespace harbor {

/// Picks a backend and connects `socket` to it; when that fails, tries others, each at most once and no more
/// of them than LB_DIAL_RETRIES allows. Returns the lease of the backend that `socket` is connected to, or an
/// empty one.
///
/// Nothing has been sent to a backend that is given up, so a retry repeats nothing. Each try ends within
/// LB_DIAL_TIMEOUT_MS. Runs on the socket's executor; the references must outlive the coroutine.
asio::awaitable<Lease> dial(asio::ip::tcp::socket& socket, Balancer& balancer);

} // namespace harbor
//! [ch05:dial_interface]
