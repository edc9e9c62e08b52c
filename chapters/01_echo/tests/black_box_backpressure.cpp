// A client that sends and never reads: the oldest way to fill a server's memory.
//
// What the client does not take has to be somewhere. A server that goes on reading keeps it in its own
// memory, without a bound. A server that stops reading until its write is through leaves it in the kernel's
// buffers, which are bounded; when they are full, the client's own send() waits. That is backpressure, and
// TCP does all of it, if only the server lets it.
//
// Memory is looked at from outside, as the resident size of the process: what counts is what the machine
// loses.
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>

#include <cstdint>
#include <future>
#include <string>
#include <string_view>

using namespace harness;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;

std::uint64_t resident_bytes(const EchoUnderTest& echo) {
    std::uint64_t sum = 0;
    for (const Process* process : echo.processes()) {
        sum += process->resident_bytes();
    }
    return sum;
}

Verdict grew_by_less_than(const EchoUnderTest& echo, std::uint64_t limit, std::uint64_t before) {
    const std::uint64_t now = resident_bytes(echo);
    const std::uint64_t growth = now > before ? now - before : 0;
    return {growth < limit, "its resident memory grew by " + std::to_string(growth / 1024) + " KiB, from " +
                                std::to_string(before / 1024) + " KiB; to be less than " +
                                std::to_string(limit / 1024) + " KiB"};
}

} // namespace

TEST_CASE("a client that sends without reading is slowed down and loses nothing") {
    INFO(lesson(
        "the client sent up to 64 MiB and read nothing until no more was taken; then it read everything back",
        "the server goes on reading while its own writes wait, and keeps the difference in memory",
        "chapter 01, Backpressure"));
    constexpr std::uint64_t size = 64 * mebibyte;
    const EchoUnderTest echo;
    for (int i = 0; i < 4; ++i) { // what is set up with the first clients is not what is measured here
        Client client = echo.connect();
        client.send("hello");
        client.receive(5);
    }
    const std::uint64_t before = resident_bytes(echo);

    Client client = echo.connect();
    const std::uint64_t taken = client.send_until_stuck(Millis{500}, size);
    REQUIRE(grew_by_less_than(echo, 4 * mebibyte, before));

    const std::string bytes = make_bytes(size);
    auto sending = std::async(std::launch::async, [&] {
        client.send(std::string_view(bytes).substr(static_cast<std::size_t>(taken)));
        client.half_close();
    });
    const Verdict unchanged = client.receive_pattern(size);
    sending.get();
    REQUIRE(unchanged);
    REQUIRE(client.ends_cleanly());
    REQUIRE(grew_by_less_than(echo, 4 * mebibyte, before));
}
