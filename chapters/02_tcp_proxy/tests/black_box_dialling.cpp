// The dial: what happens between the client's connection and the backend's.
//
// To its client the proxy is a server from the first moment, but it cannot be one before it has reached the
// backend. The client does not know that and may send at once; or it says nothing at all and waits, because
// in its protocol the server speaks first (SMTP, SSH, MySQL). So the proxy has to dial without waiting for
// the client's first byte, and what the client sends meanwhile has to wait for the dial and then arrive, once
// and in order. And when the backend cannot be reached the client has to be told, in the only way there is:
// its connection ends.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace harness;

namespace {

// A backend that cannot be reached until it accepts. Its queue of waiting connections is full, so the system
// leaves new connection attempts unanswered; whoever dials tries again and again (after one second, for the
// first time) and gets through once there is room. Made of bare system calls, because a Backend accepts as
// fast as it can.
class BusyBackend {
public:
    BusyBackend() : listener_(make_socket()) {
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            ::listen(listener_, 0) != 0 ||
            ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
            throw Failure("a listener could not be made");
        }
        port_ = ntohs(address.sin_port);
        // Even a backlog of 0 leaves room for one connection or a few. The first that hangs shows that it is
        // full.
        for (int i = 0; i < 300; ++i) {
            const int fd = make_socket();
            fillers_.push_back(fd);
            const sockaddr_in to = loopback(port_);
            if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
                errno != EINPROGRESS) {
                throw Failure("the queue of a listener could not be filled");
            }
            if (!ready(fd, POLLOUT, Millis{200})) {
                return;
            }
        }
        throw Failure("this system leaves no connection waiting, however long the queue is");
    }

    ~BusyBackend() {
        close_fillers();
        ::close(listener_);
        if (connection_ >= 0) {
            ::close(connection_);
        }
    }

    BusyBackend(const BusyBackend&) = delete;
    BusyBackend& operator=(const BusyBackend&) = delete;

    std::string address() const { return Endpoint{"127.0.0.1", port_}.text(); }

    // Empties the queue and accepts the first connection that is not one of its own.
    void accept_at_last() {
        std::vector<std::uint16_t> own_ports;
        for (const int fd : fillers_) {
            sockaddr_in address{};
            socklen_t size = sizeof address;
            ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
            own_ports.push_back(ntohs(address.sin_port));
        }
        close_fillers();
        for (const Deadline deadline; connection_ < 0 && !deadline.passed();) {
            if (!ready(listener_, POLLIN, deadline.left())) {
                break;
            }
            sockaddr_in address{};
            socklen_t size = sizeof address;
            const int fd = ::accept(listener_, reinterpret_cast<sockaddr*>(&address), &size);
            if (fd >= 0 &&
                std::find(own_ports.begin(), own_ports.end(), ntohs(address.sin_port)) == own_ports.end()) {
                connection_ = fd;
            } else if (fd >= 0) {
                ::close(fd);
            }
        }
        if (connection_ < 0) {
            throw Failure("the proxy did not get through to the backend, once there was room in its queue");
        }
    }

    // Everything up to the end of stream, or up to where it got.
    std::string receive_until_end() const {
        std::string bytes;
        std::array<char, 4096> buffer{};
        while (ready(connection_, POLLIN, patience())) {
            const ssize_t count = ::recv(connection_, buffer.data(), buffer.size(), 0);
            if (count <= 0) {
                break;
            }
            bytes.append(buffer.data(), static_cast<std::size_t>(count));
        }
        return bytes;
    }

private:
    static int make_socket() {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0) {
            throw Failure("a socket could not be made");
        }
        // The program under test must not inherit it, and a connect() that hangs must not hang the test.
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
        ::fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
    }

    static sockaddr_in loopback(std::uint16_t port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        return address;
    }

    static bool ready(int fd, short events, Millis limit) {
        const Deadline deadline(limit);
        for (;;) {
            pollfd entry{fd, events, 0};
            if (const int count = ::poll(&entry, 1, deadline.for_poll()); count > 0) {
                return true;
            }
            if (deadline.passed()) {
                return false;
            }
        }
    }

    void close_fillers() {
        for (const int fd : fillers_) {
            ::close(fd);
        }
        fillers_.clear();
    }

    int listener_ = -1;
    int connection_ = -1;
    std::uint16_t port_ = 0;
    std::vector<int> fillers_;
};

