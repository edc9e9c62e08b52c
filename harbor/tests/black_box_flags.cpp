// The command line from outside: what is printed where, with which exit status, and which of two settings
// wins.
//
// These are tests of harbor alone; the contract of the chapters knows no flags.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/process.hpp>
#include <harness/program.hpp>
#include <harness/socket.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

using namespace harness;

namespace {

/// The program with `arguments`, and a backend list that is never connected to.
Process start(std::vector<std::string> arguments, Environment environment = {}) {
    environment.set_default("BACKENDS", "127.0.0.1:1");
    environment.set_default("LB_ADDR", "127.0.0.1:0");
    environment.set_default("LB_METRICS_ADDR", "127.0.0.1:0");
    arguments.insert(arguments.begin(), program_under_test());
    Process::Options options;
    options.environment = environment;
    return Process(arguments, options);
}

Exit run(const std::vector<std::string>& arguments, const Environment& environment = {}) {
    return start(arguments, environment).wait_for_exit();
}

Verdict stops(Process& process) {
    process.send_signal(SIGTERM);
    return process.wait_for_exit().exited_with(0);
}

} // namespace

TEST_CASE("help is printed and nothing is started") {
    for (const std::string flag : {"--help", "-h"}) {
        const Exit exit = run({flag});
        REQUIRE(exit.exited_with(0));
        CHECK(contains(exit.log, "Usage: harbor"));
        CHECK(contains(exit.log, "--dial-timeout MS"));
        CHECK(contains(exit.log, "LB_DIAL_TIMEOUT_MS"));
        CHECK(exit.log.find("listening on") == std::string::npos);
    }
}

TEST_CASE("the version is printed and nothing is started") {
    const Exit exit = run({"--version"});
    REQUIRE(exit.exited_with(0));
    CHECK(exit.log.rfind("harbor ", 0) == 0);
    CHECK(contains(exit.log, "Asio "));
}

TEST_CASE("the check prints the settings in force") {
    const Exit exit = run({"--check", "--dial-timeout", "20"}, {{"LB_THREADS", "3"}});
    REQUIRE(exit.exited_with(0));
    CHECK(contains(exit.log, "dial-timeout     = 20 ms  (from flag)\n"));
    CHECK(contains(exit.log, "threads          = 3  (from environment)\n"));
    CHECK(contains(exit.log, "io-timeout       = 10000 ms  (from default)\n"));
}

TEST_CASE("the check refuses what a start would refuse") {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"--check", "--threads", "x"}, {"--check", "--backends", "no..host:1"}}) {
        const Exit exit = run(arguments);
        REQUIRE(exit.exited_with(2));
        CHECK(contains(exit.log, arguments[1]));
        CHECK(contains(exit.log, arguments[2]));
        CHECK(std::count(exit.log.begin(), exit.log.end(), '\n') == 1);
    }
    CHECK(run({"--check"}, {{"LB_IO_TIMEOUT_MS", "soon"}}).exited_with(2));
}

TEST_CASE("the check binds nothing") {
    // Both ports are taken: whoever tries to bind one fails.
    const Backend one(behave::echo());
    const Backend other(behave::echo());
    const Environment taken{{"LB_ADDR", one.address()}, {"LB_METRICS_ADDR", other.address()}};

    REQUIRE(run({}, taken).exited_with(1)); // so this machine does refuse to bind a port twice
    CHECK(run({"--check"}, taken).exited_with(0));
}

TEST_CASE("a flag wins over its variable") {
    Process harbor = start({"--listen", "127.0.0.2:0", "--strategy=p2c"}, {{"STRATEGY", "no such thing"}});
    CHECK(harbor.logs("listening on 127.0.0.2:"));
    CHECK(stops(harbor));
}

TEST_CASE("a variable does for a flag that is not given") {
    Process harbor = start({"--strategy", "lc"}, {{"LB_ADDR", "127.0.0.3:0"}});
    CHECK(harbor.logs("listening on 127.0.0.3:"));
    CHECK(stops(harbor));
}

TEST_CASE("a bad value is refused in one line that names the flag or the variable") {
    const Exit by_flag = run({"--threads", "x"});
    REQUIRE(by_flag.exited_with(2));
    CHECK(by_flag.log == "harbor: --threads 'x' is not valid: expected a whole number from 1 to 1024\n");

    const Exit by_variable = run({}, {{"LB_THREADS", "x"}});
    REQUIRE(by_variable.exited_with(2));
    CHECK(by_variable.log == "harbor: LB_THREADS='x' is not valid: expected a whole number from 1 to 1024\n");
}

TEST_CASE("what is not a flag is refused in one line that points at the help") {
    for (const std::string argument : {"--bogus", "-x", "127.0.0.1:9001"}) {
        const Exit exit = run({argument});
        REQUIRE(exit.exited_with(2));
        CHECK(contains(exit.log, '\'' + argument + '\''));
        CHECK(contains(exit.log, "--help"));
        CHECK(std::count(exit.log.begin(), exit.log.end(), '\n') == 1);
    }
}

TEST_CASE("the ready lines are bare and come with any log level") {
    for (const std::string level : {"off", "trace"}) {
        Process harbor = start({"--log-level", level});
        const std::string line = harbor.wait_for_line("listening on ");
        CHECK(line.rfind("listening on 127.0.0.1:", 0) == 0);
        CHECK(harbor.wait_for_line("metrics on ").rfind("metrics on 127.0.0.1:", 0) == 0);
        CHECK(stops(harbor));
    }
}

TEST_CASE("the log level decides what is logged") {
    Process quiet = start({"--log-level", "error"}, {{"LB_ALLOW_DEV_SEED", "1"}});
    REQUIRE(quiet.logs("listening on "));
    quiet.send_signal(SIGTERM);
    const Exit exit = quiet.wait_for_exit();
    REQUIRE(exit.exited_with(0));
    CHECK(std::count(exit.log.begin(), exit.log.end(), '\n') == 2); // the ready lines
}
