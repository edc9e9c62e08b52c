/// Backends inside the test process: servers that behave, or misbehave, exactly as told, and remember what
/// they saw.
///
///     Backend a(behave::echo());
///     Backend b(behave::reset_after(1000));
///     Backend down = Backend::refusing();
///     Program harbor({{"BACKENDS", addresses({&a, &b, &down})}});
///
/// One thread a connection, because a behaviour is then a plain function that reads like the story it tells.
/// What a connection received is kept (the first MiB; the rest is counted), so a test can ask afterwards. The
/// port stays reserved for the whole life of a Backend, also while it does not listen: nobody else gets it in
/// between.
///
/// Threads: all member functions may be called from any thread. Behaviours run in threads of the Backend and
/// are interrupted and joined when it is destroyed.
#pragma once

#include "socket.hpp"

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// What a backend does with one connection. The Peer is closed when it returns; a Failure it throws ends the
/// connection and is kept in the record.
using Behaviour = std::function<void(Peer&)>;

namespace behave {

/// Sends back what comes; at the end of stream closes.
Behaviour echo();
/// First `name` and a newline, as chapter 01's server does with --id.
Behaviour echo_with_greeting(std::string name);
/// Accepts and does nothing at all: reads nothing, so its window fills, and answers nothing.
Behaviour silent();
/// Reads everything and never answers; keeps its own side open until the Backend is destroyed.
Behaviour silent_reader();
/// Reads everything to the end, then closes without a word.
Behaviour sink();
/// Sends `bytes` without waiting for the client, then goes on as echo().
Behaviour speak_first(std::string bytes);
/// Reads to the end of stream, waits, answers, closes.
Behaviour answer_late(std::string bytes, Millis delay);
/// Reads `n` bytes and not one more, keeping the connection open.
Behaviour stop_reading(std::size_t after);
/// Sends `bytes` and FIN at once, then reads to the end.
Behaviour half_close_first(std::string bytes);
/// Resets once it has received `n` bytes.
Behaviour reset_after(std::size_t n);
/// Sends `bytes`, waits until the other kernel has them, resets.
Behaviour send_then_reset(std::string bytes);
Behaviour reset_at_once();
Behaviour close_at_once();

} // namespace behave

/// What a backend saw of one connection.
struct ConnectionRecord {
    std::size_t number = 0; ///< 1 for the first, as in the trace: `backend A #1`
    Clock::time_point accepted_at; ///< compare with others for the order across backends
    std::string received; ///< the first MiB
    std::uint64_t received_count = 0;
    std::uint64_t sent_count = 0;
    bool end_of_stream = false; ///< a FIN came
    Ending ending = Ending::silence; ///< the last kind of end seen: a RST after a FIN is `reset`
    bool open = true; ///< our side has not closed yet
    std::string trouble; ///< the text of the Failure that ended the behaviour, if one did
};
std::ostream& operator<<(std::ostream& out, const ConnectionRecord& record);

/// A server on 127.0.0.1.
class Backend {
public:
    struct Options {
        std::string name = {}; ///< `A`, `B`, … if empty
        std::uint16_t port = 0; ///< 0 = any
        int receive_buffer = 0; ///< SO_RCVBUF of every connection; 0 = the system's
        int send_buffer = 0; ///< SO_SNDBUF likewise
        std::string host = "127.0.0.1"; ///< or `::1`
        bool listening = true;
        std::size_t bytes_kept = 1 << 20; ///< of each connection; the rest is counted
    };

    explicit Backend(Behaviour behaviour);
    Backend(Behaviour behaviour, const Options& options);
    /// Interrupts every connection and joins its thread.
    ~Backend();
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    /// Its port is reserved but not listened on: connections are refused until start_listening().
    static Backend refusing(Behaviour once_listening = behave::echo());

    Endpoint endpoint() const;
    /// `127.0.0.1:PORT`, as BACKENDS wants it.
    std::string address() const;
    const std::string& name() const;

    /// From now on new connections are refused; open ones stay unless `cut_connections`.
    void stop_listening(bool cut_connections = false);
    /// Listens (again) on the same port.
    void start_listening();
    /// For connections accepted from now on.
    void change_behaviour(Behaviour behaviour);
    /// Ends all open connections: their behaviours are interrupted and their sockets closed.
    void cut_connections();

    /// A copy of all records so far, in the order of acceptance.
    std::vector<ConnectionRecord> connections() const;
    /// The record of connection `number`, from 1. Throws Failure if there is none (yet).
    ConnectionRecord connection(std::size_t number) const;
    std::size_t connection_count() const;
    std::size_t open_connections() const;

    // Each of these waits, up to patience(), for what it says. `number` counts from 1.

    /// At least `n` connections have been accepted.
    Verdict wait_for_connections(std::size_t n) const;
    /// At most `n` are still open.
    Verdict wait_for_open_connections_at_most(std::size_t n) const;
    /// Connection `number` has received at least `count` bytes.
    Verdict wait_for_bytes(std::size_t number, std::uint64_t count) const;
    /// Connection `number` has received exactly these bytes.
    Verdict saw_bytes(std::size_t number, std::string_view expected) const;
    /// Connection `number` was ended by FIN, and not by RST.
    Verdict saw_end_of_stream(std::size_t number) const;
    /// Connection `number` was ended by RST. (Only a behaviour that reads or waits at its socket notices.)
    Verdict saw_reset(std::size_t number) const;

private:
    class Server;
    std::unique_ptr<Server> server_;
};

/// `127.0.0.1:1,127.0.0.1:2`, for BACKENDS.
std::string addresses(std::initializer_list<const Backend*> backends);

/// A listener whose queue of waiting connections is full, so that a connection attempt neither succeeds nor
/// fails: it hangs until the one who dials gives up. The constructor proves that and throws a Failure where
/// it cannot be made.
class Blackhole {
public:
    Blackhole();
    ~Blackhole();
    Blackhole(const Blackhole&) = delete;
    Blackhole& operator=(const Blackhole&) = delete;

    Endpoint endpoint() const;
    std::string address() const;

private:
    int listener_ = -1;
    std::vector<int> fillers_;
    std::uint16_t port_ = 0;
};

} // namespace harness
