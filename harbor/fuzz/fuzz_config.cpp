// The environment: NAME=value, each ended by a zero byte, as it is in memory.
//
// What read_config() makes of it is compared with a second opinion on each value, written without a look at
// the first. What it accepts must also survive being written down and read again.
#include "input.hpp"

#include "config.hpp"
#include "settings.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <vector>

namespace {

using fuzz::expect;

std::map<std::string, std::string> read_variables(fuzz::Input input) {
    std::map<std::string, std::string> variables;
    while (!input.empty()) {
        const std::string entry = input.text();
        const std::size_t equals = entry.find('=');
        if (equals != std::string::npos) {
            variables.emplace(entry.substr(0, equals), entry.substr(equals + 1)); // getenv finds the first
        }
    }
    return variables;
}

harbor::Config read(const std::map<std::string, std::string>& variables) {
    return harbor::read_config([&variables](const char* name) -> const char* {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

// ---------------------------------------------------------------------------------------- the second opinion

/// Only digits, with a minus before them at most, and the number lies between the two.
bool is_number(const std::string& text, long long low, long long high) {
    const std::size_t sign = !text.empty() && text[0] == '-' ? 1 : 0;
    if (text.size() == sign || text.find_first_not_of("0123456789", sign) != std::string::npos) {
        return false;
    }
    const std::size_t zeros = std::min(text.find_first_not_of('0', sign), text.size() - 1);
    if (text.size() - zeros > 18) {
        return false; // beyond every range there is
    }
    const long long value = std::strtoll(text.c_str(), nullptr, 10);
    return value >= low && value <= high;
}

bool is_one_of(const std::string& text, std::initializer_list<const char*> words) {
    return std::find(words.begin(), words.end(), text) != words.end();
}

/// host:port or [host]:port.
bool is_address(const std::string& text, long long lowest_port) {
    std::size_t end_of_host = 0;
    if (!text.empty() && text[0] == '[') {
        const std::size_t bracket = text.find_first_of("[] \t,", 1);
        if (bracket == std::string::npos || text[bracket] != ']') {
            return false;
        }
        end_of_host = bracket + 1;
    } else {
        end_of_host = std::min(text.find_first_of(":[] \t,"), text.size());
    }
    return end_of_host < text.size() && text[end_of_host] == ':' &&
           is_number(text.substr(end_of_host + 1), lowest_port, 65535);
}

std::string host_of(const std::string& address) {
    const std::string host = address.substr(0, address.rfind(':'));
    return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

bool is_backend_list(const std::string& text) {
    std::set<std::pair<std::string, std::string>> seen;
    std::string entry;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i < text.size() && text[i] != ',') {
            entry += text[i];
            continue;
        }
        if (!is_address(entry, 1) || host_of(entry).empty() ||
            !seen.emplace(host_of(entry), entry.substr(entry.rfind(':'))).second) {
            return false;
        }
        entry.clear();
    }
    return true;
}

bool is_good(const std::string& name, const std::string& value) {
    constexpr long long a_day = 86'400'000;
    if (name == "BACKENDS") {
        return is_backend_list(value);
    }
    if (name == "LB_ADDR" || name == "LB_METRICS_ADDR") {
        return is_address(value, 0);
    }
    if (name == "LB_ALLOW_DEV_SEED" || name == "LB_TCP_NODELAY" || name == "LB_ACCESS_LOG") {
        return is_one_of(value, {"0", "1", "true", "false"});
    }
    if (name == "STRATEGY") {
        return is_one_of(value, {"round-robin", "rr", "roundrobin", "least-connections", "least", "leastconn",
                                 "least-requests", "leastrequests", "lc", "power-of-two", "p2c"});
    }
    if (name == "LB_LOG_LEVEL") {
        return is_one_of(value, {"trace", "debug", "info", "warn", "error", "critical", "off"});
    }
    if (name == "LB_THREADS") {
        return is_number(value, 1, 1024);
    }
    if (name == "LB_DIAL_RETRIES") {
        return is_number(value, 0, 100);
    }
    if (name == "LB_MAX_INFLIGHT") {
        return is_number(value, 1, 1'000'000);
    }
    if (name == "LB_DIAL_TIMEOUT_MS") {
        return is_number(value, 1, a_day);
    }
    const bool duration = is_one_of(
        name, {"LB_BACKEND_COOLDOWN_MS", "LB_IO_TIMEOUT_MS", "LB_TCP_KEEPALIVE_MS", "LB_SHUTDOWN_GRACE_MS"});
    return !duration || is_number(value, 0, a_day); // the others are none of ours
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto variables = read_variables({data, size});
    bool good = true;
    for (const auto& [name, value] : variables) {
        good = good && is_good(name, value);
    }
    const auto seed = variables.find("LB_ALLOW_DEV_SEED");
    good = good && (variables.contains("BACKENDS") ||
                    (seed != variables.end() && is_one_of(seed->second, {"1", "true"})));

    harbor::Config config;
    try {
        config = read(variables);
    } catch (const harbor::ConfigError& complaint) {
        fuzz::expect_one_printable_line(complaint.what());
        expect(!good, std::string("refused without a reason: ") + complaint.what());
        const auto settings = harbor::settings();
        expect(std::any_of(settings.begin(), settings.end(),
                           [&](const harbor::Setting& setting) {
                               return std::string_view(complaint.what()).starts_with(setting.variable);
                           }),
               std::string("the complaint names no variable: ") + complaint.what());
        return 0;
    }
    expect(good, "accepted although something is wrong with it");

    std::map<std::string, std::string> written;
    for (const harbor::Setting& setting : harbor::settings()) {
        const std::string text = setting.text(config);
        if (!text.empty()) {
            written[setting.variable] = text;
        }
    }
    const harbor::Config again = read(written);
    for (const harbor::Setting& setting : harbor::settings()) {
        if (std::strcmp(setting.variable, "LB_ALLOW_DEV_SEED") != 0) { // without effect once BACKENDS is set
            expect(setting.text(again) == setting.text(config),
                   "written and read again it means another thing");
        }
    }
    return 0;
}
