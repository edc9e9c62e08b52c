// A session and its two relays, driven by events: the bytes say what a client and a backend do, in which
// order, how much time goes by in between, and which system calls of the worker go wrong.
//
// All of it runs on one thread and is the same every time. The worker runs its own loop; whenever it is about
// to wait and there is nothing for it, epoll_wait (which the linker has sent here, tests/faults.hpp) lets the
// next event happen instead. When the events are used up, both sides say nothing more, and read until the
// end.
//
// What has to come of it is the contract: bytes in their order; a clean end only behind the last byte of a
// stream that has ended cleanly; a reset for a reset, after everything that had arrived before; nobody left
// waiting; nothing left behind.
#include "input.hpp"
#include "own_network.hpp"
#include "virtual_clock.hpp"

#include "../tests/faults.hpp"

#include "balancer.hpp"
#include "metrics.hpp"
#include "worker.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using faults::Attempt;
using faults::Call;
using faults::Fate;
using fuzz::expect;
using harbor::Descriptor;
using harbor::End;

// ------------------------------------------------------------------------------------------------- the peers

sockaddr_in loopback(std::uint16_t port = 0) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

/// A listener that lives as long as the process: to bind a port for each input would use them all up.
struct Listener {
    Listener() : socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        sockaddr_in address = loopback();
        socklen_t length = sizeof address;
        auto* where = reinterpret_cast<sockaddr*>(&address);
        expect(::bind(socket.get(), where, length) == 0 && ::listen(socket.get(), 16) == 0 &&
                   ::getsockname(socket.get(), where, &length) == 0,
               "the fuzz target cannot listen");
        port = ntohs(address.sin_port);
    }
    /// Whoever still waits here is not let wait for the next input's worker.
    void empty() const {
        while (Descriptor(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC))) {
        }
    }

    Descriptor socket;
    std::uint16_t port = 0;
};

/// What a side says: the byte at each place, from 0 on.
char byte_at(std::uint64_t place, char side) {
    return static_cast<char>(place * 31 + (place >> 8) * 7 + (place >> 16) * 3 +
                             static_cast<unsigned char>(side));
}

enum class Ending { none, clean, reset };

class Peer {
public:
    explicit Peer(char side) : side_(side) {}

    void open(Descriptor socket, bool small_buffer) {
        socket_ = std::move(socket);
        if (small_buffer) {
            const int size = 16 * 1024;
            ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        }
    }
    bool is_open() const { return bool(socket_); }
    bool has_heard_all() const { return !socket_ || ending != Ending::none; }

    void send(std::size_t count) {
        if (!socket_ || has_ended || was_told) {
            return;
        }
        std::array<char, 16384> bytes{};
        while (count > 0) {
            const std::size_t size = std::min(count, bytes.size());
            for (std::size_t i = 0; i < size; ++i) {
                bytes[i] = byte_at(sent + i, side_);
            }
            const ssize_t taken = ::send(socket_.get(), bytes.data(), size, MSG_NOSIGNAL);
            if (taken <= 0) {
                was_told = was_told || (taken < 0 && errno != EAGAIN); // then recv may say a mere end
                return;
            }
            sent += static_cast<std::size_t>(taken);
            count -= static_cast<std::size_t>(taken);
        }
    }

    void receive(std::size_t count, const Peer& from) {
        std::array<char, 16384> bytes{};
        while (socket_ && ending == Ending::none && count > 0) {
            const ssize_t got = ::recv(socket_.get(), bytes.data(), std::min(count, bytes.size()), 0);
            if (got > 0) {
                for (ssize_t i = 0; i < got; ++i) {
                    expect(bytes[static_cast<std::size_t>(i)] ==
                               byte_at(received + static_cast<std::size_t>(i), from.side_),
                           "a wrong byte");
                }
                received += static_cast<std::size_t>(got);
                count -= static_cast<std::size_t>(got);
                expect(received <= from.sent, "more bytes than were sent");
            } else if (got == 0) {
                ending = was_told ? Ending::reset : Ending::clean;
            } else if (errno == EAGAIN) {
                return;
            } else {
                ending = Ending::reset;
            }
        }
    }

