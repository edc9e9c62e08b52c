#include "backend_connection.hpp"

#include <algorithm>
#include <cerrno>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace harbor::load {

namespace {

bool tells_end(std::uint32_t events) {
    return (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
}

std::string receive_failed() {
    return "backend: receive: " + errno_text();
}

std::string send_failed() {
    return "backend: send: " + errno_text();
}

/// Sends back whatever comes. Reads nothing new while something has not been taken, like any server with
/// bounded memory.
class EchoConnection final : public BackendConnection {
public:
    using BackendConnection::BackendConnection;

private:
    void reset() override {
        unsent_.clear();
        ending_ = false;
    }

    Flow proceed(std::uint32_t events) override {
        ending_ = ending_ || tells_end(events);
        if (!unsent_.empty() && !send_back(std::exchange(unsent_, {}))) {
            return Flow::ended;
        }
        const std::span<std::byte> space(run_.scratch);
        while (unsent_.empty()) {
            const ssize_t received = receive_some(socket_, space);
            if (received == 0) {
                return Flow::ended;
            }
            if (received < 0) {
                return would_block() ? Flow::waiting : failed(receive_failed());
            }
            const auto came = space.first(static_cast<std::size_t>(received));
            if (!send_back(came)) {
                return Flow::ended;
            }
            if (came.size() < space.size() && !ending_) {
                return Flow::waiting; // a short read: there is no more, and more would be a new event
            }
        }
        return Flow::waiting;
    }

    bool send_back(std::span<const std::byte> bytes) {
        ssize_t sent = send_some(socket_, bytes);
        if (sent < 0 && !would_block()) {
            failed(send_failed());
            return false;
        }
        const auto rest = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
        unsent_.assign(rest.begin(), rest.end());
        return true;
    }

    std::vector<std::byte> unsent_;
    bool ending_ = false; // the other side has finished: a short read does not mean that there is no more
};

/// Checks what comes and discards it; with `bulk-both` sends as well, until told to stop.
class StreamConnection final : public BackendConnection {
public:
    using BackendConnection::BackendConnection;

private:
    struct State {
        std::uint32_t number = 0; // the first four bytes tell which connection this is
        std::size_t number_bytes = 0;
        Stream up;
        Stream down;
        bool readable = true;
        bool writable = true;
        bool sending = false;
        bool received_all = false;
        bool ending = false;
    };

    void reset() override { state_ = State(); }

    Flow proceed(std::uint32_t events) override {
        state_.readable = state_.readable || (events & ~std::uint32_t{EPOLLOUT}) != 0;
        state_.writable = state_.writable || (events & EPOLLOUT) != 0;
        state_.ending = state_.ending || tells_end(events);
        if (state_.number_bytes < sizeof state_.number) {
            if (const Flow flow = receive_number(); flow != Flow::more_to_do) {
                return flow;
            }
        }
        if (state_.readable && !receive()) {
            return Flow::ended;
        }
        if (state_.sending && state_.writable && !send()) {
            return Flow::ended;
        }
        if (state_.received_all && !state_.sending) {
            return Flow::ended; // closing now cuts nothing off: all was received, and what was sent will be
                                // delivered
        }
        return state_.readable || (state_.sending && state_.writable) ? Flow::more_to_do : Flow::waiting;
    }

    Flow receive_number() {
        const auto rest = std::as_writable_bytes(std::span(&state_.number, 1)).subspan(state_.number_bytes);
        const ssize_t received = receive_some(socket_, rest);
        if (received < 0 && would_block()) {
            state_.readable = false;
            return Flow::waiting;
        }
        if (received <= 0) {
            return failed(received == 0 ? "backend: a connection ended before it began" : receive_failed());
        }
        state_.number_bytes += static_cast<std::size_t>(received);
        if (state_.number_bytes < sizeof state_.number) {
            return Flow::waiting;
        }
        if (state_.number >= run_.accounts.size()) {
            run_.tally.wrong(state_.number, sizeof state_.number, sizeof state_.number);
            return failed("backend: a connection begins with a wrong number");
        }
        state_.up = Stream(state_.number, Direction::client_to_backend);
        state_.down = Stream(state_.number, Direction::backend_to_client);
        state_.sending = run_.options.mode == Mode::bulk_both;
        return Flow::more_to_do;
    }

    bool receive() {
        const std::span<std::byte> space(run_.scratch);
        const ssize_t received = receive_some(socket_, space);
        if (received < 0 && !would_block()) {
            failed(receive_failed());
            return false;
        }
        const std::size_t size = static_cast<std::size_t>(std::max<ssize_t>(received, 0));
        state_.received_all = state_.received_all || received == 0;
        state_.readable = received > 0 && (size == space.size() || state_.ending);
        if (const std::size_t wrong = run_.pattern.check(state_.up, space.first(size)); wrong > 0) {
            run_.tally.wrong(state_.number, state_.up.moved(), wrong);
            failed("backend: wrong bytes");
            return false;
        }
        run_.accounts[state_.number].received_up += size;
        run_.tally.bytes += size;
        return true;
    }

    bool send() {
        if (!backend_sends()) {
            end_sending(socket_);
            state_.sending = false;
            return true;
        }
        const ssize_t sent = run_.pattern.send(socket_, state_.down, run_.options.copy);
        if (sent < 0 && !would_block()) {
            failed(send_failed());
            return false;
        }
        state_.writable = sent > 0;
        run_.accounts[state_.number].sent_down = state_.down.moved();
        return true;
    }

    State state_;
};

} // namespace

std::unique_ptr<BackendConnection> make_backend_connection(Backend& backend, Run& run) {
    if (run.options.mode == Mode::bulk || run.options.mode == Mode::bulk_both) {
        return std::make_unique<StreamConnection>(backend, run);
    }
    return std::make_unique<EchoConnection>(backend, run);
}

void BackendConnection::begin(Socket socket) {
    reset();
    socket_ = std::move(socket);
    run_.loop.add(socket_, *this, EventLoop::connection);
}

void BackendConnection::on_events(std::uint32_t events) {
    if (!socket_) {
        return; // asked to be called again, and then an event ended it
    }
    const Flow flow = proceed(events);
    if (flow == Flow::more_to_do) {
        run_.loop.again(*this);
    } else if (flow == Flow::ended) {
        socket_.close();
        backend_.ended(*this);
    }
}

bool BackendConnection::backend_sends() const {
    return backend_.sending();
}

BackendConnection::Flow BackendConnection::failed(const std::string& what) {
    run_.tally.error(what);
    return Flow::ended;
}

} // namespace harbor::load
