//! [ch06:counter]
// What the balancer counts, and how it tells.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace harbor {

struct Balancer;

/// A number that only grows. Any thread may add to it.
class Counter {
public:
    void operator++() { value_.fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};
//! [ch06:counter]

//! [ch06:metrics]
/// The counters of the whole process. What can be looked up when somebody asks (open connections, backends
/// that cool down) is not counted a second time.
struct Metrics {
    Counter accepts;
    Counter accept_errors;
    Counter capacity_dropped;
    Counter dials;
    Counter dial_failures;
    Counter retries;
};

/// All metrics in the Prometheus text format, version 0.0.4.
std::string metrics_as_text(const Balancer& balancer);

/// All metrics as one JSON object.
std::string metrics_as_json(const Balancer& balancer);

/// `text` with `\`, `"` and line ends escaped, as a label's value or a JSON string needs it.
std::string escaped(std::string_view text);

} // namespace harbor
//! [ch06:metrics]