    void half_close() {
        if (socket_ && !has_ended && !has_reset) {
            has_ended = true;
            ::shutdown(socket_.get(), SHUT_WR);
        }
    }

    void reset() {
        if (!socket_) {
            return;
        }
        int waiting = 0;
        ::ioctl(socket_.get(), SIOCOUTQ, &waiting);
        arrived =
            sent - static_cast<std::uint64_t>(waiting) + (has_ended && waiting > 0 ? 1 : 0); // the end counts
        has_reset = true;
        close_with_reset();
    }

    void close_with_reset() {
        const linger now{1, 0};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
        socket_ = Descriptor();
    }

    std::uint64_t sent = 0; // and taken by the kernel
    std::uint64_t received = 0;
    std::uint64_t arrived = 0; // of what was sent, at the other kernel when this side reset
    bool has_ended = false;
    bool has_reset = false;
    bool was_told = false; // of a reset, by a send
    Ending ending = Ending::none; // what it has heard

private:
    const char side_;
    Descriptor socket_;
};

// ------------------------------------------------------------------------------------------------ the faults

/// One call that is going to go wrong: the `countdown`-th of its kind from now on.
struct Planned {
    unsigned countdown = 0;
    Fate fate;
};

constexpr std::array harmless_errors{EAGAIN, EINTR};
constexpr std::array moving_errors{ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS, ENOMEM};
constexpr std::array resource_errors{EMFILE, ENFILE, ENOBUFS, ENOMEM};

bool moves_bytes(Call call) {
    return call == Call::recv || call == Call::send || call == Call::splice_in || call == Call::splice_out;
}

/// Nobody may notice: the bytes all arrive, and the ends are what they would have been.
bool is_harmless(Call call, const Fate& fate) {
    if (moves_bytes(call)) {
        return fate.error == 0 || fate.error == EAGAIN || fate.error == EINTR ||
               (call == Call::splice_in && (fate.error == EINVAL || fate.error == ENOMEM));
    }
    return call == Call::pipe2 || call == Call::accept4 || call == Call::setsockopt;
}

// -------------------------------------------------------------------------------------------------- the play

class Play {
public:
    Play(fuzz::Input input, Listener& clients, Listener& backends)
        : input_(input), flags_(input_.byte()), backend_listener_(backends),
          balancer_(config(backends.port)) {
        const faults::Faults::OnThisThread registers(faults_);
        worker_.emplace(balancer_, balancer_.metrics.front(), Descriptor(::dup(clients.socket.get())));
        connect(clients.port);
    }

    void run() {
        faults_.set([this](const Attempt& attempt) { return decide(attempt); });
        {
            const faults::Faults::OnThisThread subject(faults_);
            worker_->run();
        }
        faults_.set({});
        judge();
    }

private:
    harbor::Config config(std::uint16_t port) const {
        harbor::Config config;
        config.backends = {{"127.0.0.1", std::to_string(port)}};
        config.backend_cooldown = std::chrono::milliseconds(0);
        config.dial_timeout = std::chrono::milliseconds(1000);
        config.dial_retries = 0;
        config.io_timeout = std::chrono::milliseconds((flags_ & 1) != 0 ? 300 : 0);
        config.tcp_keepalive = std::chrono::milliseconds(0);
        return config;
    }

    bool small_buffers() const { return (flags_ & 2) != 0; }

    void connect(std::uint16_t port) {
        Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in where = loopback(port);
        expect(fuzz::connect_to(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) &&
                   ::fcntl(socket.get(), F_SETFL, O_NONBLOCK) == 0,
               "the fuzz target cannot connect");
        client_.open(std::move(socket), small_buffers());
    }

    Fate decide(const Attempt& attempt) {
        if (attempt.call == Call::epoll_wait) {
            return before_waiting(attempt.fd);
        }
        const auto planned = planned_.find(attempt.call);
        if (planned == planned_.end() || planned->second.countdown-- > 0) {
            return {};
        }
        const Fate fate = planned->second.fate;
        planned_.erase(planned);
        harmed_ = harmed_ || !is_harmless(attempt.call, fate);
        return fate;
    }

