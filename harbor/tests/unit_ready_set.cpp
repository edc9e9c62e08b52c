// The ready set over real sockets of the kernel's: what edge-triggered events say, and when, is the kernel's
// decision, and a stand-in would only repeat what its author believes.
//
// Every test that expects something to come waits for it in a loop with a deadline; one that expects nothing
// asks with a timeout of zero, which is enough, because on the loopback device whatever a call causes has
// happened when the call returns.
#include "ready_set.hpp"
#include "task.hpp"

#include <harness/catch.hpp>
#include <harness/deadline.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;
using harbor::Descriptor;
using harbor::Detached;
using harbor::ReadySet;
using harbor::Socket;
using harness::Deadline;

namespace {

struct Pair {
    Descriptor ours;
    Descriptor theirs;
};

Pair unix_pair() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// A connected pair over the loopback device, with buffers small enough to be filled soon.
Pair tcp_pair() {
    const Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* where = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address;
    REQUIRE(::bind(listener.get(), where, length) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), where, &length) == 0);
    Descriptor theirs(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(theirs.get(), where, length) == 0);
    Descriptor ours(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    REQUIRE(ours);
    return {std::move(ours), std::move(theirs)};
}

void write_to(const Descriptor& descriptor, std::string_view bytes) {
    REQUIRE(::send(descriptor.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
}

/// Closes with a reset.
void reset(Descriptor descriptor) {
    const linger now{1, 0};
    REQUIRE(::setsockopt(descriptor.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
}

std::string read_from(const Socket& socket, std::size_t at_most = 100) {
    std::string bytes(at_most, '\0');
    const ssize_t count = ::recv(socket.fd(), bytes.data(), bytes.size(), 0);
    bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return bytes;
}

void fill(const Socket& socket) {
    const std::string bytes(65536, 'x');
    while (::send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
    }
    REQUIRE(errno == EAGAIN);
}

/// Takes in whatever news there are, without waiting.
void look(ReadySet& set) {
    set.wait(0ms);
    set.dispatch();
}

/// Takes in news until `condition` holds.
bool wait_until(ReadySet& set, const std::function<bool()>& condition) {
    const Deadline deadline;
    while (!condition()) {
        if (deadline.passed()) {
            return false;
        }
        set.wait(50ms);
        set.dispatch();
    }
    return true;
}

Detached when_readable(Socket& socket, std::function<void(bool)> then) {
    const auto what = std::move(then); // lives in the frame, and not in the caller
    const bool result = co_await socket.until_readable();
    what(result);
}

Detached when_writable(Socket& socket, std::function<void(bool)> then) {
    const auto what = std::move(then);
    const bool result = co_await socket.until_writable();
    what(result);
}

} // namespace

TEST_CASE("a new socket is announced as writable once and not readable") {
    for (Pair (*make)() : {unix_pair, tcp_pair}) {
        ReadySet set;
        Pair pair = make();
        Socket socket;
        socket.open(std::move(pair.ours), set);
        REQUIRE_FALSE(socket.writable); // nothing is known before the kernel has spoken
        look(set);
        REQUIRE(socket.writable);
        REQUIRE_FALSE(socket.readable);
        REQUIRE_FALSE(socket.hangup);
        REQUIRE_FALSE(socket.broken);
        socket.writable = false;
        look(set); // it is still so, and therefore no news
        REQUIRE_FALSE(socket.writable);
    }
}

TEST_CASE("each arrival of bytes is announced once") {
    for (Pair (*make)() : {unix_pair, tcp_pair}) {
        ReadySet set;
        Pair pair = make();
        Socket socket;
        socket.open(std::move(pair.ours), set);
        look(set);
        write_to(pair.theirs, "one");
        REQUIRE(wait_until(set, [&] { return socket.readable; }));
        socket.readable = false;
        look(set); // unread, but old
        REQUIRE_FALSE(socket.readable);
        write_to(pair.theirs, "two");
        REQUIRE(wait_until(set, [&] { return socket.readable; }));
        REQUIRE(read_from(socket) == "onetwo");
        REQUIRE_FALSE(socket.hangup);
    }
}

TEST_CASE("bytes that were there before the socket was added are announced") {
    ReadySet set;
    Pair pair = tcp_pair();
    write_to(pair.theirs, "early");
    Socket socket;
    socket.open(std::move(pair.ours), set);
    REQUIRE(wait_until(set, [&] { return socket.readable; }));
    REQUIRE(read_from(socket) == "early");
}

TEST_CASE("a parked reader is resumed once when bytes come") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    look(set);
    int resumed = 0;
    when_readable(socket, [&](bool result) {
        REQUIRE(result);
        ++resumed;
    });
    look(set);
    REQUIRE(resumed == 0);
    REQUIRE(socket.reader);
    write_to(pair.theirs, "x");
    REQUIRE(wait_until(set, [&] { return resumed > 0; }));
    REQUIRE_FALSE(socket.reader);
    write_to(pair.theirs, "y");
    look(set);
    REQUIRE(resumed == 1);
}

TEST_CASE("who waits for what is known already is not parked") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    write_to(pair.theirs, "x");
    REQUIRE(wait_until(set, [&] { return socket.readable && socket.writable; }));
    int resumed = 0;
    when_readable(socket, [&](bool) { ++resumed; });
    when_writable(socket, [&](bool) { ++resumed; });
    REQUIRE(resumed == 2);
    REQUIRE_FALSE(socket.reader);
    REQUIRE_FALSE(socket.writer);
}

TEST_CASE("a parked writer is resumed when the receiver has made room") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    look(set);
    // Until it is really full: the receiver's kernel takes in some more while we look.
    bool resumed = false;
    fill(socket);
    socket.writable = false;
    when_writable(socket, [&](bool result) { resumed = result; });
    std::vector<char> away(1 << 20);
    REQUIRE(wait_until(set, [&] {
        ::recv(pair.theirs.get(), away.data(), away.size(), MSG_DONTWAIT);
        return resumed;
    }));
    REQUIRE(socket.writable);
    REQUIRE(::send(socket.fd(), "x", 1, MSG_NOSIGNAL) == 1);
}

