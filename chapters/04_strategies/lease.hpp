//! [ch04:lease_why]
// The right to use a backend for one connection, and the duty to give it back.
#pragma once

#include "backend.hpp"

#include <atomic>
#include <utility>

namespace harbor {

/// Counts one connection in `Backend::in_flight` for as long as it lives.
///
/// A session can end in many ways: a failed dial, a reset, an exception. Whoever had to remember to subtract
/// in each of them would forget one, and a backend that looks busy for ever gets no more clients. A
/// destructor does not forget.
class Lease {
public:
    explicit Lease(Backend& backend) : backend_(&backend) {
        // Relaxed: strategies compare the counts, they do not rely on what else a thread has written.
        backend_->in_flight.fetch_add(1, std::memory_order_relaxed);
    }
    //! [ch04:lease_why]

    //! [ch04:lease_end]
    ~Lease() {
        if (backend_ != nullptr) {
            backend_->in_flight.fetch_sub(1, std::memory_order_relaxed);
        }
    }

    Lease(Lease&& other) noexcept : backend_(std::exchange(other.backend_, nullptr)) {}
    Lease& operator=(Lease&&) = delete;
    //! [ch04:lease_end]

    //! [ch04:lease_use]
    Backend& operator*() const { return *backend_; }
    Backend* operator->() const { return backend_; }

private:
    Backend* backend_; // null once moved from
};

} // namespace harbor
//! [ch04:lease_use]
