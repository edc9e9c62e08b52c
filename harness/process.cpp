// fork and exec, done by hand. posix_spawn cannot set a descriptor limit, and setting it from outside after
// the start would be a race. Everything the child needs is laid out before fork(); between fork() and exec()
// the child only makes async-signal-safe calls (signal-safety(7)), because another thread of ours may have
// held any lock at that moment.
//
// Invariant: `ended` is set under `mutex` by the one waitpid() that reaps, and no signal is sent once it is
// set, so a signal can never reach a stranger who was given the same process id.
#include "process.hpp"
#include "complaint.hpp"
#include "recorder.hpp"
#include "socket_state.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <ostream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

namespace harness {
namespace {

// What a program needs to start at all, and what the tools need that watch it.
constexpr std::array passed_through = {
    "PATH",         "HOME",         "TMPDIR",        "LD_PRELOAD",   "LD_LIBRARY_PATH",
    "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "LLVM_PROFILE_FILE"};

constexpr std::array sanitizer_marks = {"ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
                                        "WARNING: ThreadSanitizer", "ThreadSanitizer:", "runtime error:"};

std::string signal_text(int signal) {
    switch (signal) {
    case SIGABRT:
        return "SIGABRT (it aborted)";
    case SIGSEGV:
        return "SIGSEGV (it touched memory that is not its own)";
    case SIGPIPE:
        return "SIGPIPE (it wrote to a connection that was closed already)";
    case SIGTERM:
        return "SIGTERM";
    case SIGINT:
        return "SIGINT";
    case SIGKILL:
        return "SIGKILL";
    default:
        return "signal " + std::to_string(signal);
    }
}

// `SIGTERM`, without the explanation.
std::string signal_name(int signal) {
    const std::string text = signal_text(signal);
    return text.substr(0, text.find(" ("));
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : " ") + word;
    return text;
}

std::string tail_of(const std::string& log, std::size_t lines) {
    std::size_t at = log.size();
    for (std::size_t seen = 0; at > 0; --at)
        if (log[at - 1] == '\n' && at != log.size() && ++seen == lines)
            break;
    return log.substr(at);
}

std::string log_section(const std::string& name, const std::string& log, std::size_t lines) {
    if (log.empty())
        return "\n(" + name + " has printed nothing)";
    return "\n--- the end of what " + name + " printed:\n" + tail_of(log, lines);
}

void make_pipe(int (&ends)[2]) {
#ifdef __linux__
    const int made = ::pipe2(ends, O_CLOEXEC);
#else
    const int made = ::pipe(ends);
    if (made == 0) {
        ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
        ::fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    }
#endif
    if (made != 0)
        throw Failure("the test cannot make a pipe: " + detail::error_text(errno));
}

// Everything the child needs, laid out before fork().
struct Plan {
    std::vector<std::string> environment;
    std::vector<char*> argv;
    std::vector<char*> envp;
    std::optional<unsigned> descriptor_limit;
    int output = -1;
    int error_report = -1;
    bool die_with_parent = false;
};

// What a descriptor limit says must hold for the program alone, so it inherits nothing but 0, 1 and 2.
void close_on_exec_from_three() {
#if defined(__linux__) && defined(SYS_close_range)
    constexpr unsigned only_mark = 4; // CLOSE_RANGE_CLOEXEC, Linux 5.11
    if (::syscall(SYS_close_range, 3U, ~0U, only_mark) == 0)
        return;
#endif
    for (int fd = 3; fd < 1024; ++fd)
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

[[noreturn]] void become(const Plan& plan) {
    ::dup2(plan.output, STDOUT_FILENO);
    ::dup2(plan.output, STDERR_FILENO);
    const int nothing = ::open("/dev/null", O_RDONLY);
    if (nothing >= 0)
        ::dup2(nothing, STDIN_FILENO);
    close_on_exec_from_three();
#ifdef __linux__
    if (plan.die_with_parent)
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD})
        ::signal(signal, SIG_DFL);
    if (plan.descriptor_limit) {
        const rlimit limit{*plan.descriptor_limit, *plan.descriptor_limit};
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    ::execve(plan.argv[0], plan.argv.data(), plan.envp.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t written = ::write(plan.error_report, &error, sizeof error);
    ::_exit(127);
}

// execve() does not search PATH, and execvpe() is neither portable nor async-signal-safe.
std::string find_executable(const std::string& name) {
    if (name.find('/') != std::string::npos)
        return name;
    const char* path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "/usr/bin:/bin");
    for (std::string folder; std::getline(folders, folder, ':');) {
        std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
        if (::access(candidate.c_str(), X_OK) == 0)
            return candidate;
    }
    return name;
}

#ifdef __linux__
// The process and those it has started from its main thread. A program may do its work in child processes, as
// nginx does, and what they use is used by the program. Where the kernel does not tell (CONFIG_PROC_CHILDREN)
// it is alone.
std::vector<int> family(int pid) {
    std::vector<int> members = {pid};
    for (std::size_t i = 0; i < members.size(); ++i) {
        const std::string member = std::to_string(members[i]);
        std::ifstream children("/proc/" + member + "/task/" + member + "/children");
        for (int child = 0; children >> child;)
            members.push_back(child);
    }
    return members;
}

// The three below: nothing if the process has ended.

std::optional<Millis> cpu_time_of(int pid) {
    clockid_t clock{};
    timespec used{};
    if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &used) != 0)
        return std::nullopt;
    return Millis{used.tv_sec * 1000 + used.tv_nsec / 1'000'000};
}

