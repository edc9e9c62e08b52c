// The exchanges that the book shows as pictures. Each test case is one picture: scripts/lib/pictures.py runs
// it with HARBOR_TRACE against the program of the chapter that the picture is for, and draws what was
// recorded.
//
// They are tests as well: a picture of a program that does something else would be worse than none. And since
// the same picture must come out of every run, nothing here happens at the same time as something else:
// before the next thing is done, the last one has arrived at its other end.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/recorder.hpp>
#include <harness/socket_state.hpp>
#include <harness/trace.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <linux/sock_diag.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace harness;

namespace {

// A behaviour waits at it until the scenario opens it.
class Gate {
public:
    void open() { open_ = true; }

    // False when the backend goes before it was opened.
    bool wait(Peer& peer) const {
        while (!open_)
            if (!peer.pause(Millis{2}))
                return false;
        return true;
    }

private:
    std::atomic<bool> open_{false};
};

// What comes after this is cleaning up and no part of the picture.
void the_end() {
    trace::note("the end");
}

// Makes the port of a backend that does not listen one that never answers: a listener whose queue of waiting
// connections is full, so that the system drops what asks for a connection, and whoever dials waits. The
// system counts what it drops (SO_MEMINFO, so on Linux only), and each time it does goes on record.
class Unanswering {
public:
    explicit Unanswering(const Backend& backend)
        : name_("backend " + backend.name()), listener_(detail::make_socket(AF_INET)) {
        const detail::Address address(backend.endpoint());
        const auto* const where = reinterpret_cast<const sockaddr*>(address.bytes);
        const int on = 1;
        ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (::bind(listener_, where, address.size) != 0 || ::listen(listener_, 0) != 0)
            throw Failure("the port of " + name_ + " cannot be listened on: " + detail::error_text(errno));
        // A backlog of 0 still has room for one or a few. The first connection that hangs shows that it is
        // full; it is given up, or it would go on trying and be counted.
        for (bool full = false; !full;) {
            const int fd = detail::make_socket(AF_INET);
            if (fillers_.size() > 300 || (::connect(fd, where, address.size) != 0 && errno != EINPROGRESS))
                throw Failure("the queue of " + name_ + " cannot be filled");
            pollfd entry{fd, POLLOUT, 0};
            full = ::poll(&entry, 1, 200) == 0;
            if (full)
                ::close(fd);
            else
                fillers_.push_back(fd);
        }
        record(name_, "does not answer");
        before_ = dropped();
        watcher_ = std::thread([this] { watch(); });
    }

    ~Unanswering() {
        over_ = true;
        watcher_.join();
        for (const int fd : fillers_)
            ::close(fd);
        ::close(listener_);
    }

    Unanswering(const Unanswering&) = delete;
    Unanswering& operator=(const Unanswering&) = delete;

    // So many have asked in vain. (Who waits for longer than a second asks again, and counts again.)
    std::uint32_t dials() const { return dropped() - before_; }

private:
    std::uint32_t dropped() const {
        std::array<std::uint32_t, SK_MEMINFO_VARS> counts{};
        socklen_t size = sizeof counts;
        if (::getsockopt(listener_, SOL_SOCKET, SO_MEMINFO, counts.data(), &size) != 0)
            throw Failure("this system does not say what it drops: " + detail::error_text(errno));
        return counts[SK_MEMINFO_DROPS];
    }

    void watch() const {
        for (std::uint32_t recorded = 0; !over_;) {
            for (const std::uint32_t now = dials(); recorded < now; ++recorded)
                record(name_, "dialled");
            std::this_thread::sleep_for(Millis{1});
        }
    }

    const std::string name_;
    const int listener_;
    std::vector<int> fillers_;
    std::uint32_t before_ = 0;
    std::atomic<bool> over_{false};
    std::thread watcher_;
};

} // namespace

