// A descriptor with an owner, and the few socket calls that both ends of the load need.
//
// The load generator uses bare system calls, and neither Asio nor harbor's own classes: whatever it spends is
// spent on the core beside the program that is measured, and a fault in harbor's code must not be able to
// hide itself here.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace harbor::load {

/// Throws std::system_error with errno and what was tried.
[[noreturn]] void throw_errno(const std::string& what);

/// The text of errno.
std::string errno_text();

class Socket {
public:
    Socket() = default;
    explicit Socket(int descriptor) : descriptor_(descriptor) {}
    Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    Socket& operator=(Socket&& other) noexcept {
        close();
        descriptor_ = std::exchange(other.descriptor_, -1);
        return *this;
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { close(); }

    explicit operator bool() const { return descriptor_ >= 0; }
    int get() const { return descriptor_; }
    void close();

private:
    int descriptor_ = -1;
};

/// An IPv4 address and port; `address` in the order of the host.
sockaddr_in endpoint(std::uint32_t address, std::uint16_t port);

/// Parses `ADDR:PORT` with an IPv4 address; throws std::invalid_argument.
sockaddr_in parse_endpoint(const std::string& text);

/// A listener whose accepted sockets are non-delaying from birth: they inherit the option (man 7 tcp).
/// Throws.
Socket listen_on(const sockaddr_in& address);

/// Starts a connection from one of 64 addresses 127.0.1.x, chosen by the number: one address has only some
/// 28,000 ports for connections to one destination, and each stays taken for a while after its connection has
/// ended. Returns a socket that is connecting, or an empty one with errno set.
Socket connect_from(std::uint32_t number, const sockaddr_in& destination);

/// The error that a socket has been keeping, as errno; 0 if none.
int pending_error(const Socket& socket);

/// Ends the sending direction. An error means that the connection is gone, and reading will tell.
void end_sending(const Socket& socket);

/// send(2) and recv(2), once more when a signal interrupts. A peer that has gone is an error, not a SIGPIPE.
ssize_t send_some(const Socket& socket, std::span<const std::byte> bytes);
ssize_t receive_some(const Socket& socket, std::span<std::byte> space);

/// Whether the call before had to wait, according to errno.
bool would_block();

/// Lets this process have as many descriptors as it may, and returns how many that is.
std::size_t raise_descriptor_limit();

} // namespace harbor::load
