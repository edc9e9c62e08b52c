// What an echo server is for: every byte comes back, in order and once, on every port, to every connection.
//
// TCP carries a stream and not messages. One send() may arrive in many pieces and many sends in one, and a
// write may take less than it was given. So the sizes below are chosen to be awkward: one byte, one full
// buffer, far more than all buffers together, and a trickle. A server that counts on pieces passes the small
// ones only.
//
// Through `EchoUnderTest` the same tests judge the later chapters' balancers, with an echo server behind
// them.
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>

#include <cstdint>
#include <future>
#include <set>
#include <string>
#include <vector>

using namespace harness;

TEST_CASE("one byte comes back") {
    INFO(lesson("the client sent a single byte, and then waited for it",
                "the server waits for more before it answers: for a full buffer, a line, or the end",
                "chapter 01, Bytes in and bytes out"));
    const EchoUnderTest echo;

    Client client = echo.connect();
    client.send("x");

    REQUIRE(same_bytes("x", client.receive(1)));
}

TEST_CASE("64 KiB come back unchanged") {
    INFO(lesson("the client sent 64 KiB at once and read as many",
                "a read gave a part and was taken for all of it, or the rest of a short write was dropped",
                "chapter 01, Partial writes"));
    const EchoUnderTest echo;
    const std::string bytes = make_bytes(64 * 1024);

    Client client = echo.connect();
    client.send(bytes);

    REQUIRE(same_bytes(bytes, client.receive(bytes.size())));
}

TEST_CASE("16 MiB come back unchanged") {
    INFO(lesson("the client sent 16 MiB while it read them back: more than all buffers on the way can hold",
                "a write that took only a part was not continued, or was begun again from its first byte",
                "chapter 01, Partial writes"));
    constexpr std::uint64_t size = 16 * 1024 * 1024;
    const EchoUnderTest echo;

    Client client = echo.connect();
    // In a thread of its own: one that first sends everything and reads afterwards would wait for itself.
    auto sending = std::async(std::launch::async, [&] { client.send_pattern(size); });

    REQUIRE(client.receive_pattern(size));
    sending.get();
}

TEST_CASE("bytes that are sent one at a time come back in order") {
    INFO(lesson(
        "the client sent 2000 bytes, each by itself",
        "what is left in a buffer from an earlier read is sent again, or every read is taken for a message",
        "chapter 01, Bytes in and bytes out"));
    const EchoUnderTest echo;
    const std::string bytes = make_bytes(2000);

    Client client = echo.connect();
    auto sending = std::async(std::launch::async, [&] { client.send_byte_by_byte(bytes); });

    REQUIRE(same_bytes(bytes, client.receive(bytes.size())));
    sending.get();
}

TEST_CASE("questions and answers take turns on one connection") {
    INFO(lesson("the client sent a question, read it back, and so on, 500 times, each of another length",
                "the server serves a connection once, or mixes up what two reads have left in its buffer",
                "chapter 01, Bytes in and bytes out"));
    const EchoUnderTest echo;

    Client client = echo.connect();
    for (std::size_t turn = 1; turn <= 500; ++turn) {
        const std::string question = make_bytes(turn * 7, turn);
        client.send(question);
        REQUIRE(same_bytes(question, client.receive(question.size())));
    }
}

TEST_CASE("every port that is given is served") {
    INFO(lesson(
        "the server was given three ports, and a client talked to each of them while the others were open",
        "only the first (or the last) listener accepts, or one of them waits for another",
        "chapter 01, Several ports"));
    EchoUnderTest::Options options;
    options.ports = 3;
    const EchoUnderTest echo(options);

    std::set<std::uint16_t> ports;
    std::vector<Client> clients;
    for (const Endpoint& endpoint : echo.endpoints()) {
        ports.insert(endpoint.port);
        clients.emplace_back(endpoint);
    }
    REQUIRE(ports.size() == 3);

    for (std::size_t i = clients.size(); i-- > 0;) {
        const std::string bytes = make_bytes(1000, i);
        clients[i].send(bytes);
        REQUIRE(same_bytes(bytes, clients[i].receive(bytes.size())));
    }
}

TEST_CASE("with an id the first line of every connection is its name") {
    INFO(lesson("the server was started with --id, and two clients waited for the greeting before they spoke",
                "the greeting waits for the client's first byte, comes only once, or is mixed into the echo",
                "chapter 01, Bytes in and bytes out"));
    EchoUnderTest::Options options;
    options.id = "lighthouse";
    options.ports = 2;
    const EchoUnderTest echo(options);

    for (const Endpoint& endpoint : echo.endpoints()) {
        Client client(endpoint);
        REQUIRE(same_bytes("lighthouse\n", client.receive(11)));
        client.send("hello");
        client.half_close();
        REQUIRE(client.receive_until_end().is_exactly("hello"));
    }
}
