// What the tests of this chapter ask again and again: was this client served, by whom, or was it sent away?
//
// Served means that a line came: the backends of these tests greet with their name, as chapter 01's server
// does with
// --id. A client that is sent away gets no byte, and whether by FIN or by RST is left open on purpose:
// closing a socket in which unread bytes wait makes a RST of itself, and which of the two it is depends on
// who was faster.
#pragma once

#include <harness/backend.hpp>
#include <harness/program.hpp>
#include <harness/socket.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace harness {

inline const std::string nobody = "nobody";

/// The name of the backend that serves this client, or nobody.
inline std::string served_by(Client& client) {
    try {
        return client.receive_line();
    } catch (const Failure&) {
        return nobody;
    }
}

/// The connection ends, in either way, and no byte comes before.
inline Verdict sent_away(Client& client) {
    const Received came = client.receive_until_end();
    return {came.bytes.empty() && came.ending != Ending::silence,
            client.name() + " was to be closed without a byte; it got " + printable(came.bytes) + ", then " +
                std::string(describe(came.ending))};
}

/// The backend's connection has ended, in either way.
inline Verdict saw_an_end(const Backend& backend, std::size_t number) {
    return eventually([&] { return backend.connection(number).ending != Ending::silence; },
                      "backend " + backend.name() + " to see the end of connection " +
                          std::to_string(number));
}

/// The program closes both sockets of so many connections; `while_open` descriptors were open when it had
/// them.
inline Verdict closes_connections(const Program& program, std::size_t connections, std::size_t while_open) {
    const std::size_t expected = while_open - 2 * connections;
    return eventually(
        [&] {
            const std::size_t now = program.process().open_descriptors();
            return Verdict{now <= expected, "of " + std::to_string(while_open) + " descriptors " +
                                                std::to_string(now) + " are open, to be " +
                                                std::to_string(expected)};
        },
        "the descriptors of " + std::to_string(connections) + " connections to be closed");
}

/// `places` clients are served side by side, and there is no room for one more.
inline Verdict has_room_for_exactly(std::size_t places, const Program& program) {
    std::vector<Client> served;
    const Verdict room = eventually(
        [&] {
            Client client = program.connect();
            if (served_by(client) != nobody) {
                served.push_back(std::move(client));
            }
            return served.size() == places;
        },
        std::to_string(places) + " clients to be served side by side");
    if (!room) {
        return Verdict::no(room.explanation + "; only " + std::to_string(served.size()) + " were");
    }
    Client one_more = program.connect();
    Verdict away = sent_away(one_more);
    away.explanation = "there were " + std::to_string(places) + " clients; " + away.explanation;
    return away;
}

/// A little less than `period`: for lower bounds, so that clocks which count in whole milliseconds do not
/// matter.
inline Millis almost(Millis period) {
    return period - period / 20;
}

} // namespace harness
