// What all workers share.
#pragma once

#include "config.hpp"
#include "inflight_limit.hpp"
#include "metrics.hpp"
#include "pool.hpp"

#include <atomic>
#include <deque>
#include <utility>

namespace harbor {

/// One for the process. Every part is either constant or thread-safe, and outlives all workers.
struct Balancer {
    explicit Balancer(Config its_config) : config(std::move(its_config)) {
        for (unsigned i = 0; i < config.threads; ++i) {
            metrics.emplace_back(config.backends.size());
        }
    }

    const Config config;
    Pool pool{config.backends, make_strategy(config.strategy), config.backend_cooldown};
    InflightLimit inflight{config.max_inflight};
    std::deque<WorkerMetrics> metrics; // one for each worker, which alone writes to it
    std::atomic<bool> draining{false};
};

} // namespace harbor
