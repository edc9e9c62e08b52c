// What is asked of the kernel for every socket, on both sides.
#pragma once

#include "config.hpp"

namespace harbor {

/// Sets TCP_NODELAY and TCP keep-alive as configured. A socket that refuses stays as it is: the next call on
/// it will tell.
void set_socket_options(int fd, const Config& config);

} // namespace harbor
