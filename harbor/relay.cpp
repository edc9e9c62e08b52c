// The relay: where all the bytes go through, and nearly all the time.
//
// Small messages are copied through a buffer: two system calls for each, one recv and one send, and no more.
// A recv that fills less than the buffer has emptied the socket, so the coroutine parks without trying again.
//
// Large transfers are spliced: after two full buffers in a row the bytes go from socket to pipe to socket as
// pages of the kernel's, and this process never sees them. That is several times cheaper a gigabyte, and
// dearer for small messages (three calls and a pipe), hence the switch, and the switch back when the reads
// are small.
//
// The invariant is the chapters': what was read and not yet written fits into one buffer, or one pipe.
// Nothing else is queued.
//
// Reasons to end, and what the other side gets to see:
//   end of stream   a half-close, after the last byte
//   reset, read     a reset; serve() first waits until everything received before it has been delivered
//   reset, written  nothing yet: the bytes which that side sent before it went may still be unread. The other
//   direction
//                   finds the end of them.
#include "relay.hpp"

#include "balancer.hpp"
#include "worker.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

namespace harbor {

namespace {

// So many buffers or pipes full, and then others get their turn, even if there is more: one connection that
// never runs dry must not keep the thread to itself.
constexpr int turns_in_a_row = 16;
constexpr int full_buffers_before_splice = 2;
constexpr std::size_t small_splice = 16 * 1024;
constexpr int small_splices_before_copy = 4;

bool out_of_memory(int error) {
    return error == ENOBUFS || error == ENOMEM;
}

/// The two sockets of a direction, and what happens to them.
struct Ends {
    Connection& connection;
    Direction direction;

    bool to_backend() const { return direction == Direction::client_to_backend; }
    Socket& from() const { return to_backend() ? connection.client : connection.backend; }
    Socket& to() const { return to_backend() ? connection.backend : connection.client; }
    bool& from_has_ended() const {
        return to_backend() ? connection.client_has_ended : connection.backend_has_ended;
    }
    bool& to_has_ended() const {
        return to_backend() ? connection.backend_has_ended : connection.client_has_ended;
    }

    void moved(std::size_t bytes) const {
        WorkerMetrics& metrics = connection.worker.metrics();
        (to_backend() ? connection.bytes_to_backend : connection.bytes_to_client) += bytes;
        (to_backend() ? metrics.bytes_to_backend : metrics.bytes_to_client).add(bytes);
        connection.touch();
    }

    /// The sender has sent its last byte, and all of them have been passed on.
    void pass_on_end() const {
        if (from().broken_by_write) {
            return fail_reading(ECONNRESET); // the kernel has told the other direction about the reset, and
                                             // tells it only once
        }
        if (!connection.first_end) {
            connection.first_end = to_backend() ? End::client_end : End::backend_end;
        }
        from_has_ended() = true;
        if (!to_has_ended()) { // else both are over, and closing says the same
            ::shutdown(to().fd(), SHUT_WR);
        }
    }

    void fail_reading(int error) const {
        connection.cancel(out_of_memory(error) ? End::out_of_resources
                          : to_backend()       ? End::client_reset
                                               : End::backend_reset);
    }

