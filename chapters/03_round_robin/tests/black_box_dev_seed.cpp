// The dev seed: two backends for those who only want to try the balancer out, and never for anybody else.
//
// A default list of backends would be handy and dangerous: the day BACKENDS is misspelt in production, the
// balancer starts, says that all is well, and sends the clients to two ports of its own machine. So the list
// has to be asked for by a variable that nobody sets by accident, one warning says that it is in use, and a
// list that was given always wins.
//
// Nothing here connects to the ports 9001 and 9002: on the machine that runs the tests they may be anybody's.
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/program.hpp>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <sstream>
#include <string>

using namespace harness;

namespace {

/// How many lines of the log call themselves a warning, in whatever style.
std::size_t warnings(const Program& program) {
    std::istringstream lines(program.process().log());
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line);) {
        std::transform(line.begin(), line.end(), line.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        count += line.find("warn") != std::string::npos ? 1 : 0;
    }
    return count;
}

} // namespace

TEST_CASE("the dev seed stands in for a missing list with one warning") {
    INFO(lesson(
        "the program was started without BACKENDS, with LB_ALLOW_DEV_SEED=1",
        "the variable is not read, or the development backends are used without a word, or the warning comes "
        "once for each thread",
        "chapter 03, The dev seed"));
    const Program harbor({{"LB_ALLOW_DEV_SEED", "1"}});

    REQUIRE(eventually([&] { return warnings(harbor) > 0; }, "a warning in the log"));
    REQUIRE(warnings(harbor) == 1);
}

TEST_CASE("without a list only the dev seed makes the program start") {
    INFO(
        lesson("the program was started without BACKENDS, first with LB_ALLOW_DEV_SEED=1 and then without it",
               "the development backends are a silent default", "chapter 03, The dev seed"));
    REQUIRE_NOTHROW(Program({{"LB_ALLOW_DEV_SEED", "1"}}));

    REQUIRE(run_expecting_refusal({}).names({"BACKENDS"}));
}

TEST_CASE("the dev seed does not replace a list that was given") {
    INFO(lesson("both BACKENDS, with two servers, and LB_ALLOW_DEV_SEED=1 were set, and ten clients came",
                "LB_ALLOW_DEV_SEED is looked at first, or its backends are added to the list",
                "chapter 03, The dev seed"));
    EchoServers servers({"A", "B"});
    Program harbor({{"BACKENDS", servers.addresses()}, {"LB_ALLOW_DEV_SEED", "1"}});

    REQUIRE(equal_shares(shares(harbor.endpoint(), 10), 5, 2));
}

TEST_CASE("an empty list is not a missing one for the dev seed") {
    INFO(lesson(
        "BACKENDS was set but empty, and LB_ALLOW_DEV_SEED=1",
        "a variable that is empty is taken for one that is not set: a script whose own variable was empty "
        "would get the development backends",
        "chapter 03, The dev seed"));
    REQUIRE_NOTHROW(Program({{"LB_ALLOW_DEV_SEED", "1"}}));

    REQUIRE(run_expecting_refusal({{"BACKENDS", ""}, {"LB_ALLOW_DEV_SEED", "1"}}).names({"BACKENDS"}));
}

TEST_CASE("the dev seed has to be asked for in so many words") {
    INFO(lesson("LB_ALLOW_DEV_SEED was set to something else than its form allows, without BACKENDS",
                "any value counts as yes, or an unknown one silently as no", "chapter 03, The dev seed"));
    const std::string value = GENERATE("yes", "on", "2", "");

    REQUIRE(run_expecting_refusal({{"LB_ALLOW_DEV_SEED", value}}).names({"LB_ALLOW_DEV_SEED", value}));
}
