// Formatting and levels are spdlog's; it hands the finished lines to a LogWriter and does no input or output.
// Two loggers share the writer: one for what happens to the process, which has levels, and one for
// connections, which has not.
//
// `current` is how a line finds the log without every object of the program carrying a reference to it. It is
// set before the workers start and cleared after they have ended, so a pointer that was read is good for the
// time of a call.
#include "log.hpp"

#include "log_writer.hpp"
#include "printable.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>

namespace harbor {

namespace {

constexpr auto process_pattern = "%Y-%m-%dT%H:%M:%S.%eZ %l %v"; // UTC, as the Z says
constexpr auto access_pattern = "%Y-%m-%dT%H:%M:%S.%eZ access %v";

/// spdlog's last step: a formatted line goes to the writer.
class WriterSink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    WriterSink(LogWriter& writer, const std::string& pattern)
        : base_sink(
              std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc, "\n")),
          writer_(writer) {}

private:
    void sink_it_(const spdlog::details::log_msg& message) override {
        line_.clear();
        formatter_->format(message, line_);
        writer_.add({line_.data(), line_.size()});
    }
    void flush_() override { writer_.flush(); }

    LogWriter& writer_;
    spdlog::memory_buf_t line_; // kept, so that a line needs no memory of its own
};

spdlog::level::level_enum level_of(LogLevel level) {
    switch (level) {
    case LogLevel::trace:
        return spdlog::level::trace;
    case LogLevel::debug:
        return spdlog::level::debug;
    case LogLevel::info:
        return spdlog::level::info;
    case LogLevel::warn:
        return spdlog::level::warn;
    case LogLevel::error:
        return spdlog::level::err;
    case LogLevel::critical:
        return spdlog::level::critical;
    case LogLevel::off:
        break;
    }
    return spdlog::level::off;
}

spdlog::string_view_t view(std::string_view text) {
    return {text.data(), text.size()};
}

} // namespace

struct LogState {
    LogState(LogLevel level, int log_descriptor) : descriptor(log_descriptor) {
        process.set_level(level_of(level));
    }

    /// For the writer's thread, hence not by one of the loggers: those add lines to the writer.
    std::string dropped_line(std::uint64_t count) {
        const std::string text = std::to_string(count) + " lines were dropped: nobody read them fast enough";
        spdlog::memory_buf_t line;
        dropped_format.format({"harbor", spdlog::level::warn, view(text)}, line);
        return {line.data(), line.size()};
    }

    const int descriptor;
    spdlog::pattern_formatter dropped_format{process_pattern, spdlog::pattern_time_type::utc, "\n"};
    LogWriter writer{descriptor, [this](std::uint64_t count) { return dropped_line(count); }};
    spdlog::logger process{"harbor", std::make_shared<WriterSink>(writer, process_pattern)};
    spdlog::logger connections{"access", std::make_shared<WriterSink>(writer, access_pattern)};
};

namespace {

std::atomic<LogState*> current{nullptr};

} // namespace

Log::Log(LogLevel level, bool access_log, int descriptor)
    : state_(std::make_unique<LogState>(level, descriptor)) {
    LogState* none = nullptr;
    if (!current.compare_exchange_strong(none, state_.get())) {
        throw std::logic_error("a second log");
    }
    detail::log_level = level;
    detail::access_log = access_log;
}

Log::~Log() {
    detail::log_level = LogLevel::off;
    detail::access_log = false;
    current = nullptr;
}

namespace {

/// A line that there is no memory for is dropped like one that there is no room for: whoever logs has
/// something more important to do.
template<typename Write>
void write_if_memory_lasts(LogState& state, Write write) {
    try {
        write();
    } catch (const std::bad_alloc&) {
        state.writer.drop();
    }
}

} // namespace

void log(LogLevel level, std::string_view text) {
    LogState* state = current;
    if (state != nullptr && level != LogLevel::off && log_enabled(level)) {
        write_if_memory_lasts(*state, [&] { state->process.log(level_of(level), view(printable(text))); });
    }
}

