//! [ch02:backend_endpoints]
// A server that clients are sent to.
#pragma once

#include "config.hpp"

#include <asio/ip/tcp.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace harbor {

/// What an address stands for: one or more IP addresses, each with the port, in the order to try them.
using Endpoints = std::vector<asio::ip::tcp::endpoint>;

/// Looks the host up, once; blocks while DNS is asked. Throws a ConfigError that names `variable`, where the
/// address comes from, when there is no such host.
Endpoints resolve(const Address& address, std::string_view variable);
//! [ch02:backend_endpoints]

//! [ch02:backend_struct]
struct Backend {
    /// Resolves the address. Throws ConfigError when there is no such host.
    explicit Backend(const Address& address);

    const std::string name; // as configured: `host:port`
    const Endpoints endpoints;
};

} // namespace harbor
//! [ch02:backend_struct]
