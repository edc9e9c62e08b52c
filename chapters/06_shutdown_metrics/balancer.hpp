// What all connections share.
#pragma once

#include "config.hpp"
#include "inflight_limit.hpp"
#include "metrics.hpp"
#include "pool.hpp"

namespace harbor {

/// One for the process. Every part is either constant or thread-safe, and outlives all connections.
struct Balancer {
    const Config config;
    Pool pool{config.backends, make_strategy(config.strategy), config.backend_cooldown};
    InflightLimit inflight{config.max_inflight};
    //! [ch06:balancer_metrics]
    Metrics metrics{};
};
//! [ch06:balancer_metrics]

} // namespace harbor