std::optional<std::uint64_t> resident_bytes_of(int pid) {
    // smaps_rollup counts pages; statm is quicker but may lag by some hundred KiB, as the kernel batches its
    // counters.
    std::ifstream rollup("/proc/" + std::to_string(pid) + "/smaps_rollup");
    for (std::string line; std::getline(rollup, line);)
        if (line.starts_with("Rss:"))
            return std::strtoull(line.c_str() + 4, nullptr, 10) * 1024;
    std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
    std::uint64_t pages = 0;
    if (statm >> pages >> pages)
        return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return std::nullopt;
}

std::optional<std::size_t> open_descriptors_of(int pid) {
    std::error_code error;
    const std::filesystem::directory_iterator entries("/proc/" + std::to_string(pid) + "/fd", error);
    if (error)
        return std::nullopt;
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

// The sum over the family; a member that has just ended counts for nothing. Throws Failure if the process
// itself has ended.
template<typename Amount>
Amount sum_of(std::optional<Amount> (*amount_of)(int), int pid, const std::string& what) {
    Amount sum{};
    for (const int member : family(pid)) {
        const auto amount = amount_of(member);
        if (!amount && member == pid)
            throw Failure(what + " cannot be told: has it ended?");
        sum += amount.value_or(Amount{});
    }
    return sum;
}
#else
std::string ps(int pid, const std::string& column) {
    const std::string command = "ps -o " + column + "= -p " + std::to_string(pid);
    std::string text;
    if (FILE* output = ::popen(command.c_str(), "r")) {
        char line[256];
        while (std::fgets(line, sizeof line, output) != nullptr)
            text += line;
        ::pclose(output);
    }
    return text;
}
#endif

} // namespace

Environment::Environment(std::initializer_list<std::pair<std::string, std::string>> variables) {
    for (const auto& [name, value] : variables)
        variables_[name] = value;
}

std::ostream& operator<<(std::ostream& out, const Exit& exit) {
    if (exit.signal)
        return out << "killed by " << signal_text(*exit.signal);
    return out << "exit status " << exit.status.value_or(-1);
}

namespace {

std::string text_of(const Exit& exit) {
    std::ostringstream text;
    text << exit;
    return text.str();
}

} // namespace

Verdict Exit::exited_with(int expected_status) const {
    if (status == expected_status)
        return Verdict::yes(text_of(*this));
    return Verdict::no("exit status " + std::to_string(expected_status) +
                       " was expected, but it was: " + text_of(*this) + log_section("it", log, 20));
}

Verdict Exit::killed_by(int expected_signal) const {
    if (signal == expected_signal)
        return Verdict::yes(text_of(*this));
    return Verdict::no("death by " + signal_text(expected_signal) +
                       " was expected, but it was: " + text_of(*this) + log_section("it", log, 20));
}

