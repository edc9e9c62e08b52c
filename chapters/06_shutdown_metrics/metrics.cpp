//! [ch06:family]
// A counter only grows, so a reader who comes now and then loses nothing between two visits: the difference
// tells how much, and how fast. A gauge tells how things are right now, and says nothing about the time
// between. That is why "connections accepted" is a counter, "connections open" a gauge, and "connections a
// second" is not a metric at all.
//
// The counters are read one after the other while the workers go on. A scrape is therefore not a snapshot: it
// may show a dial whose client it does not show yet.
#include "metrics.hpp"

#include "balancer.hpp"

#include <cstdio>
#include <vector>

namespace harbor {

namespace {

/// One metric: a single value, or one for each backend.
struct Family {
    std::string name;
    const char* type;
    const char* help;
    struct Sample {
        std::string backend; // empty for a single value
        std::uint64_t value;
    };
    std::vector<Sample> samples;
};
//! [ch06:family]

//! [ch06:collect_backends]
std::vector<Family> collect(const Balancer& balancer) {
    const Metrics& metrics = balancer.metrics;
    std::uint64_t cooling = 0;
    std::vector<Family::Sample> picks;
    std::vector<Family::Sample> failures;
    for (const Backend& backend : balancer.pool.backends()) {
        cooling += backend.cooldown.cooling(Clock::now()) ? 1 : 0;
        picks.push_back({backend.name, backend.picks.value()});
        failures.push_back({backend.name, backend.dial_failures.value()});
    }
    //! [ch06:collect_backends]
    //! [ch06:collect_families]
    return {
        {"accepts_total", "counter", "Clients accepted.", {{"", metrics.accepts.value()}}},
        {"accept_errors_total", "counter", "Accepts that failed.", {{"", metrics.accept_errors.value()}}},
        {"capacity_dropped_total",
         "counter",
         "Clients closed at once because LB_MAX_INFLIGHT others were open.",
         {{"", metrics.capacity_dropped.value()}}},
        {"active_conns", "gauge", "Clients being served.", {{"", balancer.inflight.taken()}}},
        {"dials_total", "counter", "Dials to backends, retries included.", {{"", metrics.dials.value()}}},
        {"dial_failures_total", "counter", "Dials that failed.", {{"", metrics.dial_failures.value()}}},
        {"retries_total",
         "counter",
         "Dials to another backend after a failed one.",
         {{"", metrics.retries.value()}}},
        {"cooldown_backends", "gauge", "Backends left alone after a failed dial.", {{"", cooling}}},
        {"picks_by_backend", "counter", "How often each backend was picked.", picks},
        {"dial_failures_by_backend", "counter", "Dials to each backend that failed.", failures},
    };
}

} // namespace
//! [ch06:collect_families]

//! [ch06:escaped]
std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '\n') {
            result += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') {
            result += '\\';
        }
        result += c;
    }
    return result;
}
//! [ch06:escaped]

//! [ch06:as_text]
std::string metrics_as_text(const Balancer& balancer) {
    std::string text;
    for (const Family& family : collect(balancer)) {
        std::string name = "harbor_" + family.name;
        if (family.type == std::string_view("counter") && !name.ends_with("_total")) {
            name += "_total";
        }
        text += "# HELP " + name + ' ' + family.help + "\n# TYPE " + name + ' ' + family.type + '\n';
        for (const auto& [backend, value] : family.samples) {
            const std::string label = backend.empty() ? "" : "{backend=\"" + escaped(backend) + "\"}";
            text += name + label + ' ' + std::to_string(value) + '\n';
        }
    }
    return text;
}
//! [ch06:as_text]

//! [ch06:as_json]
std::string metrics_as_json(const Balancer& balancer) {
    std::string text;
    for (const Family& family : collect(balancer)) {
        std::string values;
        for (const auto& [backend, value] : family.samples) {
            values += values.empty() ? "" : ",";
            values += (backend.empty() ? "" : '"' + escaped(backend) + "\":") + std::to_string(value);
        }
        const bool by_backend = family.name.ends_with("_by_backend");
        text += text.empty() ? "{" : ",";
        text += '"' + family.name + "\":" + (by_backend ? '{' + values + '}' : values);
    }
    return text + "}\n";
}

} // namespace harbor
//! [ch06:as_json]