TEST_CASE("a cancelled wait ends with false") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    look(set);
    std::optional<bool> result;
    when_readable(socket, [&](bool outcome) { result = outcome; });
    socket.cancelled = true; // whoever cancels resumes, too
    std::exchange(socket.reader, {}).resume();
    REQUIRE(result == false);
    result.reset();
    when_readable(socket, [&](bool outcome) { result = outcome; }); // and later waits do not even begin
    REQUIRE(result == false);
    when_writable(socket, [&](bool outcome) { result = outcome; });
    REQUIRE(result == false);
}

TEST_CASE("the end of the stream is a hangup and not broken") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    look(set);
    bool resumed = false;
    when_readable(socket, [&](bool) { resumed = true; });
    REQUIRE(::shutdown(pair.theirs.get(), SHUT_WR) == 0);
    REQUIRE(wait_until(set, [&] { return resumed; }));
    REQUIRE(socket.hangup);
    REQUIRE_FALSE(socket.broken);
    char byte = 0;
    REQUIRE(::recv(socket.fd(), &byte, 1, 0) == 0);
    REQUIRE(::send(socket.fd(), "x", 1, MSG_NOSIGNAL) == 1); // the other direction goes on
}

TEST_CASE("a reset wakes reader and writer and is broken") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    look(set);
    fill(socket);
    socket.writable = false;
    int resumed = 0;
    when_readable(socket, [&](bool) { ++resumed; });
    when_writable(socket, [&](bool) { ++resumed; });
    reset(std::move(pair.theirs));
    REQUIRE(wait_until(set, [&] { return resumed == 2; }));
    REQUIRE(socket.broken);
    REQUIRE(socket.hangup);
    REQUIRE(socket.readable);
    REQUIRE(socket.writable);
    char byte = 0;
    REQUIRE(::recv(socket.fd(), &byte, 1, 0) == -1);
    REQUIRE(errno == ECONNRESET);
}

TEST_CASE("both directions ended is broken as well") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    REQUIRE(::shutdown(socket.fd(), SHUT_WR) == 0);
    pair.theirs = Descriptor();
    REQUIRE(wait_until(set, [&] { return socket.broken; }));
    REQUIRE(socket.hangup);
}

TEST_CASE("a short read means dry unless the end is behind the bytes") {
    Socket socket;
    socket.readable = true;
    socket.has_given(100, 100);
    REQUIRE(socket.readable); // there may be more
    socket.has_given(99, 100);
    REQUIRE_FALSE(socket.readable);
    socket.hangup = true;
    socket.has_given(99, 100);
    REQUIRE(socket.readable);
    socket.has_given(100, 100);
    REQUIRE(socket.readable);
}

