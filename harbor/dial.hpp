// From a client to a connected backend.
#pragma once

#include "connection.hpp"
#include "task.hpp"

namespace harbor {

/// Picks a backend and connects `connection.backend` to it; when that fails, tries others, each at most once
/// and no more of them than LB_DIAL_RETRIES allows. True when it is connected, and `connection.lease` is that
/// backend's; otherwise `connection.end` says why not.
///
/// Nothing has been sent to a backend that is given up, so a retry repeats nothing. Each try ends within
/// LB_DIAL_TIMEOUT_MS, and all of them when the client resets its connection. For the connection's thread.
Task<bool> dial(Connection& connection);

} // namespace harbor
