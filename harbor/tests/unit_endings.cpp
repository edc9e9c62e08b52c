// How a connection ends: what the two sides get to see, and what is counted.
//
// The rule is the contract's: a clean end of stream is passed on as one, a reset as a reset, after everything
// that was received before it, and never is one turned into the other. The difficult cases are those in which
// much happens between two looks of the worker, so most tests here stop it, let both sides do something, and
// let it go on.
#include "log.hpp"
#include "running_worker.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/deadline.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

using namespace std::chrono_literals;
using faults::Attempt;
using faults::Call;
using faults::Fate;
using harbor::End;
using harness::Backend;
using harness::Client;
using harness::Ending;
using harness::eventually;
using harness::make_bytes;
using harness::Peer;
using harness::Received;
namespace behave = harness::behave;

namespace {

RunningWorker::Settings in_front_of(const Backend& backend) {
    return {{"BACKENDS", backend.address()}, {"LB_BACKEND_COOLDOWN_MS", "0"}};
}

/// A step that one thread waits for and another takes.
class Step {
public:
    void take() {
        const std::lock_guard lock(mutex_);
        taken_ = true;
        changed_.notify_all();
    }
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return taken_; });
    }
    bool taken() {
        const std::lock_guard lock(mutex_);
        return taken_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool taken_ = false;
};

/// A backend whose only connection the test itself holds, in its own thread.
class HeldBackend {
public:
    Backend& backend() { return backend_; }
    /// The connection, once it is there.
    Peer& peer() {
        arrived_.wait();
        return *peer_;
    }
    ~HeldBackend() { done_.take(); }

private:
    Step arrived_;
    Step done_;
    Peer* peer_ = nullptr;
    Backend backend_{[this](Peer& peer) {
        peer_ = &peer;
        arrived_.take();
        done_.wait();
    }};
};

/// Does something on another thread, which must not throw there: if it goes wrong, the other side will tell.
std::jthread in_background(std::function<void()> what) {
    return std::jthread([what = std::move(what)] {
        try {
            what();
        } catch (const harness::Failure&) { // NOLINT(bugprone-empty-catch)
        }
    });
}

/// Bytes have gone through in both directions.
void say_hello(Peer& client, Peer& backend) {
    client.send("hello");
    REQUIRE(backend.receive(5) == "hello");
    backend.send("welcome");
    REQUIRE(client.receive(7) == "welcome");
}

} // namespace

TEST_CASE("each way to end is counted under its own name and no other") {
    SECTION("the client ends its stream first") {
        Backend backend(behave::echo());
        RunningWorker running(in_front_of(backend));
        Client client(running.endpoint());
        client.send("x");
        client.receive(1);
        client.half_close();
        REQUIRE(client.ends_cleanly());
        REQUIRE(running.has_ended(End::client_end));
    }
    SECTION("the backend ends its stream first") {
        Backend backend(behave::half_close_first("bye"));
        RunningWorker running(in_front_of(backend));
        Client client(running.endpoint());
        REQUIRE(client.receive_until_end().is_exactly("bye"));
        client.close();
        REQUIRE(running.has_ended(End::backend_end));
    }
    SECTION("the client resets") {
        HeldBackend held;
        RunningWorker running(in_front_of(held.backend()));
        Client client(running.endpoint());
        say_hello(client, held.peer());
        client.reset();
        REQUIRE(held.peer().ends_with_reset());
        REQUIRE(running.has_ended(End::client_reset));
    }
    SECTION("the backend resets") {
        HeldBackend held;
        RunningWorker running(in_front_of(held.backend()));
        Client client(running.endpoint());
        say_hello(client, held.peer());
        held.peer().reset();
        REQUIRE(client.ends_with_reset());
        REQUIRE(running.has_ended(End::backend_reset));
    }
    SECTION("nothing moves for too long") {
        HeldBackend held;
        RunningWorker::Settings settings = in_front_of(held.backend());
        settings["LB_IO_TIMEOUT_MS"] = "100";
        RunningWorker running(settings);
        const harness::Stopwatch stopwatch;
        Client client(running.endpoint());
        REQUIRE(client.ends_with_reset());
        REQUIRE(stopwatch.elapsed() >= 100ms);
        REQUIRE(held.peer().ends_with_reset());
        REQUIRE(running.has_ended(End::idle));
    }
    SECTION("there are too many") {
        Backend backend(behave::echo());
        RunningWorker::Settings settings = in_front_of(backend);
        settings["LB_MAX_INFLIGHT"] = "1";
        RunningWorker running(settings);
        Client first(running.endpoint());
        first.send("x");
        first.receive(1);
        Client second(running.endpoint());
        REQUIRE(second.receive_until_end().bytes.empty());
        REQUIRE(eventually([&] { return running.ended(End::capacity) == 1; }, "it to be counted"));
        REQUIRE(running.metrics().capacity_dropped.value() == 1);
        first.send("y");
        REQUIRE(first.receive(1) == "y");
    }
    SECTION("no backend can be had") {
        Backend backend = Backend::refusing();
        RunningWorker running(in_front_of(backend));
        Client client(running.endpoint());
        REQUIRE(client.receive_until_end().bytes.empty());
        REQUIRE(running.has_ended(End::dial_failed));
    }
    SECTION("the grace period is over") {
        HeldBackend held;
        RunningWorker running(in_front_of(held.backend()));
        Client client(running.endpoint());
        say_hello(client, held.peer());
        running.worker().drain();
        client.send("x");
        REQUIRE(held.peer().receive(1) == "x"); // who is there may finish
        // The worker was told to drain before it was told of the byte, so it has done it by now.
        REQUIRE(harness::connect_refused(running.endpoint()));
        running.worker().cut();
        REQUIRE(client.ends_with_reset());
        REQUIRE(held.peer().ends_with_reset());
        REQUIRE(running.has_ended(End::shutdown));
        REQUIRE(running.finishes());
    }
    SECTION("there is no memory") {
        HeldBackend held;
        RunningWorker running(in_front_of(held.backend()));
        Client client(running.endpoint());
        held.peer();
        running.faults().set([](const Attempt& attempt) {
            return attempt.call == Call::mmap ? Fate{.error = ENOMEM} : Fate{};
        });
        client.send("x");
        REQUIRE(client.ends_with_reset());
        REQUIRE(held.peer().ends_with_reset());
        REQUIRE(running.has_ended(End::out_of_resources));
    }
}

