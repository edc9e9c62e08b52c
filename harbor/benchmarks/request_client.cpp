#include "request_client.hpp"

#include <cerrno>
#include <span>

namespace harbor::load {

void RequestClient::connect() {
    connect_started_ = Clock::now();
    connecting_ = true;
    connect_error_ = 0;
    asking_ = false;
    asked_ = 0;
    // The answer is the message itself, so both directions read the same text.
    sent_ = Stream(number_, Direction::client_to_backend);
    received_ = sent_;
    socket_ = connect_from(number_, run_.options.connect_to);
    if (socket_) {
        run_.loop.add(socket_, *this, EventLoop::connection);
    } else {
        connect_error_ = errno;
        run_.loop.again(*this);
    }
}

void RequestClient::ask(Clock::time_point now) {
    ask_started_ = now;
    asking_ = true;
    asked_ += run_.options.size;
    send_rest();
}

void RequestClient::on_events(std::uint32_t events) {
    if (connecting_) {
        if (socket_ && (events & (EPOLLERR | EPOLLHUP)) != 0) {
            connect_error_ = pending_error(socket_);
        }
        if (!socket_ || connect_error_ != 0) {
            errno = connect_error_;
            fail("client: connect: " + errno_text());
            return;
        }
        if ((events & EPOLLOUT) == 0) {
            return;
        }
        connecting_ = false;
        mode_.connected(*this);
    }
    // The mode may have closed it, or started another in its place.
    if (!socket_ || connecting_ || !send_rest()) {
        return;
    }
    constexpr std::uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    if ((events & (EPOLLIN | ends)) == 0 || !receive((events & ends) != 0)) {
        return;
    }
    if (asking_ && received_.moved() == asked_) {
        asking_ = false;
        ++run_.tally.requests;
        mode_.answered(*this, Clock::now());
    }
}

/// What is left of the message. False when the connection has failed.
bool RequestClient::send_rest() {
    while (sent_.moved() < asked_) {
        const std::size_t rest = static_cast<std::size_t>(asked_ - sent_.moved());
        const ssize_t sent = send_some(socket_, run_.pattern.next(sent_, rest));
        if (sent < 0) {
            return would_block() || fail("client: send: " + errno_text());
        }
        sent_.advance(static_cast<std::size_t>(sent));
    }
    return true;
}

/// Whatever has come. False when the connection has failed.
bool RequestClient::receive(bool ending) {
    const std::span<std::byte> space(run_.scratch);
    for (;;) {
        const ssize_t received = receive_some(socket_, space);
        if (received < 0) {
            return would_block() || fail("client: receive: " + errno_text());
        }
        if (received == 0) {
            return fail(asking_ ? "client: closed before the answer was complete"
                                : "client: closed by the proxy");
        }
        const auto came = space.first(static_cast<std::size_t>(received));
        if (came.size() > sent_.moved() - received_.moved()) {
            run_.tally.wrong(number_, received_.moved() + came.size(), came.size());
            return fail("client: more bytes than were sent");
        }
        if (const std::size_t wrong = run_.pattern.check(received_, came); wrong > 0) {
            run_.tally.wrong(number_, received_.moved(), wrong);
            return fail("client: wrong bytes");
        }
        run_.tally.bytes += came.size();
        if (came.size() < space.size() && !ending) {
            return true; // a short read: there is no more, and more would be a new event
        }
    }
}

bool RequestClient::fail(const std::string& what) {
    run_.tally.error(what);
    socket_.close();
    mode_.failed(*this);
    return false;
}

} // namespace harbor::load
