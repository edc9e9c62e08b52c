#include "stream_client.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>

namespace harbor::load {

StreamClient::StreamClient(Run& run, std::uint32_t number)
    : run_(run), number_(number), up_(number, Direction::client_to_backend),
      down_(number, Direction::backend_to_client) {}

void StreamClient::connect() {
    socket_ = connect_from(number_, run_.options.connect_to);
    if (!socket_) {
        fail("client: connect: " + errno_text());
        return;
    }
    run_.loop.add(socket_, *this, EventLoop::connection);
}

void StreamClient::stop() {
    sending_ = false;
    if (socket_) {
        end_sending(socket_);
    }
}

void StreamClient::on_events(std::uint32_t events) {
    if (!socket_) {
        return; // asked to be called again, and then an event ended it
    }
    if (connecting_) {
        if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
            errno = pending_error(socket_);
            fail("client: connect: " + errno_text());
            return;
        }
        if ((events & EPOLLOUT) == 0) {
            return;
        }
        connecting_ = false;
        announce();
    }
    writable_ = writable_ || (events & EPOLLOUT) != 0;
    readable_ = readable_ || (events & ~std::uint32_t{EPOLLOUT}) != 0;
    ending_ = ending_ || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (socket_) {
        proceed();
    }
}

/// One piece each way, so that all connections move on evenly and the proxy gets neither all reads nor all
/// writes at once.
void StreamClient::proceed() {
    if (sending_ && writable_ && !send()) {
        return;
    }
    if (readable_ && !receive()) {
        return;
    }
    if ((sending_ && writable_) || readable_) {
        run_.loop.again(*this);
    }
}

void StreamClient::announce() {
    const auto number = std::as_bytes(std::span(&number_, 1));
    // The first bytes on a connection fit into its empty buffer, always.
    if (send_some(socket_, number) != static_cast<ssize_t>(number.size())) {
        fail("client: send: " + errno_text());
    }
}

bool StreamClient::send() {
    const ssize_t sent = run_.pattern.send(socket_, up_, run_.options.copy);
    if (sent < 0 && !would_block()) {
        fail("client: send: " + errno_text());
        return false;
    }
    writable_ = sent > 0;
    run_.accounts[number_].sent_up = up_.moved();
    return true;
}

bool StreamClient::receive() {
    const std::span<std::byte> space(run_.scratch);
    const ssize_t received = receive_some(socket_, space);
    if (received < 0 && !would_block()) {
        fail("client: receive: " + errno_text());
        return false;
    }
    if (received == 0) {
        if (sending_) {
            fail("client: closed by the proxy");
        } else {
            socket_.close();
        }
        return false;
    }
    const auto size = static_cast<std::size_t>(std::max<ssize_t>(received, 0));
    readable_ = size == space.size() || (size > 0 && ending_);
    if (const std::size_t wrong = run_.pattern.check(down_, space.first(size)); wrong > 0) {
        run_.tally.wrong(number_, down_.moved(), wrong);
        fail("client: wrong bytes");
        return false;
    }
    run_.accounts[number_].received_down += size;
    run_.tally.bytes += size;
    return true;
}

void StreamClient::fail(const std::string& what) {
    run_.tally.error(what);
    connecting_ = false;
    socket_.close();
}

} // namespace harbor::load
