// What the service manager is told, with a socket of our own in the place of systemd's.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/deadline.hpp>
#include <harness/program.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <string>

using namespace harness;

namespace {

class Manager {
public:
    Manager() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        // Abstract: there is no file to be removed afterwards.
        std::copy(name_.begin(), name_.end(), std::begin(address.sun_path) + 1);
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
        REQUIRE(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size) == 0);
    }
    ~Manager() { ::close(socket_); }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    std::string address() const { return '@' + name_; }

    /// The next datagram begins with `expected`.
    Verdict is_told(const std::string& expected) const {
        std::array<char, 512> text{};
        ssize_t count = -1;
        eventually(
            [&] {
                count = ::recv(socket_, text.data(), text.size(), MSG_DONTWAIT);
                return count >= 0;
            },
            "a datagram");
        const std::string got(text.data(), count < 0 ? 0 : static_cast<std::size_t>(count));
        return contains(got, expected);
    }
    bool has_been_told_more() const {
        char byte = 0;
        return ::recv(socket_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0;
    }

private:
    const std::string name_ = "harbor-service-test-" + std::to_string(::getpid());
    const int socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

} // namespace

TEST_CASE("the service manager is told once clients are accepted and when a drain begins") {
    Manager manager;
    const Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"NOTIFY_SOCKET", manager.address()}});
    REQUIRE(manager.is_told("READY=1"));
    REQUIRE(connect_accepted(harbor.endpoint()));
    REQUIRE_FALSE(manager.has_been_told_more());

    harbor.process().send_signal(SIGTERM);
    REQUIRE(manager.is_told("STOPPING=1"));
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a service manager that is not there is no reason not to start") {
    const Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"NOTIFY_SOCKET", "/nonexistent/notify"}});
    CHECK(harbor.stop());
}

TEST_CASE("a signal that comes at the very end does not change the exit status") {
    // Impatient users press Ctrl-C again, and a supervisor sends what it sends; here they do so without
    // pause.
    const Backend backend(behave::echo());
    constexpr int rounds = 20;
    for (int i = 0; i < rounds; ++i) {
        Program harbor({{"BACKENDS", backend.address()}});
        harbor.process().send_signal(SIGTERM);
        while (harbor.process().running()) {
            harbor.process().send_signal(SIGINT);
        }
        REQUIRE(harbor.process().wait_for_exit().exited_with(0));
    }
}
