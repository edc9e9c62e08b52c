// A server that clients are sent to.
#pragma once

#include "config.hpp"
#include "cooldown.hpp"

#include <asio/ip/tcp.hpp>

#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

namespace harbor {

/// What an address stands for: one or more IP addresses, each with the port, in the order to try them.
using Endpoints = std::vector<asio::ip::tcp::endpoint>;

/// Looks the host up, once; blocks while DNS is asked. Throws a ConfigError that names the flag or the
/// variable which the address comes from, when there is no such host.
Endpoints resolve(const Address& address);

struct Backend {
    /// Resolves the address. Throws ConfigError when there is no such host.
    explicit Backend(const Address& address);

    const std::string name; // as configured: `host:port`
    const Endpoints endpoints;

    /// How many leases are out: connections to this backend that are dialling or open. Every thread reads it.
    std::atomic<unsigned> in_flight{0};

    Cooldown cooldown;

    std::size_t index = 0; // its place in the pool, and in each worker's metrics
};

} // namespace harbor
