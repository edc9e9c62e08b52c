// STRATEGY as it is read: a name that make_strategy knows, or a complaint that lists those it knows.
#include "config.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <string>

using harness::contains;
using harness::lesson;

namespace {

/// The configuration with this STRATEGY; a null pointer stands for a variable that is not set.
harbor::Config with_strategy(const char* strategy) {
    return harbor::read_config([strategy](const char* name) -> const char* {
        const std::string wanted = name;
        return wanted == "BACKENDS" ? "a:1,b:2" : wanted == "STRATEGY" ? strategy : nullptr;
    });
}

} // namespace

TEST_CASE("a strategy that is not named is round-robin") {
    INFO(lesson("STRATEGY was not set", "the default is another one", "chapter 04, Names"));
    REQUIRE(with_strategy(nullptr).strategy == "round-robin");
}

TEST_CASE("the name of a strategy is kept as it was written") {
    INFO(lesson("STRATEGY was set to each name of the contract", "a name is missing or misspelt",
                "chapter 04, Names"));
    for (const std::string name :
         {"round-robin", "rr", "roundrobin", "least-connections", "least", "leastconn", "least-requests",
          "leastrequests", "lc", "power-of-two", "p2c"}) {
        CHECK(with_strategy(name.c_str()).strategy == name);
    }
}

TEST_CASE("the complaint about a strategy lists the known ones") {
    INFO(lesson("STRATEGY was set to names that are none",
                "an unknown name means the default, or is only called wrong", "chapter 04, Names"));
    for (const std::string name : {"", "fastest", "RR", "round robin", "p2"}) {
        INFO("STRATEGY=" << name);
        try {
            const std::string strategy = with_strategy(name.c_str()).strategy;
            FAIL_CHECK("it was taken, as " << strategy);
        } catch (const harbor::ConfigError& error) {
            const std::string complaint = error.what();
            CHECK(contains(complaint, "STRATEGY='" + name + "'"));
            CHECK(contains(complaint, "round-robin"));
            CHECK(contains(complaint, "least-connections"));
            CHECK(contains(complaint, "power-of-two"));
        }
    }
}
