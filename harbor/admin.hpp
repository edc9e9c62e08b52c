// The endpoint that monitoring asks: GET /metrics, /healthz, /readyz.
#pragma once

#include "balancer.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

#include <string>
#include <string_view>

namespace harbor {

/// Binds and listens. Throws std::system_error, naming the endpoint and the reason, when that is not
/// possible.
asio::ip::tcp::acceptor listen_for_admin(const asio::any_io_executor& executor,
                                         const asio::ip::tcp::endpoint& endpoint);

/// Answers one HTTP request on each connection, for ever. Runs on the acceptor's executor; the balancer must
/// outlive it.
asio::awaitable<void> answer_admin_requests(asio::ip::tcp::acceptor acceptor, const Balancer& balancer);

/// The whole HTTP reply to a request's head, that is all of it up to the empty line.
std::string admin_reply(std::string_view head, const Balancer& balancer);

} // namespace harbor
