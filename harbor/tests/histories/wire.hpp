/// One end of a connection, outside the balancer: a socket that never blocks, and the account of what went
/// through it.
#pragma once

#include "history.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace histories {

/// How the bytes that come in have ended.
enum class Ending { not_yet, end_of_stream, reset };

/// The bytes of a stream follow from whose they are and where they stand, so nobody has to keep them. The
/// first byte is the number of the connection.
struct Stream {
    std::size_t connection = 0;
    Side from = Side::client;

    /// Up to `size` bytes from `offset` on, and how many there are at that place.
    const char* at(std::uint64_t offset, std::size_t size, std::size_t& available) const;
};

/// For one thread. Throws std::system_error when the system refuses what it should not.
class Wire {
public:
    /// Takes over a connected descriptor.
    explicit Wire(int fd) : fd_(fd) {}
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;
    ~Wire();

    /// From now on it is known whose bytes come in and go out.
    void is(std::size_t connection, Side side);

    // ---- what a history tells a side to do

    void send(std::uint64_t bytes) { wanted += half_close_wanted ? 0 : bytes; }
    void half_close() { half_close_wanted = true; }
    void reset();
    void close();

    // ---- moving bytes, as far as they go

    bool wants_to_read() const { return open() && !paused && ending == Ending::not_yet; }
    bool wants_to_write() const;
    void read();
    void write();

    int fd() const { return fd_; }
    bool open() const { return fd_ >= 0; }
    /// Its own stream has ended, in whatever way.
    bool has_finished() const { return !open() || half_closed || write_error != 0; }

    // ---- the account

    std::uint64_t wanted = 0; ///< bytes that the history has given it to send
    std::uint64_t sent = 0; ///< of them, those that its kernel has taken
    bool half_close_wanted = false;
    bool half_closed = false;
    bool paused = false;

    std::uint64_t received = 0;
    Ending ending = Ending::not_yet;
    std::string wrong; ///< the first byte that was not the expected one; empty while all are right
    int write_error = 0; ///< the errno that a write has met

    enum class Left { no, by_reset, by_close } left = Left::no;
    std::uint64_t arrived = 0; ///< when it left: bytes received, and those it had not read yet
    std::uint64_t delivered = 0; ///< when it left: bytes that the balancer's kernel had acknowledged by then
    bool end_delivered = false; ///< likewise the end of the stream

private:
    void leave(Left how);

    int fd_;
    Stream incoming_;
    Stream outgoing_;
};

/// A listener on `address`, or the socket that keeps its port reserved while nobody listens.
class Listener {
public:
    /// `buffer` is SO_SNDBUF and SO_RCVBUF of what it accepts; 0 = the system's.
    Listener(std::string host, int buffer);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    std::string address() const;
    /// Listens, unless somebody else has taken the port meanwhile: then it stays as it is.
    void start();
    void stop();
    bool listening() const { return fd_ >= 0; }
    int fd() const { return fd_; }
    /// The descriptor of a connection that was waiting, or -1.
    int accept() const;

private:
    std::string host_;
    int buffer_;
    std::uint16_t port_ = 0;
    int reserved_ = -1;
    int fd_ = -1;
};

/// Connects; -1 if that is refused.
int connect_to(const std::string& host, std::uint16_t port, int buffer);

} // namespace histories
