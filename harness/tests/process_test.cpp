// Processes, made of a shell and a line of script, and programs, made of a script that claims to listen.
#include <harness/catch.hpp>
#include <harness/complaint.hpp>
#include <harness/echo_servers.hpp>
#include <harness/process.hpp>
#include <harness/program.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace harness;

namespace {

std::vector<std::string> shell(const std::string& script) {
    return {"/bin/sh", "-c", script};
}

// An executable script that goes away with the test.
class Script {
public:
    explicit Script(const std::string& text) {
        static int number = 0;
        path_ = std::filesystem::temp_directory_path() /
                ("harness-script-" + std::to_string(::getpid()) + "-" + std::to_string(++number));
        std::ofstream(path_) << "#!/bin/sh\n" << text << '\n';
        std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
    }
    ~Script() { std::filesystem::remove(path_); }
    Script(const Script&) = delete;
    Script& operator=(const Script&) = delete;
    std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

std::string failure_of(const std::function<void()>& act) {
    try {
        act();
    } catch (const Failure& failure) {
        return failure.what();
    }
    return "(no failure)";
}

// Names a program under test for as long as it lives.
class UnderTest {
public:
    explicit UnderTest(const std::string& path) {
        if (const char* before = std::getenv("HARBOR_UNDER_TEST"))
            before_ = before;
        ::setenv("HARBOR_UNDER_TEST", path.c_str(), 1);
    }
    ~UnderTest() {
        if (before_)
            ::setenv("HARBOR_UNDER_TEST", before_->c_str(), 1);
        else
            ::unsetenv("HARBOR_UNDER_TEST");
    }
    UnderTest(const UnderTest&) = delete;
    UnderTest& operator=(const UnderTest&) = delete;

private:
    std::optional<std::string> before_;
};

} // namespace

TEST_CASE("a process gives its exit status and its log") {
    Process process(shell("echo one; echo two >&2; exit 3"));
    const Exit exit = process.wait_for_exit();
    REQUIRE(exit.exited_with(3));
    REQUIRE_FALSE(exit.exited_with(0));
    REQUIRE(exit.log == "one\ntwo\n");
    REQUIRE(process.count_lines("o") == 2);
    REQUIRE_FALSE(process.running());
}

TEST_CASE("a process is told a signal") {
    Process process(shell("trap 'echo got it; exit 0' TERM; echo ready; while :; do sleep 0.01; done"));
    REQUIRE(process.wait_for_line("ready") == "ready");
    process.send_signal(SIGTERM);
    REQUIRE(process.logs("got it"));
    REQUIRE(process.wait_for_exit().exited_with(0));
    process.send_signal(SIGTERM); // it has ended: nothing happens
}

TEST_CASE("a process may have another signal for its end") {
    Process::Options options;
    options.terminate_by = SIGUSR1;
    Process process(shell("trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done"), options);
    process.wait_for_line("ready");
    process.send_signal(SIGTERM);
    REQUIRE(process.wait_for_exit().exited_with(7));
}

TEST_CASE("a death by signal is named") {
    Process process(shell("kill -SEGV $$"));
    const Exit exit = process.wait_for_exit();
    REQUIRE(exit.killed_by(SIGSEGV));
    REQUIRE(contains(exit.exited_with(0).explanation, "SIGSEGV"));
}

TEST_CASE("the environment is complete") {
    ::setenv("HARNESS_SECRET", "leaked", 1);
    Process::Options options;
    options.environment = {{"GIVEN", "yes"}};
    Process process(shell("echo [$GIVEN] [$HARNESS_SECRET] [${PATH:+path}]"), options);
    REQUIRE(process.wait_for_exit().log == "[yes] [] [path]\n");
}

TEST_CASE("a descriptor limit holds") {
    Process::Options options;
    options.descriptor_limit = 33;
    Process process(shell("ulimit -n"), options);
    REQUIRE(process.wait_for_exit().log == "33\n");
}

TEST_CASE("a program that is not there is a failure with a name") {
    REQUIRE(contains(failure_of([] { Process process({"/no/such/program"}); }),
                     "/no/such/program: No such file"));
}

TEST_CASE("waiting for a line that never comes shows the log") {
    Process process(shell("echo something else"));
    const std::string text = failure_of([&] { process.wait_for_line("listening"); });
    REQUIRE(contains(text, "ended first: exit status 0"));
    REQUIRE(contains(text, "something else"));
}

TEST_CASE("a process is measured") {
    Process process(shell("echo up; exec sleep 100"));
    process.wait_for_line("up");
    REQUIRE(is_between("resident bytes", static_cast<double>(process.resident_bytes()), 10'000, 1e9));
    REQUIRE(process.open_descriptors() == 3);
    REQUIRE(is_between("processor time", process.cpu_time(), Millis{0}, Millis{5000}));
    REQUIRE(process.running());
    REQUIRE_FALSE(process.try_wait_for_exit(Millis{20}).has_value());
}

#ifdef __linux__
TEST_CASE("what a process has started is measured along with it") {
    Process process(shell("trap 'kill $!' TERM; sleep 100 & echo up; wait"));
    process.wait_for_line("up");
    // Three of the shell, three of sleep.
    REQUIRE(eventually([&] { return process.open_descriptors() == 6; }, "six descriptors"));
    process.send_signal(SIGTERM);
    process.wait_for_exit();
}
#endif

TEST_CASE("an unnoticed death and a sanitizer report are complaints") {
    {
        Process process(shell("exit 7"));
        REQUIRE(eventually([&] { return !process.running(); }, "the end"));
    }
    auto complaints = take_complaints();
    REQUIRE(complaints.size() == 1);
    REQUIRE(contains(complaints[0], "ended by itself during the test: exit status 7"));
    {
        Process process(shell("echo '==1==ERROR: AddressSanitizer: heap-use-after-free'; exit 1"));
        process.wait_for_exit();
    }
    complaints = take_complaints();
    REQUIRE(complaints.size() == 1);
    REQUIRE(contains(complaints[0], "heap-use-after-free"));
    {
        Process process(shell("exit 7"));
        process.wait_for_exit();
    }
    REQUIRE(take_complaints().empty());
}

TEST_CASE("a program is ready when it says where it listens") {
    Backend a(behave::echo());
    const Script script(
        "echo \"metrics on 127.0.0.1:7\" >&2\necho \"listening on $BACKENDS\" >&2\nexec sleep 100");
    const UnderTest under_test(script.path());
    Program program({{"BACKENDS", a.address()}});
    REQUIRE(program.address() == a.address());
    REQUIRE(program.metrics_endpoint().port == 7);
    Client client = program.connect();
    client.send("x");
    REQUIRE(client.receive(1) == "x");
    REQUIRE(program.stop());
}

TEST_CASE("a program gets the usual environment") {
    const Script script(
        "echo $LB_ADDR $LB_METRICS_ADDR $LB_THREADS $STRATEGY; echo listening on 127.0.0.1:1\n"
        "exec sleep 100");
    const UnderTest under_test(script.path());
    Program program({{"LB_THREADS", "1"}, {"STRATEGY", "p2c"}});
    REQUIRE(program.process().logs("127.0.0.1:0 127.0.0.1:0 1 p2c"));
    REQUIRE_THROWS_AS(program.metrics_endpoint(), Failure);
}

TEST_CASE("a program that does not start is a failure with its log") {
    const Script script("echo 'BACKENDS: bad' >&2; exit 2");
    const UnderTest under_test(script.path());
    const std::string text = failure_of([] { Program program({{"BACKENDS", "x"}}); });
    REQUIRE(contains(text, "exit status 2"));
    REQUIRE(contains(text, "BACKENDS: bad"));
    REQUIRE(contains(text, "BACKENDS=x"));
    take_complaints();
}

TEST_CASE("a refusal names what it refuses") {
    const Script script("echo \"BACKENDS: '$BACKENDS' is not host:port\" >&2; exit 2");
    const UnderTest under_test(script.path());
    const Refusal refusal = run_expecting_refusal({{"BACKENDS", "nonsense"}});
    REQUIRE(refusal.names({"BACKENDS", "nonsense", "host:port"}));
    REQUIRE_FALSE(refusal.names({"STRATEGY"}));
    REQUIRE_FALSE(refusal.exits_with_and_names(1, {"BACKENDS"}));
}

TEST_CASE("starting where a refusal was expected is a failure") {
    const Script script("echo listening on 127.0.0.1:1; exec sleep 100");
    const UnderTest under_test(script.path());
    REQUIRE(contains(failure_of([] { run_expecting_refusal({{"BACKENDS", "nonsense"}}); }),
                     "it started although"));
}

TEST_CASE("echo servers greet and die and come back") {
    EchoServers servers({"A", "B"});
    REQUIRE(greeting(servers.endpoint("A")) == "A");
    REQUIRE(shares(servers.endpoint("B"), 5) == std::map<std::string, int>{{"B", 5}});
    REQUIRE(servers.addresses() == servers.address("A") + "," + servers.address("B"));
    for (int i = 0; i < 3; ++i) {
        servers.kill("A");
        REQUIRE(connect_refused(servers.endpoint("A")));
        servers.restart("A");
        REQUIRE(greeting(servers.endpoint("A")) == "A");
    }
    REQUIRE_THROWS_AS(servers.kill("C"), Failure);
}

TEST_CASE("the echo server itself is under test when it is named so") {
    const UnderTest under_test(echo_program());
    EchoUnderTest::Options options;
    options.id = "me";
    options.ports = 2;
    EchoUnderTest echo(options);
    REQUIRE(echo.endpoints().size() == 2);
    REQUIRE(greeting(echo.endpoints()[1]) == "me");
    REQUIRE(echo.running());
    REQUIRE(run_with_bad_port("70000").names({"70000"}));
}

TEST_CASE("a balancer under test stands in front of the echo server") {
    const Script script("echo listening on $BACKENDS; exec sleep 100");
    const UnderTest under_test(script.path());
    EchoUnderTest::Options options;
    options.id = "me";
    EchoUnderTest echo(options);
    REQUIRE(greeting(echo.endpoint()) == "me");
    REQUIRE(echo.processes().size() == 1);
    REQUIRE(contains(echo.processes()[0]->name(), "harness-script"));
}
