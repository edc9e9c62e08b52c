// Every setting there is, in one table: its flag, its variable, what it means, and how its value is written.
//
// Flags, --help and --check are all made from this table, so a setting cannot have a flag that --help does
// not show, or a default that differs from what --help says. What a value may be is not said here:
// read_config() judges.
#pragma once

#include "config.hpp"

#include <span>
#include <string>

namespace harbor {

struct Setting {
    const char* name; // of the flag, without the dashes
    const char* flag; // `--dial-timeout`
    const char* variable; // `LB_DIAL_TIMEOUT_MS`
    const char*
        value; // what --help calls the value, `MS` for a duration; null for a switch, which needs none
    const char* group; // the heading in --help
    const char* help; // lines of up to 50 characters
    const char* preset; // what --help says of the default where text() cannot tell; else null

    /// The value in `config`, in a form that read_config() takes; empty when the setting has no effect there.
    std::string (*text)(const Config& config);
};

/// In the order in which --help shows them.
std::span<const Setting> settings();

} // namespace harbor
