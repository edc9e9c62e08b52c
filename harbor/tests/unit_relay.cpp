// The relay under everything the kernel may answer, one answer at a time.
//
// A test here is a whole exchange between a client and a backend with a worker in between, repeated: first
// the very first recv of the worker goes wrong, then the second, and so on until no call is left that has not
// gone wrong once; then the same with send, and with every other call, and for every order in which the two
// sides may end their streams. Whatever goes wrong, one of two things must come of it. Either nobody notices,
// and every byte arrives and both streams end cleanly. Or the connection is broken off, the reason is
// counted, and nobody takes what has arrived for the whole. In both cases the worker goes on serving others,
// and keeps nothing of the connection.
#include "running_worker.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/deadline.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

using faults::Attempt;
using faults::Call;
using faults::Fate;
using harbor::End;
using harness::Backend;
using harness::Behaviour;
using harness::Client;
using harness::Ending;
using harness::Failure;
using harness::Peer;
using harness::Received;
using harness::Verdict;

namespace {

/// What the two sides do. Both send first and read then, or the other way round, in all combinations that do
/// not wait for each other for ever.
enum class Order {
    client_first, // request, end; then the answer, end
    backend_first, // the backend speaks and ends before it reads anything
    together, // both send and end without waiting
    in_turns, // ping-pong, then the client ends
};

struct Exchange {
    Order order;
    std::size_t request;
    std::size_t answer;
};

std::string to_text(const Exchange& exchange) {
    const char* order = exchange.order == Order::client_first    ? "client first"
                        : exchange.order == Order::backend_first ? "backend first"
                        : exchange.order == Order::together      ? "together"
                                                                 : "in turns";
    return std::string(order) + ", " + std::to_string(exchange.request) + " bytes there, " +
           std::to_string(exchange.answer) + " back";
}

constexpr std::size_t piece = 100; // of a ping-pong

/// Sends all and ends, while another thread may receive. Does not mind being cut off.
void send_and_end(Peer& peer, const std::string& bytes) {
    try {
        if (peer.try_send(bytes)) {
            peer.half_close();
        }
    } catch (const Failure&) { // NOLINT(bugprone-empty-catch): reset meanwhile
    }
}

/// Both at once, so that neither side's full buffers stop the other.
Received send_and_receive(Peer& peer, const std::string& bytes) {
    std::thread sender([&] { send_and_end(peer, bytes); });
    Received received = peer.receive_until_end();
    sender.join();
    return received;
}

Received ping_pong(Peer& peer, const std::string& bytes, std::size_t answer, bool first) {
    Received received;
    try {
        for (std::size_t at = 0; at < std::max(bytes.size(), answer); at += piece) {
            const std::string ping = bytes.substr(std::min(at, bytes.size()), piece);
            if (first) {
                peer.send(ping);
            }
            while (received.bytes.size() < std::min(at + piece, answer)) {
                const std::string some = peer.receive_some();
                if (some.empty()) {
                    received.ending = Ending::end_of_stream;
                    return received;
                }
                received.bytes += some;
            }
            if (!first) {
                peer.send(ping);
            }
        }
        if (first) {
            peer.half_close();
        }
        const Received rest = peer.receive_until_end();
        received.bytes += rest.bytes;
        received.ending = rest.ending;
        if (!first) {
            peer.half_close();
        }
    } catch (const Failure&) {
        received.ending = peer.receive_until_end().ending;
    }
    return received;
}

Received play(Peer& peer, Order order, bool is_client, const std::string& to_send, std::size_t to_receive) {
    switch (order) {
    case Order::in_turns:
        return ping_pong(peer, to_send, to_receive, is_client);
    case Order::together:
        return send_and_receive(peer, to_send);
    default:
        if (is_client == (order == Order::client_first)) {
            return send_and_receive(peer, to_send); // what comes is late, unless something went wrong
        }
        Received received = peer.receive_until_end();
        if (received.ending == Ending::end_of_stream) {
            send_and_end(peer, to_send);
        }
        return received;
    }
}

/// A worker between a client and a backend that play an exchange as often as wanted.
class Stage {
public:
    explicit Stage(const Exchange& exchange)
        : exchange_(exchange), request_(harness::make_bytes(exchange.request, 1)),
          answer_(harness::make_bytes(exchange.answer, 2)), backend_([this](Peer& peer) { serve(peer); }),
          running_({{"BACKENDS", backend_.address()},
                    {"LB_DIAL_RETRIES", "0"},
                    {"LB_BACKEND_COOLDOWN_MS", "0"},
                    {"LB_DIAL_TIMEOUT_MS", "60000"}}),
          bystander_(running_.endpoint()) {
        greet_bystander();
    }

    faults::Faults& faults() { return running_.faults(); }
    RunningWorker& running() { return running_; }

