// A counter only grows, so a reader who comes now and then loses nothing between two visits: the difference
// tells how much, and how fast. A gauge tells how things are right now, and says nothing about the time
// between.
//
// The counters of all workers are read one after the other while the workers go on. A scrape is therefore not
// a snapshot: it may show a dial whose client it does not show yet.
#include "metrics.hpp"

#include "balancer.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>

namespace harbor {

namespace {

std::string number(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.9g", value);
    return text.data();
}

std::string label(std::string_view name, std::string_view value) {
    return std::string(name) + "=\"" + escaped(value) + '"';
}

/// One metric: a single value, or one for each set of labels.
struct Family {
    std::string name;
    const char* type;
    const char* help;
    struct Sample {
        std::string suffix; // `_bucket` and such
        std::string labels; // without braces; may be empty
        std::string value;
    };
    std::vector<Sample> samples;
};

/// Sums up over the workers.
class Sums {
public:
    explicit Sums(const Balancer& balancer) : balancer_(balancer) {}

    std::uint64_t operator()(const std::function<const Counter&(const WorkerMetrics&)>& counter) const {
        std::uint64_t sum = 0;
        for (const WorkerMetrics& metrics : balancer_.metrics) {
            sum += counter(metrics).value();
        }
        return sum;
    }
    std::uint64_t operator()(Counter WorkerMetrics::* counter) const {
        return (*this)(
            [counter](const WorkerMetrics& metrics) -> const Counter& { return metrics.*counter; });
    }
    std::uint64_t of_backend(const Backend& backend, Counter WorkerMetrics::OfBackend::* counter) const {
        return (*this)([&backend, counter](const WorkerMetrics& metrics) -> const Counter& {
            return metrics.backends[backend.index].*counter;
        });
    }
    std::uint64_t ends(std::size_t end) const {
        return (*this)([end](const WorkerMetrics& metrics) -> const Counter& { return metrics.ends[end]; });
    }

private:
    const Balancer& balancer_;
};

std::uint64_t cooling_backends(const Balancer& balancer) {
    const auto backends = balancer.pool.backends();
    const auto now = Clock::now();
    return static_cast<std::uint64_t>(
        std::count_if(backends.begin(), backends.end(),
                      [now](const Backend& backend) { return backend.cooldown.cooling(now); }));
}

Family single(const char* name, const char* type, const char* help, std::uint64_t value) {
    return {name, type, help, {{"", "", std::to_string(value)}}};
}

/// The metrics of the contract.
std::vector<Family> contract(const Balancer& balancer) {
    const Sums sum(balancer);
    Family picks{"picks_by_backend", "counter", "How often each backend was picked.", {}};
    Family failures{"dial_failures_by_backend", "counter", "Dials to each backend that failed.", {}};
    for (const Backend& backend : balancer.pool.backends()) {
        const std::string labels = label("backend", backend.name);
        picks.samples.push_back(
            {"", labels, std::to_string(sum.of_backend(backend, &WorkerMetrics::OfBackend::picks))});
        failures.samples.push_back(
            {"", labels, std::to_string(sum.of_backend(backend, &WorkerMetrics::OfBackend::dial_failures))});
    }
    return {
        single("accepts_total", "counter", "Clients accepted.", sum(&WorkerMetrics::accepts)),
        single("accept_errors_total", "counter", "Accepts that failed.", sum(&WorkerMetrics::accept_errors)),
        single("capacity_dropped_total", "counter",
               "Clients closed at once because LB_MAX_INFLIGHT others were open.",
               sum(&WorkerMetrics::capacity_dropped)),
        single("active_conns", "gauge", "Clients being served.", balancer.inflight.taken()),
        single("dials_total", "counter", "Dials to backends, retries included.", sum(&WorkerMetrics::dials)),
        single("dial_failures_total", "counter", "Dials that failed.", sum(&WorkerMetrics::dial_failures)),
        single("retries_total", "counter", "Dials to another backend after a failed one.",
               sum(&WorkerMetrics::retries)),
        single("cooldown_backends", "gauge", "Backends left alone after a failed dial.",
               cooling_backends(balancer)),
        picks,
        failures,
    };
}

Family histogram(const Balancer& balancer, const char* name, const char* help,
                 Histogram WorkerMetrics::* member) {
    Family family{name, "histogram", help, {}};
    std::uint64_t count = 0;
    for (std::size_t i = 0; i <= Histogram::bounds.size(); ++i) {
        for (const WorkerMetrics& metrics : balancer.metrics) {
            count += (metrics.*member).count_in_bucket(i);
        }
        const std::string bound = i < Histogram::bounds.size() ? number(Histogram::bounds[i]) : "+Inf";
        family.samples.push_back({"_bucket", label("le", bound), std::to_string(count)});
    }
    double seconds = 0;
    for (const WorkerMetrics& metrics : balancer.metrics) {
        seconds += (metrics.*member).sum_in_seconds();
    }
    family.samples.push_back({"_sum", "", number(seconds)});
    family.samples.push_back({"_count", "", std::to_string(count)});
    return family;
}

/// What an operator wants to know beyond the contract.
std::vector<Family> more(const Balancer& balancer) {
    const Sums sum(balancer);
    Family bytes{
        "bytes_total",
        "counter",
        "Bytes passed on, by direction.",
        {{"", label("direction", "to_backend"), std::to_string(sum(&WorkerMetrics::bytes_to_backend))},
         {"", label("direction", "to_client"), std::to_string(sum(&WorkerMetrics::bytes_to_client))}}};
    Family ends{"connections_ended_total", "counter", "Connections that have ended, by the reason.", {}};
    for (std::size_t i = 0; i < number_of_ends; ++i) {
        ends.samples.push_back(
            {"", label("reason", to_text(static_cast<End>(i))), std::to_string(sum.ends(i))});
    }
    Family active{"backend_connections", "gauge", "Connections to each backend, dialling or open.", {}};
    for (const Backend& backend : balancer.pool.backends()) {
        active.samples.push_back(
            {"", label("backend", backend.name), std::to_string(backend.in_flight.load())});
    }
    Family build{"build_info",
                 "gauge",
                 "Always 1; the labels tell what is running.",
                 {{"", label("version", HARBOR_VERSION) + ',' + label("compiler", __VERSION__), "1"}}};
    return {
        bytes,
        ends,
        active,
        histogram(balancer, "dial_duration_seconds", "Time taken by dials that succeeded.",
                  &WorkerMetrics::dial_seconds),
        histogram(balancer, "connection_duration_seconds", "Time from accepting a client to its end.",
                  &WorkerMetrics::connection_seconds),
        single("workers", "gauge", "Worker threads.", balancer.metrics.size()),
        single("draining", "gauge", "1 once a shutdown has begun.", balancer.draining ? 1 : 0),
        single("buffers_in_use", "gauge", "Buffers that hold bytes on their way.",
               sum(&WorkerMetrics::buffers_taken)),
        single("buffers_free", "gauge", "Buffers kept for the next bytes.",
               sum(&WorkerMetrics::buffers_kept)),
        single("pipes_free", "gauge", "Pipes kept for the next large transfer.",
               sum(&WorkerMetrics::pipes_kept)),
        single("timers", "gauge", "Timers in the wheels.", sum(&WorkerMetrics::timers)),
        build,
    };
}

void append_text(std::string& text, const Family& family) {
    std::string name = "harbor_" + family.name;
    if (family.type == std::string_view("counter") && !name.ends_with("_total")) {
        name += "_total";
    }
    text += "# HELP " + name + ' ' + family.help + "\n# TYPE " + name + ' ' + family.type + '\n';
    for (const auto& [suffix, labels, value] : family.samples) {
        text += name + suffix + (labels.empty() ? "" : '{' + labels + '}') + ' ' + value + '\n';
    }
}

} // namespace

std::string_view to_text(End end) {
    constexpr std::array<std::string_view, number_of_ends> names{
        "client_end", "backend_end", "client_reset", "backend_reset",   "idle",
        "capacity",   "dial_failed", "shutdown",     "out_of_resources"};
    return names[static_cast<std::size_t>(end)];
}

void Histogram::observe(std::chrono::nanoseconds duration) {
    const double seconds = std::chrono::duration<double>(duration).count();
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin();
    buckets_[static_cast<std::size_t>(bucket)].add();
    nanoseconds_.add(static_cast<std::uint64_t>(duration.count()));
}

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

std::string for_json(std::string_view escaped) {
    std::string result;
    for (const char c : escaped) {
        if (static_cast<unsigned char>(c) < 0x20) {
            std::array<char, 8> code{};
            std::snprintf(code.data(), code.size(), "\\u%04x", static_cast<unsigned>(c));
            result += code.data();
        } else {
            result += c;
        }
    }
    return result;
}

std::string metrics_as_text(const Balancer& balancer) {
    std::string text;
    for (const Family& family : contract(balancer)) {
        append_text(text, family);
    }
    for (const Family& family : more(balancer)) {
        append_text(text, family);
    }
    return text;
}

std::string metrics_as_json(const Balancer& balancer) {
    std::string text;
    for (const Family& family : contract(balancer)) {
        const bool by_backend = family.name.ends_with("_by_backend");
        std::string values;
        for (const auto& [suffix, labels, value] : family.samples) {
            values += values.empty() ? "" : ",";
            values += by_backend ? for_json(labels.substr(labels.find('"'))) + ':' + value : value;
        }
        text += text.empty() ? "{" : ",";
        text += '"' + family.name + "\":" + (by_backend ? '{' + values + '}' : values);
    }
    return text + "}\n";
}

} // namespace harbor
