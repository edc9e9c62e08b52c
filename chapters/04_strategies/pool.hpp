//! [ch04:pool_class]
// The backends, and who gets the next client.
#pragma once

#include "backend.hpp"
#include "config.hpp"
#include "lease.hpp"
#include "strategy.hpp"

#include <memory>
#include <vector>

namespace harbor {

/// A fixed set of backends that hands them out as its strategy decides. All threads share one pool.
class Pool {
public:
    /// Resolves all addresses, of which there must be at least one. Throws ConfigError when a name does not
    /// resolve.
    explicit Pool(const std::vector<Address>& addresses,
                  std::unique_ptr<Strategy> strategy = make_strategy("round-robin"));

    /// The backend for the next connection, counted as in flight until the lease goes. Thread-safe, never
    /// blocks; the pool goes on owning the backend and must outlive the lease.
    Lease pick();
    //! [ch04:pool_class]

    //! [ch04:pool_members]
private:
    std::vector<Backend> backends_;
    std::vector<Backend*> candidates_; // all of them
    const std::unique_ptr<Strategy> strategy_;
};

} // namespace harbor
//! [ch04:pool_members]
