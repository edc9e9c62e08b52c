//! [ch02:reading_head]
// Reading the environment: each variable through a function that either returns a usable value or says what
// is wrong.
#include "config.hpp"

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace harbor {

namespace {
//! [ch02:reading_head]

//! [ch02:reject]
[[noreturn]] void reject(std::string_view name, std::string_view value, std::string_view expected) {
    std::string text(name);
    text.append("='").append(value).append("' is not valid: expected ").append(expected);
    throw ConfigError(text);
}
//! [ch02:reject]

//! [ch02:variable]
/// An unset variable is absent. An empty one is a value, and has to be a valid one.
std::optional<std::string> variable(const Environment& environment, const char* name) {
    const char* value = environment(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}
//! [ch02:variable]

//! [ch02:number]
/// All of `text` as a number from `lowest` to `highest`, or nothing.
std::optional<std::int64_t> number(std::string_view text, std::int64_t lowest, std::int64_t highest) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    return whole && value >= lowest && value <= highest ? std::optional(value) : std::nullopt;
}
//! [ch02:number]

//! [ch02:parse_address]
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
//! [ch02:parse_address]

//! [ch02:read_listen_address]
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
//! [ch02:read_listen_address]

//! [ch02:read_backend]
Address read_backend(const Environment& environment) {
    constexpr auto expected = "one host:port or [v6]:port, with a port from 1 to 65535";
    const auto text = variable(environment, "BACKENDS");
    if (!text) {
        throw ConfigError(std::string("BACKENDS is not set: expected ") + expected);
    }
    const auto address = parse_address(*text, 1);
    if (!address || address->host.empty()) {
        reject("BACKENDS", *text, expected);
    }
    return *address;
}

} // namespace
//! [ch02:read_backend]

//! [ch02:to_text]
std::string to_text(const Address& address) {
    const bool v6 = address.host.find(':') != std::string::npos;
    return (v6 ? '[' + address.host + ']' : address.host) + ':' + address.port;
}
//! [ch02:to_text]

//! [ch02:read_config]
Config read_config(const Environment& environment) {
    Config config;
    config.listen = read_listen_address(environment);
    config.backend = read_backend(environment);
    return config;
}

} // namespace harbor
//! [ch02:read_config]
