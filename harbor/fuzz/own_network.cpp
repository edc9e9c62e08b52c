#include "own_network.hpp"

#include "../tests/loopback.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include <poll.h>
#include <sched.h>

namespace fuzz {

void use_own_network() {
    // Root may do so, and anybody as root of a user namespace of his own, where that is allowed.
    if (::unshare(CLONE_NEWNET) < 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        std::cerr << "no network of its own: " << std::strerror(errno) << '\n';
        return;
    }
    if (!bring_loopback_up()) {
        std::cerr << "the loopback interface stays down: " << std::strerror(errno) << '\n';
    }
    // Here nobody needs TIME_WAIT, and ports come round again within seconds. (Refused to all but root.)
    std::ofstream("/proc/sys/net/ipv4/tcp_max_tw_buckets") << 0;
}

bool connect_to(int fd, const sockaddr* where, socklen_t size) {
    if (::connect(fd, where, size) == 0) {
        return true;
    }
    if (errno != EINTR) {
        return false;
    }
    pollfd done{fd, POLLOUT, 0};
    while (::poll(&done, 1, -1) < 0 && errno == EINTR) {
    }
    int error = 0;
    socklen_t length = sizeof error;
    return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

} // namespace fuzz
