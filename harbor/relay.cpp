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
//   reset, written  nothing yet: the bytes which that side sent before it went may still be unread. The
//                   other direction finds the end of them.
#include "relay.hpp"

#include "balancer.hpp"
#include "worker.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <utility>

namespace harbor {

namespace {

// So many buffers or pipes full, and then others get their turn, even if there is more: one connection that
// never runs dry must not keep the thread to itself.
constexpr unsigned turns_in_a_row = 16;
constexpr unsigned full_buffers_before_splice = 2;
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

    //! [harbor:pass_on_end]
    /// The sender has sent its last byte, and all of them have been passed on.
    void pass_on_end() const {
        const int write_error = from().write_error;
        if (write_error != 0 && write_error != EPIPE) {
            return fail_reading(ECONNRESET); // the kernel has told the other direction about the reset, and
                                             // tells it only once
        }
        if (!connection.first_end) {
            connection.first_end = to_backend() ? End::client_end : End::backend_end;
        }
        from_has_ended() = true;
        if (to_has_ended()) { // both are over, and closing says the same
            wake_reader(to()); // the other direction has only been watching
        } else {
            ::shutdown(to().fd(), SHUT_WR);
        }
        if (write_error == EPIPE) {
            // The reset came after the end of the stream: then Linux says EPIPE, and else ECONNRESET. So this
            // stream was whole, and its receiver keeps the clean end; but the other direction is broken.
            fail_reading(ECONNRESET);
        }
    }
    //! [harbor:pass_on_end]

    /// This sender's stream has ended, and nothing is read from it any more. But its reset must be noticed
    /// all the same: the other side may be silent for ever, and then no write will find out. False when there
    /// is nothing to watch for, because the other direction is over as well.
    bool watch_for_reset() const {
        if (to_has_ended()) {
            return false;
        }
        if (from().broken) {
            fail_reading(ECONNRESET);
            return false;
        }
        from().readable = false;
        return true;
    }

    /// A read has found the socket dry. False when nothing will come any more, because a write has found it
    /// broken, and taken the error.
    bool may_give_more() const {
        from().readable = false;
        if (from().write_error == 0) {
            return true;
        }
        fail_reading(ECONNRESET);
        return false;
    }

    void fail_reading(int error) const {
        connection.cancel(out_of_memory(error) ? End::out_of_resources
                          : to_backend()       ? End::client_reset
                                               : End::backend_reset);
    }

    //! [harbor:fail_writing]
    /// The receiver is gone. What it sent before is the other direction's business, and so is the reset,
    /// unless that direction has ended already.
    void fail_writing(int error) const {
        if (out_of_memory(error)) {
            connection.cancel(End::out_of_resources); // ours: that side is as alive as before
            return;
        }
        if (to().write_error == 0) { // the first to be told is told the truth; afterwards it is EPIPE for all
            to().write_error = error;
        }
        // Nobody will come to read about the reset when the other direction is over: because that side's
        // stream has ended, or because the other direction has met the same with its own receiver.
        if (to_has_ended() || from().write_error != 0) {
            connection.cancel(to_backend() ? End::backend_reset : End::client_reset);
            return;
        }
        to().readable = true;
        wake_reader(to());
    }
    //! [harbor:fail_writing]

    void wake_reader(Socket& socket) const {
        if (socket.reader) {
            connection.worker.schedule(std::exchange(socket.reader, {}));
        }
    }
};

/// Sends what is left in a buffer, from `sent` to `size`, when the receiver has not taken all of it. False
/// when the direction is over.
Task<bool> send_rest(Ends ends, Buffer buffer, std::size_t sent, std::size_t size) {
    Socket& to = ends.to();
    while (sent < size) {
        // A receiver that does not read keeps us here, with the buffer, and nothing more is read for it. The
        // idle deadline ends it.
        if (!co_await to.until_writable()) {
            co_return false;
        }
        const ssize_t taken = ::send(to.fd(), buffer.data() + sent, size - sent, MSG_NOSIGNAL);
        if (taken >= 0) {
            ends.moved(static_cast<std::size_t>(taken));
            sent += static_cast<std::size_t>(taken);
        } else if (errno == EAGAIN) {
            to.writable = false;
        } else if (errno != EINTR) {
            ends.fail_writing(errno);
            co_return false;
        }
    }
    co_return true;
}

//! [harbor:drain_pipe]
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
            ends.fail_writing(sent == 0 ? EIO : errno); // 0 is not to be expected, and leaves errno as it was
            co_return false;
        }
    }
    co_return true;
}
//! [harbor:drain_pipe]

