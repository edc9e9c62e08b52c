// What the tests of the shutdown have in common: how to see from outside that it has begun, and a backend
// that waits until the test says so.
#pragma once

#include <harness/backend.hpp>
#include <harness/program.hpp>

#include <atomic>
#include <string>
#include <string_view>

/// A grace period, or a dial timeout, that no test lives to see the end of. What ends before it has not
/// waited for it.
inline const std::string a_minute = "60000";

/// The only sign of a drain that every program gives: it no longer listens. Whoever asks is a client until
/// then, so the backend may see a few connections that end by themselves.
inline harness::Verdict refuses_new_clients(const harness::Program& harbor) {
    return harness::eventually([&] { return harness::connect_refused(harbor.endpoint()); },
                               "new clients to be refused");
}

/// How many lines of the log contain this number (and not merely its digits, as part of another).
inline std::size_t lines_with_number(std::string_view log, std::string_view number) {
    constexpr std::string_view digits = "0123456789";
    std::size_t lines = 0;
    while (!log.empty()) {
        const std::string_view line = log.substr(0, log.find('\n'));
        log.remove_prefix(line.size() == log.size() ? line.size() : line.size() + 1);
        for (std::size_t at = line.find_first_of(digits); at != std::string_view::npos;) {
            const std::size_t end = line.find_first_not_of(digits, at);
            if (line.substr(at, end - at) == number) {
                ++lines;
                break;
            }
            at = line.find_first_of(digits, end);
        }
    }
    return lines;
}

/// Behaviours wait at it until the test opens it.
class Gate {
public:
    void open() { open_ = true; }

    /// False when the backend goes before it was opened.
    bool wait(harness::Peer& peer) const {
        while (!open_) {
            if (!peer.pause(harness::Millis{2})) {
                return false;
            }
        }
        return true;
    }

private:
    std::atomic<bool> open_{false};
};
