// STRATEGY: the names of the strategies, and what each of them stands for.
//
// Operators come from other balancers and bring their words with them, so a strategy has several names. That
// a name is accepted says little: it could stand for the wrong strategy, or for the default. So each name has
// to behave. One backend is idle, two have some load, one has the most, and visitors come:
//
//   round-robin         sends each the same number, in turn
//   least-connections   sends all of them to the idle one
//   power-of-two        sends none to the busiest, which is the busier of any two, but not all to the idle
//   one, which is
//                       not always among the two
#include "held.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <map>
#include <string>

using namespace harness;

namespace {

constexpr int visitors = 40; // that power-of-two sends all of them to the idle one: 1 in 2^40

/// Who gets how many visitors with this STRATEGY; without any if the name is empty.
std::map<std::string, int> shares_under(const std::string& name) {
    Backend idle(behave::echo_with_greeting("idle"));
    Backend some(behave::echo_with_greeting("some"));
    Backend as_many(behave::echo_with_greeting("as many"));
    Backend busiest(behave::echo_with_greeting("busiest"));
    Environment environment{{"BACKENDS", addresses({&idle, &some, &as_many, &busiest})},
                            {"LB_IO_TIMEOUT_MS", "0"}};
    if (!name.empty()) {
        environment.set("STRATEGY", name);
    }
    Program harbor(environment);

    Held held(harbor);
    held.make_load({{"idle", 0}, {"some", 5}, {"as many", 5}, {"busiest", 12}});
    return visits(harbor.endpoint(), visitors);
}

} // namespace

TEST_CASE("every name of least-connections stands for it") {
    const std::string name =
        GENERATE("least-connections", "least", "leastconn", "least-requests", "leastrequests", "lc");
    INFO(
        lesson("STRATEGY was '" + name + "'; one backend was idle, the others were not, and 40 visitors came",
               "the name stands for another strategy, or STRATEGY is not read", "chapter 04, Names"));

    auto shares = shares_under(name);

    INFO("served by: " << describe(shares));
    REQUIRE(shares["idle"] == visitors);
}

TEST_CASE("every name of power-of-two stands for it") {
    const std::string name = GENERATE("power-of-two", "p2c");
    INFO(
        lesson("STRATEGY was '" + name + "'; one backend was idle, the others were not, and 40 visitors came",
               "the name stands for another strategy, or STRATEGY is not read", "chapter 04, Names"));

    auto shares = shares_under(name);

    INFO("served by: " << describe(shares));
    REQUIRE(shares["busiest"] == 0);
    REQUIRE(shares["idle"] > 0);
    REQUIRE(shares["some"] + shares["as many"] > 0);
}

TEST_CASE("every name of round-robin stands for it and nearly a name does not") {
    const std::string name = GENERATE("", "round-robin", "rr", "roundrobin");
    INFO(lesson(
        "STRATEGY was '" + name +
            "' (not set, if empty); one backend was idle, the others were not, and 40 "
            "visitors came; then the program was started with the name cut short",
        "the name stands for another strategy, or another strategy is the default, or only the beginning of "
        "the name is compared",
        "chapter 04, Names"));

    REQUIRE(equal_shares(shares_under(name), visitors / 4, 4));

    const std::string cut_short = name.empty() ? "" : name.substr(0, name.size() - 1);
    REQUIRE(run_expecting_refusal({{"BACKENDS", "127.0.0.1:9101"}, {"STRATEGY", cut_short}})
                .names({"STRATEGY", cut_short}));
}

TEST_CASE("an unknown strategy is refused and the known ones are named") {
    const std::string name = GENERATE("fastest", "least-connection", "power-of-three", "rr,lc", "");
    INFO(lesson(
        "STRATEGY was '" + name + "'",
        "an unknown name silently means the default, or the message leaves the reader to guess which names "
        "there are",
        "chapter 04, Names"));

    const Refusal refusal = run_expecting_refusal({{"BACKENDS", "127.0.0.1:9101"}, {"STRATEGY", name}});

    REQUIRE(refusal.names({"STRATEGY", name, "round-robin", "least-connections", "power-of-two"}));
}
