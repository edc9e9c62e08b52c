// What the balancer counts, and how it tells.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace harbor {

struct Balancer;

/// How a client's connection ended.
enum class End {
    client_end, // cleanly, the client's stream first
    backend_end, // cleanly, the backend's stream first
    client_reset, // the client broke it off
    backend_reset, // the backend broke it off
    idle, // nothing moved for LB_IO_TIMEOUT_MS
    capacity, // LB_MAX_INFLIGHT others were there
    dial_failed, // no backend could be had
    shutdown, // cut at the end of the grace period
    out_of_resources, // this machine had no memory left for it
};
constexpr std::size_t number_of_ends = 9;

/// As in the metrics and the log: `client_end`.
std::string_view to_text(End end);

//! [harbor:counter]
/// A number that is written by one thread and read by any.
///
/// Its thread needs no locked instruction to add to it, since nobody else does; the atomic only promises
/// readers a whole number.
class Counter {
public:
    void add(std::uint64_t n = 1) { set(value() + n); }
    void set(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};
//! [harbor:counter]

/// Durations, counted by length. Written by one thread, like a Counter.
class Histogram {
public:
    /// Upper bounds in seconds; beyond the last there is one bucket more.
    static constexpr std::array bounds{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                       0.25,   0.5,     1.0,    2.5,   5.0,    10.0,  30.0, 60.0,  300.0};

    void observe(std::chrono::nanoseconds duration);

    std::uint64_t count_in_bucket(std::size_t i) const { return buckets_[i].value(); }
    double sum_in_seconds() const { return static_cast<double>(nanoseconds_.value()) / 1e9; }

private:
    std::array<Counter, bounds.size() + 1> buckets_;
    Counter nanoseconds_;
};

//! [harbor:worker_metrics]
/// The numbers of one worker, in cache lines of their own.
///
/// All workers adding to the same counters would pass its cache line around for every message; each adding to
/// its own and the reader summing them up costs nothing where it matters, and a few microseconds when
/// somebody asks.
struct alignas(64) WorkerMetrics {
    explicit WorkerMetrics(std::size_t number_of_backends) : backends(number_of_backends) {}

    Counter bytes_to_backend;
    Counter bytes_to_client;
    Counter accepts;
    Counter accept_errors;
    Counter capacity_dropped;
    Counter dials;
    Counter dial_failures;
    Counter retries;
    std::array<Counter, number_of_ends> ends;
    Histogram dial_seconds;
    Histogram connection_seconds;

    struct alignas(64) OfBackend {
        Counter picks;
        Counter dial_failures;
    };
    std::vector<OfBackend> backends; // by Backend::index

    // Gauges: the last state that the worker has shown.
    Counter buffers_taken;
    Counter buffers_kept;
    Counter pipes_kept;
    Counter timers;

    void ended(End end) { ends[static_cast<std::size_t>(end)].add(); }
    void show(std::size_t taken, std::size_t kept, std::size_t pipes, std::size_t in_wheel) {
        buffers_taken.set(taken);
        buffers_kept.set(kept);
        pipes_kept.set(pipes);
        timers.set(in_wheel);
    }
};
//! [harbor:worker_metrics]

/// All metrics in the Prometheus text format, version 0.0.4.
std::string metrics_as_text(const Balancer& balancer);

/// Those of the contract as one JSON object.
std::string metrics_as_json(const Balancer& balancer);

/// `text` with `\`, `"` and line ends escaped, as a label's value needs it.
std::string escaped(std::string_view text);

/// What escaped() has made, as a JSON string takes it: there, control characters have to be escaped as well
/// (RFC 8259, section 7).
std::string for_json(std::string_view escaped);

} // namespace harbor
