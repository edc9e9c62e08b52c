// Reading the environment: each variable through a function that either returns a usable value or says what
// is wrong.
#include "config.hpp"

//! [ch03:config_head]
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <thread>

namespace harbor {

namespace {

constexpr auto dev_seed = "127.0.0.1:9001,127.0.0.1:9002";
//! [ch03:config_head]

[[noreturn]] void reject(std::string_view name, std::string_view value, std::string_view expected) {
    std::string text(name);
    text.append("='").append(value).append("' is not valid: expected ").append(expected);
    throw ConfigError(text);
}

/// An unset variable is absent. An empty one is a value, and has to be a valid one.
std::optional<std::string> variable(const Environment& environment, const char* name) {
    const char* value = environment(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

/// All of `text` as a number from `lowest` to `highest`, or nothing.
std::optional<std::int64_t> number(std::string_view text, std::int64_t lowest, std::int64_t highest) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    return whole && value >= lowest && value <= highest ? std::optional(value) : std::nullopt;
}

/// Splits `host:port` or `[v6]:port`, or returns nothing. The last colon separates, so `::1:9001` could be
/// meant in two ways: that is what the brackets are for (RFC 3986, section 3.2.2).
std::optional<Address> parse_address(std::string_view text, std::int64_t lowest_port) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || !number(text.substr(colon + 1), lowest_port, 65535)) {
        return std::nullopt;
    }
    std::string_view host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return std::nullopt;
    }
    if (host.find_first_of(" \t[],") != std::string_view::npos) {
        return std::nullopt;
    }
    return Address{std::string(host), std::string(text.substr(colon + 1))};
}

Address read_listen_address(const Environment& environment) {
    const auto text = variable(environment, "LB_ADDR");
    if (!text) {
        return Config{}.listen;
    }
    const auto address = parse_address(*text, 0);
    if (!address) {
        reject("LB_ADDR", *text, "host:port or :port, with a port from 0 to 65535 (0 takes any free one)");
    }
    return *address;
}

//! [ch03:read_backends]
std::vector<Address> read_backends(std::string_view text) {
    std::vector<Address> backends;
    for (std::size_t start = 0; start <= text.size();) {
        const std::size_t comma = std::min(text.find(',', start), text.size());
        const std::string_view entry = text.substr(start, comma - start);
        const auto address = parse_address(entry, 1);
        if (!address || address->host.empty()) {
            reject("BACKENDS", text,
                   "host:port[,host:port...], each with a port from 1 to 65535; the entry '" +
                       std::string(entry) + "' is not one");
        }
        const auto same = [&](const Address& other) { return to_text(other) == to_text(*address); };
        if (std::any_of(backends.begin(), backends.end(), same)) {
            reject("BACKENDS", text, "each backend once; '" + std::string(entry) + "' is there twice");
        }
        backends.push_back(*address);
        start = comma + 1;
    }
    return backends;
}
//! [ch03:read_backends]

//! [ch03:read_number]
/// The value of a number from `lowest` to `highest`, or `fallback` when the variable is not set.
std::int64_t read_number(const Environment& environment, const char* name, std::int64_t fallback,
                         std::int64_t lowest, std::int64_t highest) {
    const auto text = variable(environment, name);
    if (!text) {
        return fallback;
    }
    const auto value = number(*text, lowest, highest);
    if (!value) {
        reject(name, *text,
               "a whole number from " + std::to_string(lowest) + " to " + std::to_string(highest));
    }
    return *value;
}
//! [ch03:read_number]

//! [ch03:read_flag]
bool read_flag(const Environment& environment, const char* name, bool fallback) {
    const auto text = variable(environment, name);
    if (!text) {
        return fallback;
    }
    if (*text != "1" && *text != "0" && *text != "true" && *text != "false") {
        reject(name, *text, "1, 0, true or false");
    }
    return *text == "1" || *text == "true";
}
//! [ch03:read_flag]

} // namespace

std::string to_text(const Address& address) {
    const bool v6 = address.host.find(':') != std::string::npos;
    return (v6 ? '[' + address.host + ']' : address.host) + ':' + address.port;
}

//! [ch03:read_config]
Config read_config(const Environment& environment) {
    Config config;
    config.listen = read_listen_address(environment);
    config.dev_seed = read_flag(environment, "LB_ALLOW_DEV_SEED", false);
    const auto backends = variable(environment, "BACKENDS");
    if (!backends && !config.dev_seed) {
        throw ConfigError("BACKENDS is not set: expected host:port[,host:port...], "
                          "or LB_ALLOW_DEV_SEED=1 to try the balancer out with " +
                          std::string(dev_seed));
    }
    config.dev_seed = !backends;
    config.backends = read_backends(backends.value_or(dev_seed));
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency()); // 0 where it cannot be told
    config.threads = static_cast<unsigned>(read_number(environment, "LB_THREADS", cores, 1, 1024));
    return config;
}
//! [ch03:read_config]

} // namespace harbor
