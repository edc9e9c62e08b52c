#include "socket.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>

namespace harbor::load {

namespace {

constexpr std::uint32_t first_source = 0x7f000101; // 127.0.1.1
constexpr std::uint32_t sources = 64;
constexpr int backlog = 4096; // as many as the kernel's usual limit, net.core.somaxconn

void set_flag(const Socket& socket, int level, int option) {
    const int on = 1;
    if (::setsockopt(socket.get(), level, option, &on, sizeof on) != 0) {
        throw_errno("setsockopt");
    }
}

const sockaddr* generic(const sockaddr_in& address) {
    return reinterpret_cast<const sockaddr*>(&address); // NOLINT(*-reinterpret-cast): how bind(2) is called
}

} // namespace

void throw_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

std::string errno_text() {
    return std::generic_category().message(errno);
}

void Socket::close() {
    if (descriptor_ >= 0) {
        ::close(std::exchange(descriptor_, -1));
    }
}

sockaddr_in endpoint(std::uint32_t address, std::uint16_t port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_addr.s_addr = htonl(address);
    result.sin_port = htons(port);
    return result;
}

sockaddr_in parse_endpoint(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    in_addr address{};
    std::uint16_t port = 0;
    if (colon != std::string::npos && ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address) == 1) {
        const char* const end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
        if (error == std::errc{} && stop == end && port != 0) {
            return endpoint(ntohl(address.s_addr), port);
        }
    }
    throw std::invalid_argument("'" + text + "' is not ADDR:PORT, such as 127.0.0.1:9090");
}

Socket listen_on(const sockaddr_in& address) {
    Socket listener(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!listener) {
        throw_errno("socket");
    }
    set_flag(listener, SOL_SOCKET, SO_REUSEADDR);
    set_flag(listener, IPPROTO_TCP, TCP_NODELAY);
    if (::bind(listener.get(), generic(address), sizeof address) != 0 ||
        ::listen(listener.get(), backlog) != 0) {
        throw_errno("cannot listen on 127.0.2.x:" + std::to_string(ntohs(address.sin_port)));
    }
    return listener;
}

Socket connect_from(std::uint32_t number, const sockaddr_in& destination) {
    Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) {
        return socket;
    }
    set_flag(socket, IPPROTO_TCP, TCP_NODELAY);
    // Leaves the choice of the port to connect(2), which knows the destination and can share ports between
    // them.
    set_flag(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    const sockaddr_in source = endpoint(first_source + number % sources, 0);
    if (::bind(socket.get(), generic(source), sizeof source) != 0 ||
        (::connect(socket.get(), generic(destination), sizeof destination) != 0 && errno != EINPROGRESS)) {
        const int error = errno; // closing the socket may overwrite it
        socket.close();
        errno = error;
    }
    return socket;
}

int pending_error(const Socket& socket) {
    int error = 0;
    socklen_t size = sizeof error;
    return ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

void end_sending(const Socket& socket) {
    ::shutdown(socket.get(), SHUT_WR);
}

ssize_t send_some(const Socket& socket, std::span<const std::byte> bytes) {
    ssize_t sent = 0;
    do {
        sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

ssize_t receive_some(const Socket& socket, std::span<std::byte> space) {
    ssize_t received = 0;
    do {
        received = ::recv(socket.get(), space.data(), space.size(), 0);
    } while (received < 0 && errno == EINTR);
    return received;
}

bool would_block() {
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

std::size_t raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        throw_errno("getrlimit");
    }
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        throw_errno("setrlimit");
    }
    return limit.rlim_cur;
}

} // namespace harbor::load
