//! [ch05:slot]
// How many clients are served at once, and no more.
//
// Every connection costs two descriptors and two buffers. Without a limit of our own the first to say no is
// the kernel, at a moment and in a place of its choosing.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

namespace harbor {

/// What the end of a Slot means: one client less.
struct GiveBack {
    void operator()(std::atomic<unsigned>* taken) const { taken->fetch_sub(1, std::memory_order_relaxed); }
};

/// A place for one client, given back when the object goes; null when there was none. A unique_ptr, because
/// that is all it is: something with one owner and one thing to do at the end.
using Slot = std::unique_ptr<std::atomic<unsigned>, GiveBack>;
//! [ch05:slot]

//! [ch05:inflight_limit]
/// Hands out at most `highest` slots at a time, and must outlive them. Thread-safe.
class InflightLimit {
public:
    explicit InflightLimit(unsigned highest) : highest_(highest) {}

    /// A slot, or an empty one when all are taken.
    Slot take() {
        // Take first and look afterwards: to look first would let two threads see the same last free place.
        const unsigned before = taken_.fetch_add(1, std::memory_order_relaxed);
        Slot slot(&taken_);
        return before < highest_ ? std::move(slot) : nullptr;
    }

    unsigned taken() const { return taken_.load(std::memory_order_relaxed); }

private:
    const unsigned highest_;
    std::atomic<unsigned> taken_{0};
};

} // namespace harbor
//! [ch05:inflight_limit]
