// A network namespace with nothing in it but a loopback interface.
#pragma once

#include <sys/socket.h>

namespace fuzz {

/// Moves this process into a network of its own. Thousands of connections a second leave ports behind that
/// nobody may use for a minute (TIME_WAIT), and everybody else on this machine would miss them. Says on
/// standard error when the system does not allow it, and stays where it is.
void use_own_network();

/// connect(2) of a blocking socket. The fuzzer has a timer, whose signal may interrupt it; the kernel goes on
/// connecting then, and to call it again would be a mistake (man 2 connect, EINTR).
bool connect_to(int fd, const sockaddr* where, socklen_t size);

} // namespace fuzz
