// A Backend is a listener thread and one thread a connection.
//
// Two sockets keep the port. One is bound and never listens: it reserves the port for the whole life of the
// Backend. The other listens, and is made anew by each start_listening(). Both carry SO_REUSEADDR, which lets
// them share the port as long as only one listens. Closing and re-opening a single socket would leave a
// moment in which the system may give the port to anybody's outgoing connection.
//
// Finished connection threads are joined by the listener thread as it goes along, so thousands of short
// connections do not pile up thousands of stacks.
#include "backend.hpp"
#include "recorder.hpp"
#include "socket_state.hpp"
#include "trace.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <list>
#include <mutex>
#include <ostream>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace harness {
namespace {

constexpr int backlog = 1024;

int bound_socket(const std::string& host, std::uint16_t port) {
    const detail::Address address({host, port});
    const int fd = detail::make_socket(address.family);
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
#ifndef __linux__
    // Elsewhere two sockets may share an address only with SO_REUSEPORT.
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
#endif
    if (::bind(fd, reinterpret_cast<const sockaddr*>(address.bytes), address.size) != 0) {
        const int error = errno;
        ::close(fd);
        throw Failure("a backend could not bind " + Endpoint{host, port}.text() + ": " +
                      detail::error_text(error));
    }
    return fd;
}

} // namespace

namespace behave {
namespace {

// Sends back everything until the end; true if that was a clean end.
void echo_until_end(Peer& peer) {
    for (std::string bytes = peer.receive_some(); !bytes.empty(); bytes = peer.receive_some())
        peer.send(bytes);
}

} // namespace

Behaviour echo() {
    return [](Peer& peer) { echo_until_end(peer); };
}

Behaviour echo_with_greeting(std::string name) {
    return speak_first(std::move(name) + "\n");
}

Behaviour silent() {
    return [](Peer& peer) { peer.wait_for_end_without_reading(forever); };
}

Behaviour silent_reader() {
    return [](Peer& peer) {
        peer.drain(forever);
        if (peer.open())
            peer.wait_for_end_without_reading(forever);
    };
}

Behaviour sink() {
    return [](Peer& peer) { peer.drain(forever); };
}

Behaviour speak_first(std::string bytes) {
    return [bytes = std::move(bytes)](Peer& peer) {
        peer.send(bytes);
        echo_until_end(peer);
    };
}

Behaviour answer_late(std::string bytes, Millis delay) {
    return [bytes = std::move(bytes), delay](Peer& peer) {
        if (peer.drain(forever).ending == Ending::end_of_stream && peer.pause(delay))
            peer.send(bytes);
    };
}

Behaviour stop_reading(std::size_t after) {
    return [after](Peer& peer) {
        peer.receive(after);
        peer.wait_for_end_without_reading(forever);
    };
}

Behaviour half_close_first(std::string bytes) {
    return [bytes = std::move(bytes)](Peer& peer) {
        peer.send(bytes);
        peer.half_close();
        peer.drain(forever);
    };
}

Behaviour reset_after(std::size_t n) {
    return [n](Peer& peer) {
        peer.receive(n);
        peer.reset();
    };
}

Behaviour send_then_reset(std::string bytes) {
    return [bytes = std::move(bytes)](Peer& peer) {
        peer.send(bytes);
        peer.wait_until_delivered();
        peer.reset();
    };
}

Behaviour reset_at_once() {
    return [](Peer& peer) { peer.reset(); };
}

Behaviour close_at_once() {
    return [](Peer& peer) { peer.close(); };
}

} // namespace behave

std::ostream& operator<<(std::ostream& out, const ConnectionRecord& record) {
    out << "connection " << record.number << ": received " << record.received_count << " bytes, sent "
        << record.sent_count << ", ending: " << describe(record.ending)
        << (record.open ? ", still open on our side" : ", closed on our side");
    if (!record.trouble.empty())
        out << ", trouble: " << record.trouble;
    return out;
}