//! [harbor:splice_large]
/// Moves bytes by splice for as long as they come in large pieces. False when the direction is over.
Task<bool> splice_large(Ends ends) {
    Worker& worker = ends.connection.worker;
    Socket& from = ends.from();
    int small = 0;
    unsigned turns = 0;
    std::optional<Pipe> pipe;
    while (small < small_splices_before_copy) {
        if (!from.readable && pipe) {
            worker.pipes().give_back(
                *std::exchange(pipe, std::nullopt)); // it is empty: others may use it meanwhile
        }
        if (!co_await from.until_readable()) {
            co_return false;
        }
        if (++turns > turns_in_a_row) {
            turns = 0;
            co_await worker.yield();
            continue;
        }
        if (!pipe) {
            pipe = worker.pipes().take();
            if (!pipe) {
                co_return true; // no descriptors: copying needs none
            }
        }
        const ssize_t received = ::splice(from.fd(), nullptr, pipe->write_end.get(), nullptr, pipe->capacity,
                                          SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (received > 0) {
            // A short splice says nothing about the socket: pages that are not full use up the pipe's places
            // too.
            small = static_cast<std::size_t>(received) < small_splice ? small + 1 : 0;
            if (!co_await drain_pipe(ends, *pipe, static_cast<std::size_t>(received))) {
                co_return false; // and the pipe, with what is left in it, is closed
            }
        } else if (received == 0) {
            ends.pass_on_end();
            break;
        } else if ((errno == EAGAIN && from.urgent) || errno == EINVAL || errno == ENOMEM) {
            // Go on copying. Splice does not get past urgent data, and says EAGAIN for ever; recv does. The
            // other two: it is not to be had now.
            break;
        } else if (errno == EAGAIN) {
            if (!ends.may_give_more()) {
                break;
            }
        } else if (errno != EINTR) {
            ends.fail_reading(errno);
            break;
        }
    }
    if (pipe) { // it is empty
        worker.pipes().give_back(std::move(*pipe));
    }
    co_return true;
}
//! [harbor:splice_large]

enum class Step { again, slow, over };

//! [harbor:copy_once]
/// Reads once and passes on what has come. Not a coroutine: nearly always the receiver takes all of it at
/// once, and then there is nothing to remember. When it does not, the step is slow, and `rest` is what there
/// is left to do.
Step copy_once(const Ends& ends, unsigned& full_buffers, Task<bool>& rest) {
    Socket& from = ends.from();
    Buffer buffer = ends.connection.worker.buffers().take();
    const ssize_t received = ::recv(from.fd(), buffer.data(), BufferPool::size, 0);
    if (received == 0) {
        ends.pass_on_end();
        return Step::again;
    }
    if (received < 0) {
        if (errno == EAGAIN) {
            return ends.may_give_more() ? Step::again : Step::over;
        }
        if (errno != EINTR) {
            ends.fail_reading(errno);
            return Step::over;
        }
        return Step::again;
    }
    const auto size = static_cast<std::size_t>(received);
    from.has_given(size, BufferPool::size);
    full_buffers = size == BufferPool::size ? full_buffers + 1 : 0;

    const ssize_t taken = ::send(ends.to().fd(), buffer.data(), size, MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN && errno != EINTR) {
        ends.fail_writing(errno);
        return Step::over;
    }
    const auto sent = static_cast<std::size_t>(std::max<ssize_t>(taken, 0));
    ends.moved(sent);
    if (sent == size) {
        return Step::again;
    }
    rest = send_rest(ends, std::move(buffer), sent, size);
    return Step::slow;
}
//! [harbor:copy_once]

} // namespace

//! [harbor:relay]
Task<> relay(Connection& connection, Direction direction) {
    const Ends ends{connection, direction};
    unsigned full_buffers = 0;
    unsigned turns = 0;
    Task<bool> rest;
    try {
        // A sender that is silent keeps us here, without a buffer. The idle deadline, the other direction or
        // a shutdown may cancel the wait.
        while (co_await ends.from().until_readable()) {
            if (ends.from_has_ended()) {
                if (!ends.watch_for_reset()) {
                    co_return;
                }
                continue;
            }
            if (++turns > turns_in_a_row) {
                turns = 0;
                co_await connection.worker.yield();
                continue; // the connection may have been cancelled meanwhile
            }
            Step step = Step::slow;
            if (full_buffers < full_buffers_before_splice || ends.from().urgent) {
                step = copy_once(ends, full_buffers, rest);
            } else {
                full_buffers = 0;
                rest = splice_large(ends);
            }
            if (step == Step::over || (step == Step::slow && !co_await rest)) {
                co_return;
            }
            rest = Task<bool>(); // frees its frame
            if (!ends.from().readable) {
                turns = 0; // it has run dry: whatever comes next is a new turn
            }
        }
    } catch (const std::bad_alloc&) {
        connection.cancel(End::out_of_resources); // the other direction must not wait for this one
    }
}
//! [harbor:relay]

} // namespace harbor