void announce(std::string_view line) {
    LogState* state = current;
    if (state != nullptr) {
        state->writer.flush();
    }
    const int descriptor = state == nullptr ? STDERR_FILENO : state->descriptor;
    std::string text(line);
    text += '\n';
    // In one piece, so that whoever waits for the line never sees half of it.
    for (std::string_view rest = text; !rest.empty();) {
        const ssize_t count = ::write(descriptor, rest.data(), rest.size());
        if (count < 0 && errno != EINTR) {
            return; // started without standard error: then nobody waits for it either
        }
        rest.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
    }
}

std::uint64_t log_lines_dropped() {
    const LogState* state = current;
    return state == nullptr ? 0 : state->writer.dropped();
}

namespace {

void append(std::string& text, std::uint64_t number) {
    std::array<char, 20> digits{}; // 2^64 has 20
    const auto [end, error] = std::to_chars(digits.begin(), digits.end(), number);
    text.append(digits.begin(), end);
}

/// Milliseconds with three digits after the point.
void append(std::string& text, std::chrono::nanoseconds duration) {
    const auto microseconds = static_cast<std::uint64_t>(std::max(duration.count(), std::int64_t{0}) / 1000);
    append(text, microseconds / 1000);
    const std::string fraction = std::to_string(1000 + microseconds % 1000);
    text.append(".").append(fraction, 1);
}

bool needs_quotes(char c) {
    return c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\';
}

/// A value as logfmt readers take it.
void append(std::string& text, std::string_view value) {
    if (value.empty()) {
        text += '-';
    } else if (std::none_of(value.begin(), value.end(), needs_quotes)) {
        text += value;
    } else {
        text += '"';
        for (const char c : printable(value)) {
            text.append(c == '"' ? 1 : 0, '\\').append(1, c);
        }
        text += '"';
    }
}

/// `127.0.0.1:5`, `[::1]:5`. A client of IPv4 that has come in by an IPv6 listener is shown as what it is
/// (RFC 4291, section 2.5.5.2).
void append(std::string& text, const sockaddr* client) {
    std::array<char, INET6_ADDRSTRLEN> host{};
    std::uint16_t port = 0;
    bool brackets = false;
    if (client != nullptr && client->sa_family == AF_INET) {
        sockaddr_in address{};
        std::memcpy(&address, client, sizeof address);
        ::inet_ntop(AF_INET, &address.sin_addr, host.data(), host.size());
        port = ntohs(address.sin_port);
    } else if (client != nullptr && client->sa_family == AF_INET6) {
        sockaddr_in6 address{};
        std::memcpy(&address, client, sizeof address);
        const auto* bytes = static_cast<const std::uint8_t*>(address.sin6_addr.s6_addr);
        if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {
            ::inet_ntop(AF_INET, bytes + 12, host.data(), host.size());
        } else {
            ::inet_ntop(AF_INET6, bytes, host.data(), host.size());
            brackets = true;
        }
        port = ntohs(address.sin6_port);
    } else {
        text += '-';
        return;
    }
    text.append(brackets ? "[" : "").append(host.data()).append(brackets ? "]:" : ":");
    append(text, std::uint64_t{port});
}

template<typename Value>
void append_field(std::string& text, std::string_view name, Value value) {
    text.append(text.empty() ? "" : " ").append(name).append("=");
    append(text, value);
}

} // namespace

std::string to_text(const AccessRecord& record) {
    std::string text;
    text.reserve(192);
    append_field(text, "client", record.client);
    append_field(text, "backend", record.backend);
    append_field(text, "sent", record.sent);
    append_field(text, "received", record.received);
    append_field(text, "dial_ms", record.dial);
    append_field(text, "total_ms", record.total);
    append_field(text, "attempts", std::uint64_t{record.attempts});
    append_field(text, "end", record.end);
    return text;
}

void detail::write_access(const AccessRecord& record) {
    if (LogState* state = current; state != nullptr) {
        write_if_memory_lasts(*state,
                              [&] { state->connections.log(spdlog::level::info, view(to_text(record))); });
    }
}

} // namespace harbor
