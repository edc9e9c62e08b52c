// The log, on standard error: what happens to the process, and on request a line for each connection.
//
// Logging must not slow the data plane down, and must never stop it: standard error may be a pipe whose
// reader has hung. So whoever logs only adds a line to a bounded buffer; a thread of the log's own writes.
// When the buffer is full the line is dropped and counted, because the alternative is that every client waits
// for a log.
//
// Until a Log exists, and after it has gone, lines are dropped in silence: a unit test of something that logs
// needs no log.
#pragma once

#include "config.hpp"

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace harbor {

struct LogState;

/// The log of this process, from construction to destruction; there may be one at a time.
class Log {
public:
    /// Takes lines from `level` on, and those of connections if `access_log`. `descriptor` must stay open; it
    /// is written to by a thread that takes no signals.
    explicit Log(LogLevel level, bool access_log = false, int descriptor = 2);
    /// Writes what is left, for at most a second. No other thread may be logging any more.
    ~Log();
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

private:
    std::unique_ptr<LogState> state_;
};

namespace detail {
inline std::atomic<LogLevel> log_level{LogLevel::off};
inline std::atomic<bool> access_log{false};
} // namespace detail

/// Whether a line of this level would be written; to be asked where building the text costs something.
inline bool log_enabled(LogLevel level) {
    return level >= detail::log_level.load(std::memory_order_relaxed);
}

/// Adds a line: the time, the level, and `text`, in which whatever is not printable is escaped. Any thread;
/// never waits for the descriptor.
void log(LogLevel level, std::string_view text);

inline void log_debug(std::string_view text) {
    log(LogLevel::debug, text);
}
inline void log_info(std::string_view text) {
    log(LogLevel::info, text);
}
inline void log_warning(std::string_view text) {
    log(LogLevel::warn, text);
}
inline void log_error(std::string_view text) {
    log(LogLevel::error, text);
}

/// Prints `line` as it is, with neither time nor level and whatever the level, after everything that was
/// logged before. For the lines that tell others that the program is ready. May block; written when it
/// returns.
void announce(std::string_view line);

/// How many lines have been dropped because nobody read fast enough.
std::uint64_t log_lines_dropped();

/// What is known of a connection when it has ended. Holds no text of its own: nothing is copied unless it is
/// written.
struct AccessRecord {
    const sockaddr* client = nullptr; ///< null if not known
    std::string_view backend; ///< as configured; empty if none was reached
    std::uint64_t sent = 0; ///< bytes to the backend
    std::uint64_t received = 0; ///< bytes to the client
    std::chrono::nanoseconds dial{0}; ///< all attempts together
    std::chrono::nanoseconds total{0}; ///< from accept to close
    unsigned attempts = 0; ///< backends dialled
    std::string_view end; ///< how it ended: `client_end`, `backend_reset`, …
};

/// `client=127.0.0.1:5 backend=… sent=… received=… dial_ms=0.412 total_ms=… attempts=1 end=client_end`: what
/// is not known is `-`; a value with anything but plain printable characters is quoted and escaped.
std::string to_text(const AccessRecord& record);

/// Whether connections are logged at all. When they are not, this branch is all that it costs.
inline bool access_log_enabled() {
    return detail::access_log.load(std::memory_order_relaxed);
}

namespace detail {
void write_access(const AccessRecord& record);
}

/// Adds the line of a connection, if connections are logged. Any thread; never waits for the descriptor.
inline void log_access(const AccessRecord& record) {
    if (access_log_enabled()) {
        detail::write_access(record);
    }
}

} // namespace harbor
