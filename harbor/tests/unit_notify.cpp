// The datagram to the service manager, received on a socket of our own in its place.
#include "../descriptor.hpp"
#include "../notify.hpp"

#include <harness/catch.hpp>
#include <harness/socket.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

/// In place of systemd: a socket at `address`, where `@` stands for the zero byte of an abstract name.
class Manager {
public:
    explicit Manager(const std::string& address) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        const bool abstract = address.starts_with('@');
        std::copy(address.begin(), address.end(), std::begin(at.sun_path));
        at.sun_path[0] = abstract ? '\0' : '/';
        const std::size_t size = offsetof(sockaddr_un, sun_path) + address.size() + (abstract ? 0 : 1);
        REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&at), static_cast<socklen_t>(size)) ==
                0);
    }

    /// What has come. Sending is done when the datagram is here, so there is nothing to wait for.
    std::string received() const {
        std::array<char, 256> text{};
        const ssize_t count = ::recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT);
        return count < 0 ? "nothing" : std::string(text.data(), static_cast<std::size_t>(count));
    }

private:
    harbor::Descriptor socket_;
};

class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "harbor-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

} // namespace

TEST_CASE("the service manager is told by a datagram to a path") {
    const TemporaryFolder folder;
    const Manager manager(folder.file("notify"));
    REQUIRE(harbor::send_state("READY=1", folder.file("notify")));
    CHECK(manager.received() == "READY=1");
    CHECK(manager.received() == "nothing");
}

TEST_CASE("the service manager is told by a datagram to an abstract socket") {
    const std::string address = "@harbor-notify-test-" + std::to_string(::getpid());
    const Manager manager(address);
    REQUIRE(harbor::send_state("STOPPING=1", address));
    CHECK(manager.received() == "STOPPING=1");
}

TEST_CASE("nothing is sent where no service manager has asked for it") {
    ::unsetenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe): one thread
    CHECK_FALSE(harbor::notify("READY=1"));
}

TEST_CASE("the socket is the one that the environment names") {
    const TemporaryFolder folder;
    const Manager manager(folder.file("notify"));
    ::setenv("NOTIFY_SOCKET", folder.file("notify").c_str(), 1); // NOLINT(concurrency-mt-unsafe): one thread
    CHECK(harbor::notify("READY=1"));
    ::unsetenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe): one thread
    CHECK(manager.received() == "READY=1");
}

TEST_CASE("an address that cannot be one is left alone") {
    const TemporaryFolder folder;
    CHECK_FALSE(harbor::send_state("READY=1", ""));
    CHECK_FALSE(harbor::send_state("READY=1", "relative/path"));
    CHECK_FALSE(harbor::send_state("READY=1", folder.file("nobody-is-here")));
    CHECK_FALSE(harbor::send_state("READY=1", '/' + std::string(107, 'x'))); // no room for the zero byte
    CHECK_FALSE(harbor::send_state("READY=1", '@' + std::string(108, 'x')));
}