TEST_CASE("half_close") {
    Gate answer;
    Gate end;
    const Backend backend([&](Peer& peer) {
        if (peer.drain(forever).ending == Ending::end_of_stream && answer.wait(peer)) {
            peer.send("the answer\n");
            if (end.wait(peer))
                peer.half_close();
        }
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    REQUIRE(backend.wait_for_connections(1));
    client.send("question\n");
    REQUIRE(backend.saw_bytes(1, "question\n"));
    client.half_close();
    REQUIRE(backend.saw_end_of_stream(1));
    trace::note("One half of the connection is over. The other goes on.");
    answer.open();
    REQUIRE(client.receive_line() == "the answer");
    end.open();
    REQUIRE(client.ends_cleanly());
    the_end();
}

TEST_CASE("backpressure") {
    constexpr std::uint64_t rest = 8 << 20;
    std::atomic<std::uint64_t> first{0};
    Gate read;
    const Backend backend([&](Peer& peer) {
        if (read.wait(peer) && peer.receive_pattern(first))
            peer.drain(forever);
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    REQUIRE(backend.wait_for_connections(1));
    first = client.send_until_stuck(Millis{500});
    REQUIRE(backend.connection(1).received_count == 0);
    trace::note("The backend does not read. Every buffer on the way is full, and the client has to wait.");
    read.open();
    REQUIRE(backend.wait_for_bytes(1, first));
    trace::note("The backend reads: there is room again, and the sender goes on.");
    client.send_pattern(rest);
    REQUIRE(backend.wait_for_bytes(1, first + rest));
    client.half_close();
    REQUIRE(client.ends_cleanly());
    the_end();
}

TEST_CASE("reset") {
    Gate cut;
    const Backend backend([&](Peer& peer) {
        peer.receive_line();
        peer.send("half an ans");
        if (cut.wait(peer))
            peer.reset();
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    REQUIRE(backend.wait_for_connections(1));
    client.send("question\n");
    REQUIRE(client.receive(11) == "half an ans");
    trace::note("The backend breaks down in the middle of its answer.");
    cut.open();
    REQUIRE(client.ends_with_reset());
    trace::note("The client knows that this was not the whole answer.");
    the_end();
}

TEST_CASE("round_robin") {
    const Backend a(behave::echo_with_greeting("A"));
    const Backend b(behave::echo_with_greeting("B"));
    const Backend c(behave::echo_with_greeting("C"));
    const Program harbor({{"BACKENDS", addresses({&a, &b, &c})}});

    std::vector<Client> clients;
    for (const char* const name : {"A", "B", "C", "A"}) {
        clients.push_back(harbor.connect());
        REQUIRE(clients.back().receive_line() == name);
    }
    the_end();
}

TEST_CASE("retry_cooldown") {
    Backend a = Backend::refusing(behave::echo_with_greeting("A"));
    auto unanswering = std::make_unique<Unanswering>(a);
    const Backend b(behave::echo_with_greeting("B"));
    constexpr Millis cooldown{3000};
    const Program harbor({{"BACKENDS", addresses({&a, &b})},
                          {"LB_DIAL_TIMEOUT_MS", "500"},
                          {"LB_IO_TIMEOUT_MS", "0"},
                          {"LB_BACKEND_COOLDOWN_MS", std::to_string(cooldown.count())}});
    std::vector<Client> clients;
    const auto next_is_served_by = [&](const std::string& name) {
        clients.push_back(harbor.connect());
        return clients.back().receive_line() == name;
    };

    REQUIRE(next_is_served_by("B"));
    REQUIRE(unanswering->dials() == 1);
    trace::note("A has failed and cools down. Nobody else has to wait for it.");
    REQUIRE(next_is_served_by("B"));
    REQUIRE(next_is_served_by("B"));
    REQUIRE(unanswering->dials() == 1);
    unanswering.reset();
    a.start_listening();
    const Deadline due(cooldown);
    REQUIRE(eventually([&due] { return due.passed(); }, "the cooldown to be over"));
    REQUIRE(next_is_served_by("A"));
    trace::note("One success, and A has its turns again.");
    REQUIRE(next_is_served_by("B"));
    the_end();
}

TEST_CASE("idle_deadline") {
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}, {"LB_IO_TIMEOUT_MS", "2000"}});

    Client client = harbor.connect();
    REQUIRE(backend.wait_for_connections(1));
    client.send("hello\n");
    REQUIRE(client.receive_line() == "hello");
    client.pause(Millis{1000});
    client.send("hello again\n");
    REQUIRE(client.receive_line() == "hello again");
    REQUIRE(client.ends_with_reset());
    REQUIRE(backend.saw_reset(1));
    the_end();
}

TEST_CASE("drain") {
    const Backend backend(behave::echo());
    Program harbor(
        {{"BACKENDS", backend.address()}, {"LB_IO_TIMEOUT_MS", "0"}, {"LB_SHUTDOWN_GRACE_MS", "60000"}});

    Client client = harbor.connect();
    REQUIRE(backend.wait_for_connections(1));
    client.send("hello\n");
    REQUIRE(client.receive_line() == "hello");
    harbor.process().send_signal(SIGTERM);
    REQUIRE(harbor.process().logs("draining"));
    REQUIRE(connect_refused(harbor.endpoint()));
    client.send("still here\n");
    REQUIRE(client.receive_line() == "still here");
    client.half_close();
    REQUIRE(client.ends_cleanly());
    REQUIRE(backend.wait_for_open_connections_at_most(0));
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
    the_end();
}
