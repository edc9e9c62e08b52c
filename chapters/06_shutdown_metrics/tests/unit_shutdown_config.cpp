// What the two new settings are when nobody sets them, and when somebody does.
//
// The defaults cannot be seen from outside without opening port 9100, which may be somebody's.
#include "config.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <chrono>
#include <map>
#include <string>

using harness::lesson;
using namespace std::chrono_literals;

namespace {

harbor::Config config_with(const std::map<std::string, std::string>& variables) {
    return harbor::read_config([&](const char* name) -> const char* {
        if (name == std::string("BACKENDS")) {
            return "127.0.0.1:9001";
        }
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

} // namespace

TEST_CASE("a drain has five seconds unless something else is said") {
    INFO(lesson("LB_SHUTDOWN_GRACE_MS was not set, and then was", "the default differs from the contract",
                "chapter 06, Configuration"));
    REQUIRE(config_with({}).shutdown_grace == 5s);
    REQUIRE(config_with({{"LB_SHUTDOWN_GRACE_MS", "0"}}).shutdown_grace == 0ms);
    REQUIRE(config_with({{"LB_SHUTDOWN_GRACE_MS", "1"}}).shutdown_grace == 1ms);
    REQUIRE(config_with({{"LB_SHUTDOWN_GRACE_MS", "60000"}}).shutdown_grace == 1min);
}

TEST_CASE("metrics are on the loopback address unless something else is said") {
    INFO(lesson("LB_METRICS_ADDR was not set, and then was",
                "the default is every address of the machine, so strangers can read along",
                "chapter 06, Configuration"));
    REQUIRE(to_text(config_with({}).metrics_listen) == "127.0.0.1:9100");
    REQUIRE(to_text(config_with({{"LB_METRICS_ADDR", ":9200"}}).metrics_listen) == ":9200");
    REQUIRE(to_text(config_with({{"LB_METRICS_ADDR", "[::1]:0"}}).metrics_listen) == "[::1]:0");
}

TEST_CASE("the settings of the shutdown are judged like all others") {
    INFO(lesson("LB_SHUTDOWN_GRACE_MS and LB_METRICS_ADDR had values that cannot be used",
                "they are read without the checks of the older ones", "chapter 06, Configuration"));
    for (const char* value : {"", "-1", "1e3", "5s", "86400001"}) {
        INFO(value);
        REQUIRE_THROWS_AS(config_with({{"LB_SHUTDOWN_GRACE_MS", value}}), harbor::ConfigError);
    }
    for (const char* value : {"", ":", "9100", "localhost", "::1:9100", "127.0.0.1:65536"}) {
        INFO(value);
        REQUIRE_THROWS_AS(config_with({{"LB_METRICS_ADDR", value}}), harbor::ConfigError);
    }
}
