// Latencies, kept as counts and not as a list.
//
// The invariant: adding one costs the same few instructions always, and touches memory that the measured
// window has touched before. A vector of samples would grow by a page fault every 512 requests, inside the
// window, and need a cap. There are 128 buckets to each doubling, so a bucket is 0.4% to 0.8% of its value
// wide.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace harbor::load {

class Histogram {
public:
    void add(std::chrono::nanoseconds value) {
        const auto ticks = static_cast<std::uint64_t>(std::max<std::int64_t>(value.count(), 0));
        ++buckets_[index_of(std::min(ticks, longest))];
        ++total_;
    }

    void clear() { *this = {}; }

    std::uint64_t total() const { return total_; }

    /// The value in microseconds that the given share of all values (0 to 1) does not exceed, to 0.4%; 0 when
    /// empty.
    double percentile(double share) const {
        const double rank = share * static_cast<double>(total_);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < buckets_.size() && total_ > 0; ++i) {
            seen += buckets_[i];
            if (seen > 0 && static_cast<double>(seen) >= rank) {
                return middle_of(i) / 1000;
            }
        }
        return 0;
    }

private:
    static constexpr int exact_bits = 8; // below 2^8 each nanosecond has its own bucket
    static constexpr std::size_t half = std::size_t{1} << (exact_bits - 1);
    static constexpr std::uint64_t longest =
        (std::uint64_t{1} << 38) - 1; // 4.6 minutes; no run takes so long
    static constexpr std::size_t bucket_count = (38 - exact_bits + 2) * half;

    static std::size_t index_of(std::uint64_t ticks) {
        const int shift = std::max(static_cast<int>(std::bit_width(ticks)) - exact_bits, 0);
        return static_cast<std::size_t>(shift) * half + (ticks >> shift);
    }

    static double middle_of(std::size_t index) {
        if (index < 2 * half) {
            return static_cast<double>(index);
        }
        const std::size_t shift = index / half - 1;
        const std::size_t low = (index - shift * half) << shift;
        return static_cast<double>(low) + static_cast<double>(std::size_t{1} << shift) / 2;
    }

    std::array<std::uint64_t, bucket_count> buckets_{};
    std::uint64_t total_ = 0;
};

} // namespace harbor::load
