// The command line, and what read_config(), --help, --check and the manual page make of it.
//
// The table of settings is what keeps them together, so most tests go through all of it: a setting that is
// added without a word in the manual, or with a flag whose value nobody reads, fails here.
#include "../check.hpp"
#include "../options.hpp"
#include "../printable.hpp"
#include "../settings.hpp"
#include "../version.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using harbor::Options;
using harness::contains;

namespace {

using Variables = std::map<std::string, std::string>;

/// A view of `variables`, which must outlive it.
harbor::Environment environment_of(const Variables& variables) {
    return [&variables](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    };
}

Options options_of(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{"harbor"};
    for (const std::string& argument : arguments) {
        argv.push_back(argument.c_str());
    }
    return harbor::read_options(static_cast<int>(argv.size()), argv.data());
}

harbor::Config config_of(const std::vector<std::string>& arguments, const Variables& variables = {}) {
    return harbor::read_config(options_of(arguments), environment_of(variables));
}

/// What read_options() and read_config() complain of; empty if they do not.
std::string complaint_of(const std::vector<std::string>& arguments, const Variables& variables = {}) {
    try {
        config_of(arguments, variables);
        return "";
    } catch (const harbor::ConfigError& error) {
        return error.what();
    }
}

/// A valid value for each setting, none of them the default.
Variables other_values() {
    return {
        {"LB_ADDR", "127.0.0.1:1"},     {"BACKENDS", "127.0.0.1:2,[::1]:3"}, {"LB_ALLOW_DEV_SEED", "true"},
        {"LB_METRICS_ADDR", "[::1]:4"}, {"STRATEGY", "power-of-two"},        {"LB_DIAL_TIMEOUT_MS", "11"},
        {"LB_DIAL_RETRIES", "12"},      {"LB_BACKEND_COOLDOWN_MS", "13"},    {"LB_MAX_INFLIGHT", "14"},
        {"LB_IO_TIMEOUT_MS", "15"},     {"LB_TCP_KEEPALIVE_MS", "16"},       {"LB_TCP_NODELAY", "false"},
        {"LB_THREADS", "17"},           {"LB_SHUTDOWN_GRACE_MS", "18"},      {"LB_LOG_LEVEL", "critical"},
        {"LB_ACCESS_LOG", "true"}};
}

std::string manual_page() {
    std::ifstream file(HARBOR_MANUAL_PAGE);
    REQUIRE(file.is_open());
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_CASE("every setting can be given by its flag and by its variable") {
    const Variables values = other_values();
    for (const harbor::Setting& setting : harbor::settings()) {
        INFO(setting.flag);
        const std::string& value = values.at(setting.variable);
        const bool seed =
            setting.variable == std::string("LB_ALLOW_DEV_SEED"); // has an effect without BACKENDS
        const bool list = setting.variable == std::string("BACKENDS");
        const Variables rest = seed || list ? Variables{} : Variables{{"BACKENDS", "127.0.0.1:1"}};

        const std::string argument = std::string(setting.flag) + '=' + value;
        CHECK(setting.text(config_of({argument}, rest)) == value);

        Variables variables = rest;
        variables[setting.variable] = value;
        CHECK(setting.text(config_of({}, variables)) == value);
    }
}

TEST_CASE("a flag wins over its variable") {
    CHECK(config_of({"--dial-retries", "3"}, {{"BACKENDS", "a:1"}, {"LB_DIAL_RETRIES", "2"}}).dial_retries ==
          3);
    // Whatever is in the variable, it is out of play.
    CHECK(config_of({"--threads", "3"}, {{"BACKENDS", "a:1"}, {"LB_THREADS", "many"}}).threads == 3);
    CHECK_FALSE(config_of({"--access-log=0"}, {{"BACKENDS", "a:1"}, {"LB_ACCESS_LOG", "1"}}).access_log);
}

TEST_CASE("a switch needs no value") {
    CHECK(config_of({"--access-log", "--backends", "a:1"}).access_log);
    CHECK(config_of({"--allow-dev-seed"}).dev_seed);
}

TEST_CASE("a complaint names the flag or the variable and the value and the form expected") {
    CHECK(complaint_of({"--threads", "x", "--backends", "a:1"}) ==
          "--threads 'x' is not valid: expected a whole number from 1 to 1024");
    CHECK(complaint_of({"--backends", "a:1"}, {{"LB_THREADS", "x"}}) ==
          "LB_THREADS='x' is not valid: expected a whole number from 1 to 1024");
    CHECK(contains(complaint_of({"--backends", "a:0"}), "--backends 'a:0' is not valid"));
    CHECK(contains(complaint_of({"--log-level", "loud", "--backends", "a:1"}), "trace, debug, info"));
    CHECK(contains(complaint_of({}), "BACKENDS is not set"));
}

TEST_CASE("a negative number is the value of the flag before it") {
    CHECK(contains(complaint_of({"--threads", "-1", "--backends", "a:1"}), "--threads '-1'"));
}

TEST_CASE("a complaint is one line of plain text whatever the value holds") {
    const std::string text =
        complaint_of({"--strategy", "a\nharbor: all is well\x1b[2J"}, {{"BACKENDS", "a:1"}});
    CHECK(contains(text, "a\\nharbor: all is well\\x1b[2J"));
    CHECK(text.find_first_of("\n\x1b") == std::string::npos);
    CHECK(complaint_of({"--bo\ngus"}).find('\n') == std::string::npos);
}

TEST_CASE("what is not a flag is refused with a hint at the help") {
    CHECK(complaint_of({"--bogus"}) ==
          "'--bogus' is not a flag of this program; harbor --help shows the flags");
    CHECK(contains(complaint_of({"127.0.0.1:9001"}), "'127.0.0.1:9001' is not a flag"));
    CHECK(contains(complaint_of({"--thread", "1"}),
                   "--help")); // no abbreviations: they break when flags are added
}

TEST_CASE("a flag without its value or given twice is refused") {
    CHECK(contains(complaint_of({"--threads"}), "--threads needs a value"));
    CHECK(contains(complaint_of({"--threads", "1", "--threads", "2"}), "--threads is given 2 times"));
    CHECK(contains(complaint_of({"--access-log", "--access-log=0"}), "--access-log is given 2 times"));
}

TEST_CASE("help and version win over everything else on the command line") {
    for (const std::string flag : {"--help", "-h"}) {
        const Options options = options_of({"--bogus", flag, "--check"});
        CHECK(options.action == Options::Action::print);
        CHECK(contains(options.text, "Usage: harbor"));
    }
    for (const std::string flag : {"--version", "-V"}) {
        CHECK(options_of({flag, "--bogus"}).text == harbor::version_text());
    }
    CHECK(options_of({"--check"}).action == Options::Action::check);
    CHECK(options_of({}).action == Options::Action::run);
}

TEST_CASE("the help shows every flag with its variable and its default within 80 columns") {
    const std::string help = options_of({"--help"}).text;
    for (const harbor::Setting& setting : harbor::settings()) {
        CHECK(contains(help, "  " + std::string(setting.flag) + ' '));
        CHECK(contains(help, '[' + std::string(setting.variable) + "; "));
    }
    CHECK(contains(help, "[LB_DIAL_TIMEOUT_MS; default 1500]"));
    CHECK(contains(help, "[LB_THREADS; default one a core]"));

    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line);) {
        INFO(line);
        CHECK(line.size() <= 80);
    }
}