class Backend::Server {
public:
    Server(Behaviour behaviour, const Options& options)
        : options_(options), behaviour_(std::move(behaviour)),
          name_(options.name.empty() ? trace::next_backend_name() : options.name),
          reservation_(bound_socket(options.host, options.port)), port_(detail::local_port_of(reservation_)) {
        if (options.listening)
            start_listening();
        else
            record("backend " + name_, "does not listen", {{"on", endpoint().text()}});
    }

    ~Server() {
        stop_listening(true);
        join_connections();
        ::close(reservation_);
    }

    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void start_listening();
    void stop_listening(bool cut);
    void cut();
    std::vector<ConnectionRecord> records() const;

    const Options options_;
    mutable std::mutex mutex_; // guards behaviour_ and connections_
    Behaviour behaviour_;
    const std::string name_;

    Endpoint endpoint() const { return {options_.host, port_}; }

private:
    struct Connection {
        std::size_t number = 0;
        Clock::time_point accepted_at;
        std::shared_ptr<detail::PeerState> state;
        std::string trouble;
        std::thread thread;
        std::atomic<bool> finished = false;
    };

    void accept_until_stopped(int listener, int stop);
    void take(int fd);
    void serve(Connection& connection, const Behaviour& behaviour);
    void join_finished();
    void join_connections();

    const int reservation_;
    const std::uint16_t port_;
    std::list<Connection> connections_; // a list: threads hold references

    std::mutex listening_; // start and stop take turns; guards what follows
    int listener_ = -1;
    int stop_writer_ = -1;
    std::thread acceptor_;
};

void Backend::Server::start_listening() {
    const std::lock_guard turn(listening_);
    if (listener_ >= 0)
        return;
    const int fd = bound_socket(options_.host, port_);
    // On the listener, because the window offered in the handshake is derived from it.
    if (options_.receive_buffer > 0)
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options_.receive_buffer, sizeof options_.receive_buffer);
    if (options_.send_buffer > 0)
        ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options_.send_buffer, sizeof options_.send_buffer);
    int stop[2] = {-1, -1};
#ifdef __linux__
    const int piped = ::pipe2(stop, O_CLOEXEC);
#else
    const int piped = ::pipe(stop);
    if (piped == 0) {
        ::fcntl(stop[0], F_SETFD, FD_CLOEXEC);
        ::fcntl(stop[1], F_SETFD, FD_CLOEXEC);
    }
#endif
    if (piped != 0 || ::listen(fd, backlog) != 0) {
        const int error = errno;
        ::close(fd);
        throw Failure("backend " + name_ + " could not listen: " + detail::error_text(error));
    }
    record("backend " + name_, "listens", {{"on", endpoint().text()}});
    listener_ = fd;
    stop_writer_ = stop[1];
    acceptor_ = std::thread([this, fd, reader = stop[0]] { accept_until_stopped(fd, reader); });
}

void Backend::Server::stop_listening(bool cut_too) {
    {
        const std::lock_guard turn(listening_);
        if (listener_ >= 0) {
            record("backend " + name_, "stops listening");
            ::close(stop_writer_); // the acceptor sees the hang-up
            acceptor_.join();
            ::close(listener_);
            listener_ = -1;
        }
    }
    if (cut_too)
        cut();
}

void Backend::Server::cut() {
    const std::lock_guard lock(mutex_);
    for (Connection& connection : connections_)
        connection.state->interrupt();
}

void Backend::Server::accept_until_stopped(int listener, int stop) {
    for (;;) {
        pollfd entries[2] = {{listener, POLLIN, 0}, {stop, 0, 0}};
        // 50 ms: finished threads are joined soon also when nobody connects any more.
        ::poll(entries, 2, 50);
        join_finished();
        if (entries[1].revents != 0)
            break;
        for (int fd = detail::accept_connection(listener); fd >= 0; fd = detail::accept_connection(listener))
            take(fd);
    }
    ::close(stop);
}

void Backend::Server::take(int fd) {
    const std::lock_guard lock(mutex_);
    Connection& connection = connections_.emplace_back();
    connection.number = connections_.size();
    connection.accepted_at = Clock::now();
    const std::string actor = "backend " + name_ + " #" + std::to_string(connection.number);
    connection.state = std::make_shared<detail::PeerState>(fd, actor, forever, options_.bytes_kept);
    trace::add(actor, trace::Event::accepted, {.port = connection.state->remote_port});
    connection.thread =
        std::thread([this, &connection, behaviour = behaviour_] { serve(connection, behaviour); });
}