    /// If the worker has news, it gets them. If not, something happens, and it is told to look again.
    Fate before_waiting(int epoll) {
        pollfd news{epoll, POLLIN, 0};
        if (::poll(&news, 1, 0) == 1) {
            return {};
        }
        take_backend_in();
        if (!input_.empty()) {
            while (next_event() && !input_.empty()) { // some happen together
            }
        } else {
            finish();
        }
        return {.error = EINTR};
    }

    void take_backend_in() {
        if (!backend_.is_open() && !backend_.has_reset) {
            Descriptor socket(
                ::accept4(backend_listener_.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (socket) {
                backend_.open(std::move(socket), small_buffers());
            }
        }
    }

    /// True if the next one belongs to the same moment.
    bool next_event() {
        const std::uint8_t what = input_.byte();
        const std::uint8_t how = input_.byte();
        Peer& peer = (what & 0x40) != 0 ? backend_ : client_;
        const Peer& other = (what & 0x40) != 0 ? client_ : backend_;
        // Small numbers exactly, large ones in steps up to half a megabyte.
        const std::size_t amount = how < 128 ? how : std::size_t{how - 127U} * 4096;
        switch (what & 0x0f) {
        case 0:
        case 1:
            peer.send(amount);
            break;
        case 2:
        case 3:
            peer.receive(amount, other);
            break;
        case 4:
            peer.half_close();
            break;
        case 5:
            peer.reset();
            break;
        case 6:
            advance(std::chrono::milliseconds(how * 2));
            break;
        case 7:
            plan_fault(how);
            break;
        case 8:
            worker_->drain();
            break;
        case 9:
            if (how > 200) { // ends everything, so it should not be what happens most
                worker_->drain();
                worker_->cut();
                was_cut_ = true;
            }
            break;
        default:
            break; // nothing, and the worker comes to rest
        }
        return (what & 0x80) != 0;
    }

    void plan_fault(std::uint8_t kind) {
        const auto call = static_cast<Call>(kind % faults::number_of_calls);
        const std::uint8_t choice = input_.byte();
        Planned planned{input_.byte() % 8U, {}};
        if (moves_bytes(call)) {
            if (choice < 64) {
                planned.fate.at_most = 1 + choice;
            } else if (choice < 128) {
                planned.fate.error = harmless_errors[choice % harmless_errors.size()];
            } else if (call == Call::splice_in && choice < 160) {
                planned.fate.error = EINVAL;
            } else {
                planned.fate.error = moving_errors[choice % moving_errors.size()];
            }
        } else if (call == Call::connect) {
            planned.fate.error = choice % 2 == 0 ? ECONNREFUSED : EADDRNOTAVAIL;
        } else if (call == Call::epoll_wait || call == Call::shutdown) {
            return; // the one is ours, the other's failures have no consequences or never happen
        } else {
            planned.fate.error = resource_errors[choice % resource_errors.size()];
        }
        planned_[call] = planned;
    }

    void advance(std::chrono::milliseconds by) {
        fuzz::advance_clock(by);
        gone_by_ += by;
    }

    /// Nobody says anything any more, everybody listens, and time goes by.
    void finish() {
        planned_.clear();
        client_.half_close();
        backend_.half_close();
        client_.receive(std::size_t{1} << 30, backend_);
        backend_.receive(std::size_t{1} << 30, client_);
        if (is_under_way() && waited_ < longest_wait) {
            // The kernel has clocks of its own, which nobody can move: a full window is asked for news after
            // 0.2 s.
            ++waited_;
            ::poll(nullptr, 0, 1);
            return;
        }
        fuzz::advance_clock(harbor::TimerWheel::tick);
        if (rounds_ == 0) {
            gone_by_at_finish_ = gone_by_;
        }
        const bool over = balancer_.inflight.taken() == 0 && balancer_.metrics.front().accepts.value() == 1;
        if (over) {
            worker_->drain();
        }
        expect(++rounds_ < 10'000, "somebody is still waiting for something");
    }

    /// Something that was said has not been heard, and the one it was said to still listens.
    bool is_under_way() const {
        const auto waits = [](const Peer& peer, const Peer& other) {
            return !peer.has_heard_all() && peer.received < (other.has_reset ? other.arrived : other.sent);
        };
        return waits(client_, backend_) || waits(backend_, client_);
    }

    std::uint64_t ended(End end) const {
        return balancer_.metrics.front().ends[static_cast<std::size_t>(end)].value();
    }

    /// What the worker has closed the kernel still has to deliver, in real time.
    void listen_to_the_end() {
        constexpr std::size_t all = std::size_t{1} << 30;
        for (int i = 0; i < 1000; ++i) {
            client_.receive(all, backend_);
            backend_.receive(all, client_);
            if (client_.has_heard_all() && backend_.has_heard_all()) {
                return;
            }
            ::poll(nullptr, 0, 10);
        }
    }

    void judge() {
        const harbor::WorkerMetrics& metrics = balancer_.metrics.front();
        listen_to_the_end();

        std::uint64_t ends = 0;
        for (std::size_t i = 0; i < harbor::number_of_ends; ++i) {
            ends += ended(static_cast<End>(i));
        }
        expect(metrics.accepts.value() == ends, "a connection was counted as ended never, or twice");
        expect(balancer_.inflight.taken() == 0 && balancer_.pool.backends().front().in_flight == 0,
               "something still counts as in flight");
        expect(worker_->buffers().taken() == 0, "a buffer was not given back");
        expect(worker_->wheel().size() == 0, "a timer was left in the wheel");
        if (metrics.accepts.value() == 0) {
            return; // the drain came first, and the accept failed
        }

        std::uint64_t dialled = 0;
        for (std::size_t i = 0; i <= harbor::Histogram::bounds.size(); ++i) {
            dialled += metrics.dial_seconds.count_in_bucket(i);
        }
        judge_side(client_, backend_, "the client", dialled == 1);
        judge_side(backend_, client_, "the backend", dialled == 1);

        const bool peaceful =
            !harmed_ && !was_cut_ && (flags_ & 1) == 0 && !client_.has_reset && !backend_.has_reset;
        if (peaceful) {
            expect(ended(End::client_end) + ended(End::backend_end) == 1,
                   "nothing was wrong, but it was broken off");
        }
        if (ended(End::client_end) + ended(End::backend_end) == 1) {
            for (const Peer* peer : {&client_, &backend_}) {
                expect(peer->has_reset || peer->ending == Ending::clean,
                       "counted as a clean end, and it was none");
            }
        }
    }

    /// What one side has heard of the other.
    void judge_side(const Peer& heard, const Peer& said, const std::string& who, bool dialled) {
        if (!heard.is_open()) {
            return; // it has reset, or was never there
        }
        if (heard.ending == Ending::none) {
            fuzz::fail(who + " has heard no end");
        }
        if (heard.ending == Ending::clean && (dialled || heard.received > 0)) {
            expect(said.has_ended && heard.received == said.sent, who + " takes a part for the whole");
        }
        // Within the time for which a reset waits for a slow receiver, with a margin.
        const bool in_time = gone_by_at_finish_ < std::chrono::seconds(5) && (flags_ & 1) == 0;
        if (said.has_reset && dialled && !harmed_ && !was_cut_ && in_time) {
            expect(heard.received >= said.arrived,
                   who + " has not got all that had arrived before the reset");
        }
    }

    fuzz::Input input_;
    const std::uint8_t flags_;
    Listener& backend_listener_;
    faults::Faults faults_;
    harbor::Balancer balancer_;
    std::optional<harbor::Worker> worker_;
    Peer client_{'c'};
    Peer backend_{'b'};
    std::map<Call, Planned> planned_;
    bool harmed_ = false;
    bool was_cut_ = false;
    static constexpr unsigned longest_wait = 2000; // milliseconds, or more on a busy machine
    unsigned waited_ = 0;
    unsigned rounds_ = 0;
    std::chrono::milliseconds gone_by_{0};
    std::chrono::milliseconds gone_by_at_finish_{0};
};

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    std::signal(SIGPIPE, SIG_IGN); // as server.cpp does
    fuzz::use_own_network();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Listener clients;
    static Listener backends;
    const int before = ::dup(0);
    ::close(before);
    {
        Play play({data, size}, clients, backends);
        play.run();
    }
    clients.empty();
    backends.empty();
    const int after = ::dup(0);
    ::close(after);
    expect(before == after, "a descriptor was left open");
    return 0;
}
