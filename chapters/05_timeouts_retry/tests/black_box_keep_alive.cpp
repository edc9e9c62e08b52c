// Keep-alive, seen from outside.
//
// Probes are sent by the kernel and answered by the other kernel; neither program ever hears of them, and on
// loopback no cable can be pulled. What can be seen is that the kernel has set a timer: Linux lists it beside
// each connection in /proc/net/tcp (its documentation, proc_net_tcp.rst: timer kind 2, "another timer", is
// the one of keep-alive on a connection with nothing in flight). Other systems do not tell, so there this
// test does not exist; that the options are set as configured is checked everywhere by
// unit_socket_options.cpp.
#ifdef __linux__

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include <unistd.h>

using namespace harness;

namespace {

/// What /proc/net/tcp says about the timer of a connection.
struct KernelTimer {
    unsigned long kind = 0; // 0: none
    Millis left{0};
};

/// The timer of the connection between these ports, seen from the first; 0 stands for any port.
std::optional<KernelTimer> kernel_timer(std::uint16_t from, std::uint16_t to) {
    std::ifstream table("/proc/net/tcp");
    std::string line;
    std::getline(table, line); // the names of the columns
    while (std::getline(table, line)) {
        std::istringstream columns(line);
        std::string number;
        std::string local;
        std::string remote;
        std::string state;
        std::string queues;
        std::string timer;
        columns >> number >> local >> remote >> state >> queues >> timer;
        const auto port = [](const std::string& address) {
            return std::stoul(address.substr(address.find(':') + 1), nullptr, 16);
        };
        constexpr auto established = "01";
        if (state != established || (from != 0 && port(local) != from) || port(remote) != to) {
            continue;
        }
        const auto ticks = std::stol(timer.substr(timer.find(':') + 1), nullptr, 16);
        return KernelTimer{std::stoul(timer, nullptr, 16), Millis{ticks * 1000 / ::sysconf(_SC_CLK_TCK)}};
    }
    return std::nullopt;
}

} // namespace

TEST_CASE("both connections of an idle pair have a keep-alive timer unless it is switched off") {
    INFO(lesson(
        "one balancer was started with LB_TCP_KEEPALIVE_MS=7000, another one with 0; both relayed a few "
        "bytes",
        "the option is set on one of the two sockets only, or without the time, which is two hours then",
        "chapter 05, Keep-alive and no-delay"));
    const Backend probed_backend(behave::echo());
    const Backend other_backend(behave::echo());
    const Program probing({{"BACKENDS", probed_backend.address()}, {"LB_TCP_KEEPALIVE_MS", "7000"}});
    const Program not_probing({{"BACKENDS", other_backend.address()}, {"LB_TCP_KEEPALIVE_MS", "0"}});
    Client probed = probing.connect();
    Client other = not_probing.connect();
    for (Client* client : {&probed, &other}) {
        client->send("hello");
        REQUIRE(client->receive(5) == "hello");
    }

    // Until the last bytes are acknowledged the timer shown is the one for sending them again.
    constexpr unsigned long keep_alive = 2;
    const auto is_probed = [](std::uint16_t from, std::uint16_t to) {
        const auto timer = kernel_timer(from, to);
        return timer && timer->kind == keep_alive && timer->left <= Millis{7000};
    };
    const auto has_no_timer = [](std::uint16_t from, std::uint16_t to) {
        const auto timer = kernel_timer(from, to);
        return timer && timer->kind == 0;
    };
    REQUIRE(eventually([&] { return is_probed(probing.endpoint().port, probed.local_port()); },
                       "a keep-alive timer of at most 7000 ms on the client's side"));
    REQUIRE(eventually([&] { return is_probed(0, probed_backend.endpoint().port); },
                       "a keep-alive timer of at most 7000 ms on the backend's side"));
    REQUIRE(eventually([&] { return has_no_timer(not_probing.endpoint().port, other.local_port()); },
                       "no timer on the client's side of the other balancer"));
    REQUIRE(eventually([&] { return has_no_timer(0, other_backend.endpoint().port); },
                       "no timer on the backend's side of the other balancer"));
}

#endif
