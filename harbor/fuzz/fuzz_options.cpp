// The command line: arguments, each ended by a zero byte; an argument that begins with `env:` is a variable
// of the environment instead, `env:NAME=value`.
//
// A flag and its variable have to mean the same, and the flag has to win. What --check prints has to be lines
// of printable text, whatever the values are.
#include "input.hpp"

#include "check.hpp"
#include "config.hpp"
#include "options.hpp"
#include "settings.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

namespace {

using fuzz::expect;

struct CommandLine {
    std::vector<std::string> arguments{"harbor"};
    std::map<std::string, std::string> variables;
};

CommandLine take_apart(fuzz::Input input) {
    CommandLine line;
    while (!input.empty()) {
        const std::string text = input.text();
        const std::size_t equals = text.find('=');
        if (text.starts_with("env:") && equals != std::string::npos) {
            line.variables.emplace(text.substr(4, equals - 4), text.substr(equals + 1));
        } else {
            line.arguments.push_back(text);
        }
    }
    return line;
}

std::optional<harbor::Options> read_options(const CommandLine& line) {
    std::vector<const char*> argv;
    for (const std::string& argument : line.arguments) {
        argv.push_back(argument.c_str());
    }
    argv.push_back(nullptr);
    try {
        return harbor::read_options(static_cast<int>(line.arguments.size()), argv.data());
    } catch (const harbor::ConfigError& complaint) {
        fuzz::expect_one_printable_line(complaint.what());
        expect(std::string_view(complaint.what()).ends_with("harbor --help shows the flags"),
               "no hint at the help");
        return std::nullopt;
    }
}

harbor::Environment environment_of(const std::map<std::string, std::string>& variables) {
    return [&variables](const char* name) -> const char* {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    };
}

/// The settings in force, or the complaint.
std::string outcome(const std::function<harbor::Config()>& read) {
    try {
        const harbor::Config config = read();
        std::string text;
        for (const harbor::Setting& setting : harbor::settings()) {
            text += setting.text(config) + '\n';
        }
        return text;
    } catch (const harbor::ConfigError& complaint) {
        fuzz::expect_one_printable_line(complaint.what());
        return "refused";
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const CommandLine line = take_apart({data, size});
    const auto options = read_options(line);
    if (!options) {
        return 0;
    }
    if (options->action == harbor::Options::Action::print) {
        expect(!options->text.empty(), "nothing to print");
        return 0;
    }

    // Flags on top of the environment must come to the same as an environment with the flags in it.
    const harbor::Environment environment = environment_of(line.variables);
    std::map<std::string, std::string> merged = line.variables;
    for (const auto& [variable, value] : options->values) {
        const auto settings = harbor::settings();
        expect(std::any_of(settings.begin(), settings.end(),
                           [&](const harbor::Setting& setting) { return setting.variable == variable; }),
               "a flag sets what is no setting");
        merged[variable] = value;
        expect(harbor::origin(*options, environment, variable.c_str()) == "flag", "a flag does not win");
    }
    const std::string by_flags = outcome([&] { return harbor::read_config(*options, environment); });
    expect(by_flags == outcome([&] { return harbor::read_config(environment_of(merged)); }),
           "a flag means another thing than its variable");

    try {
        const std::string text = harbor::check(*options, environment);
        expect(by_flags != "refused", "--check accepts what a start refuses");
        expect(text.ends_with('\n'), "the last line has no end");
        for (const char c : text) {
            expect(c == '\n' || (c >= ' ' && c <= '~'), "--check prints what is not printable");
        }
    } catch (const harbor::ConfigError& complaint) { // also for names that do not resolve
        fuzz::expect_one_printable_line(complaint.what());
    }
    return 0;
}
