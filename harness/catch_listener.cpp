// What the harness does at the beginning and at the end of each test, hooked into Catch2 (version 2 or 3).
//
// At the beginning the trace is cleared. At the end complaints become failed checks, and if the test failed,
// the logs of the programs and the trace are printed. The root section is used for both and not the test
// case: it comes once for each way through the sections of a test, and a check that fails in sectionEnded
// still counts for the test, while one in testCaseEnded comes too late for that.
//
// This file is compiled once, as an object and not as part of the static library: nothing refers to it, so a
// linker would leave it out.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "catch.hpp"
#include "complaint.hpp"
#include "socket.hpp"
#include "trace.hpp"

#include <iostream>

namespace {

#if __has_include(<catch2/catch_all.hpp>)
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

class Listener : public ListenerBase {
public:
    using ListenerBase::ListenerBase;

    void testRunStarting(const Catch::TestRunInfo& info) override {
        ListenerBase::testRunStarting(info);
        harness::raise_descriptor_limit();
        harness::papers_will_be_taken(true);
    }

    void sectionStarting(const Catch::SectionInfo& info) override {
        ListenerBase::sectionStarting(info);
        if (depth_++ == 0)
            begin();
    }

    void sectionEnded(const Catch::SectionStats& stats) override {
        if (--depth_ == 0)
            end(stats.assertions.failed > 0);
        ListenerBase::sectionEnded(stats);
    }

private:
    static void begin() {
        harness::trace::begin();
        harness::take_complaints();
        harness::take_papers();
    }

    static void end(bool failed) {
        for (const std::string& complaint : harness::take_complaints()) {
            failed = true;
            FAIL_CHECK(complaint);
        }
        const auto papers = harness::take_papers();
        if (!failed)
            return;
        for (const std::string& paper : papers)
            std::cerr << "\n--- " << paper;
        if (const std::string trace = harness::trace::text(); !trace.empty())
            std::cerr << "\n--- what happened at the test's sockets:\n" << trace;
        std::cerr << std::flush;
    }

    int depth_ = 0;
};

CATCH_REGISTER_LISTENER(Listener)

} // namespace
