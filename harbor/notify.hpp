// Telling the service manager that the balancer is ready, and that it is about to end.
//
// systemd starts what depends on a service of Type=notify once the service has said READY=1 (man 3
// sd_notify). The protocol is one datagram to a socket that is named in the environment, which is why there
// is no dependency on libsystemd here: the library would be larger than the balancer's own code, for four
// system calls.
#pragma once

#include <string_view>

namespace harbor {

/// Sends `state`, such as `READY=1` or `STOPPING=1`, to the socket at `address`: a path, or `@name` for an
/// abstract one. False when that is not possible. Blocks for a second at most.
bool send_state(std::string_view state, std::string_view address);

/// Sends it to whoever has started this program and set NOTIFY_SOCKET. Does nothing, and returns false, when
/// nobody has.
bool notify(std::string_view state);

} // namespace harbor
