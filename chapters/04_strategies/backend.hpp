// A server that clients are sent to.
#pragma once

#include "config.hpp"

//! [ch04:in_flight]
#include <asio/ip/tcp.hpp>

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace harbor {

/// What an address stands for: one or more IP addresses, each with the port, in the order to try them.
using Endpoints = std::vector<asio::ip::tcp::endpoint>;

/// Looks the host up, once; blocks while DNS is asked. Throws a ConfigError that names `variable`, where the
/// address comes from, when there is no such host.
Endpoints resolve(const Address& address, std::string_view variable);

struct Backend {
    /// Resolves the address. Throws ConfigError when there is no such host.
    explicit Backend(const Address& address);

    const std::string name; // as configured: `host:port`
    const Endpoints endpoints;

    /// How many leases are out: connections to this backend that are dialling or open. Every thread reads it.
    std::atomic<unsigned> in_flight{0};
};
//! [ch04:in_flight]

} // namespace harbor
