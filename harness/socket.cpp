// The inside is in two layers. PeerState moves bytes once (one recv or send that succeeds, or the reason why
// not), keeps the record and writes the trace; Peer makes the promises of the header out of such steps.
//
// Sockets are non-blocking and every wait is a poll(2) with a deadline. The alternative, SO_RCVTIMEO on
// blocking sockets, cannot be interrupted from another thread, nor tell a deadline from an empty socket on
// every system.
#include "socket.hpp"
#include "recorder.hpp"
#include "socket_state.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ostream>
#include <system_error>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif

namespace harness {
namespace detail {
namespace {

#ifdef MSG_NOSIGNAL
constexpr int no_signal = MSG_NOSIGNAL;
#else
constexpr int no_signal = 0; // macOS: SO_NOSIGPIPE on the socket instead
#endif

// What a broken connection is called depends on when one asks: ECONNRESET at first, EPIPE for a sender who
// asks again or who had received FIN before the RST (tcp_reset() in Linux does so), ECONNABORTED on some
// systems.
bool means_reset(int error) {
    return error == ECONNRESET || error == EPIPE || error == ECONNABORTED;
}

bool means_wait(int error) {
    return error == EAGAIN || error == EWOULDBLOCK;
}

// True when something happened, false when the time was over.
bool wait_on(int fd, short events, const Deadline& deadline) {
    for (;;) {
        pollfd entry{fd, events, 0};
        const int ready = ::poll(&entry, 1, deadline.for_poll());
        if (ready > 0)
            return true;
        if (ready == 0 && deadline.passed())
            return false;
        if (ready < 0 && errno != EINTR)
            throw Failure("poll: " + error_text(errno));
    }
}

std::uint64_t mix(std::uint64_t x) {
    // splitmix64's finaliser: every input bit reaches every output bit, which is all a pattern needs.
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

std::uint16_t port_of(const sockaddr_storage& address) {
    if (address.ss_family == AF_INET6)
        return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

} // namespace

std::string error_text(int error) {
    return std::generic_category().message(error);
}

void make_well_behaved(int fd) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
#ifdef SO_NOSIGPIPE
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}

int make_socket(int family) {
#ifdef SOCK_CLOEXEC
    // In one step: between socket() and fcntl() another thread could fork, and the program under test would
    // inherit the descriptor and keep the connection open.
    const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    const int fd = ::socket(family, SOCK_STREAM, 0);
#endif
    if (fd < 0)
        throw Failure("the test cannot make a socket: " + error_text(errno));
#ifndef SOCK_CLOEXEC
    make_well_behaved(fd);
#endif
    return fd;
}

int accept_connection(int listener) {
#ifdef __linux__
    return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    const int fd = ::accept(listener, nullptr, nullptr);
    if (fd >= 0)
        make_well_behaved(fd);
    return fd;
#endif
}

Address::Address(const Endpoint& endpoint) {
    static_assert(sizeof(sockaddr_storage) <= sizeof bytes);
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (::inet_pton(AF_INET, endpoint.host.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(endpoint.port);
        std::memcpy(bytes, &v4, sizeof v4);
        size = sizeof v4;
        family = AF_INET;
    } else if (::inet_pton(AF_INET6, endpoint.host.c_str(), &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(endpoint.port);
        std::memcpy(bytes, &v6, sizeof v6);
        size = sizeof v6;
        family = AF_INET6;
    } else {
        throw Failure("not an IP address: " + endpoint.host);
    }
}

std::uint16_t local_port_of(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return 0;
    return port_of(address);
}

std::uint16_t remote_port_of(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return 0;
    return port_of(address);
}

void fill_pattern(char* into, std::size_t size, std::uint64_t offset, std::uint64_t seed) {
    const std::uint64_t start = mix(seed + 0x9e3779b97f4a7c15ULL);
    while (size > 0) {
        const std::uint64_t word = mix(start + (offset / 8) * 0x9e3779b97f4a7c15ULL);
        // Byte by byte from the low end, so that the pattern is the same on every machine.
        for (std::uint64_t i = offset % 8; i < 8 && size > 0; ++i, ++offset, --size)
            *into++ = static_cast<char>(word >> (8 * i));
    }
}

PeerState::PeerState(int fd, std::string its_name, Millis its_limit, std::size_t keep)
    : name(std::move(its_name)), limit(its_limit.count()), local_port(local_port_of(fd)),
      remote_port(remote_port_of(fd)), keep_(keep), fd_(fd) {}

PeerState::~PeerState() {
    close(false);
}

int PeerState::descriptor() const {
    const std::lock_guard lock(mutex);
    if (fd_ < 0)
        throw Failure(name + " is closed already");
    return fd_;
}

PeerState::Moved PeerState::receive(char* into, std::size_t size, Millis limit_now) {
    const Deadline deadline(limit_now);
    const int fd = descriptor();
    for (;;) {
        const ssize_t count = ::recv(fd, into, size, 0);
        const int error = errno;
        if (count > 0) {
            const auto n = static_cast<std::size_t>(count);
            const std::lock_guard lock(mutex);
            story_.received_count += n;
            if (kept_.size() < keep_)
                kept_.append(into, std::min(n, keep_ - kept_.size()));
            trace::add(name, trace::Event::received, {.bytes = {into, n}});
            return {Step::bytes, n};
        }
        if (interrupted)
            return {Step::interrupted, 0};
        if (count == 0) {
            const std::lock_guard lock(mutex);
            // The kernel reports an error once; if a send has been told of the reset, a receive sees a mere
            // end.
            if (story_.was_reset)
                return {Step::reset, 0};
            if (!story_.end_of_stream)
                trace::add(name, trace::Event::fin_received);
            story_.end_of_stream = true;
            return {Step::end, 0};
        }
        if (error == EINTR)
            continue;
        if (means_reset(error)) {
            saw_reset();
            return {Step::reset, 0};
        }
        if (!means_wait(error))
            throw Failure(name + " could not receive: " + error_text(error));
        if (!wait_on(fd, POLLIN, deadline))
            return {Step::silence, 0};
    }
}

PeerState::Moved PeerState::send(const char* from, std::size_t size, Millis limit_now) {
    const Deadline deadline(limit_now);
    const int fd = descriptor();
    for (;;) {
        const auto before = moment();
        const ssize_t count = ::send(fd, from, size, no_signal);
        const int error = errno;
        if (count >= 0) {
            const auto n = static_cast<std::size_t>(count);
            const std::lock_guard lock(mutex);
            story_.sent_count += n;
            trace::add(name, trace::Event::sent, {.bytes = {from, n}, .at = before});
            return {Step::bytes, n};
        }
        if (interrupted)
            return {Step::interrupted, 0};
        if (error == EINTR)
            continue;
        if (means_reset(error)) {
            {
                const std::lock_guard lock(mutex);
                if (fin_sent_)
                    throw Failure(name + " was told to send after its own half_close()");
            }
            saw_reset();
            return {Step::reset, 0};
        }
        if (!means_wait(error))
            throw Failure(name + " could not send: " + error_text(error));
        if (!wait_on(fd, POLLOUT, deadline))
            return {Step::silence, 0};
    }
}

void PeerState::saw_reset() {
    const std::lock_guard lock(mutex);
    if (!story_.was_reset)
        trace::add(name, trace::Event::rst_received);
    story_.was_reset = true;
}

void PeerState::half_close() {
    const std::lock_guard lock(mutex);
    if (fd_ < 0)
        throw Failure(name + " is closed already");
    const auto before = moment();
    if (::shutdown(fd_, SHUT_WR) != 0 && errno != ENOTCONN)
        throw Failure(name + " could not half-close: " + error_text(errno));
    fin_sent_ = true;
    trace::add(name, trace::Event::fin_sent, {.at = before});
}

void PeerState::close(bool with_reset) {
    const std::lock_guard lock(mutex);
    if (fd_ < 0)
        return;
    if (with_reset) {
        // A lingering time of zero makes close() send RST and drop the send buffer (socket(7), SO_LINGER).
        const linger at_once{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    const auto before = moment();
    ::close(fd_);
    fd_ = -1;
    story_.open = false;
    trace::add(name, with_reset ? trace::Event::rst_sent : trace::Event::closed, {.at = before});
}

void PeerState::interrupt() {
    interrupted = true;
    const std::lock_guard lock(mutex);
    if (fd_ >= 0) {
        record(name, "interrupted");
        ::shutdown(fd_, SHUT_RDWR); // ends every poll on it, and sends FIN
    }
    woken.notify_all();
}

PeerState::Story PeerState::story() const {
    const std::lock_guard lock(mutex);
    return story_;
}

std::string PeerState::kept() const {
    const std::lock_guard lock(mutex);
    return kept_;
}

} // namespace detail

using detail::PeerState;
using Step = PeerState::Step;

namespace {

constexpr std::size_t chunk = 65536;

Millis limit_of(const PeerState& state) {
    return Millis{state.limit.load()};
}

std::string bytes_of(std::uint64_t n) {
    return std::to_string(n) + (n == 1 ? " byte" : " bytes");
}

// `there was silence for 10000 ms`, for the end of a sentence.
std::string what_came_instead(Step step, Millis limit) {
    switch (step) {
    case Step::end:
        return "the other side ended the stream (FIN)";
    case Step::reset:
        return "the connection was reset (RST)";
    case Step::silence:
        return "nothing moved for " + std::to_string(limit.count()) + " ms";
    case Step::interrupted:
        return "the harness ended the connection";
    case Step::bytes:
        break;
    }
    return "bytes came";
}

// Sends everything, or returns how far it got and why not further.
struct SendResult {
    std::uint64_t sent = 0;
    Step step = Step::bytes;
};

SendResult send_all(PeerState& state, std::string_view bytes) {
    SendResult result;
    while (result.sent < bytes.size()) {
        const auto rest = bytes.substr(static_cast<std::size_t>(result.sent));
        const auto moved = state.send(rest.data(), rest.size(), limit_of(state));
        if (moved.step != Step::bytes) {
            result.step = moved.step;
            break;
        }
        result.sent += moved.count;
    }
    return result;
}

std::string send_failure(const PeerState& state, std::uint64_t sent, std::uint64_t wanted, Step step) {
    std::string text = state.name + " was to send " + bytes_of(wanted) + ", but after " + bytes_of(sent) +
                       " " + what_came_instead(step, limit_of(state));
    if (step == Step::silence)
        text += ": the other side does not read, and every buffer on the way is full";
    return text;
}

std::string receive_failure(const PeerState& state, std::string_view wanted, std::string_view so_far,
                            Step step) {
    return state.name + " was to receive " + std::string(wanted) + ", but after " + bytes_of(so_far.size()) +
           " " + what_came_instead(step, limit_of(state)) +
           (so_far.empty() ? "" : "\n  so far: " + printable(so_far));
}

Ending ending_of(Step step) {
    if (step == Step::end)
        return Ending::end_of_stream;
    return step == Step::reset ? Ending::reset : Ending::silence;
}

// Bytes that the kernel holds because the other side has not acknowledged them yet.
int unacknowledged(int fd) {
    int left = 0;
#if defined(__linux__)
    ::ioctl(fd, SIOCOUTQ, &left);
#elif defined(SO_NWRITE)
    socklen_t size = sizeof left;
    ::getsockopt(fd, SOL_SOCKET, SO_NWRITE, &left, &size);
#endif
    return left;
}

} // namespace

std::string Endpoint::text() const {
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Endpoint Endpoint::parse(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos)
        throw Failure("not an address with a port: " + printable(text));
    std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    Endpoint endpoint;
    if (!host.empty())
        endpoint.host = std::string(host);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    if (error != std::errc{} || end != port.data() + port.size())
        throw Failure("not a port number: " + printable(port) + " in " + printable(text));
    return endpoint;
}

std::ostream& operator<<(std::ostream& out, const Endpoint& endpoint) {
    return out << endpoint.text();
}

std::string_view describe(Ending ending) {
    switch (ending) {
    case Ending::end_of_stream:
        return "a clean end of stream (FIN)";
    case Ending::reset:
        return "a reset (RST)";
    case Ending::silence:
        break;
    }
    return "no end: the connection stayed open and silent";
}

std::ostream& operator<<(std::ostream& out, Ending ending) {
    return out << describe(ending);
}

Verdict Received::ends_cleanly() const {
    return {ending == Ending::end_of_stream, "a clean end of stream (FIN) was expected; after " +
                                                 bytes_of(bytes.size()) + " came " +
                                                 std::string(describe(ending))};
}

Verdict Received::ends_with_reset() const {
    return {ending == Ending::reset, "a reset (RST) was expected; after " + bytes_of(bytes.size()) +
                                         " came " + std::string(describe(ending))};
}

Verdict Received::is_exactly(std::string_view expected) const {
    Verdict same = same_bytes(expected, bytes);
    Verdict clean = ends_cleanly();
    if (same.ok && clean.ok)
        return same;
    if (same.ok)
        return clean;
    same.explanation += clean.ok ? "" : "\n  and " + clean.explanation;
    return same;
}

std::ostream& operator<<(std::ostream& out, const Received& received) {
    return out << printable(received.bytes) << ", then " << describe(received.ending);
}

std::string make_bytes(std::size_t n, std::uint64_t seed) {
    std::string bytes(n, '\0');
    detail::fill_pattern(bytes.data(), n, 0, seed);
    return bytes;
}

Peer::Peer(std::shared_ptr<PeerState> state) : state_(std::move(state)) {}
Peer::Peer(Peer&&) noexcept = default;

Peer& Peer::operator=(Peer&& other) noexcept {
    if (this != &other) {
        if (state_)
            state_->close(false);
        state_ = std::move(other.state_);
    }
    return *this;
}

Peer::~Peer() {
    if (state_)
        state_->close(false);
}

void Peer::send(std::string_view bytes) {
    const SendResult result = send_all(*state_, bytes);
    if (result.step != Step::bytes)
        throw Failure(send_failure(*state_, result.sent, bytes.size(), result.step));
}

Verdict Peer::try_send(std::string_view bytes) {
    if (!open())
        return Verdict::no(name() + " is closed already");
    const SendResult result = send_all(*state_, bytes);
    if (result.step != Step::bytes)
        return Verdict::no(send_failure(*state_, result.sent, bytes.size(), result.step));
    return Verdict::yes(name() + " sent " + bytes_of(bytes.size()));
}

void Peer::send_byte_by_byte(std::string_view bytes) {
    const int on = 1;
    ::setsockopt(state_->descriptor(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (std::size_t i = 0; i < bytes.size(); ++i)
        send(bytes.substr(i, 1));
}

void Peer::send_pattern(std::uint64_t n, std::uint64_t seed) {
    std::vector<char> buffer(chunk);
    for (std::uint64_t offset = 0; offset < n;) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk, n - offset));
        detail::fill_pattern(buffer.data(), size, offset, seed);
        const SendResult result = send_all(*state_, {buffer.data(), size});
        offset += result.sent;
        if (result.step != Step::bytes)
            throw Failure(send_failure(*state_, offset, n, result.step));
    }
}

std::uint64_t Peer::send_until_stuck(Millis quiet, std::uint64_t at_most) {
    std::vector<char> buffer(chunk);
    std::uint64_t sent = 0;
    while (sent < at_most) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk, at_most - sent));
        detail::fill_pattern(buffer.data(), size, sent, 1);
        const auto moved = state_->send(buffer.data(), size, quiet);
        if (moved.step == Step::silence)
            break;
        if (moved.step != Step::bytes)
            throw Failure(send_failure(*state_, sent, at_most, moved.step));
        sent += moved.count;
    }
    return sent;
}

void Peer::wait_until_delivered() {
    const int fd = state_->descriptor();
    const Verdict delivered = eventually([&] { return unacknowledged(fd) == 0 || state_->interrupted; },
                                         name() + "'s bytes to be acknowledged by the other side's kernel",
                                         std::min(limit_of(*state_), patience()));
    if (!delivered)
        throw Failure(delivered.explanation);
}

void Peer::half_close() {
    state_->half_close();
}
void Peer::reset() {
    state_->close(true);
}
void Peer::close() {
    state_->close(false);
}

std::string Peer::receive(std::size_t n) {
    std::string bytes;
    std::vector<char> buffer(std::min(n, chunk));
    while (bytes.size() < n) {
        const auto moved =
            state_->receive(buffer.data(), std::min(buffer.size(), n - bytes.size()), limit_of(*state_));
        if (moved.step != Step::bytes)
            throw Failure(receive_failure(*state_, bytes_of(n), bytes, moved.step));
        bytes.append(buffer.data(), moved.count);
    }
    return bytes;
}

std::string Peer::receive_some(std::size_t at_most) {
    std::string bytes(at_most, '\0');
    const auto moved = state_->receive(bytes.data(), at_most, limit_of(*state_));
    if (moved.step == Step::end)
        return {};
    if (moved.step != Step::bytes)
        throw Failure(receive_failure(*state_, "something", {}, moved.step));
    bytes.resize(moved.count);
    return bytes;
}

std::string Peer::receive_line() {
    // One byte a call: what comes after the line must stay in the socket, and lines in tests are short.
    std::string line;
    for (;;) {
        char byte = 0;
        const auto moved = state_->receive(&byte, 1, limit_of(*state_));
        if (moved.step != Step::bytes)
            throw Failure(receive_failure(*state_, "a line", line, moved.step));
        if (byte == '\n')
            return line;
        line += byte;
    }
}

Received Peer::receive_until_end(std::optional<Millis> quiet) {
    Received result;
    if (!open())
        return result;
    std::vector<char> buffer(chunk);
    for (;;) {
        const auto moved = state_->receive(buffer.data(), buffer.size(), quiet.value_or(limit_of(*state_)));
        if (moved.step != Step::bytes) {
            result.ending = ending_of(moved.step);
            return result;
        }
        result.bytes.append(buffer.data(), moved.count);
    }
}

Drained Peer::drain(std::optional<Millis> quiet) {
    Drained result;
    std::vector<char> buffer(chunk);
    for (;;) {
        const auto moved = state_->receive(buffer.data(), buffer.size(), quiet.value_or(limit_of(*state_)));
        if (moved.step != Step::bytes) {
            result.ending = ending_of(moved.step);
            return result;
        }
        result.count += moved.count;
    }
}

Verdict Peer::receive_pattern(std::uint64_t n, std::uint64_t seed) {
    std::vector<char> came(chunk);
    std::vector<char> expected(chunk);
    for (std::uint64_t offset = 0; offset < n;) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk, n - offset));
        const auto moved = state_->receive(came.data(), size, limit_of(*state_));
        if (moved.step != Step::bytes)
            return Verdict::no(name() + " was to receive " + bytes_of(n) + ", but after " + bytes_of(offset) +
                               " " + what_came_instead(moved.step, limit_of(*state_)));
        detail::fill_pattern(expected.data(), moved.count, offset, seed);
        if (std::memcmp(came.data(), expected.data(), moved.count) != 0) {
            // Within this piece; the offset of the piece is added in words.
            const Verdict piece = same_bytes({expected.data(), moved.count}, {came.data(), moved.count});
            return Verdict::no(name() + " received wrong bytes in the piece that begins at offset " +
                               std::to_string(offset) + " of " + std::to_string(n) + ": " +
                               piece.explanation);
        }
        offset += moved.count;
    }
    return Verdict::yes(name() + " received the expected " + bytes_of(n));
}

