//! [ch03:pool_class]
// The backends, and whose turn it is.
#pragma once

#include "backend.hpp"
#include "config.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

namespace harbor {

/// A fixed set of backends that hands them out in turn. All threads share one pool.
class Pool {
public:
    /// Resolves all addresses, of which there must be at least one. Throws ConfigError when a name does not
    /// resolve.
    explicit Pool(const std::vector<Address>& addresses);

    /// The next backend, in the order of the configuration, over and over. Thread-safe, never blocks; the
    /// pool goes on owning the backend.
    const Backend* pick();

private:
    std::vector<Backend> backends_;
    std::atomic<std::uint64_t> picks_{0};
};

} // namespace harbor
//! [ch03:pool_class]
