// The log: what its lines look like, and that nobody ever waits for it.
//
// The log writes to a pipe here, whose reader is the test: one that reads, one that does not, one that comes
// late.
#include "../descriptor.hpp"
#include "../log.hpp"

#include <harness/catch.hpp>
#include <harness/deadline.hpp>
#include <harness/verdict.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using harbor::AccessRecord;
using harbor::Log;
using harbor::LogLevel;
using harness::contains;
using namespace std::chrono_literals;

namespace {

class Pipe {
public:
    Pipe() {
        std::array<int, 2> ends{};
        REQUIRE(::pipe(ends.data()) == 0);
        read_end_ = harbor::Descriptor(ends[0]);
        write_end_ = harbor::Descriptor(ends[1]);
    }

    int write_end() const { return write_end_.get(); }
    void close_write_end() { write_end_ = harbor::Descriptor(); }
    void close_read_end() { read_end_ = harbor::Descriptor(); }

    /// Everything until the write end is closed.
    std::string read_all() const {
        std::string text;
        while (read_some(text)) {
        }
        return text;
    }

    /// Everything until `enough` says so, or the write end is closed.
    std::string read_until(const std::function<bool(const std::string&)>& enough) const {
        std::string text;
        while (!enough(text) && read_some(text)) {
        }
        return text;
    }

private:
    bool read_some(std::string& text) const {
        std::array<char, 65536> some{};
        const ssize_t count = ::read(read_end_.get(), some.data(), some.size());
        text.append(some.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
        return count > 0;
    }

    harbor::Descriptor read_end_;
    harbor::Descriptor write_end_;
};

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

/// What `log_something` logs, with a log of its own.
template<typename Function>
std::vector<std::string> logged(LogLevel level, bool access_log, Function log_something) {
    Pipe pipe;
    {
        const Log log(level, access_log, pipe.write_end());
        log_something();
    }
    pipe.close_write_end();
    return lines_of(pipe.read_all());
}

sockaddr_in v4(const char* host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    REQUIRE(::inet_pton(AF_INET, host, &address.sin_addr) == 1);
    return address;
}

sockaddr_in6 v6(const char* host, std::uint16_t port) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    REQUIRE(::inet_pton(AF_INET6, host, &address.sin6_addr) == 1);
    return address;
}

template<typename Address>
const sockaddr* generic(const Address& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

/// The fields of a line of the access log from `name` on.
std::string from(const std::string& name, const std::string& line) {
    return line.substr(line.find(name));
}

void fill(std::size_t lines) {
    const std::string text(100, 'x');
    for (std::size_t i = 0; i < lines; ++i) {
        harbor::log_info(text);
    }
}

std::size_t lines_that_came(const std::string& text) {
    const std::vector<std::string> lines = lines_of(text);
    return static_cast<std::size_t>(std::count_if(
        lines.begin(), lines.end(), [](const std::string& line) { return line.ends_with("xxx"); }));
}

std::size_t lines_said_to_be_dropped(const std::string& text) {
    const std::regex notice(" warning ([0-9]+) lines were dropped");
    std::size_t sum = 0;
    for (std::sregex_iterator match(text.begin(), text.end(), notice); match != std::sregex_iterator();
         ++match) {
        sum += std::stoul((*match)[1]);
    }
    return sum;
}

constexpr std::size_t too_many_lines = 30000; // of 130 bytes: several times what the log holds

const std::string time_of_a_line = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z";

} // namespace

TEST_CASE("the line of a connection has every field") {
    const sockaddr_in client = v4("127.0.0.1", 54321);
    const AccessRecord record{generic(client), "redis-1:6379", 17, 1234567890123,
                              412us,           12s + 3456us,   2,  "client_end"};
    CHECK(harbor::to_text(record) ==
          "client=127.0.0.1:54321 backend=redis-1:6379 sent=17 received=1234567890123 "
          "dial_ms=0.412 total_ms=12003.456 attempts=2 end=client_end");
}

TEST_CASE("the line of a connection shows what is not known as a dash") {
    CHECK(harbor::to_text(AccessRecord{}) ==
          "client=- backend=- sent=0 received=0 dial_ms=0.000 total_ms=0.000 attempts=0 end=-");
}

TEST_CASE("the line of a connection writes addresses as they are configured") {
    AccessRecord record;
    const sockaddr_in6 loopback = v6("::1", 80);
    record.client = generic(loopback);
    CHECK(contains(harbor::to_text(record), "client=[::1]:80 "));

    const sockaddr_in6 mapped = v6("::ffff:192.0.2.1", 65535);
    record.client = generic(mapped);
    CHECK(contains(harbor::to_text(record), "client=192.0.2.1:65535 "));

    sockaddr other{};
    other.sa_family = AF_UNIX;
    record.client = &other;
    CHECK(contains(harbor::to_text(record), "client=- "));
}

TEST_CASE("the line of a connection cannot be forged by a name") {
    AccessRecord record;
    record.backend = "a\nb end=lie";
    record.end = "say \"so\"\\";
    const std::string line = harbor::to_text(record);
    CHECK(contains(line, "backend=\"a\\nb end=lie\" sent=0"));
    CHECK(from(" end=\"", line) == " end=\"say \\\"so\\\"\\\\\"");
    CHECK(line.find('\n') == std::string::npos);
}

TEST_CASE("durations are milliseconds with three digits and never negative") {
    AccessRecord record;
    record.dial = 7ns;
    record.total = -1ns;
    CHECK(contains(harbor::to_text(record), "dial_ms=0.000 total_ms=0.000 "));
    record.dial = 1ms + 5us;
    record.total = 999us;
    CHECK(contains(harbor::to_text(record), "dial_ms=1.005 total_ms=0.999 "));
}

TEST_CASE("a line has the time and the level and the text") {
    const auto lines = logged(LogLevel::info, false, [] {
        harbor::log_info("one");
        harbor::log_warning("two");
        harbor::log_error("three");
    });
    REQUIRE(lines.size() == 3);
    CHECK(std::regex_match(lines[0], std::regex(time_of_a_line + " info one")));
    CHECK(std::regex_match(lines[1], std::regex(time_of_a_line + " warning two")));
    CHECK(std::regex_match(lines[2], std::regex(time_of_a_line + " error three")));
}

TEST_CASE("lines below the level are left out") {
    const auto log_at_all_levels = [] {
        for (const LogLevel level : {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warn,
                                     LogLevel::error, LogLevel::critical, LogLevel::off}) {
            harbor::log(level, "text");
        }
    };
    CHECK(logged(LogLevel::trace, false, log_at_all_levels).size() == 6);
    CHECK(logged(LogLevel::warn, false, log_at_all_levels).size() == 3);
    CHECK(logged(LogLevel::critical, false, log_at_all_levels).size() == 1);
    CHECK(logged(LogLevel::off, false, log_at_all_levels).empty());
}

TEST_CASE("a text stays one line whatever it holds") {
    const auto lines = logged(LogLevel::info, false, [] { harbor::log_info("a\nb {} %s \x1b[2J"); });
    REQUIRE(lines.size() == 1);
    CHECK(contains(lines[0], "info a\\nb {} %s \\x1b[2J"));
}

TEST_CASE("connections are logged only when asked for and then at any level") {
    const auto log_a_connection = [] { harbor::log_access(AccessRecord{}); };
    CHECK(logged(LogLevel::trace, false, log_a_connection).empty());
    const auto lines = logged(LogLevel::off, true, log_a_connection);
    REQUIRE(lines.size() == 1);
    CHECK(std::regex_match(lines[0], std::regex(time_of_a_line + " access client=- .* end=-")));
}

TEST_CASE("an announcement is bare and comes after what was logged before") {
    const auto lines = logged(LogLevel::info, false, [] {
        harbor::log_info("before");
        harbor::announce("listening on 127.0.0.1:9090");
        harbor::log_info("after");
    });
    REQUIRE(lines.size() == 3);
    CHECK(contains(lines[0], "before"));
    CHECK(lines[1] == "listening on 127.0.0.1:9090");
    CHECK(contains(lines[2], "after"));

    CHECK(logged(LogLevel::off, false, [] { harbor::announce("text"); }) == std::vector<std::string>{"text"});
}

TEST_CASE("lines of several threads stay whole and none is lost") {
    constexpr int threads = 4;
    constexpr int lines_each = 200;
    Pipe pipe;
    std::string text;
    std::thread reader([&] { text = pipe.read_all(); });
    {
        const Log log(LogLevel::info, false, pipe.write_end());
        std::vector<std::thread> writers;
        for (int i = 0; i < threads; ++i) {
            writers.emplace_back([i] {
                for (int n = 0; n < lines_each; ++n) {
                    harbor::log_info("writer " + std::to_string(i) + " line " + std::to_string(n) + " end");
                }
            });
        }
        for (std::thread& writer : writers) {
            writer.join();
        }
    }
    pipe.close_write_end();
    reader.join();
    const auto lines = lines_of(text);
    REQUIRE(lines.size() == threads * lines_each);
    const std::regex whole(time_of_a_line + " info writer [0-3] line [0-9]+ end");
    for (const std::string& line : lines) {
        CHECK(std::regex_match(line, whole));
    }
}

TEST_CASE("nobody waits for a log that nobody reads") {
    Pipe pipe;
    harness::Stopwatch watch;
    {
        const Log log(LogLevel::info, false, pipe.write_end());
        fill(too_many_lines);
        CHECK(harbor::log_lines_dropped() > 0);
    }
    // The end gives up after a second; the pipe is as full as it was.
    CHECK(harness::is_between("until the log was gone", watch.elapsed(), 0ms, 8000ms));

    pipe.close_write_end();
    const auto lines = lines_of(pipe.read_all());
    REQUIRE_FALSE(lines.empty());
    for (const std::string& line : lines) {
        CHECK(line.size() == lines.front().size()); // what has come is whole
    }
}

TEST_CASE("the log says how many lines were dropped once it is read again") {
    const Pipe pipe;
    const Log log(LogLevel::info, false, pipe.write_end());
    fill(too_many_lines);
    const std::uint64_t dropped = harbor::log_lines_dropped();
    REQUIRE(dropped > 0);

    const auto is_accounted_for = [](const std::string& text) {
        return lines_that_came(text) + lines_said_to_be_dropped(text) == too_many_lines;
    };
    const std::string text = pipe.read_until(is_accounted_for);
    CHECK(lines_said_to_be_dropped(text) == dropped);
}

TEST_CASE("a reader that has gone does no harm") {
    Pipe pipe;
    const Log log(LogLevel::info, false, pipe.write_end());
    pipe.close_read_end();
    harbor::log_info("into the void"); // SIGPIPE would end this process
    harbor::log_info("once more");
}

TEST_CASE("without a log lines go nowhere") {
    harbor::log_error("nobody sees this");
    harbor::log_access(AccessRecord{});
    CHECK_FALSE(harbor::log_enabled(LogLevel::critical));
    CHECK_FALSE(harbor::access_log_enabled());
    CHECK(harbor::log_lines_dropped() == 0);
}

TEST_CASE("there is one log at a time") {
    const Pipe pipe;
    {
        const Log first(LogLevel::info, false, pipe.write_end());
        CHECK_THROWS_AS(Log(LogLevel::info, false, pipe.write_end()), std::logic_error);
        harbor::log_info("the first still works");
    }
    CHECK_NOTHROW(Log(LogLevel::info, false, pipe.write_end()));
}
