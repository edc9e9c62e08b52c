// What this chapter reads from its environment: defaults, good values, and the edges of what is allowed.
#include "config.hpp"

#include <harness/catch.hpp>

#include <chrono>
#include <map>
#include <string>

using namespace std::chrono_literals;
using harbor::Config;
using harbor::ConfigError;

namespace {

Config read(std::map<std::string, std::string> variables) {
    variables.emplace("BACKENDS", "127.0.0.1:9001");
    return harbor::read_config([&variables](const char* name) -> const char* {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

} // namespace

TEST_CASE("the limits have the defaults of the contract") {
    const Config config = read({});
    REQUIRE(config.dial_timeout == 1500ms);
    REQUIRE(config.dial_retries == 1);
    REQUIRE(config.backend_cooldown == 5s);
    REQUIRE(config.io_timeout == 10s);
    REQUIRE(config.max_inflight == 1024);
    REQUIRE(config.tcp_keepalive == 30s);
    REQUIRE(config.tcp_nodelay);
}

TEST_CASE("each limit is read from its own variable") {
    const Config config = read({{"LB_DIAL_TIMEOUT_MS", "1"},
                                {"LB_DIAL_RETRIES", "2"},
                                {"LB_BACKEND_COOLDOWN_MS", "3"},
                                {"LB_IO_TIMEOUT_MS", "4"},
                                {"LB_MAX_INFLIGHT", "5"},
                                {"LB_TCP_KEEPALIVE_MS", "6"},
                                {"LB_TCP_NODELAY", "false"}});
    REQUIRE(config.dial_timeout == 1ms);
    REQUIRE(config.dial_retries == 2);
    REQUIRE(config.backend_cooldown == 3ms);
    REQUIRE(config.io_timeout == 4ms);
    REQUIRE(config.max_inflight == 5);
    REQUIRE(config.tcp_keepalive == 6ms);
    REQUIRE_FALSE(config.tcp_nodelay);
}

TEST_CASE("zero is allowed where it means none or never") {
    const Config config = read({{"LB_DIAL_RETRIES", "0"},
                                {"LB_BACKEND_COOLDOWN_MS", "0"},
                                {"LB_IO_TIMEOUT_MS", "0"},
                                {"LB_TCP_KEEPALIVE_MS", "0"}});
    REQUIRE(config.dial_retries == 0);
    REQUIRE(config.backend_cooldown == 0ms);
    REQUIRE(config.io_timeout == 0ms);
    REQUIRE(config.tcp_keepalive == 0ms);
}

TEST_CASE("zero is refused where nobody would ever be served") {
    const std::string name = GENERATE("LB_DIAL_TIMEOUT_MS", "LB_MAX_INFLIGHT");
    INFO("variable: " << name);
    REQUIRE_THROWS_AS(read({{name, "0"}}), ConfigError);
    REQUIRE_NOTHROW(read({{name, "1"}}));
}

TEST_CASE("no-delay is read from four words") {
    const std::string yes = GENERATE("1", "true");
    const std::string no = GENERATE("0", "false");
    REQUIRE(read({{"LB_TCP_NODELAY", yes}}).tcp_nodelay);
    REQUIRE_FALSE(read({{"LB_TCP_NODELAY", no}}).tcp_nodelay);
    REQUIRE_THROWS_AS(read({{"LB_TCP_NODELAY", "TRUE"}}), ConfigError);
}
