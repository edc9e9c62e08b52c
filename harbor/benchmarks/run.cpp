#include "run.hpp"

namespace harbor::load {

namespace {

double in_seconds(Clock::duration duration) {
    return std::chrono::duration<double>(duration).count();
}

} // namespace

Snapshot::Snapshot(const Run& run)
    : time(Clock::now()), requests(run.tally.requests), bytes(run.tally.bytes), proxy_cpu(run.meter.cpu()),
      load_cpu(own_cpu()) {}

Report measured(const Run& run, const Snapshot& begin, const Snapshot& end, std::uint64_t resident_kib) {
    const double seconds = in_seconds(end.time - begin.time);
    const Tally& tally = run.tally;
    Report report;
    report.text("mode", to_text(run.options.mode));
    report.count("connections", run.options.connections);
    report.number("seconds", seconds);
    if (run.options.mode != Mode::bulk && run.options.mode != Mode::bulk_both) {
        report.count("requests", end.requests - begin.requests);
        report.count("requests_total", tally.requests);
        report.number("rate", static_cast<double>(end.requests - begin.requests) / seconds);
    } else {
        report.number("gigabytes_per_second", static_cast<double>(end.bytes - begin.bytes) / 1e9 / seconds);
    }
    report.count("bytes", end.bytes - begin.bytes);
    if (tally.latency.total() > 0) {
        report.number("p50_us", tally.latency.percentile(0.5));
        report.number("p99_us", tally.latency.percentile(0.99));
        report.number("p999_us", tally.latency.percentile(0.999));
    }
    if (run.meter.measures()) {
        report.number("cpu_seconds", in_seconds(end.proxy_cpu - begin.proxy_cpu));
        report.count("resident_kib", resident_kib);
    }
    report.number("load_cpu_seconds", in_seconds(end.load_cpu - begin.load_cpu));
    report.count("errors", tally.error_count());
    report.counts("error_kinds", tally.errors);
    report.count("wrong_bytes", tally.wrong_bytes);
    report.count("missing_bytes", tally.missing_bytes);
    if (!tally.first_wrong.empty()) {
        report.text("first_wrong", tally.first_wrong);
    }
    return report;
}

} // namespace harbor::load
