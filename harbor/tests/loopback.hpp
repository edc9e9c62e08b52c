// The loopback interface of a network namespace that has just been made.
#pragma once

#include <cerrno>
#include <cstring>

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/// Brings it up: in a new namespace it is down. False, with errno set, when that is not allowed.
inline bool bring_loopback_up() {
    const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo"); // NOLINT: it fits
    request.ifr_flags = IFF_UP;
    const bool up = ::ioctl(any, SIOCSIFFLAGS, &request) == 0;
    const int error = errno;
    ::close(any);
    errno = error;
    return up;
}
