// How many clients are served at once, and no more.
//
// Every connection costs two descriptors and two buffers. Without a limit of our own the first to say no is
// the kernel, at a moment and in a place of its choosing.
#pragma once

#include <atomic>
#include <utility>

namespace harbor {

class InflightLimit;

/// A place for one client, given back when the object goes. It may be empty.
class Slot {
public:
    Slot() = default;
    explicit Slot(InflightLimit& limit) : limit_(&limit) {}
    inline ~Slot();
    Slot(Slot&& other) noexcept : limit_(std::exchange(other.limit_, nullptr)) {}
    Slot& operator=(Slot&&) = delete;

    explicit operator bool() const { return limit_ != nullptr; }

private:
    InflightLimit* limit_ = nullptr;
};

/// Hands out at most `highest` slots at a time. Thread-safe.
class InflightLimit {
public:
    explicit InflightLimit(unsigned highest) : highest_(highest) {}

    /// A slot, or an empty one when all are taken.
    Slot take() {
        // Take first and look afterwards: to look first would let two threads see the same last free place.
        if (taken_.fetch_add(1, std::memory_order_relaxed) < highest_) {
            return Slot(*this);
        }
        give_back();
        return {};
    }

    unsigned taken() const { return taken_.load(std::memory_order_relaxed); }

private:
    friend Slot;
    void give_back() { taken_.fetch_sub(1, std::memory_order_relaxed); }

    const unsigned highest_;
    std::atomic<unsigned> taken_{0};
};

Slot::~Slot() {
    if (limit_ != nullptr) {
        limit_->give_back();
    }
}

} // namespace harbor
