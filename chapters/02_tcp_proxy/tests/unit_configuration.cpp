// Reading the configuration, value by value: what cannot be seen from outside, or only by starting a program
// for each.
//
// These tests are compiled against the code of every chapter from 02 on. They look only at what all of those
// have: the listening address, the text of an address, backends as objects, and what is thrown.
#include "backend.hpp"
#include "config.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <map>
#include <string>

using harness::contains;
using harness::lesson;

namespace {

using Variables = std::map<std::string, std::string>;

harbor::Config read(const Variables& variables) {
    return harbor::read_config([&](const char* name) -> const char* {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

// The text of the ConfigError, or nothing if the configuration was accepted.
std::string complaint_about(const Variables& variables) {
    try {
        read(variables);
    } catch (const harbor::ConfigError& error) {
        return error.what();
    }
    return {};
}

struct Parts {
    std::string text;
    std::string host;
    std::string port;
};

} // namespace

TEST_CASE("a listening address is taken apart at its last colon") {
    const Parts parts =
        GENERATE(values<Parts>({{"127.0.0.1:9090", "127.0.0.1", "9090"},
                                {":8080", "", "8080"},
                                {":0", "", "0"},
                                {"localhost:65535", "localhost", "65535"},
                                {"[::1]:9090", "::1", "9090"},
                                {"[fe80::1]:1", "fe80::1", "1"},
                                {"balancer-1.example.org:443", "balancer-1.example.org", "443"}}));
    INFO(lesson("LB_ADDR='" + parts.text + "' was read",
                "the first colon separates, which an IPv6 address has many of, or the brackets stay",
                "chapter 02, Configuration"));

    const harbor::Config config = read({{"LB_ADDR", parts.text}, {"BACKENDS", "127.0.0.1:9001"}});

    CHECK(config.listen.host == parts.host);
    CHECK(config.listen.port == parts.port);
}

TEST_CASE("the listening address has a default") {
    INFO(lesson("LB_ADDR was not set", "an unset variable is read as an empty one",
                "chapter 02, Configuration"));

    const harbor::Config config = read({{"BACKENDS", "127.0.0.1:9001"}});

    CHECK(config.listen.host.empty());
    CHECK(config.listen.port == "9090");
}

TEST_CASE("an address is written as it is read") {
    CHECK(harbor::to_text({"127.0.0.1", "9090"}) == "127.0.0.1:9090");
    CHECK(harbor::to_text({"", "9090"}) == ":9090");
    CHECK(harbor::to_text({"example.org", "80"}) == "example.org:80");
    CHECK(harbor::to_text({"::1", "9090"}) == "[::1]:9090");
}

TEST_CASE("all forms of a backend address are accepted") {
    const std::string value = GENERATE("127.0.0.1:1", "127.0.0.1:65535", "localhost:9001", "[::1]:9001",
                                       "[2001:db8::17]:9001", "db-1.internal:5432", "a_b:9001");
    INFO(lesson("BACKENDS='" + value + "' was read", "the check is stricter than the form it announces",
                "chapter 02, Configuration"));

    CHECK(complaint_about({{"BACKENDS", value}}).empty());
}

TEST_CASE("a complaint about BACKENDS names the variable and the value and the form") {
    const std::string value = GENERATE(
        "", " ", ":", "host", "host:", ":9001", "host:0", "host:65536", "host:-1", "host:1.5", "host:0x50",
        "host:9001 ", " host:9001", "ho st:9001", "::1:9001", "[::1]", "[::1]9001", "[::1]:", "[::1:9001",
        "::1]:9001", "[]:9001", "[[::1]]:9001", "host:99999999999999999999", "http://host:80");
    INFO(lesson("BACKENDS='" + value + "' was read",
                "a part of the text was ignored, or the message leaves out what the reader needs to mend it",
                "chapter 02, Configuration"));

    const std::string complaint = complaint_about({{"BACKENDS", value}});

    CHECK(contains(complaint, "BACKENDS"));
    CHECK(contains(complaint, "'" + value + "'"));
    CHECK(contains(complaint, "host:port"));
}

TEST_CASE("a complaint about LB_ADDR names the variable and the value and the form") {
    const std::string value =
        GENERATE("", "9090", "host", "host:", ":65536", ":-1", ":x", "::1:9090", "[::1]", "[::1]9090",
                 "ho st:9090", "host:9090,host:9091", "host:9090/");
    INFO(lesson("LB_ADDR='" + value + "' was read",
                "a part of the text was ignored, or the message leaves out what the reader needs to mend it",
                "chapter 02, Configuration"));

    const std::string complaint = complaint_about({{"LB_ADDR", value}, {"BACKENDS", "127.0.0.1:9001"}});

    CHECK(contains(complaint, "LB_ADDR"));
    CHECK(contains(complaint, "'" + value + "'"));
    CHECK(contains(complaint, "host:port"));
}

TEST_CASE("no BACKENDS at all is a complaint of its own") {
    const std::string complaint = complaint_about({});

    CHECK(contains(complaint, "BACKENDS is not set"));
    CHECK(contains(complaint, "host:port"));
}

TEST_CASE("a backend knows its name as configured and its addresses") {
    const harbor::Backend v4(harbor::Address{"127.0.0.1", "9001"});
    CHECK(v4.name == "127.0.0.1:9001");
    REQUIRE(v4.endpoints.size() == 1);
    CHECK(v4.endpoints.front().address().to_string() == "127.0.0.1");
    CHECK(v4.endpoints.front().port() == 9001);

    const harbor::Backend v6(harbor::Address{"::1", "9002"});
    CHECK(v6.name == "[::1]:9002");
    REQUIRE(v6.endpoints.size() == 1);
    CHECK(v6.endpoints.front().address().is_v6());
    CHECK(v6.endpoints.front().port() == 9002);
}

TEST_CASE("a backend that does not resolve is a complaint about BACKENDS") {
    INFO(
        lesson("a backend was made for the host 'no..such.host', which cannot exist",
               "the failure of the resolver is passed on as it is: nobody learns which variable it came from",
               "chapter 02, Configuration"));
    std::string complaint;
    try {
        const harbor::Backend backend(harbor::Address{"no..such.host", "9001"});
    } catch (const harbor::ConfigError& error) {
        complaint = error.what();
    }

    CHECK(contains(complaint, "BACKENDS"));
    CHECK(contains(complaint, "no..such.host:9001"));
}
