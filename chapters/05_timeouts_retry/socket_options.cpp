//! [ch05:options_head]
// No-delay: a proxy passes on what it gets when it gets it. Nagle's algorithm (RFC 896) would hold a small
// segment back until the one before is acknowledged, and together with delayed acknowledgements that can be
// 40 ms.
//
// Keep-alive: a peer whose cable was pulled sends nothing, not even an end. The kernel's probes find out; its
// own default waits for two hours before the first (man 7 tcp, tcp_keepalive_time).
#include "socket_options.hpp"

#include <asio/socket_base.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

namespace harbor {

using asio::ip::tcp;
//! [ch05:options_head]

//! [ch05:options_set]
void set_options(tcp::socket& socket, const Config& config) {
    asio::error_code ignored;
    socket.set_option(tcp::no_delay(config.tcp_nodelay), ignored);
    if (config.tcp_keepalive == std::chrono::milliseconds::zero()) {
        return;
    }
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    // The time of silence before the first probe has no portable name, so Asio has none either.
#ifdef TCP_KEEPIDLE
    constexpr int keep_idle = TCP_KEEPIDLE;
#else
    constexpr int keep_idle = TCP_KEEPALIVE; // macOS
#endif
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(config.tcp_keepalive);
    const int value = static_cast<int>(seconds.count());
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, keep_idle, &value, sizeof value);
}

} // namespace harbor
//! [ch05:options_set]
