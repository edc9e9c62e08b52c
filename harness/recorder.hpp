/// The recorder: a test's story as a file, for the scripts that draw it.
///
/// With HARBOR_TRACE=DIR in the environment each test case writes a file into that folder, one JSON object a
/// line (README.md lists them):
///
///     {"t":0.004117,"who":"client 1","what":"connects","to":"127.0.0.1:40001","from":51742}
///     {"t":0.004239,"who":"backend A #1","what":"accepted","from":51744}
///     {"t":0.004251,"who":"client 1","what":"sent","bytes":8,"first":"question"}
///
/// The file of a test that passes is removed at its end (HARBOR_TRACE_KEEP=1 keeps it), that of a test that
/// fails stays, and so does that of a test that was killed: lines are written as things happen. That is why
/// this is not the text of trace.hpp in another form. That one is for the reader of a failure, merges what
/// belongs together, and exists only at the end; this one leaves nothing out.
///
/// Invariant: lines stand in the order they were written, and `t`, seconds since the test began, is the order
/// in which things happened. What a test does is stamped before the system call and what it sees is stamped
/// after it, so that a cause is always earlier than its effect, although two threads have written them.
///
/// Without HARBOR_TRACE there is no recorder, and every call here is one look at a null pointer.
///
/// Threads: everything may be called from any thread; begin() and end() while no test runs.
#pragma once

#include "deadline.hpp"

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>

namespace harness {

/// One member of a line: `"from":51742`, `"to":"127.0.0.1:40001"`. It refers to its text and must not outlive
/// it.
struct Fact {
    Fact(std::string_view its_name, std::string_view its_text) : name(its_name), text(its_text) {}
    Fact(std::string_view its_name, const char* its_text) : name(its_name), text(its_text) {}
    Fact(std::string_view its_name, const std::string& its_text) : name(its_name), text(its_text) {}
    template<std::integral Number>
    Fact(std::string_view its_name, Number its_number)
        : name(its_name), number(static_cast<std::int64_t>(its_number)), is_number(true) {}

    std::string_view name;
    std::string_view text;
    std::int64_t number = 0;
    bool is_number = false;
};

class Recorder {
public:
    /// Writes into `folder`, which is made when the first test begins.
    Recorder(std::string folder, bool keep_passed);
    ~Recorder();
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    /// Opens the file of a test, and removes what ended processes have left of the same one. `executable` and
    /// `test` become part of its name. Throws Failure, which names HARBOR_TRACE, if it cannot be written.
    void begin(std::string_view executable, std::string_view test);
    /// Adds a line; `at` is now if not given. Between tests nothing is written.
    void write(std::string_view who, std::string_view what, std::initializer_list<Fact> facts = {},
               Clock::time_point at = {});
    /// Writes the outcome and closes the file; removes it if the test passed and is not to be kept.
    void end(bool failed);

    /// Of the test that is running, or else the last one.
    std::string path() const;

private:
    const std::string folder_;
    const bool keep_passed_;
    mutable std::mutex mutex_; // guards what follows
    std::string stem_;
    int run_ = 0; // a test with generators or sections comes several times, each time with a file of its own
    std::string path_;
    int fd_ = -1;
    Clock::time_point began_;
};

/// The recorder that HARBOR_TRACE asks for; null without.
Recorder* recorder();

/// As Recorder::write(); does nothing without a recorder.
inline void record(std::string_view who, std::string_view what, std::initializer_list<Fact> facts = {},
                   Clock::time_point at = {}) {
    if (Recorder* const it = recorder())
        it->write(who, what, facts, at);
}

/// Now if anybody will ask, else nothing: for stamps that are taken before a system call.
inline Clock::time_point moment() {
    return recorder() != nullptr ? Clock::now() : Clock::time_point{};
}

} // namespace harness
