// What one run of the load generator is made of, shared by its parts; and the window that is measured.
#pragma once

#include "event_loop.hpp"
#include "options.hpp"
#include "pattern.hpp"
#include "proxy_meter.hpp"
#include "report.hpp"
#include "tally.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace harbor::load {

/// What one connection of the bulk modes has sent and received at each end; compared when all is over.
struct Account {
    std::uint64_t sent_up = 0;
    std::uint64_t received_up = 0;
    std::uint64_t sent_down = 0;
    std::uint64_t received_down = 0;
};

struct Run {
    explicit Run(const Options& given) : options(given), meter(given.pids), accounts(given.connections) {}

    const Options options;
    EventLoop loop;
    Pattern pattern;
    ProxyMeter meter;
    Tally tally;
    std::vector<Account> accounts; // by the connection's number
    std::vector<std::byte> scratch =
        std::vector<std::byte>(std::size_t{128} * 1024); // one read at a time goes here
};

/// Everything that is counted, at one instant. The CPU clocks are read in the same few microseconds as the
/// counters.
struct Snapshot {
    explicit Snapshot(const Run& run);

    Clock::time_point time;
    std::uint64_t requests;
    std::uint64_t bytes;
    std::chrono::nanoseconds proxy_cpu;
    std::chrono::nanoseconds load_cpu;
};

/// The report of what lies between two instants, with the proxy's memory at the end of it and whatever went
/// wrong in the whole run.
Report measured(const Run& run, const Snapshot& begin, const Snapshot& end, std::uint64_t resident_kib);

} // namespace harbor::load
