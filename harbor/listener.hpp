// Ports that clients, or scrapers, connect to.
#pragma once

#include "config.hpp"
#include "descriptor.hpp"

#include <asio/ip/tcp.hpp>

#include <vector>

namespace harbor {

/// A socket that listens, non-blocking. Throws std::system_error, naming the endpoint and the reason, when
/// that is not possible.
Descriptor listen_on(const asio::ip::tcp::endpoint& endpoint);

/// One for each worker, all on the same port; they hand the options of a client's socket on to those that
/// they accept. Throws as listen_on() does.
std::vector<Descriptor> listen_for_workers(asio::ip::tcp::endpoint endpoint, const Config& config);

/// Where a socket is bound.
asio::ip::tcp::endpoint local_endpoint(const Descriptor& socket);

} // namespace harbor