Verdict Peer::stays_silent(Millis period) {
    char byte = 0;
    const auto moved = state_->receive(&byte, 1, period);
    if (moved.step == Step::silence)
        return Verdict::yes("nothing came for " + std::to_string(period.count()) + " ms");
    return Verdict::no(name() + " was to hear nothing for " + std::to_string(period.count()) + " ms, but " +
                       (moved.step == Step::bytes ? "the byte " + printable({&byte, 1}) + " came"
                                                  : what_came_instead(moved.step, period)));
}

Verdict Peer::ends_cleanly() {
    return receive_until_end().is_exactly("");
}

Verdict Peer::ends_with_reset() {
    const Received rest = receive_until_end();
    if (!rest.bytes.empty())
        return Verdict::no("a reset (RST) was expected next, but " + bytes_of(rest.bytes.size()) +
                           " came first: " + printable(rest.bytes));
    return rest.ends_with_reset();
}

Ending Peer::wait_for_end_without_reading(std::optional<Millis> limit) {
    const Deadline deadline(limit.value_or(limit_of(*state_)));
    const int fd = state_->descriptor();
    // With no events asked for, poll reports POLLERR and POLLHUP only. POLLHUP means that both directions are
    // over.
    if (!detail::wait_on(fd, 0, deadline) || state_->interrupted)
        return Ending::silence;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    // Told once: a send, or the connecting, may have been told before.
    if (error != 0 || state_->story().was_reset) {
        state_->saw_reset();
        return Ending::reset;
    }
    return Ending::end_of_stream;
}

