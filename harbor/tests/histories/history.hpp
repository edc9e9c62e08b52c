/// A history: one life of the balancer, as a list of events.
///
/// A history is plain data, made from a seed, printed as code, and run by replay.hpp. Whatever is left out of
/// one leaves a history again: an event that makes no sense where it stands (to send after the end, to resume
/// who is not paused) does nothing. That is what lets a failing history be made shorter without understanding
/// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace histories {

/// The two ends of a connection, as the balancer sees them.
enum class Side { client, backend };

enum class What {
    open, ///< a client connects, and its backend's end is accepted before anything else happens
    rush, ///< a client connects and sends a byte, and nobody waits for the dial
    send, ///< one side has so many bytes more to send; they go out as they are taken
    half_close, ///< after its last byte a side ends its stream
    reset, ///< a side resets, at once: what its kernel has not sent yet is dropped
    close, ///< a side closes both directions
    pause, ///< a side stops reading
    resume,
    wait, ///< so many milliseconds pass; bytes move only now, however few they are
    freeze, ///< the balancer is stopped (SIGSTOP): whatever happens now, it finds at once
    thaw,
    backend_down, ///< a backend refuses new connections
    backend_up,
    terminate, ///< SIGTERM: a drain; the second time everything is cut
};

struct Event {
    What what = What::wait;
    Side side = Side::client;
    std::size_t who = 0; ///< which connection, or which backend
    std::uint64_t amount = 0; ///< bytes, or milliseconds

    friend bool operator==(const Event&, const Event&) = default;
};

// The words in which a history is written down.
inline Event open(std::size_t connection) {
    return {What::open, Side::client, connection, 0};
}
inline Event rush(std::size_t connection) {
    return {What::rush, Side::client, connection, 0};
}
inline Event send(Side side, std::size_t connection, std::uint64_t bytes) {
    return {What::send, side, connection, bytes};
}
inline Event half_close(Side side, std::size_t connection) {
    return {What::half_close, side, connection, 0};
}
inline Event reset(Side side, std::size_t connection) {
    return {What::reset, side, connection, 0};
}
inline Event close(Side side, std::size_t connection) {
    return {What::close, side, connection, 0};
}
inline Event pause(Side side, std::size_t connection) {
    return {What::pause, side, connection, 0};
}
inline Event resume(Side side, std::size_t connection) {
    return {What::resume, side, connection, 0};
}
inline Event wait(std::uint64_t milliseconds) {
    return {What::wait, Side::client, 0, milliseconds};
}
inline Event freeze() {
    return {What::freeze, Side::client, 0, 0};
}
inline Event thaw() {
    return {What::thaw, Side::client, 0, 0};
}
inline Event backend_down(std::size_t backend) {
    return {What::backend_down, Side::backend, backend, 0};
}
inline Event backend_up(std::size_t backend) {
    return {What::backend_up, Side::backend, backend, 0};
}
inline Event terminate() {
    return {What::terminate, Side::client, 0, 0};
}

/// What is the same for the whole history.
struct Settings {
    std::size_t backends = 1;
    unsigned threads = 1;
    std::string_view strategy = "round-robin";
    int client_buffer = 0; ///< SO_SNDBUF and SO_RCVBUF of the clients; 0 = the system's
    int backend_buffer = 0; ///< likewise
    unsigned grace = 60'000; ///< LB_SHUTDOWN_GRACE_MS; 0 cuts at the first signal

    friend bool operator==(const Settings&, const Settings&) = default;
};

struct History {
    Settings settings;
    std::vector<Event> events;
};

/// No history has more connections than this, so that one byte can name any of them.
constexpr std::size_t most_connections = 16;

/// The history of a seed; always the same.
History make_history(std::uint64_t seed);

/// As code that can be pasted into found.cpp.
std::string to_code(const History& history, const std::string& name);

} // namespace histories
