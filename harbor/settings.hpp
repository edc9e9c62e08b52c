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

//! [harbor:setting]
struct Setting {
    /// `--dial-timeout`
    const char* flag;
    /// `LB_DIAL_TIMEOUT_MS`
    const char* variable;
    /// What --help calls the value, `MS` for a duration; null for a switch, which needs none.
    const char* value;
    /// The heading in --help.
    const char* group;
    /// Lines of up to 50 characters.
    const char* help;
    /// What --help says in place of `default …`, where text() does not know the default; else null.
    const char* preset;
    /// The value in `config`, in a form that read_config() takes; empty when the setting has no effect there.
    std::string (*text)(const Config& config);
};
//! [harbor:setting]

/// In the order in which --help shows them.
std::span<const Setting> settings();

} // namespace harbor
