/// Sockets for tests: one connected TCP socket that does exactly what a test says, and never waits for ever.
///
/// The rule of this file: an operation either does what its name says, or throws a Failure that says what
/// happened instead, in time. Every wait has a limit, patience() unless set_patience() says otherwise, and
/// the limit is one of silence: each byte that moves starts it afresh, so a slow machine is not a failure and
/// a stuck proxy is. The sockets are plain POSIX ones with poll(2); tests written with the library that the
/// chapters teach would share its misunderstandings.
///
/// Threads: one thread may send while another receives on the same Peer. Everything else is for one thread at
/// a time. SIGPIPE is never raised.
#pragma once

#include "deadline.hpp"
#include "verdict.hpp"

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace harness {

/// Where to connect to. An IPv4 or IPv6 address, without brackets, and a port.
struct Endpoint {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;

    /// `127.0.0.1:9090`, `[::1]:9090`.
    std::string text() const;
    /// The reverse; an empty host means 127.0.0.1. Throws Failure.
    static Endpoint parse(std::string_view text);

    friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
std::ostream& operator<<(std::ostream& out, const Endpoint& endpoint);

/// How the bytes of one direction came to an end.
enum class Ending {
    end_of_stream, ///< a FIN: the other side has said all it had to say
    reset, ///< a RST: the other side broke the connection off
    silence, ///< neither: it is still open, and the wait was over
};
std::string_view describe(Ending ending);
std::ostream& operator<<(std::ostream& out, Ending ending);

/// Everything that came until the end, and what kind of end it was.
struct Received {
    std::string bytes;
    Ending ending = Ending::silence;

    Verdict ends_cleanly() const;
    Verdict ends_with_reset() const;
    /// Exactly these bytes, then a clean end of stream: what a whole answer looks like.
    Verdict is_exactly(std::string_view expected) const;
};
std::ostream& operator<<(std::ostream& out, const Received& received);

/// The same for transfers too large to keep.
struct Drained {
    std::uint64_t count = 0;
    Ending ending = Ending::silence;
};

/// `n` pseudo-random bytes; the same seed gives the same bytes, and a longer run begins with the shorter one.
std::string make_bytes(std::size_t n, std::uint64_t seed = 1);

namespace detail {
class PeerState;
}

/// One connected TCP socket. Made by Client (connecting) or by Backend (accepting).
class Peer {
public:
    Peer(Peer&&) noexcept;
    Peer& operator=(Peer&&) noexcept;
    /// Closes the socket if it is still open.
    ~Peer();

    // ---- sending
    // -------------------------------------------------------------------------------------------------

    /// Sends all of it, or throws.
    void send(std::string_view bytes);
    /// Each byte in a segment of its own as far as the system allows (TCP_NODELAY).
    void send_byte_by_byte(std::string_view bytes);
    /// make_bytes(n, seed) without holding it in memory.
    void send_pattern(std::uint64_t n, std::uint64_t seed = 1);
    /// Sends what it can and says how it went instead of throwing; a reset or a deadline is a `no`.
    Verdict try_send(std::string_view bytes);
    /// Sends the bytes of make_bytes(…, seed 1) until no more have been taken for `quiet`, and returns how
    /// many were: to fill every buffer on the way. Throws on a reset.
    std::uint64_t send_until_stuck(Millis quiet = Millis{500}, std::uint64_t at_most = 1ULL << 30);
    /// Waits until the other side's kernel has acknowledged everything sent.
    void wait_until_delivered();

    /// "I have said all I had to say": sends FIN, goes on receiving.
    void half_close();
    /// Breaks the connection off: sends RST, drops what was not sent yet, closes.
    void reset();
    /// Closes; what was sent is still delivered. (If bytes that came were never received, the kernel sends
    /// RST.)
    void close();

    // ---- receiving
    // -----------------------------------------------------------------------------------------------

    /// Exactly `n` bytes; throws, with what did come, if the end or the deadline comes first.
    std::string receive(std::size_t n);
    /// At least one byte and at most `at_most`; empty at the end of stream. Throws on reset and silence.
    std::string receive_some(std::size_t at_most = 65536);
    /// Up to and without the next '\n'; throws like receive().
    std::string receive_line();
    /// Everything until FIN, RST, or nothing for `quiet` (patience if not given). Never throws.
    Received receive_until_end(std::optional<Millis> quiet = {});
    /// The same, counted and thrown away.
    Drained drain(std::optional<Millis> quiet = {});
    /// The next `n` bytes are those of make_bytes(n, seed): read and compared piece by piece.
    Verdict receive_pattern(std::uint64_t n, std::uint64_t seed = 1);
    /// Nothing arrives for `period`, neither a byte nor an end.
    Verdict stays_silent(Millis period);
    /// The next thing that comes is a FIN (a RST), without another byte.
    Verdict ends_cleanly();
    Verdict ends_with_reset();
    /// Waits for a RST (or the end of both directions) without reading, so that what has arrived stays in the
    /// kernel and the window stays closed. `silence` if neither came within `limit`.
    Ending wait_for_end_without_reading(std::optional<Millis> limit = {});

    /// Waits without touching the socket; false if interrupt() cut the wait short.
    bool pause(Millis period);

    // ---- the rest
    // ------------------------------------------------------------------------------------------------

    /// A small buffer closes the window early. On a connected socket it is too late to shrink the window
    /// already offered: for a client, prefer Client::Options::receive_buffer.
    void set_receive_buffer(int bytes);
    void set_send_buffer(int bytes);
    /// The limit of silence for all waits of this Peer.
    void set_patience(Millis limit);
    /// Ends all waits of this Peer, now and later, with a Failure (from another thread).
    void interrupt();

    bool open() const;
    std::uint16_t local_port() const;
    std::uint16_t remote_port() const;
    std::uint64_t bytes_sent() const;
    std::uint64_t bytes_received() const;
    /// As in the trace: `client 1`, `backend A #2`.
    const std::string& name() const;

    /// For the makers of Peers: takes over a connected, non-blocking descriptor.
    explicit Peer(std::shared_ptr<detail::PeerState> state);
    const std::shared_ptr<detail::PeerState>& state() const { return state_; }

protected:
    std::shared_ptr<detail::PeerState> state_;
};

/// A Peer that connects.
class Client : public Peer {
public:
    struct Options {
        std::string name = {}; ///< `client N` if empty
        int receive_buffer = 0; ///< SO_RCVBUF before connecting; 0 = the system's
        int send_buffer = 0; ///< SO_SNDBUF likewise
        std::optional<Millis> patience = {}; ///< also for connecting
    };

    /// Connects, or throws a Failure that says why not.
    explicit Client(const Endpoint& to);
    Client(const Endpoint& to, const Options& options);

    /// Nothing instead of a Failure when the connection cannot be made.
    static std::optional<Client> try_connect(const Endpoint& to);

private:
    explicit Client(std::shared_ptr<detail::PeerState> connected);
};

/// Is a connection refused (RST in answer to the SYN)?
Verdict connect_refused(const Endpoint& to);
/// Is a connection accepted? It is closed again at once.
Verdict connect_accepted(const Endpoint& to);

/// Allows this process as many descriptors as the system lets it have, up to 16384. The listener calls it
/// once.
void raise_descriptor_limit();

} // namespace harness