TEST_CASE("an end that comes together with the last bytes is not lost") {
    // The event for the bytes and the one for the end are one event; a short read must not make us forget it.
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    look(set);
    write_to(pair.theirs, "last");
    pair.theirs = Descriptor();
    REQUIRE(wait_until(set, [&] { return socket.hangup; }));
    const std::string bytes = read_from(socket);
    REQUIRE(bytes == "last");
    socket.has_given(bytes.size(), 100);
    REQUIRE(socket.readable);
}

TEST_CASE("bytes that come after a short read are announced although not all was read before") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    look(set);
    write_to(pair.theirs, "abc");
    REQUIRE(wait_until(set, [&] { return socket.readable; }));
    REQUIRE(read_from(socket, 2) == "ab"); // one byte stays
    socket.readable = false;
    write_to(pair.theirs, "d");
    REQUIRE(wait_until(set, [&] { return socket.readable; }));
    REQUIRE(read_from(socket) == "cd");
}

TEST_CASE("urgent data makes reads short and then a short read does not mean dry") {
    // A read stops before the urgent byte (man 7 tcp), however large its buffer is; no further edge tells of
    // what is behind it.
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    look(set);
    write_to(pair.theirs, "before");
    REQUIRE(::send(pair.theirs.get(), "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1);
    write_to(pair.theirs, "after");
    REQUIRE(wait_until(set, [&] { return socket.readable; }));
    look(set);
    std::string all;
    const Deadline deadline;
    while (all.find("after") == std::string::npos && !deadline.passed()) {
        if (!socket.readable) {
            set.wait(50ms);
            set.dispatch();
            REQUIRE(
                socket.readable); // nothing is under way any more: what is not announced now never will be
        }
        const std::string some = read_from(socket);
        socket.has_given(some.size(), 100);
        all += some;
    }
    REQUIRE(all.substr(0, 6) == "before");
    REQUIRE(all.substr(all.size() - 5) == "after");
}

TEST_CASE("a coroutine may close all other sockets of the same batch") {
    // Each of them has news, and whoever is looked at first closes the rest: those must not be touched again.
    ReadySet set;
    std::vector<Pair> pairs;
    std::vector<std::unique_ptr<Socket>> sockets;
    int resumed = 0;
    for (std::size_t i = 0; i < 50; ++i) {
        pairs.push_back(tcp_pair());
        sockets.push_back(std::make_unique<Socket>());
        sockets[i]->open(std::move(pairs[i].ours), set);
    }
    look(set);
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        when_readable(*sockets[i], [&, i](bool) {
            ++resumed;
            for (std::size_t other = 0; other < sockets.size(); ++other) {
                if (other != i) {
                    sockets[other]->reader = {}; // its frame is given up by this test
                    sockets[other].reset();
                }
            }
        });
    }
    std::vector<std::coroutine_handle<>> parked;
    for (const auto& socket : sockets) {
        parked.push_back(socket->reader);
    }
    for (const Pair& pair : pairs) {
        write_to(pair.theirs, "x");
    }
    look(set);
    REQUIRE(resumed == 1);
    std::size_t left = sockets.size();
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        if (!sockets[i]) {
            parked[i].destroy();
            --left;
        }
    }
    REQUIRE(left == 1);
}

TEST_CASE("a coroutine may close and destroy its own socket") {
    // Woken as a writer, with a reader still parked at the same socket.
    ReadySet set;
    Pair pair = tcp_pair();
    auto socket = std::make_unique<Socket>();
    socket->open(std::move(pair.ours), set);
    bool reader_resumed = false;
    bool writer_resumed = false;
    when_readable(*socket, [&](bool) { reader_resumed = true; });
    when_writable(*socket, [&](bool) {
        writer_resumed = true;
        std::exchange(socket->reader, {}).destroy();
        socket.reset();
    });
    reset(std::move(pair.theirs));
    REQUIRE(wait_until(set, [&] { return writer_resumed; }));
    look(set);
    REQUIRE_FALSE(reader_resumed);
}

