//! [ch06:admin_interface]
// The endpoint that monitoring asks: GET /metrics.
#pragma once

#include "balancer.hpp"

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

#include <string>
#include <string_view>

namespace harbor {

/// Answers one HTTP request on each connection, for ever. Runs on the acceptor's executor; the balancer must
/// outlive it.
asio::awaitable<void> answer_admin_requests(asio::ip::tcp::acceptor acceptor, const Balancer& balancer);

/// The whole HTTP reply to a request's head, that is all of it up to the empty line.
std::string admin_reply(std::string_view head, const Balancer& balancer);

} // namespace harbor
//! [ch06:admin_interface]
