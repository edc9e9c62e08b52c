// One direction of a connection: bytes from one socket to the other.
#pragma once

#include "connection.hpp"
#include "task.hpp"

namespace harbor {

enum class Direction { client_to_backend, backend_to_client };

/// Passes every byte on, in order and once, and then how the stream ended: a clean end as a half-close of the
/// other side; after anything else it cancels the connection, with the reason. Ends early, and silently, when
/// the connection is cancelled by somebody else.
///
/// Holds a buffer, or a pipe, only while bytes are in it. Never throws. For the connection's thread.
Task<> relay(Connection& connection, Direction direction);

} // namespace harbor
