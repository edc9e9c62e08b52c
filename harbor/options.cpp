// CLI11 takes the command line apart and lays out the help; it is asked for strings only. Its own conversions
// and validators, and its way of reading the environment (envname), are left alone: they would judge values
// before read_config() does, in other words, and could not say which of the two a bad value came from.
#include "options.hpp"

#include "printable.hpp"
#include "settings.hpp"
#include "version.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <memory>
#include <vector>

namespace harbor {

namespace {

constexpr auto description =
    "Harbor, a TCP load balancer: shares the connections of clients out to backends.\n";

constexpr auto footer = R"(Durations (MS) are whole milliseconds, BOOL is true, false, 1 or 0.
Each flag has a variable, in brackets, that sets the same; the flag wins.

Example:
  harbor --listen :6379 --backends 10.0.0.1:6379,10.0.0.2:6379 --strategy lc

Signals: SIGTERM or SIGINT drains and ends; a second one cuts what is left.
Exit status: 0 after a shutdown, 1 when it cannot listen, 2 for a bad setting.)";

/// CLI11's layout, with the names of values as they are in our table.
class HelpFormatter : public CLI::Formatter {
public:
    HelpFormatter() { column_width(29); }

    std::string make_usage(const CLI::App* /*app*/, std::string name) const override {
        return "Usage: " + name + " --backends HOST:PORT[,HOST:PORT...] [FLAG [VALUE]]...\n\n";
    }

    std::string make_group(std::string group, bool positional,
                           std::vector<const CLI::Option*> options) const override {
        const std::string text = Formatter::make_group(group, positional, options);
        return text.starts_with('\n') ? text.substr(1) : text; // one empty line between groups, not two
    }

    std::string make_option_opts(const CLI::Option* option) const override {
        const std::string& value = option->get_type_name();
        return value.empty() ? "" : ' ' + value;
    }
};

std::string help_of(const Setting& setting) {
    const std::string preset =
        setting.preset != nullptr ? setting.preset : "default " + setting.text(Config{});
    return std::string(setting.help) + "\n[" + setting.variable + "; " + preset + ']';
}

/// One CLI11 option a setting, in the order of the table.
std::vector<CLI::Option*> add_flags(CLI::App& app) {
    std::vector<CLI::Option*> options;
    for (const Setting& setting : settings()) {
        const std::string help = help_of(setting);
        CLI::Option* option = nullptr;
        if (setting.value == nullptr) {
            option = app.add_flag(setting.flag, help)->type_name("");
        } else {
            option = app.add_option(setting.flag, CLI::callback_t(), help)->type_name(setting.value);
            option->take_all(); // a flag that is given twice is found below, with the switches
        }
        options.push_back(option->group(setting.group));
    }
    return options;
}

[[noreturn]] void reject(const std::string& text) {
    throw ConfigError(printable(text) + "; harbor --help shows the flags");
}

} // namespace

Options read_options(int argc, const char* const* argv) {
    CLI::App app(description, "harbor");
    app.formatter(std::make_shared<HelpFormatter>());
    app.footer(footer);
    app.set_help_flag(); // in its place, below the others
    const std::vector<CLI::Option*> flags = add_flags(app);
    constexpr auto group = "Other";
    const std::string check_help = "validate all settings, look the names up, print\n"
                                   "the settings in force, and bind nothing";
    const CLI::Option* check = app.add_flag("--check", check_help)->group(group);
    app.set_help_flag("-h,--help", "this text")->group(group);
    app.set_version_flag("-V,--version", version_text(), "the version")->group(group);

    Options options;
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        options.action = Options::Action::print;
        options.text = app.help();
        return options;
    } catch (const CLI::CallForVersion&) {
        options.action = Options::Action::print;
        options.text = version_text();
        return options;
    } catch (const CLI::ExtrasError&) {
        reject('\'' + app.remaining().front() + "' is not a flag of this program");
    } catch (const CLI::ArgumentMismatch& error) { // `--threads: 1 required N missing`
        const std::string_view text = error.what();
        reject(std::string(text.substr(0, text.find(':'))) + " needs a value");
    } catch (const CLI::ParseError& error) {
        reject(error.what());
    }

    for (std::size_t i = 0; i < flags.size(); ++i) {
        const std::vector<std::string>& values = flags[i]->results();
        // The last could win, but then the first was a mistake of whoever wrote it.
        if (values.size() > 1) {
            reject(std::string(settings()[i].flag) + " is given " + std::to_string(values.size()) + " times");
        }
        if (!values.empty()) {
            options.values[settings()[i].variable] = values.front();
        }
    }
    options.action = check->count() > 0 ? Options::Action::check : Options::Action::run;
    return options;
}

//! [harbor:with_flags]
Environment with_flags(const Options& options, const Environment& environment) {
    return [&options, environment](const char* variable) {
        const auto value = options.values.find(variable);
        return value != options.values.end() ? value->second.c_str() : environment(variable);
    };
}
//! [harbor:with_flags]

Config read_config(const Options& options, const Environment& environment) {
    const auto set_by_flag = [&options](const char* variable) -> const char* {
        for (const Setting& setting : settings()) {
            if (std::string_view(setting.variable) == variable && options.values.contains(variable)) {
                return setting.flag;
            }
        }
        return nullptr;
    };
    return read_config(with_flags(options, environment), set_by_flag);
}

std::string_view origin(const Options& options, const Environment& environment, const char* variable) {
    if (options.values.contains(variable)) {
        return "flag";
    }
    return environment(variable) != nullptr ? "environment" : "default";
}

} // namespace harbor