// Stops the program in its tracks, and waits until it stands: SIGSTOP takes effect a moment after it is sent.
void freeze(Process& process) {
    process.send_signal(SIGSTOP);
    const auto stands = [&] {
        siginfo_t info{};
        // WNOWAIT: only to look, the harness wants to be told of its child's changes itself.
        return ::waitid(P_PID, static_cast<id_t>(process.pid()), &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == process.pid();
    };
    REQUIRE(eventually(stands, "the program to be stopped"));
}

void thaw(Process& process) {
    process.send_signal(SIGCONT);
}

} // namespace

TEST_CASE("a server that speaks first is heard by a client that says nothing") {
    INFO(lesson("the backend greets as soon as it is connected; the client waited for that before it spoke",
                "the proxy waits for the client's first byte before it dials",
                "chapter 02, Who speaks first"));
    const Backend backend(behave::speak_first("220 ready\r\n"));
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    REQUIRE(same_bytes("220 ready\r\n", client.receive(11)));

    client.send("HELO\r\n");
    REQUIRE(same_bytes("HELO\r\n", client.receive(6)));
    REQUIRE(backend.connection_count() == 1);
}

TEST_CASE("bytes that are sent before the dial has finished arrive once and in order") {
    INFO(lesson(
        "the backend's queue was full, so the dial hung; the client sent 200 pieces and FIN, and only then "
        "the "
        "backend accepted",
        "what comes during the dial is read and dropped, written to a socket that is not connected yet, or "
        "sent again when the dial is repeated",
        "chapter 02, The dial"));
    BusyBackend backend;
    // Chapter 05 gives up a dial after a while; the chapters before it do not know the variable.
    const Program harbor({{"BACKENDS", backend.address()}, {"LB_DIAL_TIMEOUT_MS", "60000"}});
    const std::size_t descriptors = harbor.process().open_descriptors();

    Client client = harbor.connect();
    // The program now dials, or is about to: two more descriptors are its two sockets. One that is built
    // otherwise is not waited for.
    eventually([&] { return harbor.process().open_descriptors() >= descriptors + 2; }, "the dial",
               Millis{500});
    std::string sent;
    for (std::size_t i = 0; i < 200; ++i) {
        const std::string piece = make_bytes(100, i);
        client.send(piece);
        sent += piece;
    }
    client.half_close();
    backend.accept_at_last();

    REQUIRE(same_bytes(sent, backend.receive_until_end()));
}

TEST_CASE("a client that has said everything before it is accepted gets its answer") {
    INFO(lesson("the proxy was stopped (SIGSTOP) while the client connected, sent its question and FIN; then "
                "it went on",
                "an end of stream that is there from the start is taken for a client that has left",
                "chapter 02, The dial"));
    const std::string answer = make_bytes(100'000);
    const Backend backend(behave::answer_late(answer, Millis{0}));
    Program harbor({{"BACKENDS", backend.address()}});

    freeze(harbor.process());
    Client client = harbor.connect(); // the kernel accepts on the program's behalf
    client.send("question");
    client.half_close();
    thaw(harbor.process());

    REQUIRE(client.receive_until_end().is_exactly(answer));
    REQUIRE(backend.saw_bytes(1, "question"));
}

TEST_CASE("a client of a backend that refuses is closed at once") {
    INFO(lesson(
        "nothing listened at the backend's address; three clients connected and waited, one of them speaking",
        "a failed dial is not noticed, or leaves the client's socket open", "chapter 02, The dial"));
    const Backend backend = Backend::refusing();
    const Program harbor({{"BACKENDS", backend.address()}});

    for (int i = 0; i < 3; ++i) {
        const Stopwatch watch;
        Client client = harbor.connect();
        if (i == 1) {
            client.try_send("is anybody there");
        }
        const Received received = client.receive_until_end();
        REQUIRE(same_bytes("", received.bytes));
        REQUIRE(received.ending != Ending::silence);
        REQUIRE(is_between("the time until its end", watch.elapsed(), Millis{0}, patience() / 2));
    }
}

TEST_CASE("a backend that goes away and comes back is used again") {
    INFO(lesson(
        "a client was served; the backend vanished and clients were closed; it came back on the same port",
        "a failed dial ended the program, or its accept loop, or the backend was given up for good",
        "chapter 02, The dial"));
    Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});
    const auto served = [&]() -> Verdict {
        Client client = harbor.connect();
        client.send("hello");
        return same_bytes("hello", client.receive(5));
    };
    REQUIRE(served());

    Client witness = harbor.connect();
    witness.send("still here");
    REQUIRE(same_bytes("still here", witness.receive(10)));
    backend.stop_listening(true);
    REQUIRE(witness.receive_until_end().ending != Ending::silence);
    for (int i = 0; i < 3; ++i) {
        Client client = harbor.connect();
        REQUIRE(client.receive_until_end().ending != Ending::silence);
    }

    backend.start_listening();
    REQUIRE(served());
}
