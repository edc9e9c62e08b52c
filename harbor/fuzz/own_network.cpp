#include "own_network.hpp"

#include <cstring>
#include <fstream>
#include <iostream>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fuzz {

void use_own_network() {
    // Root may do so, and anybody as root of a user namespace of his own, where that is allowed.
    if (::unshare(CLONE_NEWNET) < 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        std::cerr << "no network of its own: " << std::strerror(errno) << '\n';
        return;
    }
    const int any = ::socket(AF_INET, SOCK_DGRAM, 0);
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo"); // NOLINT: it fits
    loopback.ifr_flags = IFF_UP | IFF_RUNNING;
    if (::ioctl(any, SIOCSIFFLAGS, &loopback) < 0) {
        std::cerr << "the loopback interface stays down: " << std::strerror(errno) << '\n';
    }
    ::close(any);
    // Here nobody needs TIME_WAIT, and ports come round again within seconds. (Refused to all but root.)
    std::ofstream("/proc/sys/net/ipv4/tcp_max_tw_buckets") << 0;
}

} // namespace fuzz
