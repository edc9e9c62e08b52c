// A socket for each message: there are two in the life of a process, so there is nothing to be kept open in
// between.
//
// Without libsystemd there is also no barrier that waits until the message has been taken in: the kernel has
// it in the manager's queue when sendto() returns, with our process id attached, and that is all that READY
// needs.
#include "notify.hpp"

#include "descriptor.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace harbor {

bool send_state(std::string_view state, std::string_view address) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    const bool path = address.starts_with('/');
    const bool abstract = address.starts_with('@');
    // A path is ended by a zero byte, for which there has to be room; an abstract name has its length
    // instead.
    if ((!path && !abstract) || address.size() + (path ? 1 : 0) > sizeof to.sun_path) {
        return false;
    }
    std::memcpy(to.sun_path, address.data(), address.size());
    if (abstract) {
        to.sun_path[0] = '\0'; // man 7 unix: this is what makes it one
    }
    const auto length =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size() + (path ? 1 : 0));

    const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) {
        return false;
    }
    // The queue of a manager that is busy or dead may be full. To be late with the news is better than to
    // hang.
    const timeval limit{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const ssize_t sent = ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                                  reinterpret_cast<const sockaddr*>(&to), length);
    return sent == static_cast<ssize_t>(state.size());
}

bool notify(std::string_view state) {
    const char* address = std::getenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe): nobody calls setenv
    return address != nullptr && send_state(state, address);
}

} // namespace harbor
