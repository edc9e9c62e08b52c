/// Processes: starts a program, keeps what it prints, sends it signals, and learns how it ended.
///
/// Any executable in any language: all that is known of it is a command line, an environment, what it prints
/// and what the system says about it. The environment is complete: a variable set in the reader's shell
/// cannot change what a test does. A Process reaps its own child and no other, so several may live side by
/// side with other users of fork.
///
/// Threads: all member functions may be called from any thread.
#pragma once

#include "deadline.hpp"
#include "verdict.hpp"

#include <chrono>
#include <initializer_list>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace harness {

/// Names and values of environment variables.
///
/// A type of its own and not std::map, because a map can also be made from a pair of iterators, and
/// `{"BACKENDS", "…"}` is such a pair to the compiler.
class Environment {
public:
    Environment() = default;
    Environment(std::initializer_list<std::pair<std::string, std::string>> variables);

    void set(const std::string& name, const std::string& value) { variables_[name] = value; }
    /// Only if it is not there yet.
    void set_default(const std::string& name, const std::string& value) { variables_.emplace(name, value); }
    bool contains(const std::string& name) const { return variables_.contains(name); }
    auto begin() const { return variables_.begin(); }
    auto end() const { return variables_.end(); }

private:
    std::map<std::string, std::string> variables_;
};

/// How a process ended: by itself with a status, or by a signal.
struct Exit {
    std::optional<int> status;
    std::optional<int> signal;
    std::string log; ///< everything it had printed

    Verdict exited_with(int expected_status) const;
    Verdict killed_by(int expected_signal) const;
};
std::ostream& operator<<(std::ostream& out, const Exit& exit);

class Process {
public:
    struct Options {
        Environment environment = {};
        std::optional<unsigned> descriptor_limit = {}; ///< RLIMIT_NOFILE, soft and hard
        std::string name = {}; ///< for messages; the file name if empty
        int terminate_by = 0; ///< what it is sent where SIGTERM is meant; 0 = SIGTERM
    };

    /// Starts `argv[0]`, a path or a name in PATH. Besides `environment` it gets PATH, HOME, TMPDIR,
    /// LD_PRELOAD, LD_LIBRARY_PATH, LLVM_PROFILE_FILE and the options of the sanitizers from ours. Throws
    /// Failure.
    explicit Process(std::vector<std::string> argv);
    Process(std::vector<std::string> argv, const Options& options);
    /// Kills it (SIGKILL) if it still runs. Complains, so that the test fails, if it had died by itself
    /// without the test having asked how it ended, or had printed a sanitizer report.
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    int pid() const;
    const std::string& name() const;
    bool running() const;

    /// Does nothing if it has ended.
    void send_signal(int signal);
    /// Waits for its end and for the rest of its output. Throws Failure, with the log, if it does not end in
    /// time.
    Exit wait_for_exit(Millis limit = patience());
    /// The same, but nothing when it still runs after `limit`.
    std::optional<Exit> try_wait_for_exit(Millis limit);

    /// Everything printed so far on standard error and standard output.
    std::string log() const;
    /// Its last `lines` lines.
    std::string log_tail(std::size_t lines = 40) const;
    /// The first whole line that contains `text`, waiting for it. Throws Failure with the log if it ends or
    /// the time is over.
    std::string wait_for_line(std::string_view text, Millis limit = patience());
    /// As wait_for_line(), as a verdict.
    Verdict logs(std::string_view text, Millis limit = patience());
    /// How many whole lines contain `text` so far.
    std::size_t count_lines(std::string_view text) const;
    /// The report of a sanitizer in the log, if there is one.
    std::optional<std::string> sanitizer_report() const;

    // On Linux these count the processes it has started along with it.
    /// Processor time used so far, user and system.
    Millis cpu_time() const;
    /// Resident memory now, in bytes.
    std::uint64_t resident_bytes() const;
    std::size_t open_descriptors() const;

private:
    class Child;
    std::unique_ptr<Child> child_;
};

} // namespace harness
