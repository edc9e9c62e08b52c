#include "wire.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <system_error>
#include <utility>
#include <vector>

namespace histories {

namespace {

// Not a multiple of anything a relay could work in, so that a block that comes twice, or at the wrong place,
// is seen.
constexpr std::size_t period = 1'000'003;

/// Every stream reads the same bytes, each from a place of its own.
const std::vector<char>& pattern() {
    static const std::vector<char> bytes = [] {
        std::mt19937_64 engine(1);
        std::vector<char> made(period);
        for (char& byte : made) {
            byte = static_cast<char>(engine() & 0xff);
        }
        return made;
    }();
    return bytes;
}

// What comes first in a stream: who it belongs to.
const std::array<char, most_connections> names = [] {
    std::array<char, most_connections> made{};
    for (std::size_t i = 0; i < made.size(); ++i) {
        made[i] = static_cast<char>(i);
    }
    return made;
}();

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::system_category(), what);
}

sockaddr_in address_of(const std::string& host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
        throw std::invalid_argument("not an IPv4 address: " + host);
    }
    return address;
}

int make_socket(int flags) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) {
        fail("socket");
    }
    return fd;
}

/// Before connecting or listening: afterwards it would not shrink the window that has been offered.
void set_buffers(int fd, int bytes) {
    if (bytes > 0) {
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
}

/// -1 when somebody else has the port.
int bind_to(const std::string& host, std::uint16_t port) {
    const int fd = make_socket(SOCK_NONBLOCK);
    const int on = 1;
    // Two sockets of ours may then have the port, as long as only one of them listens.
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const sockaddr_in address = address_of(host, port);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        return fd;
    }
    ::close(fd);
    if (errno != EADDRINUSE) {
        fail("bind");
    }
    return -1;
}

} // namespace

const char* Stream::at(std::uint64_t offset, std::size_t size, std::size_t& available) const {
    if (offset == 0) {
        available = 1;
        return &names[connection];
    }
    const std::size_t whose = 2 * connection + (from == Side::client ? 0 : 1);
    const std::size_t place = (offset + whose * 31'337) % period;
    available = std::min(size, period - place);
    return pattern().data() + place;
}

Wire::~Wire() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

void Wire::is(std::size_t connection, Side side) {
    outgoing_ = {connection, side};
    incoming_ = {connection, side == Side::client ? Side::backend : Side::client};
}

void Wire::leave(Left how) {
    left = how;
    int unread = 0;
    ::ioctl(fd_, FIONREAD, &unread);
    arrived = received + static_cast<unsigned>(unread);
    int unacknowledged = 0;
    ::ioctl(fd_, SIOCOUTQ, &unacknowledged); // counts the end of the stream as one more
    const std::uint64_t all = sent + (half_closed ? 1 : 0);
    const std::uint64_t acknowledged =
        all - std::min<std::uint64_t>(all, static_cast<unsigned>(unacknowledged));
    delivered = std::min(sent, acknowledged);
    end_delivered = half_closed && acknowledged == all;
    if (write_error != 0) { // the connection is gone, and its queue with it: nothing is known
        delivered = 0;
        end_delivered = false;
    }
}

void Wire::reset() {
    if (open()) {
        leave(Left::by_reset);
        const linger now{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        ::close(std::exchange(fd_, -1));
    }
}

void Wire::close() {
    if (open()) {
        leave(Left::by_close);
        ::close(std::exchange(fd_, -1));
    }
}

bool Wire::wants_to_write() const {
    return open() && write_error == 0 && !half_closed && (sent < wanted || half_close_wanted);
}

void Wire::write() {
    // Not without an end: the other sides have to get on as well.
    for (int turn = 0; turn < 8 && wants_to_write() && sent < wanted; ++turn) {
        std::size_t available = 0;
        const auto left_over = static_cast<std::size_t>(std::min<std::uint64_t>(wanted - sent, 256 * 1024));
        const char* bytes = outgoing_.at(sent, left_over, available);
        const ssize_t taken = ::send(fd_, bytes, available, MSG_NOSIGNAL);
        if (taken >= 0) {
            sent += static_cast<std::uint64_t>(taken);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            write_error = errno;
        }
    }
    if (write_error == 0 && sent == wanted && half_close_wanted && !half_closed) {
        ::shutdown(fd_, SHUT_WR);
        half_closed = true;
    }
}

void Wire::read() {
    std::array<char, 65536> bytes; // NOLINT: recv fills it
    for (int turn = 0; turn < 8 && wants_to_read(); ++turn) {
        const ssize_t count = ::recv(fd_, bytes.data(), bytes.size(), 0);
        if (count < 0 && errno == EAGAIN) {
            return;
        }
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            // A write that has met the reset has taken the error, and then a read says 0. (EPIPE: the reset
            // came after the end of the stream, which therefore was whole.)
            const bool whole = count == 0 && (write_error == 0 || write_error == EPIPE);
            ending = whole ? Ending::end_of_stream : Ending::reset;
            return;
        }
        for (std::size_t compared = 0; compared < static_cast<std::size_t>(count);) {
            std::size_t available = 0;
            const char* expected =
                incoming_.at(received + compared, static_cast<std::size_t>(count) - compared, available);
            if (wrong.empty() && std::memcmp(expected, bytes.data() + compared, available) != 0) {
                wrong = "a wrong byte within " + std::to_string(available) + " from byte " +
                        std::to_string(received + compared);
            }
            compared += available;
        }
        received += static_cast<std::uint64_t>(count);
    }
}

Listener::Listener(const std::string& host, int buffer) : host_(host), buffer_(buffer) {
    // A listener of another program on all addresses may have the port that is free on ours.
    for (int attempt = 0; attempt < 20 && !listening(); ++attempt) {
        if (reserved_ >= 0) {
            ::close(reserved_);
        }
        reserved_ = bind_to(host_, 0);
        sockaddr_in address{};
        socklen_t length = sizeof address;
        ::getsockname(reserved_, reinterpret_cast<sockaddr*>(&address), &length);
        port_ = ntohs(address.sin_port);
        start();
    }
    if (!listening()) {
        fail("bind");
    }
}

Listener::~Listener() {
    stop();
    ::close(reserved_);
}

std::string Listener::address() const {
    return host_ + ':' + std::to_string(port_);
}

void Listener::start() {
    if (!listening()) {
        fd_ = bind_to(host_, port_);
        if (!listening()) {
            return;
        }
        set_buffers(fd_, buffer_);
        if (::listen(fd_, 1024) < 0) {
            stop();
        }
    }
}

void Listener::stop() {
    if (listening()) {
        // Not close() alone: a child of another thread's fork() has a copy until it calls exec(), and while
        // that lives the kernel goes on to accept connections that nobody will ever serve.
        ::shutdown(fd_, SHUT_RDWR);
        ::close(std::exchange(fd_, -1));
    }
}

int Listener::accept() const {
    return listening() ? ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
}

int connect_to(const std::string& host, std::uint16_t port, int buffer) {
    const int fd = make_socket(0); // it blocks: on loopback the answer is there at once
    set_buffers(fd, buffer);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const sockaddr_in address = address_of(host, port);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
        ::close(fd);
        return -1;
    }
    int nonblocking = 1;
    ::ioctl(fd, FIONBIO, &nonblocking);
    return fd;
}

} // namespace histories