TEST_CASE("the manual page has every flag and variable and default") {
    const std::string page = manual_page();
    const harbor::Config preset;
    for (const harbor::Setting& setting : harbor::settings()) {
        INFO(setting.flag);
        // mdoc writes `--threads` as `Fl -threads`.
        const std::size_t item = page.find(".It Fl " + std::string(setting.flag + 1) + ' ');
        REQUIRE(item != std::string::npos);
        const std::string text = page.substr(item, page.find(".It Fl", item + 1) - item);
        CHECK(contains(text, "Ev " + std::string(setting.variable) + '\n'));
        if (setting.preset == nullptr) {
            CHECK(contains(text, setting.text(preset)));
        }
    }
    for (const std::string flag : {"-check", "-help", "-version"}) {
        CHECK(contains(page, "Fl " + flag));
    }
}

TEST_CASE("the check prints each setting with its value and where it is from") {
    const Variables variables{{"BACKENDS", "127.0.0.1:9001"}, {"LB_THREADS", "3"}};
    const std::string text =
        harbor::check(options_of({"--check", "--dial-timeout", "20"}), environment_of(variables));
    CHECK(contains(text, "listen           = :9090  (from default)\n"));
    CHECK(contains(text, "backends         = 127.0.0.1:9001  (from environment)\n"));
    CHECK(contains(text, "dial-timeout     = 20 ms  (from flag)\n"));
    CHECK(contains(text, "threads          = 3  (from environment)\n"));
    CHECK(text.find("allow-dev-seed") == std::string::npos); // of no effect beside BACKENDS
}

TEST_CASE("the check says which backends the development seed stands for") {
    const std::string text = harbor::check(options_of({"--check", "--allow-dev-seed"}), environment_of({}));
    CHECK(contains(text, "= 127.0.0.1:9001,127.0.0.1:9002  (from the development seed)\n"));
    CHECK(contains(text, "allow-dev-seed   = true  (from flag)\n"));
}

TEST_CASE("the check looks names up") {
    const auto complaint_of_check = [](const std::vector<std::string>& arguments,
                                       const Variables& variables) {
        try {
            return harbor::check(options_of(arguments), environment_of(variables));
        } catch (const harbor::ConfigError& error) {
            return std::string(error.what());
        }
    };
    // An empty label is refused before anybody is asked: this test needs no name server.
    const std::string name = "no..host:1";
    const std::string by_flag = complaint_of_check({"--backends", name}, {});
    CHECK(contains(by_flag, "--backends: 'no..host:1' does not resolve"));
    CHECK(contains(complaint_of_check({}, {{"BACKENDS", name}}), "BACKENDS: 'no..host:1'"));
    const Variables backends{{"BACKENDS", "127.0.0.1:1"}};
    CHECK(contains(complaint_of_check({"--listen", name}, backends), "--listen: 'no..host:1'"));
    CHECK(contains(complaint_of_check({"--metrics", name}, backends), "--metrics: 'no..host:1'"));
}

TEST_CASE("what is not printable is escaped") {
    CHECK(harbor::printable("plain text, with = and \"quotes\"") == "plain text, with = and \"quotes\"");
    CHECK(harbor::printable("a\nb\rc\td\\e") == "a\\nb\\rc\\td\\\\e");
    CHECK(harbor::printable(std::string_view("\0\x1b\x7f\xff", 4)) == "\\x00\\x1b\\x7f\\xff");
}

TEST_CASE("the version is the one of the build") {
    CHECK(contains(harbor::version_text(), "harbor " + std::string(harbor::version()) + '\n'));
    CHECK(contains(harbor::version_text(), harbor::compiler()));
    CHECK(contains(harbor::version_text(), "Asio " + harbor::asio_version()));
}