TEST_CASE("both sides send and reset before the worker looks") {
    // Each direction reads bytes and then finds its receiver gone. Neither has seen an end of what it reads.
    HeldBackend held;
    RunningWorker running(in_front_of(held.backend()));
    Client client(running.endpoint());
    say_hello(client, held.peer());
    {
        const RunningWorker::Pause pause(running);
        client.send("to nobody");
        client.wait_until_delivered();
        held.peer().send("to nobody either");
        held.peer().wait_until_delivered();
        client.reset();
        held.peer().reset();
    }
    REQUIRE(running.becomes_idle());
    REQUIRE(running.ended(End::client_reset) + running.ended(End::backend_reset) == 1);
    REQUIRE(running.endings().find(',') == std::string::npos);
}

TEST_CASE("what a side sent before its reset is delivered before the reset") {
    const std::size_t size = GENERATE(as<std::size_t>(), 100, 50'000, 3'000'000);
    INFO(size << " bytes");
    const std::string bytes = make_bytes(size);
    SECTION("of the backend") {
        Backend backend(behave::send_then_reset(bytes));
        RunningWorker running(in_front_of(backend));
        Client client(running.endpoint(), {.receive_buffer = 65536}); // slower to take than to send
        const Received received = client.receive_until_end();
        REQUIRE(harness::same_bytes(bytes, received.bytes));
        REQUIRE(received.ends_with_reset());
        REQUIRE(running.has_ended(End::backend_reset));
    }
    SECTION("of the client") {
        HeldBackend held;
        RunningWorker running(in_front_of(held.backend()));
        Client client(running.endpoint());
        say_hello(client, held.peer()); // a client that resets during the dial is nobody's any more
        const std::jthread sender = in_background([&] {
            client.send(bytes);
            client.wait_until_delivered();
            client.reset();
        });
        const Received received = held.peer().receive_until_end();
        REQUIRE(harness::same_bytes(bytes, received.bytes));
        REQUIRE(received.ends_with_reset());
        REQUIRE(running.has_ended(End::client_reset));
    }
}

TEST_CASE("what a backend sends and resets before the dial is looked at is delivered all the same") {
    Backend backend(behave::send_then_reset("gone already"));
    RunningWorker running(in_front_of(backend));
    std::atomic<bool> dialled{false};
    running.faults().set([&](const Attempt& attempt) {
        dialled = dialled || attempt.call == Call::connect;
        if (dialled && attempt.call == Call::epoll_wait) {
            REQUIRE(backend.wait_for_connections(1));
            REQUIRE(backend.wait_for_open_connections_at_most(0));
        }
        return Fate{};
    });
    SECTION("to a client that is silent") {
        Client client(running.endpoint());
        const Received received = client.receive_until_end();
        REQUIRE(received.bytes == "gone already");
        REQUIRE(received.ends_with_reset());
    }
    SECTION("to a client that has sent something") {
        Client client(running.endpoint());
        client.send("question");
        const Received received = client.receive_until_end();
        REQUIRE(received.bytes == "gone already");
        REQUIRE(received.ends_with_reset());
    }
    REQUIRE(running.has_ended(End::backend_reset));
    REQUIRE(running.metrics().dial_failures.value() == 0);
}

TEST_CASE("what a backend sent before it reset is not lost with the dial") {
    // It has accepted, answered and reset before the worker looks at the dial, and the client has sent a
    // question meanwhile, which meets the broken connection first.
    const std::string answer = make_bytes(10'000);
    Step backend_is_gone;
    Step client_has_asked;
    const Backend backend([&](Peer& peer) {
        peer.send(answer);
        peer.wait_until_delivered();
        peer.reset();
        backend_is_gone.take();
    });
    RunningWorker running(in_front_of(backend));
    running.faults().set([&, dialled = false](const Attempt& attempt) mutable -> Fate {
        dialled = dialled || attempt.call == Call::connect;
        if (dialled && attempt.call == Call::epoll_wait) {
            backend_is_gone.wait();
            client_has_asked.wait();
        }
        return {};
    });

    Client client(running.endpoint());
    client.send("question");
    client_has_asked.take();
    const Received received = client.receive_until_end();

    REQUIRE(harness::same_bytes(answer, received.bytes));
    REQUIRE(received.ends_with_reset());
    REQUIRE(running.has_ended(End::backend_reset));
}

TEST_CASE("an answer that was whole stays whole when its sender is then written to") {
    // The backend answers and closes. The client has not heard of it yet and goes on sending, to which the
    // backend's kernel answers with a reset. The end of the answer had come before it, so the answer is
    // whole, and a write that fails must not make the worker forget that.
    HeldBackend held;
    RunningWorker running(in_front_of(held.backend()));
    Client client(running.endpoint());
    say_hello(client, held.peer());
    const std::string answer = make_bytes(40'000); // fits into the worker's receive buffer
    std::atomic<int> backend_socket{-1};
    std::atomic<bool> answer_may_be_read{false};
    std::atomic<unsigned> writes{0};
    // The worker is made to see the end of the answer last, as it would if the client were slow to take it.
    running.faults().set([&](const Attempt& attempt) {
        if (attempt.call == Call::send && !answer_may_be_read) {
            backend_socket = attempt.fd; // nothing is sent to the client before the answer is read
            ++writes;
        }
        const bool from_backend = attempt.call == Call::recv && attempt.fd == backend_socket;
        return from_backend && !answer_may_be_read ? Fate{.error = EINTR} : Fate{};
    });
    client.send("one");
    REQUIRE(held.peer().receive(3) == "one");
    held.peer().send(answer);
    held.peer().wait_until_delivered();
    held.peer().close();
    client.send("two"); // is answered with the reset
    REQUIRE(eventually([&] { return writes == 2; }, "the worker to pass it on"));
    client.send("three"); // finds it
    REQUIRE(eventually([&] { return writes == 3; }, "the worker to pass it on"));
    REQUIRE(client.stays_silent(50ms));
    answer_may_be_read = true;
    const Received received = client.receive_until_end();
    REQUIRE(received.is_exactly(answer));
    REQUIRE(running.becomes_idle());
}

TEST_CASE("a whole answer reaches a slow client although the backend then resets") {
    // The answer and its end have been passed on, but are still in the worker's send buffer, because the
    // client does not read yet; and there are bytes of the client's that nobody has read. To close the
    // client's socket then would drop the rest of the answer (RFC 2525, section 2.17).
    HeldBackend held;
    RunningWorker running(in_front_of(held.backend()));
    std::atomic<bool> backend_takes{true};
    std::atomic<int> backend_socket{-1};
    running.faults().set([&](const Attempt& attempt) {
        if (attempt.call == Call::connect) {
            backend_socket = attempt.fd;
        }
        const bool to_backend = attempt.call == Call::send && attempt.fd == backend_socket;
        return to_backend && !backend_takes ? Fate{.error = EAGAIN} : Fate{};
    });
    Client client(running.endpoint(), {.receive_buffer = 4096});
    say_hello(client, held.peer());
    backend_takes = false;
    client.send(make_bytes(100'000)); // more than a buffer: some of it stays in the socket
    client.half_close();
    client.wait_until_delivered();
    const std::string answer = make_bytes(300'000);
    held.peer().send(answer);
    held.peer().half_close();
    REQUIRE(eventually([&] { return running.metrics().bytes_to_client.value() == 7 + answer.size(); },
                       "the answer to be in the worker's send buffer"));
    held.peer().wait_until_delivered();
    held.peer().reset();
    backend_takes = true;
    // Time for whoever is in too much of a hurry. (A test that is too short here cannot fail for no reason.)
    REQUIRE_FALSE(eventually([&] { return running.balancer().inflight.taken() == 0; }, "", 100ms));
    REQUIRE(client.receive_until_end().is_exactly(answer));
    REQUIRE(running.becomes_idle());
}

TEST_CASE("a reset after a half close is noticed although nothing moves") {
    // Whose stream has ended is not read from any more; its reset must be noticed all the same, for the other
    // side may be silent for long, and without an idle timeout for ever, and all that time the connection
    // would be counted, and its backend looked after as a busy one.
    HeldBackend held;
    RunningWorker running(in_front_of(held.backend()));
    Client client(running.endpoint());
    say_hello(client, held.peer());
    // The other side has got a clean end and keeps it: its next word is answered with a reset, not before.
    const auto is_answered_with_a_reset = [](Peer& peer) {
        return eventually([&] { return !peer.try_send("x"); }, "a write to meet a reset");
    };
    SECTION("of the client") {
        client.half_close();
        REQUIRE(held.peer().receive_some().empty());
        client.reset();
        REQUIRE(running.has_ended(End::client_reset));
        REQUIRE(is_answered_with_a_reset(held.peer()));
    }
    SECTION("of the backend") {
        held.peer().half_close();
        REQUIRE(client.receive_some().empty());
        held.peer().reset();
        REQUIRE(running.has_ended(End::backend_reset));
        REQUIRE(is_answered_with_a_reset(client));
    }
}

TEST_CASE("a reset stays a reset when SO_LINGER is refused") {
    // Closing would then send a clean end, and what has arrived would pass for the whole.
    HeldBackend held;
    RunningWorker running(in_front_of(held.backend()));
    Client client(running.endpoint());
    say_hello(client, held.peer());
    running.faults().set([](const Attempt& attempt) {
        return attempt.call == Call::setsockopt ? Fate{.error = ENOMEM} : Fate{};
    });
    SECTION("of the backend") {
        held.peer().send("half an ans");
        held.peer().wait_until_delivered();
        held.peer().reset();
        const Received received = client.receive_until_end();
        REQUIRE(received.bytes == "half an ans");
        REQUIRE(received.ends_with_reset());
    }
    SECTION("of the client") {
        client.send("half a requ");
        client.wait_until_delivered();
        client.reset();
        const Received received = held.peer().receive_until_end();
        REQUIRE(received.bytes == "half a requ");
        REQUIRE(received.ends_with_reset());
    }
}

TEST_CASE("a connection whose line in the log finds no memory ends like any other") {
    const Backend backend(behave::echo());
    const harbor::Descriptor nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    const harbor::Log log(harbor::LogLevel::info, true, nowhere.get());
    RunningWorker running(in_front_of(backend));
    std::atomic<bool> hit{true};
    for (unsigned k = 0; hit; ++k) { // until there is no allocation left that has not failed once
        INFO("allocation number " << k);
        hit = false;
        running.faults().set([&hit, k](const Attempt& attempt) {
            const bool this_one = attempt.call == Call::allocate && attempt.number == k;
            hit = hit || this_one;
            return this_one ? Fate{.error = ENOMEM} : Fate{};
        });
        {
            Client client(running.endpoint());
            client.try_send("x");
            client.receive_until_end(100ms);
        }
        REQUIRE(running.becomes_idle());
    }
    REQUIRE(running.metrics().accepts.value() > 5);
}

TEST_CASE("half closes may stay for as long as they like and both directions still work") {
    HeldBackend held;
    RunningWorker running(in_front_of(held.backend()));
    SECTION("the client's") {
        Client client(running.endpoint());
        say_hello(client, held.peer());
        client.half_close();
        REQUIRE(held.peer().receive_some().empty());
        const std::string answer = make_bytes(2'000'000);
        const std::jthread sender = in_background([&] {
            held.peer().send(answer);
            held.peer().half_close();
        });
        const Received received = client.receive_until_end();
        REQUIRE(received.is_exactly(answer));
        REQUIRE(running.has_ended(End::client_end));
    }
    SECTION("the backend's") {
        Client client(running.endpoint());
        say_hello(client, held.peer());
        held.peer().half_close();
        REQUIRE(client.receive_some().empty());
        const std::string upload = make_bytes(2'000'000);
        const std::jthread sender = in_background([&] {
            client.send(upload);
            client.half_close();
        });
        const Received received = held.peer().receive_until_end();
        REQUIRE(received.is_exactly(upload));
        REQUIRE(running.has_ended(End::backend_end));
    }
}

namespace {

/// A client that can do what the harness's cannot: send urgent data.
class RawClient {
public:
    explicit RawClient(const harness::Endpoint& endpoint)
        : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(endpoint.port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }

    /// Does not mind being cut off; the receiver will tell.
    void send(std::string_view bytes, int flags = 0) const {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), flags | MSG_NOSIGNAL);
            if (sent <= 0) {
                return;
            }
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }

private:
    harbor::Descriptor socket_;
};

} // namespace

TEST_CASE("bytes behind urgent data are passed on without waiting for more") {
    HeldBackend held;
    RunningWorker running(in_front_of(held.backend()));
    const RawClient client(running.endpoint());
    for (const std::size_t size : {std::size_t{10}, std::size_t{1'000'000}}) { // copied, and spliced
        INFO(size << " bytes before");
        const std::string before(size, 'b');
        const std::string after(1000, 'a');
        const std::jthread sender = in_background([&] {
            client.send(before);
            client.send("!", MSG_OOB);
            client.send(after);
        });
        REQUIRE(held.peer().receive(size) == before);
        // The urgent byte itself may be left out: it is not part of the stream (man 7 tcp).
        std::string rest = held.peer().receive(after.size());
        if (rest[0] == '!') {
            rest = rest.substr(1) + held.peer().receive(1);
        }
        REQUIRE(rest == after);
    }
}

TEST_CASE("a client that leaves while the backend is being dialled is noticed") {
    harness::Blackhole nowhere;
    RunningWorker running({{"BACKENDS", nowhere.address()}, {"LB_DIAL_TIMEOUT_MS", "60000"}});
    Client client(running.endpoint());
    REQUIRE(eventually([&] { return running.metrics().dials.value() == 1; }, "the dial to begin"));
    client.send("are you there?");
    client.reset();
    REQUIRE(running.has_ended(End::client_reset));
    REQUIRE(running.metrics().dial_failures.value() == 0); // the backend is not to blame
}

TEST_CASE("a client that has sent all and waits is not left while the backend is being dialled") {
    // An end of stream is no reset: whoever says nothing more may still want the answer.
    harness::Blackhole nowhere;
    Backend second(behave::answer_late("answer", 0ms));
    RunningWorker running({{"BACKENDS", nowhere.address() + ',' + second.address()},
                           {"LB_DIAL_TIMEOUT_MS", "100"},
                           {"LB_DIAL_RETRIES", "1"}});
    Client client(running.endpoint());
    client.send("request");
    client.half_close();
    REQUIRE(client.receive_until_end().is_exactly("answer"));
    REQUIRE(second.saw_bytes(1, "request"));
    REQUIRE(running.has_ended(End::client_end));
    REQUIRE(running.metrics().dial_failures.value() == 1);
    REQUIRE(running.metrics().retries.value() == 1);
}

TEST_CASE("a worker that is cut ends dials as well") {
    harness::Blackhole nowhere;
    RunningWorker running({{"BACKENDS", nowhere.address()}, {"LB_DIAL_TIMEOUT_MS", "60000"}});
    Client client(running.endpoint());
    REQUIRE(eventually([&] { return running.metrics().dials.value() == 1; }, "the dial to begin"));
    running.worker().drain();
    running.worker().cut();
    REQUIRE(client.ends_with_reset());
    REQUIRE(running.has_ended(End::shutdown));
    REQUIRE(running.finishes());
}

TEST_CASE("a client in the queue when the drain begins is served") {
    for (const int error : {0, EINTR}) { // also when the accept of the drain is interrupted by a signal
        INFO("errno " << error);
        Backend backend(behave::echo());
        RunningWorker running(in_front_of(backend));
        std::optional<Client> client;
        {
            const RunningWorker::Pause pause(running, [error](const Attempt& attempt) {
                return attempt.call == Call::accept4 && attempt.number == 0 ? Fate{.error = error} : Fate{};
            });
            running.worker().drain(); // before the client, so that the worker comes to this first
            client.emplace(running.endpoint());
        }
        client->send("hello");
        REQUIRE(client->receive(5) == "hello");
        client->half_close();
        REQUIRE(client->ends_cleanly());
        REQUIRE(running.finishes());
    }
}

TEST_CASE("a stalled receiver cannot keep a broken connection for ever") {
    // What the backend sent before its reset is to be delivered, but the client takes nothing: there is a
    // limit.
    HeldBackend held;
    RunningWorker::Settings settings = in_front_of(held.backend());
    settings["LB_IO_TIMEOUT_MS"] = "200";
    RunningWorker running(settings);
    Client client(running.endpoint(), {.receive_buffer = 4096});
    held.peer().send(make_bytes(300'000));
    held.peer().wait_until_delivered();
    held.peer().reset();
    REQUIRE(running.becomes_idle());
    REQUIRE(client.receive_until_end().ending == Ending::reset);
}

TEST_CASE("the idle deadline slides with bytes in either direction") {
    HeldBackend held;
    RunningWorker::Settings settings = in_front_of(held.backend());
    settings["LB_IO_TIMEOUT_MS"] = "500";
    RunningWorker running(settings);
    Client client(running.endpoint());
    say_hello(client, held.peer());
    harness::Stopwatch since_last_byte;
    for (int i = 0; i < 15; ++i) {
        const bool silent = bool(client.stays_silent(100ms));
        if (since_last_byte.elapsed() >= 400ms) {
            WARN("this machine is too busy to tell");
            return;
        }
        REQUIRE(silent);
        since_last_byte.restart();
        if (i % 2 == 0) {
            client.send("x");
            held.peer().receive(1);
        } else {
            held.peer().send("y");
            client.receive(1);
        }
    }
    REQUIRE(client.ends_with_reset());
    REQUIRE(since_last_byte.elapsed() >= 500ms);
    REQUIRE(running.has_ended(End::idle));
}

TEST_CASE("full buffers without progress are idle") {
    HeldBackend held; // reads nothing
    RunningWorker::Settings settings = in_front_of(held.backend());
    settings["LB_IO_TIMEOUT_MS"] = "300";
    RunningWorker running(settings);
    Client client(running.endpoint());
    held.peer();
    client.try_send(make_bytes(64 << 20));
    REQUIRE(running.has_ended(End::idle));
    REQUIRE(running.metrics().buffers_taken.value() == 0);
}

TEST_CASE("a connection that always has data gives way to others") {
    // Counted in calls and not in time: between two looks at the ready set, no socket is read more often than
    // a turn is long.
    Backend backend(behave::sink());
    RunningWorker running(in_front_of(backend));
    std::atomic<unsigned> most{0};
    unsigned in_a_row = 0;
    running.faults().set([&](const Attempt& attempt) {
        if (attempt.call == Call::epoll_wait) {
            in_a_row = 0;
        } else if (attempt.call == Call::recv || attempt.call == Call::splice_in) {
            ++in_a_row;
            most = std::max(most.load(), in_a_row);
        }
        return Fate{};
    });
    Client client(running.endpoint());
    client.send_pattern(50 << 20);
    client.half_close();
    REQUIRE(client.ends_cleanly());
    INFO("read " << most.load() << " times in a row");
    REQUIRE(most > 0);
    REQUIRE(most <= 40); // both directions, and whoever has just been woken
}

TEST_CASE("idle connections hold neither buffers nor pipes nor more than two descriptors") {
    Backend backend(behave::echo());
    RunningWorker running(in_front_of(backend));
    std::vector<Client> clients;
    const std::string bytes = make_bytes(32 * 1024);
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 100; ++i) {
        clients.emplace_back(running.endpoint());
        clients.back().send(bytes);
        REQUIRE(harness::same_bytes(bytes, clients.back().receive(bytes.size())));
    }
    REQUIRE(eventually([&] { return running.metrics().buffers_taken.value() == 0; }, "buffers to be free"));
    const std::size_t kept_pipes = static_cast<std::size_t>(running.metrics().pipes_kept.value());
    // Client, two of the worker's, and the backend's.
    REQUIRE(open_descriptors() <= before + 4 * clients.size() + 2 * kept_pipes);
    REQUIRE(running.metrics().timers.value() == 0); // the idle timeout is off
}