class Process::Child {
public:
    Child(std::vector<std::string> argv, const Options& options);
    ~Child();
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    // True when it has ended; reaps it. The lock must be held.
    bool look();
    bool has_ended() {
        const std::lock_guard lock(mutex);
        return look();
    }
    std::string log() const {
        const std::lock_guard lock(mutex);
        return output;
    }
    // Waits until all it has printed has been read; bounded, as a grandchild may hold the pipe open.
    void wait_for_output();
    void read_output(int fd, int stop);
    // Puts the whole lines of the output on record that are not there yet. The lock must be held.
    void record_lines();

    std::string name;
    int pid = -1;
    mutable std::mutex mutex;
    std::condition_variable changed;
    std::string output;
    std::size_t recorded = 0; // so much of it
    bool output_complete = false;
    std::optional<int> wait_status;
    int last_signal_sent = 0;
    int terminate_by = 0;
    bool end_was_asked_for = false; // the test has seen how it ended
    std::thread reader;
    int stop_writer = -1;
};

Process::Child::Child(std::vector<std::string> argv, const Options& options) {
    if (argv.empty())
        throw Failure("there is no program to start");
    name = options.name.empty() ? std::filesystem::path(argv[0]).filename().string() : options.name;
    terminate_by = options.terminate_by;
    argv[0] = find_executable(argv[0]);

    Plan plan;
    for (const char* variable : passed_through)
        if (const char* value = std::getenv(variable);
            value != nullptr && !options.environment.contains(variable))
            plan.environment.push_back(std::string(variable) + "=" + value);
    for (const auto& [variable, value] : options.environment) {
        std::string entry = variable;
        entry += '=';
        entry += value;
        plan.environment.push_back(std::move(entry));
    }
    for (std::string& argument : argv)
        plan.argv.push_back(argument.data());
    for (std::string& entry : plan.environment)
        plan.envp.push_back(entry.data());
    plan.argv.push_back(nullptr);
    plan.envp.push_back(nullptr);
    plan.descriptor_limit = options.descriptor_limit;
#ifdef __linux__
    // A test killed by a timeout must not leave its programs behind. The signal comes when the thread that
    // forked ends, so only the main thread may ask for it.
    plan.die_with_parent = ::getpid() == static_cast<pid_t>(::syscall(SYS_gettid));
#endif

    int printed[2] = {-1, -1};
    int exec_error[2] = {-1, -1};
    int stop[2] = {-1, -1};
    make_pipe(printed);
    make_pipe(exec_error);
    make_pipe(stop);
    plan.output = printed[1];
    plan.error_report = exec_error[1];

    const auto before = moment();
    pid = ::fork();
    if (pid == 0)
        become(plan);
    const int fork_error = errno;
    ::close(printed[1]);
    ::close(exec_error[1]);
    int error = pid < 0 ? fork_error : 0;
    // The pipe closes by itself when exec succeeds; if it fails, the reason comes through it.
    if (pid > 0)
        while (::read(exec_error[0], &error, sizeof error) < 0 && errno == EINTR) {
        }
    ::close(exec_error[0]);
    if (error != 0) {
        if (pid > 0)
            ::waitpid(pid, nullptr, 0);
        for (const int fd : {printed[0], stop[0], stop[1]})
            ::close(fd);
        throw Failure("could not start " + argv[0] + ": " + detail::error_text(error));
    }
    if (recorder() != nullptr) {
        // What the test has set, and not what it takes to run a program here.
        std::vector<std::string> variables;
        for (const auto& [variable, value] : options.environment)
            variables.push_back(variable + "=" + value);
        record(name, "started", {{"pid", pid}, {"command", joined(argv)}, {"environment", joined(variables)}},
               before);
    }
    detail::make_well_behaved(printed[0]);
    stop_writer = stop[1];
    reader = std::thread([this, from = printed[0], until = stop[0]] { read_output(from, until); });
}

