/// The program under test: a balancer that keeps the contract, started, ready, and gone when the test is
/// over.
///
///     Program harbor({{"BACKENDS", a.address() + "," + b.address()}, {"STRATEGY", "p2c"}});
///     Client client = harbor.connect();
///
/// Which program: the executable named by HARBOR_UNDER_TEST, so that the same tests judge a learner's program
/// in whatever language, or else the one the test executable was built with.
///
/// With a number in HARBOR_DRAIN_SIGNAL the program is sent that signal where a test sends SIGTERM: a
/// balancer that keeps the contract but for the name of the signal can then be judged all the same.
///
/// Threads: as Process.
#pragma once

#include "process.hpp"
#include "socket.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// The path of the program under test. Throws Failure if neither the environment nor the build names one.
std::string program_under_test();
/// Used below; always true.
bool set_default_program(const char* path) noexcept;

#ifdef HARBOR_DEFAULT_PROGRAM
// The definition exists in test executables only and the harness is a library, so the value has to be handed
// over at start-up; an inline function with two bodies would break the one definition rule.
namespace {
[[maybe_unused]] const bool default_program_is_set = set_default_program(HARBOR_DEFAULT_PROGRAM);
}
#endif

/// A running balancer.
class Program {
public:
    struct Options {
        std::optional<unsigned> descriptor_limit = {};
        std::string name = {}; ///< for messages
        std::string path = {}; ///< program_under_test() if empty
    };

    /// Starts it with `environment`, to which LB_ADDR=127.0.0.1:0, LB_METRICS_ADDR=127.0.0.1:0 and
    /// LB_THREADS=2 are added where they are not given, and waits until it says `listening on`. Throws
    /// Failure, with its exit status and log, if it does not.
    explicit Program(const Environment& environment);
    Program(const Environment& environment, const Options& options);
    /// Ends it at once. If the test has failed, its log is printed; if it had crashed, the test fails.
    ~Program();
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    /// Where it listens.
    Endpoint endpoint() const { return endpoint_; }
    std::string address() const { return endpoint_.text(); }
    /// Where `/metrics` is. Throws Failure if it did not say `metrics on` (it does so before `listening on`).
    Endpoint metrics_endpoint() const;

    Client connect() const { return Client(endpoint_); }
    Client connect(const Client::Options& options) const { return Client(endpoint_, options); }

    Process& process() { return *process_; }
    const Process& process() const { return *process_; }

    /// SIGTERM, and waits for the end. Yes if it exited with 0, or died of the signal as a program without
    /// graceful shutdown does, and no sanitizer has reported anything.
    Verdict stop();

private:
    std::unique_ptr<Process> process_;
    Endpoint endpoint_;
    std::optional<Endpoint> metrics_;
    int exceptions_at_start_;
};

/// How a program that was started with a bad configuration ended.
struct Refusal {
    Exit exit;
    std::string log;

    /// Exit status 2, and one line of the log contains all of `words` (the variable, the value, the form
    /// expected).
    Verdict names(std::initializer_list<std::string_view> words) const;
    /// The same for another exit status: 1 for an address that cannot be bound.
    Verdict exits_with_and_names(int status, std::initializer_list<std::string_view> words) const;
};
std::ostream& operator<<(std::ostream& out, const Refusal& refusal);

/// Runs the program under test, with the same additions to the environment as Program, until it ends. If it
/// starts to listen instead, throws a Failure ("it started although …").
Refusal run_expecting_refusal(const Environment& environment);
/// The same with a command line and no environment, for chapter 01's program.
Refusal run_arguments_expecting_refusal(std::vector<std::string> arguments);

} // namespace harness