TEST_CASE("an old event does not reach what was opened in the same place") {
    // A dial that fails opens the next descriptor in the same Socket, in the middle of a dispatch.
    ReadySet set;
    Pair broken = tcp_pair();
    Pair fresh = tcp_pair();
    Socket socket;
    socket.open(std::move(broken.ours), set);
    look(set);
    socket.writable = false;
    bool reopened = false;
    when_writable(socket, [&](bool) {
        socket.close();
        socket.open(std::move(fresh.ours), set);
        reopened = true;
    });
    reset(std::move(broken.theirs)); // an event for reading, for writing, and with an error
    REQUIRE(wait_until(set, [&] { return reopened; }));
    REQUIRE_FALSE(socket.readable);
    REQUIRE_FALSE(socket.broken);
    REQUIRE_FALSE(socket.hangup);
    look(set);
    REQUIRE(socket.writable); // its own first event
    REQUIRE_FALSE(socket.broken);
    write_to(fresh.theirs, "x");
    REQUIRE(wait_until(set, [&] { return socket.readable; }));
    REQUIRE(read_from(socket) == "x");
}

TEST_CASE("what another has opened in the same batch is not told of old events either") {
    ReadySet set;
    Pair first = tcp_pair();
    Pair second = tcp_pair();
    Pair fresh = tcp_pair();
    Socket one;
    Socket other;
    one.open(std::move(first.ours), set);
    other.open(std::move(second.ours), set);
    look(set);
    int resumed = 0;
    const auto reopen = [&](Socket& target) {
        ++resumed;
        std::exchange(target.reader, {}).destroy();
        target.close();
        target.open(std::move(fresh.ours), set);
    };
    when_readable(one, [&](bool) { reopen(other); });
    when_readable(other, [&](bool) { reopen(one); });
    write_to(first.theirs, "x");
    write_to(second.theirs, "y");
    set.wait(0ms);
    set.dispatch();
    REQUIRE(resumed == 1);
    REQUIRE(one.readable != other.readable); // the one that was resumed, and not the one that is new
}

TEST_CASE("closing forgets everything that was known") {
    ReadySet set;
    Pair pair = tcp_pair();
    Socket socket;
    socket.open(std::move(pair.ours), set);
    reset(std::move(pair.theirs));
    REQUIRE(wait_until(set, [&] { return socket.broken; }));
    socket.write_error = ECONNRESET;
    socket.urgent = true;
    socket.close();
    REQUIRE(socket.fd() == -1);
    REQUIRE_FALSE(socket.readable);
    REQUIRE_FALSE(socket.writable);
    REQUIRE_FALSE(socket.hangup);
    REQUIRE_FALSE(socket.broken);
    REQUIRE_FALSE(socket.urgent);
    REQUIRE(socket.write_error == 0);
    socket.close(); // twice does no harm
}

TEST_CASE("news that were fetched and belong to a socket closed since are dropped") {
    ReadySet set;
    Pair pair = tcp_pair();
    auto socket = std::make_unique<Socket>();
    socket->open(std::move(pair.ours), set);
    write_to(pair.theirs, "x");
    set.wait(0ms);
    socket.reset(); // between wait and dispatch
    set.dispatch();
    look(set);
}

TEST_CASE("more sockets than fit into one batch are all announced") {
    ReadySet set;
    std::vector<Pair> pairs;
    std::vector<std::unique_ptr<Socket>> sockets;
    for (std::size_t i = 0; i < 700; ++i) {
        pairs.push_back(unix_pair());
        sockets.push_back(std::make_unique<Socket>());
        sockets[i]->open(std::move(pairs[i].ours), set);
        write_to(pairs[i].theirs, "x");
    }
    REQUIRE(wait_until(set, [&] {
        return std::all_of(sockets.begin(), sockets.end(),
                           [](const auto& socket) { return socket->readable; });
    }));
}

TEST_CASE("a descriptor that cannot be added is closed and the socket stays empty") {
    ReadySet set;
    const Descriptor file(::memfd_create("never ready", MFD_CLOEXEC)); // epoll takes no regular files
    Descriptor copy(::dup(file.get()));
    const int fd = copy.get();
    Socket socket;
    REQUIRE_THROWS_AS(socket.open(std::move(copy), set), std::system_error);
    REQUIRE(socket.fd() == -1);
    socket.close();
    Descriptor again(::dup(file.get()));
    REQUIRE(again.get() == fd); // free again
}

TEST_CASE("wait comes back when its time is over") {
    ReadySet set;
    const harness::Stopwatch stopwatch;
    set.wait(30ms);
    set.dispatch();
    REQUIRE(stopwatch.elapsed() >= 29ms);
}
