// What the kernel is asked for, read back from the kernel.
//
// No-delay shows only as a delay that is not there, and keep-alive after minutes without a cable. The options
// themselves can be asked for at once, on a real pair of sockets over loopback.
#include "socket_options.hpp"

#include <harness/catch.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/socket_base.hpp>

#include <chrono>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

using namespace std::chrono_literals;
using asio::ip::tcp;
using harbor::Config;
using harbor::set_options;

namespace {

#ifdef TCP_KEEPIDLE
constexpr int keep_idle = TCP_KEEPIDLE;
#else
constexpr int keep_idle = TCP_KEEPALIVE; // macOS
#endif

struct Pair {
    asio::io_context context{};
    tcp::socket client{context};
    tcp::socket server{context};

    Pair() {
        tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
        client.connect(acceptor.local_endpoint());
        server = acceptor.accept();
    }
};

int option(tcp::socket& socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(socket.native_handle(), level, name, &value, &size) == 0);
    return value;
}

} // namespace

TEST_CASE("by default a socket does not delay and probes a silent peer after half a minute") {
    Pair pair;
    for (tcp::socket* socket : {&pair.client, &pair.server}) {
        set_options(*socket, Config{});
        REQUIRE(option(*socket, IPPROTO_TCP, TCP_NODELAY) != 0);
        REQUIRE(option(*socket, SOL_SOCKET, SO_KEEPALIVE) != 0);
        REQUIRE(option(*socket, IPPROTO_TCP, keep_idle) == 30);
    }
}

TEST_CASE("no-delay can be switched off") {
    Pair pair;
    Config config;
    config.tcp_nodelay = false;
    pair.client.set_option(tcp::no_delay(true)); // as a system may have it by default
    set_options(pair.client, config);
    REQUIRE(option(pair.client, IPPROTO_TCP, TCP_NODELAY) == 0);
}

TEST_CASE("keep-alive of zero is off") {
    Pair pair;
    Config config;
    config.tcp_keepalive = 0ms;
    set_options(pair.client, config);
    REQUIRE(option(pair.client, SOL_SOCKET, SO_KEEPALIVE) == 0);
    REQUIRE(option(pair.client, IPPROTO_TCP, TCP_NODELAY) != 0);
}

TEST_CASE("keep-alive counts in seconds and rounds up so that it is never off by accident") {
    Pair pair;
    Config config;
    config.tcp_keepalive = 1ms;
    set_options(pair.client, config);
    REQUIRE(option(pair.client, IPPROTO_TCP, keep_idle) == 1);
    config.tcp_keepalive = 2001ms;
    set_options(pair.client, config);
    REQUIRE(option(pair.client, IPPROTO_TCP, keep_idle) == 3);
}

TEST_CASE("a socket whose peer has gone is left as it is without a fuss") {
    Pair pair;
    pair.client.set_option(asio::socket_base::linger(true, 0));
    pair.client.close(); // a reset
    REQUIRE_NOTHROW(set_options(pair.server, Config{}));
    pair.server.close();
    REQUIRE_NOTHROW(set_options(pair.server, Config{}));
}
