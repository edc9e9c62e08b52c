// Which sockets have news, and who waits for it.
#pragma once

#include "descriptor.hpp"

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <utility>

namespace harbor {

class ReadySet;

/// A descriptor in a ReadySet, what is known about it, and the coroutines that wait for it. Must not move
/// while it is in the set. For the set's thread only.
class Socket {
public:
    Socket() = default;
    ~Socket() { close(); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    /// Takes the descriptor and adds it to the set. Throws std::system_error when the kernel refuses (ENOMEM,
    /// ENOSPC): the descriptor is then closed.
    void open(Descriptor descriptor, ReadySet& set);

    /// Leaves the set and closes. Nobody may be waiting.
    void close();

    int fd() const { return descriptor_.get(); }

    //! [harbor:ready_flags]
    // What is known, from the last event and from what the last call said. `readable` stays set until a call
    // has found the socket dry, and `writable` until one has found it full: that is the bargain of
    // edge-triggered events.
    bool readable = false;
    bool writable = false;
    bool hangup = false; // the peer has ended its stream or reset: no further edge will announce it
    bool broken = false; // reset, or ended in both directions
    bool urgent = false; // the peer has sent urgent data: a read stops before it, however much is behind it
    int write_error = 0; // of the write, or dial, that has found it broken, and so taken the error from reads
    bool cancelled = false; // waits are over, with `false`
    //! [harbor:ready_flags]

    //! [harbor:short_read]
    /// Notes what a recv of `received` bytes into a buffer of `capacity` tells: a short read has emptied the
    /// socket, so that the next one need not find out with a call that fails. Not so when the end of stream,
    /// or urgent data, is behind the bytes: its edge has passed already, and only reading will show it.
    void has_given(std::size_t received, std::size_t capacity) {
        readable = received == capacity || hangup || urgent;
    }
    //! [harbor:short_read]

    /// Waits until a read may give something. The result is false when the wait was cancelled.
    auto until_readable() { return Wait<&Socket::readable, &Socket::reader>{*this}; }
    /// Waits until a write may take something.
    auto until_writable() { return Wait<&Socket::writable, &Socket::writer>{*this}; }

    // The parked coroutines; at most one each.
    std::coroutine_handle<> reader;
    std::coroutine_handle<> writer;

private:
    //! [harbor:ready_wait]
    // What and where are part of the type: an awaiter lives in the frame of the coroutine that waits, and
    // there are two of them for every connection.
    template<bool Socket::* ready, std::coroutine_handle<> Socket::* place>
    struct Wait {
        Socket& socket;

        bool await_ready() const { return socket.*ready || socket.cancelled; }
        void await_suspend(std::coroutine_handle<> waiter) const { socket.*place = waiter; }
        bool await_resume() const { return !socket.cancelled; }
    };
    //! [harbor:ready_wait]

    ReadySet* set_ = nullptr;
    Descriptor descriptor_;
};

/// The sockets of one thread, in one epoll descriptor.
class ReadySet {
public:
    /// Throws std::system_error when the kernel has no descriptor to give.
    ReadySet();

    /// Waits until a socket has news, for at most `timeout` (for ever if not given).
    void wait(std::optional<std::chrono::milliseconds> timeout);

    /// Notes the news and resumes those who wait for it. Whoever is resumed may close any socket of the set.
    void dispatch();

private:
    friend Socket;
    void add(Socket& socket, int fd);
    void forget(const Socket& socket);

    Descriptor epoll_;
    std::array<epoll_event, 256> events_{};
    int next_ = 0; // of events_: the first that has not been looked at
    int count_ = 0;
};

} // namespace harbor
