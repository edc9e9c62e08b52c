// A session is the parent of everything that happens to a connection, and the only one who closes its
// sockets. It waits until the dial, or both relays, have ended, so what they borrow from its frame outlives
// them.
#include "session.hpp"

#include "balancer.hpp"
#include "connection.hpp"
#include "dial.hpp"
#include "relay.hpp"
#include "worker.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <chrono>
#include <exception>
#include <tuple>
#include <utility>

namespace harbor {

namespace {

/// The peer has reset the connection. Socket::broken would not do: it is also set when both directions have
/// ended cleanly, and then the send buffer is still being delivered.
bool is_gone(const Socket& socket) {
    tcp_info info{};
    socklen_t length = sizeof info;
    return ::getsockopt(socket.fd(), IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ||
           info.tcpi_state == TCP_CLOSE;
}

//! [harbor:delivered]
/// Waits until the peer's kernel has acknowledged everything that was sent, as long as it goes on taking
/// some.
///
/// A reset drops what is still in the send buffer (RFC 9293, section 3.10.5), so without this wait a backend
/// that answers and crashes would leave its client with less than the backend had sent.
Task<> wait_until_delivered(Connection& connection, const Socket& socket) {
    constexpr std::chrono::seconds longest_stall{10};
    Worker& worker = connection.worker;
    const auto timeout = worker.balancer().config.io_timeout;
    const Clock::duration patience =
        timeout.count() > 0 ? std::min<Clock::duration>(timeout, longest_stall) : longest_stall;
    Clock::time_point deadline = worker.now() + patience;
    int before = 0;
    for (;;) {
        int undelivered = 0;
        const bool known = ::ioctl(socket.fd(), SIOCOUTQ, &undelivered) == 0;
        if (!known || undelivered == 0 || is_gone(socket) || worker.cutting() || worker.now() >= deadline) {
            co_return;
        }
        if (undelivered < before) {
            deadline = worker.now() + patience;
        }
        before = undelivered;
        // No event tells that a send buffer is empty, and this is rare: look now and then.
        co_await worker.sleep(TimerWheel::tick);
    }
}
//! [harbor:delivered]

/// From now on closing the socket sends a reset instead of a clean end.
void reset_on_close(const Socket& socket) {
    const linger now{1, 0};
    if (socket.fd() >= 0 && ::setsockopt(socket.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now) < 0) {
        // Not for want of memory either (a BPF program that looks at such calls needs some): to close now
        // would pass a part for the whole. To connect to nobody sends the reset at once (man 2 connect).
        sockaddr nobody{};
        nobody.sa_family = AF_UNSPEC;
        std::ignore = ::connect(socket.fd(), &nobody, sizeof nobody);
    }
}

//! [harbor:break_off]
/// The connection was broken off: sees to it that nobody takes what has arrived for the whole.
Task<> break_off(Connection& connection) {
    if (connection.end == End::backend_reset) {
        co_await wait_until_delivered(connection, connection.client);
    } else if (connection.end == End::client_reset && connection.lease) { // else it left during the dial
        co_await wait_until_delivered(connection, connection.backend);
    }
    // Who has got a clean end keeps it: its stream is whole, whatever happened to the other one.
    if (!connection.backend_has_ended) {
        reset_on_close(connection.client);
    }
    if (!connection.client_has_ended) {
        reset_on_close(connection.backend);
    }
}
//! [harbor:break_off]

} // namespace

//! [harbor:serve]
Detached serve(Worker& worker, Descriptor client, asio::ip::tcp::endpoint client_address, Slot slot) {
    Connection connection(worker, std::move(client_address), std::move(slot));
    try {
        connection.client.open(std::move(client), worker.ready());
        if (co_await dial(connection)) {
            connection.watch_idleness();
            co_await Both(relay(connection, Direction::client_to_backend),
                          relay(connection, Direction::backend_to_client));
        }
        if (connection.end && connection.end != End::dial_failed) {
            co_await break_off(connection);
        }
    } catch (const std::exception&) {
        // Out of memory, or of the kernel's: this connection ends, and no other. What it had sent may be
        // incomplete.
        connection.end = End::out_of_resources;
        reset_on_close(connection.client);
        reset_on_close(connection.backend);
    }
    worker.account_for(connection);
}
//! [harbor:serve]

} // namespace harbor
