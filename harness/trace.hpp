/// The trace: what happened at the harness's own sockets, in the order it happened, printed when a test
/// fails.
///
///     0.000 s  client 1      connects to 127.0.0.1:40001 from port 51742
///     0.001 s  backend A #1  accepted, from port 51744
///     0.001 s  client 1      sent 65536 bytes (in 12 parts, until 0.004 s)
///     0.004 s  client 1      FIN sent
///
/// One trace a process, because one test runs at a time and a story has one order. It is bounded twice:
/// consecutive sends (or receives) of the same actor become one line, and beyond a few hundred lines the
/// middle is left out. Where a recorder is on (recorder.hpp) each event goes into its file as well.
///
/// All functions may be called from any thread.
#pragma once

#include "deadline.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace harness::trace {

enum class Event {
    connects,
    refused,
    accepted,
    sent,
    received,
    fin_sent,
    fin_received,
    rst_sent,
    rst_received,
    closed,
    note,
};

/// What is known of an event besides who and what; each kind of event has its own.
struct Facts {
    std::string_view bytes = {}; ///< sent, received: these
    std::string_view address = {}; ///< connects, refused: to, or by, this one
    std::uint16_t port = 0; ///< connects: from this port of ours; accepted: from this port of the other side
    std::string_view text = {}; ///< refused: why; note: its words
    Clock::time_point at = {}; ///< when; now if not given (see moment() in recorder.hpp)
};

/// Forgets everything and sets the clock to zero. The listener calls it at the start of each test.
void begin();

/// Adds a line, or adds to the actor's last one.
void add(std::string_view actor, Event event, const Facts& facts = {});

/// A remark of the test itself, in its place in the story.
void note(std::string_view text);

/// The whole trace, one event a line; empty if nothing happened.
std::string text();

/// `client 1`, `client 2`, …: the next name, counted from 1 in each test.
std::string next_client_name();
/// `A`, `B`, …, `Z`, `A2`, …: the same for backends.
std::string next_backend_name();

} // namespace harness::trace