void Backend::Server::serve(Connection& connection, const Behaviour& behaviour) {
    std::string trouble;
    {
        Peer peer(connection.state);
        try {
            behaviour(peer);
        } catch (const std::exception& failure) {
            if (!connection.state->interrupted)
                trouble = failure.what();
        }
    }
    if (!trouble.empty()) {
        const std::lock_guard lock(mutex_);
        connection.trouble = std::move(trouble);
    }
    connection.finished = true;
}

void Backend::Server::join_finished() {
    const std::lock_guard lock(mutex_);
    for (Connection& connection : connections_)
        if (connection.finished && connection.thread.joinable())
            connection.thread.join(); // it holds no lock any more, so this does not wait
}

void Backend::Server::join_connections() {
    // No lock: the acceptor is gone, so the list no longer changes, and a thread may need the lock to finish.
    for (Connection& connection : connections_)
        if (connection.thread.joinable())
            connection.thread.join();
}

std::vector<ConnectionRecord> Backend::Server::records() const {
    const std::lock_guard lock(mutex_);
    std::vector<ConnectionRecord> records;
    records.reserve(connections_.size());
    for (const Connection& connection : connections_) {
        const auto story = connection.state->story();
        ConnectionRecord record;
        record.number = connection.number;
        record.accepted_at = connection.accepted_at;
        record.received = connection.state->kept();
        record.received_count = story.received_count;
        record.sent_count = story.sent_count;
        record.end_of_stream = story.end_of_stream;
        if (story.was_reset)
            record.ending = Ending::reset;
        else if (story.end_of_stream)
            record.ending = Ending::end_of_stream;
        record.open = story.open;
        record.trouble = connection.trouble;
        records.push_back(std::move(record));
    }
    return records;
}

Backend::Backend(Behaviour behaviour) : Backend(std::move(behaviour), Options{}) {}
Backend::Backend(Behaviour behaviour, const Options& options)
    : server_(std::make_unique<Server>(std::move(behaviour), options)) {}
Backend::~Backend() = default;

Backend Backend::refusing(Behaviour once_listening) {
    Options options;
    options.listening = false;
    return Backend(std::move(once_listening), options);
}

Endpoint Backend::endpoint() const {
    return server_->endpoint();
}
std::string Backend::address() const {
    return endpoint().text();
}
const std::string& Backend::name() const {
    return server_->name_;
}
void Backend::stop_listening(bool cut_connections_too) {
    server_->stop_listening(cut_connections_too);
}
void Backend::start_listening() {
    server_->start_listening();
}
void Backend::cut_connections() {
    server_->cut();
}

void Backend::change_behaviour(Behaviour behaviour) {
    const std::lock_guard lock(server_->mutex_);
    server_->behaviour_ = std::move(behaviour);
}

std::vector<ConnectionRecord> Backend::connections() const {
    return server_->records();
}

ConnectionRecord Backend::connection(std::size_t number) const {
    std::vector<ConnectionRecord> all = connections();
    if (number < 1 || number > all.size())
        throw Failure("backend " + name() + " has no connection " + std::to_string(number) +
                      "; it has seen " + std::to_string(all.size()));
    return std::move(all[number - 1]);
}

std::size_t Backend::connection_count() const {
    return connections().size();
}

std::size_t Backend::open_connections() const {
    const auto all = connections();
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const auto& c) { return c.open; }));
}

Verdict Backend::wait_for_connections(std::size_t n) const {
    return eventually(
        [&] {
            const std::size_t count = connection_count();
            return Verdict{count >= n,
                           "backend " + name() + " has seen " + std::to_string(count) + " connections"};
        },
        std::to_string(n) + " connections to backend " + name());
}