void Process::Child::read_output(int fd, int stop) {
    std::array<char, 16384> buffer{};
    for (bool stopping = false;;) {
        const ssize_t count = ::read(fd, buffer.data(), buffer.size());
        if (count > 0) {
            const std::lock_guard lock(mutex);
            output.append(buffer.data(), static_cast<std::size_t>(count));
            record_lines();
            changed.notify_all();
            continue;
        }
        const bool dry = count < 0 && (errno == EAGAIN || errno == EINTR);
        if (!dry || stopping)
            break;
        pollfd entries[2] = {{fd, POLLIN, 0}, {stop, 0, 0}};
        ::poll(entries, 2, -1);
        stopping = entries[1].revents != 0; // once more round the loop, for what has come meanwhile
    }
    ::close(fd);
    ::close(stop);
    const std::lock_guard lock(mutex);
    output_complete = true;
    changed.notify_all();
}

void Process::Child::record_lines() {
    if (recorder() == nullptr)
        return;
    for (std::size_t end = output.find('\n', recorded); end != std::string::npos;
         end = output.find('\n', recorded)) {
        record(name, "prints",
               {{"pid", pid}, {"text", std::string_view(output).substr(recorded, end - recorded)}});
        recorded = end + 1;
    }
}

bool Process::Child::look() {
    if (!wait_status) {
        int status = 0;
        if (::waitpid(pid, &status, WNOHANG) == pid) {
            wait_status = status;
            if (WIFSIGNALED(status))
                record(name, "exited", {{"pid", pid}, {"signal", signal_name(WTERMSIG(status))}});
            else
                record(name, "exited", {{"pid", pid}, {"status", WEXITSTATUS(status)}});
        }
    }
    return wait_status.has_value();
}

void Process::Child::wait_for_output() {
    eventually(
        [this] {
            const std::lock_guard lock(mutex);
            return output_complete;
        },
        "the rest of the output", Millis{1000});
}

Process::Child::~Child() {
    bool ended_by_itself = false;
    {
        const std::lock_guard lock(mutex);
        ended_by_itself = look();
        if (!ended_by_itself) {
            record(name, "stopped", {{"pid", pid}});
            ::kill(pid, SIGKILL);
        }
    }
    if (ended_by_itself) {
        wait_for_output();
    } else {
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        wait_status = status;
    }
    ::close(stop_writer);
    reader.join();
}

Process::Process(std::vector<std::string> argv) : Process(std::move(argv), Options{}) {}
Process::Process(std::vector<std::string> argv, const Options& options)
    : child_(std::make_unique<Child>(std::move(argv), options)) {}

Process::~Process() {
    Child& child = *child_;
    const bool ended = child.has_ended();
    if (ended)
        child.wait_for_output();
    const std::string log = child.log();
    Exit exit;
    if (ended && WIFSIGNALED(*child.wait_status))
        exit.signal = WTERMSIG(*child.wait_status);
    else if (ended)
        exit.status = WEXITSTATUS(*child.wait_status);
    const bool as_told =
        child.last_signal_sent != 0 && (!exit.signal || exit.signal == child.last_signal_sent);
    if (sanitizer_report())
        complain(name() + " printed a sanitizer report:" + log_section(name(), log, 80));
    else if (ended && !child.end_was_asked_for && !as_told)
        complain(name() + " ended by itself during the test: " + text_of(exit) +
                 log_section(name(), log, 40));
    file_paper("log of " + name() + ":" + log_section(name(), log, 40));
}

int Process::pid() const {
    return child_->pid;
}
const std::string& Process::name() const {
    return child_->name;
}
bool Process::running() const {
    return !child_->has_ended();
}
std::string Process::log() const {
    return child_->log();
}
std::string Process::log_tail(std::size_t lines) const {
    return tail_of(log(), lines);
}

void Process::send_signal(int signal) {
    const std::lock_guard lock(child_->mutex);
    if (child_->look())
        return;
    if (signal == SIGTERM && child_->terminate_by != 0)
        signal = child_->terminate_by;
    record(name(), "signal", {{"pid", child_->pid}, {"signal", signal_name(signal)}});
    ::kill(child_->pid, signal);
    child_->last_signal_sent = signal;
}

