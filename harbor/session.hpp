// One client of the balancer, from its connection to its end.
#pragma once

#include "descriptor.hpp"
#include "inflight_limit.hpp"
#include "task.hpp"

#include <asio/ip/tcp.hpp>

namespace harbor {

class Worker;

/// Dials a backend and relays both ways until both directions have ended, then accounts for it. Owns the
/// socket and the slot, and belongs to the worker, whose thread it runs on. Never throws.
Detached serve(Worker& worker, Descriptor client, asio::ip::tcp::endpoint client_address, Slot slot);

} // namespace harbor
