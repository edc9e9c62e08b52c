// What is not checked: that an address is free to bind, and that a backend answers. Both may change between
// the check and the start, and the check is meant to be run while the balancer that is to be replaced is
// still serving on that port.
#include "check.hpp"

#include "backend.hpp"
#include "settings.hpp"

#include <algorithm>
#include <sstream>

namespace harbor {

namespace {

struct Line {
    std::string name;
    std::string value;
    std::string_view from;
};

/// The addresses that `address` stands for.
std::string look_up(const Address& address) {
    std::ostringstream text;
    const char* separator = "";
    for (const auto& endpoint : resolve(address)) {
        text << separator << endpoint;
        separator = ", ";
    }
    return text.str();
}

/// The addresses among the settings; empty for the others.
std::vector<Address> addresses_of(const Setting& setting, const Config& config) {
    const std::string_view variable = setting.variable;
    if (variable == "BACKENDS") {
        return config.backends;
    }
    if (variable == "LB_ADDR") {
        return {config.listen};
    }
    return variable == "LB_METRICS_ADDR" ? std::vector{config.metrics_listen} : std::vector<Address>{};
}

std::vector<Line> lines_of(const Options& options, const Environment& environment) {
    const Config config = read_config(options, environment);
    std::vector<Line> lines;
    for (const Setting& setting : settings()) {
        std::string value = setting.text(config);
        if (value.empty()) {
            continue;
        }
        if (setting.value != nullptr && setting.value == std::string_view("MS")) {
            value += " ms";
        }
        const bool seeded = config.dev_seed && setting.variable == std::string_view("BACKENDS");
        const std::string_view from =
            seeded ? "the development seed" : origin(options, environment, setting.variable);
        lines.push_back({setting.flag + 2, value, from}); // without the dashes
        for (const Address& address : addresses_of(setting, config)) {
            const std::string found = look_up(address);
            if (!address.host.empty() && found != to_text(address)) { // a name, not an address
                lines.push_back({"  " + to_text(address), found, "name resolution"});
            }
        }
    }
    return lines;
}

} // namespace

std::string check(const Options& options, const Environment& environment) {
    const std::vector<Line> lines = lines_of(options, environment);
    std::size_t width = 0;
    for (const Line& line : lines) {
        width = std::max(width, line.name.size());
    }
    std::string text;
    for (const Line& line : lines) {
        text += line.name + std::string(width - line.name.size(), ' ') + " = " + line.value + "  (from ";
        text.append(line.from).append(")\n");
    }
    return text;
}

} // namespace harbor
