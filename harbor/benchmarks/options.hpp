// What the load generator is told on the command line.
//
// Everything that takes time or memory has an upper bound, so that a slip of the finger costs a minute and
// not a machine.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace harbor::load {

enum class Mode : std::uint8_t { ping_pong, churn, bulk, bulk_both, idle };

struct Options {
    Mode mode = Mode::ping_pong;
    sockaddr_in connect_to{}; // the proxy, or the embedded backend itself
    std::uint16_t backend_port = 9001;
    std::vector<pid_t> pids; // the processes of the proxy
    std::uint32_t connections = 64;
    std::size_t size = 64; // bytes of a request, and of the answer
    std::chrono::milliseconds duration{1500};
    std::chrono::milliseconds warm_up{300};
    std::uint32_t count = 10000; // churn: connections measured
    bool copy = false; // bulk: how to send
    bool hold = false;
};

/// The mode as it is written on the command line.
const char* to_text(Mode mode);

/// Reads the command line; empty after `--help` or a mistake, with `status` set to the program's exit status
/// and the text printed.
std::optional<Options> parse_options(int argc, char** argv, int& status);

} // namespace harbor::load
