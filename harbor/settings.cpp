// The table itself.
//
// The texts are for somebody who has never seen the program: what the setting does to a connection, the unit,
// and what 0 means where it means something of its own.
#include "settings.hpp"

#include <array>
#include <chrono>

namespace harbor {

namespace {

std::string text(std::chrono::milliseconds duration) {
    return std::to_string(duration.count());
}

std::string text(bool value) {
    return value ? "true" : "false";
}

std::string text(const std::vector<Address>& addresses) {
    std::string list;
    for (const Address& address : addresses) {
        list += (list.empty() ? "" : ",") + to_text(address);
    }
    return list;
}

constexpr auto addresses = "Addresses";
constexpr auto balancing = "Balancing";
constexpr auto connections = "Connections";
constexpr auto process = "Process";

// A lambda without captures is a function; a row of the table stays together.
constexpr std::array all{
    Setting{"--listen", "LB_ADDR", "HOST:PORT", addresses,
            "where clients connect; without a host on every\naddress, with port 0 on any free port", nullptr,
            [](const Config& config) { return to_text(config.listen); }},
    Setting{"--backends", "BACKENDS", "HOST:PORT,...", addresses,
            "the servers to share the clients out to;\nan IPv6 address in brackets, [::1]:9001", "required",
            [](const Config& config) { return text(config.backends); }},
    Setting{"--allow-dev-seed", "LB_ALLOW_DEV_SEED", nullptr, addresses,
            "without --backends, try things out with\n127.0.0.1:9001,127.0.0.1:9002", "default false",
            [](const Config& config) { return config.dev_seed ? text(true) : ""; }},
    Setting{"--metrics", "LB_METRICS_ADDR", "HOST:PORT", addresses,
            "where GET /metrics, /healthz and /readyz\nare answered", nullptr,
            [](const Config& config) { return to_text(config.metrics_listen); }},

    Setting{"--strategy", "STRATEGY", "NAME", balancing,
            "who gets the next client: round-robin (rr),\nleast-connections (lc) or power-of-two (p2c)",
            nullptr, [](const Config& config) { return config.strategy; }},
    Setting{"--dial-timeout", "LB_DIAL_TIMEOUT_MS", "MS", balancing,
            "how long to wait for a backend to accept a\nconnection", nullptr,
            [](const Config& config) { return text(config.dial_timeout); }},
    Setting{"--dial-retries", "LB_DIAL_RETRIES", "N", balancing,
            "how many other backends to try when one does not", nullptr,
            [](const Config& config) { return std::to_string(config.dial_retries); }},
    Setting{"--backend-cooldown", "LB_BACKEND_COOLDOWN_MS", "MS", balancing,
            "how long it is then left alone; 0 = not at all", nullptr,
            [](const Config& config) { return text(config.backend_cooldown); }},

    Setting{"--max-inflight", "LB_MAX_INFLIGHT", "N", connections,
            "how many clients are served at a time; one more\nis accepted and closed at once", nullptr,
            [](const Config& config) { return std::to_string(config.max_inflight); }},
    Setting{"--io-timeout", "LB_IO_TIMEOUT_MS", "MS", connections,
            "close a connection when no byte has moved either\nway for so long; 0 = never", nullptr,
            [](const Config& config) { return text(config.io_timeout); }},
    Setting{"--tcp-keepalive", "LB_TCP_KEEPALIVE_MS", "MS", connections,
            "ask a silent peer after so long whether it is\nstill there; 0 = never", nullptr,
            [](const Config& config) { return text(config.tcp_keepalive); }},
    Setting{"--tcp-nodelay", "LB_TCP_NODELAY", "BOOL", connections, "send small pieces at once (TCP_NODELAY)",
            nullptr, [](const Config& config) { return text(config.tcp_nodelay); }},

    Setting{"--threads", "LB_THREADS", "N", process, "worker threads", "default one a core",
            [](const Config& config) { return std::to_string(config.threads); }},
    Setting{"--shutdown-grace", "LB_SHUTDOWN_GRACE_MS", "MS", process,
            "how long open connections may go on after\nSIGTERM or SIGINT; 0 = cut at once", nullptr,
            [](const Config& config) { return text(config.shutdown_grace); }},
    Setting{"--log-level", "LB_LOG_LEVEL", "LEVEL", process,
            "what to log on standard error: trace, debug,\ninfo, warn, error, critical or off", nullptr,
            [](const Config& config) { return std::string(to_text(config.log_level)); }},
    Setting{"--access-log", "LB_ACCESS_LOG", nullptr, process,
            "also log a line for each connection that has\nended, whatever the level", nullptr,
            [](const Config& config) { return text(config.access_log); }},
};

} // namespace

std::span<const Setting> settings() {
    return all;
}

} // namespace harbor