bool Peer::pause(Millis period) {
    std::unique_lock lock(state_->mutex);
    // The system clock, because ThreadSanitizer of GCC 12 does not know the wait that steady clocks are put
    // to.
    const auto until = std::chrono::system_clock::now() + period;
    return !state_->woken.wait_until(lock, until, [&] { return state_->interrupted.load(); });
}

void Peer::set_receive_buffer(int bytes) {
    ::setsockopt(state_->descriptor(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}
void Peer::set_send_buffer(int bytes) {
    ::setsockopt(state_->descriptor(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}
void Peer::set_patience(Millis limit) {
    state_->limit = limit.count();
}
void Peer::interrupt() {
    state_->interrupt();
}
bool Peer::open() const {
    return state_->story().open;
}
std::uint16_t Peer::local_port() const {
    return state_->local_port;
}
std::uint16_t Peer::remote_port() const {
    return state_->remote_port;
}
std::uint64_t Peer::bytes_sent() const {
    return state_->story().sent_count;
}
std::uint64_t Peer::bytes_received() const {
    return state_->story().received_count;
}
const std::string& Peer::name() const {
    return state_->name;
}

namespace {

// A connection attempt: a descriptor, or the error number (ETIMEDOUT for a deadline of ours). Both if the
// connection was reset at once.
struct Attempt {
    int fd = -1;
    int error = 0;
};

Attempt attempt(const Endpoint& to, const Client::Options& options, Millis limit) {
    const detail::Address address(to);
    const int fd = detail::make_socket(address.family);
    if (options.receive_buffer > 0)
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof options.receive_buffer);
    if (options.send_buffer > 0)
        ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.send_buffer, sizeof options.send_buffer);
    int error = 0;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(address.bytes), address.size) != 0)
        error = errno;
    if (error == EINPROGRESS || error == EINTR) {
        if (detail::wait_on(fd, POLLOUT, Deadline(limit))) {
            socklen_t size = sizeof error;
            ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        } else {
            error = ETIMEDOUT;
        }
    }
    // ECONNRESET (an attempt that fails is refused, or unanswered) means that the connection was made, and
    // reset again before we looked: to be learnt by receiving, as if it had come a moment later.
    if (error != 0 && error != ECONNRESET) {
        ::close(fd);
        return {-1, error};
    }
    return {fd, error};
}

std::shared_ptr<PeerState> connect_or_throw(const Endpoint& to, const Client::Options& options) {
    const std::string name = options.name.empty() ? trace::next_client_name() : options.name;
    const Millis limit = options.patience.value_or(patience());
    const auto before = moment();
    const Attempt made = attempt(to, options, limit);
    if (made.fd < 0) {
        trace::add(name, trace::Event::refused,
                   {.address = to.text(), .text = detail::error_text(made.error)});
        throw Failure(name + " could not connect to " + to.text() + ": " + detail::error_text(made.error) +
                      (made.error == ECONNREFUSED ? " (nothing listens there)" : ""));
    }
    auto state = std::make_shared<PeerState>(made.fd, name, limit, 0);
    trace::add(name, trace::Event::connects, {.address = to.text(), .port = state->local_port, .at = before});
    if (made.error != 0)
        state->saw_reset(); // the kernel tells only once, and has told us
    return state;
}

} // namespace