std::optional<Exit> Process::try_wait_for_exit(Millis limit) {
    if (!eventually([this] { return child_->has_ended(); }, "the end", limit))
        return std::nullopt;
    child_->wait_for_output();
    const std::lock_guard lock(child_->mutex);
    child_->end_was_asked_for = true;
    Exit exit;
    const int status = *child_->wait_status;
    if (WIFSIGNALED(status))
        exit.signal = WTERMSIG(status);
    else
        exit.status = WEXITSTATUS(status);
    exit.log = child_->output;
    return exit;
}

Exit Process::wait_for_exit(Millis limit) {
    if (auto exit = try_wait_for_exit(limit))
        return *exit;
    throw Failure(name() + " was to end, but still runs after " + std::to_string(limit.count()) + " ms" +
                  log_section(name(), log(), 40));
}

namespace {

// The first whole line that contains `text`.
std::optional<std::string> line_with(const std::string& log, std::string_view text) {
    const std::size_t at = log.find(text);
    if (at == std::string::npos)
        return std::nullopt;
    const std::size_t end = log.find('\n', at);
    if (end == std::string::npos)
        return std::nullopt;
    const std::size_t before = log.rfind('\n', at);
    const std::size_t from = before == std::string::npos ? 0 : before + 1;
    return log.substr(from, end - from);
}

} // namespace

std::string Process::wait_for_line(std::string_view text, Millis limit) {
    std::optional<std::string> line;
    bool over = false;
    eventually(
        [&] {
            // Asked before the log is looked at: what is printed before the end is in the log by then.
            over = child_->has_ended();
            if (over)
                child_->wait_for_output();
            line = line_with(child_->log(), text);
            return line.has_value() || over;
        },
        "a line", limit);
    if (line)
        return *line;
    std::string why = name() + " was to print a line with " + printable(text) + ", but ";
    if (over)
        why += "ended first: " + text_of(*try_wait_for_exit(Millis{0}));
    else
        why += "has not within " + std::to_string(limit.count()) + " ms";
    throw Failure(why + log_section(name(), log(), 40));
}

Verdict Process::logs(std::string_view text, Millis limit) {
    try {
        return Verdict::yes(name() + " printed: " + wait_for_line(text, limit));
    } catch (const Failure& failure) {
        return Verdict::no(failure.what());
    }
}

std::size_t Process::count_lines(std::string_view text) const {
    const std::string all = log();
    // A line may be read in the middle of being written; it counts once its newline is there.
    std::istringstream lines(all.substr(0, all.rfind('\n') + 1));
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line);)
        count += line.find(text) != std::string::npos ? 1U : 0U;
    return count;
}

std::optional<std::string> Process::sanitizer_report() const {
    const std::string all = log();
    std::size_t first = std::string::npos;
    for (const std::string_view mark : sanitizer_marks)
        first = std::min(first, all.find(mark));
    if (first == std::string::npos)
        return std::nullopt;
    return all.substr(first);
}

Millis Process::cpu_time() const {
#ifdef __linux__
    return sum_of(cpu_time_of, pid(), "the processor time of " + name());
#else
    // `[dd-]hh:mm:ss.cc` or `mm:ss.cc`
    double seconds = 0;
    std::string text = ps(pid(), "time");
    std::replace(text.begin(), text.end(), '-', ':');
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ':');)
        seconds = seconds * 60 + std::strtod(part.c_str(), nullptr);
    return Millis{static_cast<Millis::rep>(seconds * 1000)};
#endif
}

std::uint64_t Process::resident_bytes() const {
#ifdef __linux__
    return sum_of(resident_bytes_of, pid(), "the memory of " + name());
#else
    return std::strtoull(ps(pid(), "rss").c_str(), nullptr, 10) * 1024;
#endif
}

std::size_t Process::open_descriptors() const {
#ifdef __linux__
    return sum_of(open_descriptors_of, pid(), "the number of descriptors of " + name());
#else
    const std::string command = "lsof -w -a -d 0-99999 -p " + std::to_string(pid()) + " | tail -n +2 | wc -l";
    char text[64] = {};
    if (FILE* output = ::popen(command.c_str(), "r")) {
        if (std::fgets(text, sizeof text, output) == nullptr)
            text[0] = 0;
        ::pclose(output);
    }
    return std::strtoull(text, nullptr, 10);
#endif
}

} // namespace harness
