// The command line.
//
// A flag is another way to give a variable its value, and the one that wins. So the command line becomes a
// layer on top of the environment, and read_config() reads through both without knowing: there is one set of
// rules and one set of words for what is wrong with a value, and a flag that is forgotten there cannot exist.
#pragma once

#include "config.hpp"

#include <map>
#include <string>
#include <string_view>

namespace harbor {

/// What the user wants, with the values that the flags have given.
struct Options {
    enum class Action {
        run, ///< serve
        check, ///< look at the configuration, bind nothing
        print, ///< print `text` (--help, --version), whatever else was asked for
    };

    Action action = Action::run;
    std::string text;
    std::map<std::string, std::string, std::less<>> values; ///< by variable, not looked at yet
};

/// Takes the command line apart; `argv[0]` is the program. Throws ConfigError, with a hint at --help, for
/// what is not a flag of this program.
Options read_options(int argc, const char* const* argv);

/// The environment with the flags on top. The result is a view: `options` must outlive it.
Environment with_flags(const Options& options, const Environment& environment);

/// The configuration, or a ConfigError that names the flag or the variable.
Config read_config(const Options& options, const Environment& environment);

/// Whether the value of a variable is from a `flag`, the `environment`, or the `default`.
std::string_view origin(const Options& options, const Environment& environment, const char* variable);

} // namespace harbor