Verdict Backend::wait_for_open_connections_at_most(std::size_t n) const {
    return eventually(
        [&] {
            const std::size_t count = open_connections();
            return Verdict{count <= n,
                           "backend " + name() + " has " + std::to_string(count) + " open connections"};
        },
        "at most " + std::to_string(n) + " open connections at backend " + name());
}

namespace {

// Waits until the record satisfies `ask`, also while the connection does not exist yet.
template<typename Ask>
Verdict wait_for_record(const Backend& backend, std::size_t number, const std::string& what, const Ask& ask) {
    const std::string who = "backend " + backend.name() + " #" + std::to_string(number);
    return eventually(
        [&]() -> Verdict {
            const auto all = backend.connections();
            if (number < 1 || number > all.size())
                return Verdict::no("there is no such connection; it has seen " + std::to_string(all.size()));
            Verdict verdict = ask(all[number - 1]);
            verdict.explanation = who + ": " + verdict.explanation;
            return verdict;
        },
        who + " to " + what);
}

} // namespace

Verdict Backend::wait_for_bytes(std::size_t number, std::uint64_t count) const {
    return wait_for_record(
        *this, number, "receive " + std::to_string(count) + " bytes", [&](const auto& record) {
            return Verdict{record.received_count >= count,
                           "it has received " + std::to_string(record.received_count) + " bytes"};
        });
}

Verdict Backend::saw_bytes(std::size_t number, std::string_view expected) const {
    return wait_for_record(*this, number, "receive certain bytes", [&](const auto& record) {
        Verdict verdict = same_bytes(expected.substr(0, server_->options_.bytes_kept), record.received);
        if (verdict.ok && record.received_count != expected.size())
            return Verdict::no("it has received " + std::to_string(record.received_count) + " bytes, to be " +
                               std::to_string(expected.size()));
        return verdict;
    });
}

Verdict Backend::saw_end_of_stream(std::size_t number) const {
    return wait_for_record(*this, number, "see the end of stream (FIN)", [](const auto& record) {
        return Verdict{record.ending == Ending::end_of_stream,
                       "after " + std::to_string(record.received_count) + " bytes it has seen " +
                           std::string(describe(record.ending))};
    });
}

Verdict Backend::saw_reset(std::size_t number) const {
    return wait_for_record(*this, number, "see a reset (RST)", [](const auto& record) {
        return Verdict{record.ending == Ending::reset, "after " + std::to_string(record.received_count) +
                                                           " bytes it has seen " +
                                                           std::string(describe(record.ending))};
    });
}

std::string addresses(std::initializer_list<const Backend*> backends) {
    std::string text;
    for (const Backend* backend : backends)
        text += (text.empty() ? "" : ",") + backend->address();
    return text;
}

Blackhole::Blackhole() : listener_(bound_socket("127.0.0.1", 0)), port_(detail::local_port_of(listener_)) {
    // With a backlog of 0 one connection (a few on some systems) may wait to be accepted; nobody ever
    // accepts. Once the queue is full the kernel drops SYNs, and whoever connects keeps waiting.
    ::listen(listener_, 0);
    const detail::Address address(endpoint());
    constexpr int attempts = 300;
    for (int i = 0; i < attempts; ++i) {
        const int fd = detail::make_socket(AF_INET);
        fillers_.push_back(fd);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(address.bytes), address.size) == 0)
            continue;
        if (errno != EINPROGRESS)
            break;
        // On loopback a connection that can be made is made at once; still unanswered after 200 ms, it hangs.
        pollfd entry{fd, POLLOUT, 0};
        if (::poll(&entry, 1, 200) == 0) {
            record("the black hole", "listens", {{"on", this->address()}});
            return;
        }
    }
    for (const int fd : fillers_)
        ::close(fd);
    ::close(listener_);
    throw Failure(
        "no black hole could be made: this system goes on answering connection attempts to a listener whose "
        "queue is full");
}

Blackhole::~Blackhole() {
    for (const int fd : fillers_)
        ::close(fd);
    ::close(listener_);
}

Endpoint Blackhole::endpoint() const {
    return {"127.0.0.1", port_};
}
std::string Blackhole::address() const {
    return endpoint().text();
}

} // namespace harness
