// No-delay: a proxy passes on what it gets when it gets it. Nagle's algorithm (RFC 896) would hold a small
// segment back until the one before is acknowledged, and together with delayed acknowledgements that can be
// 40 ms.
//
// Keep-alive: a peer whose cable was pulled sends nothing, not even an end. The kernel's probes find out; its
// own default waits for two hours before the first (man 7 tcp, tcp_keepalive_time).
#include "socket_options.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>

namespace harbor {

void set_socket_options(int fd, const Config& config) {
    const int on = 1;
    if (config.tcp_nodelay) {
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (config.tcp_keepalive > std::chrono::milliseconds::zero()) {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(config.tcp_keepalive);
        const int idle = static_cast<int>(seconds.count());
        ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    }
}

} // namespace harbor
