//! [ch05:options_interface]
// What is asked of the kernel for every socket, on both sides.
#pragma once

#include "config.hpp"

#include <asio/ip/tcp.hpp>

namespace harbor {

/// Sets TCP_NODELAY and TCP keep-alive as configured. A socket that refuses (its peer is gone already) stays
/// as it is: the next read will tell.
void set_options(asio::ip::tcp::socket& socket, const Config& config);

} // namespace harbor
//! [ch05:options_interface]
