// What the harness does at the beginning and at the end of each test, hooked into Catch2 (version 2 or 3).
//
// At the beginning the trace is cleared, and the recorder, if there is one, begins a file. Checks that fail
// go on record. At the end complaints become failed checks, and if the test failed, the logs of the programs
// and the trace are printed. The root section is used for both and not the test case: it comes once for each
// way through the sections of a test, and a check that fails in sectionEnded still counts for the test, while
// one in testCaseEnded comes too late for that.
//
// This file is compiled once, as an object and not as part of the static library: nothing refers to it, so a
// linker would leave it out.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "catch.hpp"
#include "complaint.hpp"
#include "recorder.hpp"
#include "socket.hpp"
#include "trace.hpp"
#include "verdict.hpp"

#include <iostream>
#include <string>
#include <utility>

namespace {

#if __has_include(<catch2/catch_all.hpp>)
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

// Version 2 gives some texts as std::string and version 3 as its own StringRef.
template<typename Text>
std::string string_of(const Text& text) {
    return std::string(text.data(), text.size());
}

class Listener : public ListenerBase {
public:
    using ListenerBase::ListenerBase;

    void testRunStarting(const Catch::TestRunInfo& info) override {
        ListenerBase::testRunStarting(info);
        executable_ = string_of(info.name);
        harness::raise_descriptor_limit();
        harness::papers_will_be_taken(true);
    }

    void sectionStarting(const Catch::SectionInfo& info) override {
        ListenerBase::sectionStarting(info);
        if (depth_++ == 0)
            begin(string_of(info.name));
    }

    // The result is a bool in version 2 and nothing in version 3.
    auto assertionEnded(const Catch::AssertionStats& stats)
        -> decltype(std::declval<ListenerBase&>().assertionEnded(stats)) override {
        if (harness::recorder() != nullptr && !stats.assertionResult.isOk())
            put_on_record(stats);
        return ListenerBase::assertionEnded(stats);
    }

    void sectionEnded(const Catch::SectionStats& stats) override {
        if (--depth_ == 0)
            end(stats.assertions.failed > 0);
        ListenerBase::sectionEnded(stats);
    }

private:
    void begin(const std::string& test) const {
        harness::trace::begin();
        harness::take_complaints();
        harness::take_papers();
        if (harness::Recorder* const recorder = harness::recorder()) {
            try {
                recorder->begin(executable_, test);
            } catch (const harness::Failure& failure) {
                harness::complain(failure.what());
            }
        }
    }

    static void put_on_record(const Catch::AssertionStats& stats) {
        const auto& result = stats.assertionResult;
        // A message is what was thrown, or said with FAIL; else the expression explains itself.
        const std::string message = string_of(result.getMessage());
        std::string lesson;
        for (const auto& info : stats.infoMessages)
            if (info.message != message) // version 2 lists it here too
                lesson += (lesson.empty() ? "" : "\n") + info.message;
        const Catch::SourceLineInfo place = result.getSourceInfo();
        harness::record("the test", "fails",
                        {{"expected", result.getExpressionInMacro()},
                         {"because", message.empty() ? result.getExpandedExpression() : message},
                         {"lesson", lesson},
                         {"file", place.file},
                         {"line", place.line}});
    }

    static void end(bool failed) {
        for (const std::string& complaint : harness::take_complaints()) {
            failed = true;
            FAIL_CHECK(complaint);
        }
        if (harness::Recorder* const recorder = harness::recorder())
            recorder->end(failed);
        const auto papers = harness::take_papers();
        if (!failed)
            return;
        for (const std::string& paper : papers)
            std::cerr << "\n--- " << paper;
        if (const std::string trace = harness::trace::text(); !trace.empty())
            std::cerr << "\n--- what happened at the test's sockets:\n" << trace;
        std::cerr << std::flush;
    }

    std::string executable_;
    int depth_ = 0;
};

CATCH_REGISTER_LISTENER(Listener)

} // namespace
