// A Program is a Process that keeps the contract: it says where it listens. Nothing else is assumed of it, in
// particular not the language it is written in.
#include "program.hpp"
#include "complaint.hpp"
#include "recorder.hpp"
#include "trace.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <ostream>

namespace harness {
namespace {

constexpr std::string_view ready_words = "listening on ";
constexpr std::string_view metrics_words = "metrics on ";

std::atomic<const char*> default_program = nullptr;

Environment with_defaults(Environment environment) {
    environment.set_default("LB_ADDR", "127.0.0.1:0");
    environment.set_default("LB_METRICS_ADDR", "127.0.0.1:0");
    environment.set_default("LB_THREADS", "2");
    return environment;
}

// `… listening on 127.0.0.1:40001 …` → the address. A program that listens everywhere is reached by loopback.
Endpoint address_after(std::string_view words, std::string_view line) {
    std::string_view text = line.substr(line.find(words) + words.size());
    text = text.substr(0, text.find_first_of(" \t\r,;\""));
    Endpoint endpoint = Endpoint::parse(text);
    if (endpoint.host == "0.0.0.0")
        endpoint.host = "127.0.0.1";
    else if (endpoint.host == "::")
        endpoint.host = "::1";
    return endpoint;
}

std::string list(const Environment& environment) {
    std::string text;
    for (const auto& [name, value] : environment) {
        text += text.empty() ? "" : " ";
        text += name;
        text += '=';
        text += value;
    }
    return text;
}

} // namespace

bool set_default_program(const char* path) noexcept {
    default_program = path;
    return true;
}

std::string program_under_test() {
    if (const char* named = std::getenv("HARBOR_UNDER_TEST"); named != nullptr && *named != '\0')
        return named;
    if (const char* built = default_program.load(); built != nullptr)
        return built;
    throw Failure("no program to test: set HARBOR_UNDER_TEST to the path of an executable");
}

Program::Program(const Environment& environment) : Program(environment, Options{}) {}

Program::Program(const Environment& environment, const Options& options)
    : exceptions_at_start_(std::uncaught_exceptions()) {
    Process::Options start;
    start.environment = with_defaults(environment);
    start.descriptor_limit = options.descriptor_limit;
    start.name = options.name;
    // Other balancers have other signals for a drain: nginx takes SIGQUIT, HAProxy SIGUSR1, and SIGTERM for a
    // cut.
    if (const char* other = std::getenv("HARBOR_DRAIN_SIGNAL"); other != nullptr)
        start.terminate_by = std::atoi(other);
    process_ = std::make_unique<Process>(
        std::vector{options.path.empty() ? program_under_test() : options.path}, start);
    try {
        endpoint_ = address_after(ready_words, process_->wait_for_line(ready_words));
        if (process_->count_lines(metrics_words) > 0)
            metrics_ = address_after(metrics_words, process_->wait_for_line(metrics_words));
    } catch (const Failure& failure) {
        throw Failure("the program under test did not become ready. " + std::string(failure.what()) +
                      "\nIts environment: " + list(start.environment));
    }
    record(process_->name(), "listens",
           {{"pid", process_->pid()}, {"on", address()}, {"metrics", metrics_ ? metrics_->text() : ""}});
    trace::add("the test", trace::Event::note, {.text = process_->name() + " listens on " + address()});
}

Program::~Program() {
    // With the listener linked in, log and trace are printed by it, also for failures that throw nothing
    // (CHECK).
    const bool failed = std::uncaught_exceptions() > exceptions_at_start_;
    const std::string log = failed ? process_->log_tail() : "";
    process_.reset();
    if (failed && !papers_are_taken())
        std::cerr << "\n--- the end of the program's log:\n"
                  << log << "--- what happened at the test's sockets:\n"
                  << trace::text();
}

Endpoint Program::metrics_endpoint() const {
    if (!metrics_)
        throw Failure("the program did not print `metrics on ADDR:PORT` before `listening on`; its log:\n" +
                      process_->log_tail());
    return *metrics_;
}

Verdict Program::stop() {
    process_->send_signal(SIGTERM);
    const Exit exit = process_->wait_for_exit();
    if (const auto report = process_->sanitizer_report())
        return Verdict::no("a sanitizer reported:\n" + *report);
    if (exit.signal)
        return exit.killed_by(SIGTERM);
    return exit.exited_with(0);
}

Verdict Refusal::names(std::initializer_list<std::string_view> words) const {
    return exits_with_and_names(2, words);
}

Verdict Refusal::exits_with_and_names(int status, std::initializer_list<std::string_view> words) const {
    Verdict right_status = exit.exited_with(status);
    if (!right_status)
        return right_status;
    for (std::size_t from = 0; from < log.size();) {
        const std::size_t end = std::min(log.find('\n', from), log.size());
        const std::string_view line = std::string_view(log).substr(from, end - from);
        bool all = true;
        for (const std::string_view word : words)
            all = all && line.find(word) != std::string_view::npos;
        if (all)
            return Verdict::yes("it said: " + std::string(line));
        from = end + 1;
    }
    std::string wanted;
    for (const std::string_view word : words)
        wanted += (wanted.empty() ? "" : ", ") + printable(word);
    return Verdict::no("one line was to contain " + wanted + "; it printed:\n" + log);
}

std::ostream& operator<<(std::ostream& out, const Refusal& refusal) {
    return out << refusal.exit << "; it printed:\n" << refusal.log;
}

namespace {

Refusal run_to_the_end(std::vector<std::string> argv, const Environment& environment) {
    Process::Options options;
    options.environment = environment;
    Process process(std::move(argv), options);
    // Either it ends or it says that it listens; whichever comes first.
    const Verdict decided =
        eventually([&] { return !process.running() || process.count_lines(ready_words) > 0; },
                   "it to refuse or to start");
    if (process.count_lines(ready_words) > 0)
        throw Failure("it started although its configuration is bad (" + list(environment) + "); its log:\n" +
                      process.log_tail());
    if (!decided)
        throw Failure("it neither ended nor said that it listens, with " + list(environment) +
                      "; its log:\n" + process.log_tail());
    Refusal refusal;
    refusal.exit = process.wait_for_exit();
    refusal.log = refusal.exit.log;
    if (refusal.log.find(ready_words) != std::string::npos)
        throw Failure("it started to listen before it ended; its log:\n" + refusal.log);
    return refusal;
}

} // namespace

Refusal run_expecting_refusal(const Environment& environment) {
    return run_to_the_end({program_under_test()}, with_defaults(environment));
}

Refusal run_arguments_expecting_refusal(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program_under_test());
    return run_to_the_end(std::move(arguments), {});
}

} // namespace harness