Client::Client(const Endpoint& to) : Client(to, Options{}) {}
Client::Client(const Endpoint& to, const Options& options) : Peer(connect_or_throw(to, options)) {}
Client::Client(std::shared_ptr<PeerState> connected) : Peer(std::move(connected)) {}

std::optional<Client> Client::try_connect(const Endpoint& to) {
    try {
        return Client(connect_or_throw(to, Options{}));
    } catch (const Failure&) {
        return std::nullopt;
    }
}

Verdict connect_refused(const Endpoint& to) {
    const Attempt made = attempt(to, {}, patience());
    if (made.fd >= 0) {
        record("a client", "accepted and gone", {{"to", to.text()}});
        ::close(made.fd);
        return Verdict::no("a connection to " + to.text() + " was accepted; it was to be refused");
    }
    trace::add("a client", trace::Event::refused, {.address = to.text()});
    return {made.error == ECONNREFUSED, "connecting to " + to.text() + ": " + detail::error_text(made.error)};
}

Verdict connect_accepted(const Endpoint& to) {
    const Attempt made = attempt(to, {}, patience());
    record("a client", made.fd >= 0 ? "accepted and gone" : "refused",
           {{made.fd >= 0 ? "to" : "by", to.text()}});
    if (made.fd >= 0)
        ::close(made.fd);
    return {made.fd >= 0, "connecting to " + to.text() + ": " +
                              (made.fd >= 0 ? std::string("accepted") : detail::error_text(made.error))};
}

void raise_descriptor_limit() {
    constexpr rlim_t enough = 16384;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= enough)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? enough : std::min(enough, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace harness
