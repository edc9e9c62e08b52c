// The backends, and who gets the next client.
#pragma once

#include "backend.hpp"
#include "clock.hpp"
#include "config.hpp"
#include "lease.hpp"
#include "strategy.hpp"

#include <chrono>
#include <memory>
#include <span>
#include <vector>

namespace harbor {

/// A fixed set of backends that hands them out as its strategy decides. All threads share one pool.
class Pool {
public:
    /// Resolves all addresses, of which there must be at least one. Throws ConfigError when a name does not
    /// resolve.
    explicit Pool(const std::vector<Address>& addresses,
                  std::unique_ptr<Strategy> strategy = make_strategy("round-robin"),
                  std::chrono::milliseconds cooldown = Config{}.backend_cooldown);

    /// The backend for the next connection, counted as in flight until the lease goes. Thread-safe, never
    /// blocks; the pool goes on owning the backend and must outlive the lease.
    ///
    /// Leaves out those in `tried`; the lease is empty when that leaves nobody. Backends that cool down are
    /// left out too, unless there is nobody else: then it is the one whose cooldown ends first.
    Lease pick(std::span<const Backend* const> tried = {}, Clock::time_point now = Clock::now());

    /// How the dial that a pick has led to ended. Thread-safe.
    //! [ch06:pool_backends]
    void dial_succeeded(Backend& backend);
    void dial_failed(Backend& backend, Clock::time_point now = Clock::now());

    std::span<const Backend> backends() const { return backends_; }

    //! [ch06:pool_backends]
private:
    std::vector<Backend> backends_;
    const std::unique_ptr<Strategy> strategy_;
    const std::chrono::milliseconds cooldown_;
};

} // namespace harbor