    /// Plays once. The explanation says what is wrong with the outcome, if anything is.
    Verdict play_once(bool must_succeed) {
        const std::uint64_t clean_before = running_.ended(End::client_end) + running_.ended(End::backend_end);
        const unsigned connects_before = running_.faults().connects();
        const std::uint64_t ended_before = total_ended();
        Received client_received;
        {
            Client client(running_.endpoint());
            client_received = play(client, exchange_.order, true, request_, answer_.size());
        }
        const auto over = [&] {
            return total_ended() == ended_before + 1 &&
                   running_.balancer().inflight.taken() == 1; // the bystander
        };
        if (!soon(over)) {
            return Verdict::no("one connection was to end; there are " +
                               std::to_string(running_.balancer().inflight.taken() - 1) + " left, and " +
                               running_.endings());
        }
        const bool clean =
            running_.ended(End::client_end) + running_.ended(End::backend_end) == clean_before + 1;
        if (must_succeed && !clean) {
            return Verdict::no("nothing was to be noticed, but the connection ended as: " +
                               running_.endings());
        }
        if (const Verdict client_sees = is_right("the client", answer_, client_received, clean);
            !client_sees) {
            return client_sees;
        }
        // The backend may not even have accepted yet what has ended already.
        const unsigned connects = running_.faults().connects();
        if (!soon([&] { return results() == connects - 1; })) {
            return Verdict::no("the backend is still waiting for something");
        }
        if (connects == connects_before) {
            return {!clean, "a clean end without the backend having seen anything"};
        }
        const std::lock_guard lock(mutex_);
        return is_right("the backend", request_, results_.back(), clean);
    }

    /// Nobody else has suffered: an old connection goes on, and nothing is held.
    Verdict others_are_served() {
        try {
            greet_bystander();
        } catch (const Failure& failure) {
            return Verdict::no(std::string("another connection has suffered: ") + failure.what());
        }
        return harness::eventually([&] { return running_.metrics().buffers_taken.value() == 0; },
                                   "all buffers to be given back");
    }

private:
    void serve(Peer& peer) {
        if (first_.exchange(false)) { // the bystander
            for (std::string bytes = peer.receive_some(); !bytes.empty(); bytes = peer.receive_some()) {
                peer.send(bytes);
            }
            return;
        }
        Received received = play(peer, exchange_.order, false, answer_, request_.size());
        const std::lock_guard lock(mutex_);
        results_.push_back(std::move(received));
    }

    void greet_bystander() {
        const std::string greeting = "still there?";
        bystander_.send(greeting);
        if (bystander_.receive(greeting.size()) != greeting) {
            throw Failure("wrong bytes");
        }
    }

    std::size_t results() {
        const std::lock_guard lock(mutex_);
        return results_.size();
    }

