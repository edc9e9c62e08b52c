// The control thread: everything that happens once, or now and then.
#pragma once

#include "config.hpp"

namespace harbor {

/// Opens the ports, says so, serves until the first SIGINT or SIGTERM, and shuts down: new clients are
/// refused, those that are there may finish, and what is left after LB_SHUTDOWN_GRACE_MS, or at a second
/// signal, is reset. Returns when the last connection is gone.
///
/// Throws ConfigError for backends that do not resolve, std::system_error when it cannot listen.
void run(const Config& config);

} // namespace harbor
