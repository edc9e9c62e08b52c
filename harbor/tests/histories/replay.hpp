/// Runs a history against the real program, and compares every stream with the contract.
#pragma once

#include "history.hpp"

#include <harness/deadline.hpp>
#include <harness/verdict.hpp>

#include <optional>
#include <string>

namespace histories {

struct Replay {
    std::string program; ///< the path of a balancer that keeps the contract of harbor
    harness::Millis patience = harness::patience(); ///< how long to wait for what has to come
    bool keep_log = false; ///< adds the program's log to a difference
};

/// The first difference from the contract, or nothing.
///
/// Held against it: every stream is a prefix of what was sent, bit for bit, and nobody gets another's bytes;
/// a clean end arrives as a clean end, after the last byte; a reset arrives as a reset, after everything that
/// the balancer's kernel had acknowledged before it; what is cut off never ends cleanly; nobody's bytes go to
/// a second backend; nobody is left waiting; the gauge of open connections counts those that are open, and
/// the counters add up; at the end all descriptors are closed, and SIGTERM ends the program with status 0.
///
/// May be called from any number of threads.
std::optional<std::string> replay(const History& history, const Replay& how);

/// For tests: replays the history against the program under test, three times, since what a history finds may
/// depend on who is faster.
harness::Verdict agrees(const History& history);

} // namespace histories