    /// Looks more often than harness::eventually() does: this is done thousands of times.
    static bool soon(const std::function<bool()>& condition) {
        const harness::Deadline deadline;
        while (!condition()) {
            if (deadline.passed()) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
        return true;
    }

    std::uint64_t total_ended() {
        std::uint64_t total = 0;
        for (const auto& counter : running_.metrics().ends) {
            total += counter.value();
        }
        return total;
    }

    /// All bytes and a clean end; or, where the connection was broken off, the first of the bytes and no
    /// clean end, for then they would pass for all. A client to whom nothing was sent may be closed in any
    /// way.
    static Verdict is_right(const std::string& who, const std::string& expected, const Received& received,
                            bool clean) {
        if (clean) {
            Verdict verdict = received.is_exactly(expected);
            verdict.explanation = who + ": " + verdict.explanation;
            return verdict;
        }
        if (received.ending == Ending::silence) {
            return Verdict::no(who + " is still waiting for something");
        }
        if (received.bytes != expected.substr(0, received.bytes.size())) {
            return Verdict::no(
                who + " received wrong bytes: " + harness::same_bytes(expected, received.bytes).explanation);
        }
        const bool truncated = received.bytes.size() < expected.size() && !received.bytes.empty();
        return {!truncated || received.ending == Ending::reset,
                who + " received " + std::to_string(received.bytes.size()) + " of " +
                    std::to_string(expected.size()) + " bytes and then a clean end"};
    }

    const Exchange exchange_;
    const std::string request_;
    const std::string answer_;
    std::mutex mutex_;
    std::vector<Received> results_; // what the backend has received, one a connection
    std::atomic<bool> first_{true};
    Backend backend_;
    RunningWorker running_;
    Client bystander_;
};

struct Fault {
    Call call;
    Fate fate;
    bool harmless; // nobody may notice
};

std::string to_text(const Fault& fault) {
    std::string text(to_text(fault.call));
    text += fault.fate.error != 0 ? std::string(": ") + std::strerror(fault.fate.error) // NOLINT: one thread
                                  : ", " + std::to_string(fault.fate.at_most) + " bytes at most";
    return text;
}

std::vector<Fault> all_faults() {
    std::vector<Fault> all;
    const auto failing = [&all](Call call, std::initializer_list<int> errors, bool harmless) {
        for (const int error : errors) {
            all.push_back({call, {.error = error}, harmless});
        }
    };
    for (const Call call : {Call::recv, Call::send, Call::splice_in, Call::splice_out}) {
        all.push_back({call, {.at_most = 1}, true});
        failing(call, {EAGAIN, EINTR}, true);
        failing(call, {ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS, ENOMEM}, false);
    }
    failing(Call::splice_in, {EINVAL}, true); // not to be had: copying goes on
    failing(Call::epoll_wait, {EINTR}, true);
    failing(Call::pipe2, {EMFILE, ENFILE, ENOMEM}, true);
    failing(Call::accept4, {EAGAIN, EINTR, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM}, true);
    failing(Call::socket, {EMFILE, ENFILE, ENOBUFS, ENOMEM}, false);
    failing(Call::connect, {ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, ETIMEDOUT}, false);
    failing(Call::epoll_ctl, {ENOMEM, ENOSPC}, false);
    failing(Call::setsockopt, {ENOMEM}, true);
    failing(Call::mmap, {ENOMEM}, false);
    failing(Call::allocate, {ENOMEM}, false);
    return all;
}

/// Plays with the first call going wrong, the second, and so on, until there is none left.
void try_every_call(Stage& stage, const Fault& fault) {
    constexpr unsigned more_than_there_are = 1000;
    for (unsigned k = 0; k < more_than_there_are; ++k) {
        INFO(to_text(fault) << ", call number " << k);
        std::atomic<bool> happened{false};
        stage.faults().set([&](const Attempt& attempt) {
            if (attempt.call != fault.call || attempt.number != k) {
                return Fate{};
            }
            happened = true;
            return fault.fate;
        });
        const Verdict outcome = stage.play_once(fault.harmless);
        const bool was_hit = happened;
        stage.faults().set({});
        REQUIRE(outcome);
        REQUIRE(stage.others_are_served());
        if (!was_hit) {
            return;
        }
    }
    FAIL("there is no end to the calls");
}

// Large enough for the relay to change to splice, and for a pipe to be filled more than once.
constexpr std::size_t large = 700'000;

const std::vector<Exchange>& exchanges() {
    static const std::vector<Exchange> all = {
        {Order::client_first, 1000, 2000}, {Order::client_first, large, 500},
        {Order::client_first, 10, large},  {Order::backend_first, 500, 900},
        {Order::backend_first, large, 10}, {Order::together, 0, 0},
        {Order::together, 1, 2},           {Order::together, large, large},
        {Order::in_turns, 600, 600},
    };
    return all;
}

} // namespace

TEST_CASE("an exchange in which nothing goes wrong is passed on whole") {
    const std::size_t before = open_descriptors();
    for (const Exchange& exchange : exchanges()) {
        INFO(to_text(exchange));
        Stage stage(exchange);
        for (int i = 0; i < 20; ++i) {
            REQUIRE(stage.play_once(true));
        }
        REQUIRE(stage.others_are_served());
    }
    REQUIRE(descriptors_return_to(before));
}

TEST_CASE("whichever call goes wrong nobody is told less than the truth") {
    const std::size_t before = open_descriptors();
    for (const Exchange& exchange : exchanges()) {
        INFO(to_text(exchange));
        Stage stage(exchange);
        for (const Fault& fault : all_faults()) {
            try_every_call(stage, fault);
        }
    }
    REQUIRE(descriptors_return_to(before));
}

TEST_CASE("storms of harmless answers are survived by every byte") {
    const std::size_t before = open_descriptors();
    const unsigned seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937 random(seed); // used by the worker's thread alone, while an exchange lasts
    const auto storm = [&random](const Attempt& attempt) -> Fate {
        switch (attempt.call) {
        case Call::recv:
        case Call::send:
        case Call::splice_in:
        case Call::splice_out:
            switch (random() % 6) {
            case 0:
                return {.error = EAGAIN};
            case 1:
                return {.error = EINTR};
            case 2:
                return {.at_most = 1 + random() % 100};
            case 3:
                return {.at_most = 1 + random() % 100'000};
            default:
                return {};
            }
        case Call::accept4:
        case Call::epoll_wait:
            return {.error = random() % 4 == 0 ? EINTR : 0};
        case Call::pipe2:
            return {.error = random() % 2 == 0 ? EMFILE : 0};
        default:
            return {};
        }
    };
    for (const Exchange& exchange : exchanges()) {
        INFO(to_text(exchange));
        Stage stage(exchange);
        for (int i = 0; i < 5; ++i) {
            stage.faults().set(storm);
            const Verdict outcome = stage.play_once(true);
            stage.faults().set({});
            REQUIRE(outcome);
            REQUIRE(stage.others_are_served());
        }
    }
    REQUIRE(descriptors_return_to(before));
}

TEST_CASE("a receiver that takes one byte at a time gets them all") {
    Stage stage({Order::client_first, 300, 300'000});
    stage.faults().set([](const Attempt& attempt) {
        const bool sends = attempt.call == Call::send || attempt.call == Call::splice_out;
        return sends && attempt.number < 20'000 ? Fate{.at_most = 1} : Fate{};
    });
    REQUIRE(stage.play_once(true));
}
