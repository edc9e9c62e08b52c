#include "rough_network.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace conformance {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t source_address = 12; // in the head of a packet (RFC 791, section 3.1)
constexpr std::size_t destination_address = 16;
constexpr std::size_t least_head = 20;

struct Packet {
    Clock::time_point due;
    unsigned number;
    std::vector<char> bytes;
};
struct LaterLast {
    bool operator()(const Packet& one, const Packet& other) const {
        return std::pair(one.due, one.number) > std::pair(other.due, other.number);
    }
};

void require(bool done, const char* what) {
    if (!done) {
        refused(what);
    }
}

/// Makes the device, with `near` as its address and everything beside it, `far` too, behind it.
int open_device() {
    const int device = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    require(device >= 0, "/dev/net/tun");
    ifreq request{};
    std::strcpy(request.ifr_name, "rough"); // NOLINT: it fits
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    require(::ioctl(device, TUNSETIFF, &request) == 0, "a TUN device");

    const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto set_address = [&](unsigned long what, const char* address) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        ::inet_pton(AF_INET, address, &in.sin_addr);
        std::memcpy(&request.ifr_addr, &in, sizeof in);
        return ::ioctl(any, what, &request) == 0;
    };
    const bool has_addresses =
        set_address(SIOCSIFADDR, RoughNetwork::near) && set_address(SIOCSIFNETMASK, "255.255.255.0");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    const bool up = has_addresses && ::ioctl(any, SIOCSIFFLAGS, &request) == 0;
    ::close(any);
    require(up, "an address for a TUN device");
    return device;
}

} // namespace

RoughNetwork::RoughNetwork(const Weather& weather)
    : weather_(weather), device_(open_device()), bell_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    thread_ = std::thread(&RoughNetwork::carry, this);
}

RoughNetwork::~RoughNetwork() {
    ::eventfd_write(bell_, 1);
    thread_.join();
    ::close(bell_);
    ::close(device_);
}

void RoughNetwork::carry() {
    std::mt19937 random(weather_.seed);
    std::bernoulli_distribution is_lost(weather_.loss);
    std::uniform_int_distribution<long> delay(weather_.least_delay.count(), weather_.most_delay.count());
    std::priority_queue<Packet, std::vector<Packet>, LaterLast> on_the_way;
    std::array<char, 65536> buffer{};
    unsigned number = 0;
    unsigned last_arrived = 0;
    for (;;) {
        std::array<pollfd, 2> descriptors{{{device_, POLLIN, 0}, {bell_, POLLIN, 0}}};
        // To the millisecond is near enough for the weather.
        const auto left =
            on_the_way.empty()
                ? std::chrono::milliseconds(1000)
                : std::chrono::ceil<std::chrono::milliseconds>(on_the_way.top().due - Clock::now());
        ::poll(descriptors.data(), descriptors.size(), static_cast<int>(std::max<long>(left.count(), 0)));
        if (descriptors[1].revents != 0) {
            return;
        }
        ssize_t size = 0;
        while ((size = ::read(device_, buffer.data(), buffer.size())) > 0) {
            if (static_cast<std::size_t>(size) < least_head || buffer[0] >> 4 != 4) {
                continue; // no IPv4: the kernel looks for neighbours and routers by itself
            }
            if (is_lost(random)) {
                ++lost_;
                continue;
            }
            std::vector<char> bytes(buffer.data(), buffer.data() + size);
            std::swap_ranges(&bytes[source_address], &bytes[destination_address],
                             &bytes[destination_address]);
            on_the_way.push(
                {Clock::now() + std::chrono::microseconds(delay(random)), ++number, std::move(bytes)});
        }
        while (!on_the_way.empty() && on_the_way.top().due <= Clock::now()) {
            const Packet& packet = on_the_way.top();
            overtaken_ += packet.number < last_arrived ? 1 : 0;
            last_arrived = std::max(last_arrived, packet.number);
            // A full queue at the other end loses it, as it would anywhere.
            const ssize_t written = ::write(device_, packet.bytes.data(), packet.bytes.size());
            ++(written > 0 ? carried_ : lost_);
            on_the_way.pop();
        }
    }
}

} // namespace conformance