    /// The receiver is gone. What it sent before is the other direction's business, and so is the reset,
    /// unless that direction has ended already.
    void fail_writing(int error) const {
        if (out_of_memory(error)) {
            connection.cancel(End::out_of_resources); // ours: that side is as alive as before
            return;
        }
        to().broken_by_write = true;
        if (to_has_ended()) {
            connection.cancel(to_backend() ? End::backend_reset : End::client_reset);
            return;
        }
        to().readable = true;
        if (to().reader) {
            connection.worker.schedule(std::exchange(to().reader, {}));
        }
    }
};

/// Sends what is left in a buffer when the receiver has not taken all of it. False when the direction is
/// over.
Task<bool> send_rest(Ends ends, const std::byte* data, std::size_t size) {
    Socket& to = ends.to();
    while (size > 0) {
        // A receiver that does not read keeps us here, with the buffer, and nothing more is read for it. The
        // idle deadline ends it.
        if (!co_await to.until_writable()) {
            co_return false;
        }
        const ssize_t sent = ::send(to.fd(), data, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            ends.moved(static_cast<std::size_t>(sent));
            data += sent;
            size -= static_cast<std::size_t>(sent);
        } else if (errno == EAGAIN) {
            to.writable = false;
        } else if (errno != EINTR) {
            ends.fail_writing(errno);
            co_return false;
        }
    }
    co_return true;
}

/// Empties a pipe that holds `size` bytes into the receiver. False when the direction is over.
Task<bool> drain_pipe(Ends ends, Pipe& pipe, std::size_t size) {
    Socket& to = ends.to();
    while (size > 0) {
        if (!co_await to.until_writable()) {
            co_return false;
        }
        // SIGPIPE is ignored by the whole process: splice has no MSG_NOSIGNAL.
        const ssize_t sent =
            ::splice(pipe.read_end.get(), nullptr, to.fd(), nullptr, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (sent > 0) {
            ends.moved(static_cast<std::size_t>(sent));
            size -= static_cast<std::size_t>(sent);
        } else if (sent < 0 && errno == EAGAIN) {
            to.writable = false;
        } else if (sent == 0 || errno != EINTR) {
            ends.fail_writing(errno);
            co_return false;
        }
    }
    co_return true;
}

enum class Next { copy, stop };

/// Moves bytes by splice for as long as they come in large pieces.
Task<Next> splice_large(Ends ends) {
    Worker& worker = ends.connection.worker;
    Socket& from = ends.from();
    int small = 0;
    int turns = 0;
    std::optional<Pipe> pipe;
    while (small < small_splices_before_copy) {
        if (!from.readable && pipe) {
            worker.pipes().give_back(
                *std::exchange(pipe, std::nullopt)); // it is empty: others may use it meanwhile
        }
        if (!co_await from.until_readable()) {
            co_return Next::stop;
        }
        if (++turns > turns_in_a_row) {
            turns = 0;
            co_await worker.yield();
            continue;
        }
        if (!pipe) {
            pipe = worker.pipes().take();
            if (!pipe) {
                co_return Next::copy; // no descriptors: copying needs none
            }
        }
        const ssize_t received = ::splice(from.fd(), nullptr, pipe->write_end.get(), nullptr, pipe->capacity,
                                          SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (received > 0) {
            // A short splice says nothing about the socket: pages that are not full use up the pipe's places
            // too.
            small = static_cast<std::size_t>(received) < small_splice ? small + 1 : 0;
            if (!co_await drain_pipe(ends, *pipe, static_cast<std::size_t>(received))) {
                co_return Next::stop; // and the pipe, with what is left in it, is closed
            }
        } else if (received == 0) {
            worker.pipes().give_back(std::move(*pipe));
            ends.pass_on_end();
            co_return Next::stop;
        } else if (errno == EAGAIN) {
            from.readable = false;
        } else if (errno == EINVAL || errno == ENOMEM) {
            break; // not to be had now: go on copying
        } else if (errno != EINTR) {
            ends.fail_reading(errno);
            worker.pipes().give_back(std::move(*pipe));
            co_return Next::stop;
        }
    }
    if (pipe) {
        worker.pipes().give_back(std::move(*pipe));
    }
    co_return Next::copy;
}

Task<> relay_until_end(Ends ends) {
    Worker& worker = ends.connection.worker;
    Socket& from = ends.from();
    int full_buffers = 0;
    int turns = 0;
    // A sender that is silent keeps us here, without a buffer. The idle deadline, the other direction or a
    // shutdown may cancel the wait.
    while (co_await from.until_readable()) {
        if (++turns > turns_in_a_row) {
            turns = 0;
            co_await worker.yield();
            continue; // the connection may have been cancelled meanwhile
        }
        if (full_buffers >= full_buffers_before_splice) {
            full_buffers = 0;
            if (co_await splice_large(ends) == Next::stop) {
                co_return;
            }
            continue;
        }
        const Buffer buffer = worker.buffers().take();
        const ssize_t received = ::recv(from.fd(), buffer.data(), BufferPool::size, 0);
        if (received > 0) {
            const auto size = static_cast<std::size_t>(received);
            from.has_given(size, BufferPool::size);
            full_buffers = size == BufferPool::size ? full_buffers + 1 : 0;
            // Nearly always the receiver takes all of it at once, and no further frame is needed.
            ssize_t sent = ::send(ends.to().fd(), buffer.data(), size, MSG_NOSIGNAL);
            if (sent < 0) {
                if (errno != EAGAIN && errno != EINTR) {
                    ends.fail_writing(errno);
                    co_return;
                }
                sent = 0;
            }
            ends.moved(static_cast<std::size_t>(sent));
            if (static_cast<std::size_t>(sent) < size) {
                if (!co_await send_rest(ends, buffer.data() + sent, size - static_cast<std::size_t>(sent))) {
                    co_return;
                }
            }
            if (!from.readable) {
                turns = 0; // it has run dry: whatever comes next is a new turn
            }
        } else if (received == 0) {
            ends.pass_on_end();
            co_return;
        } else if (errno == EAGAIN) {
            from.readable = false;
        } else if (errno != EINTR) {
            ends.fail_reading(errno);
            co_return;
        }
    }
}

} // namespace

Task<> relay(Connection& connection, Direction direction) {
    return relay_until_end({connection, direction});
}

} // namespace harbor
