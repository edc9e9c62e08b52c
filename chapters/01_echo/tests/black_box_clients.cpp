// Clients are many, and they are not polite: some are slow, some are silent, some leave in the middle of a
// word.
//
// The server may not take one client's pace, or one client's end, for everybody's. With one coroutine a
// connection that comes by itself, as long as no coroutine ever waits without stepping aside; the tests below
// are for the places where it does not. How a connection ends is told apart strictly: a FIN says "I have sent
// my last byte", and says nothing about listening; a RST says that everything is over.
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>

#include <cstddef>
#include <future>
#include <string>
#include <thread>
#include <vector>

using namespace harness;

namespace {

// A client comes, is served, and goes: the least that must still work after whatever has happened.
Verdict serves_a_new_client(const EchoUnderTest& echo) {
    const std::string bytes = make_bytes(1000, 4711);
    Client client = echo.connect();
    client.send(bytes);
    client.half_close();
    return client.receive_until_end().is_exactly(bytes);
}

std::size_t open_descriptors(const EchoUnderTest& echo) {
    std::size_t count = 0;
    for (const Process* process : echo.processes()) {
        count += process->open_descriptors();
    }
    return count;
}

} // namespace

TEST_CASE("200 clients at once each get their own bytes back") {
    INFO(lesson("200 clients connected, all of them spoke, and they read their answers in the opposite order",
                "clients are served one after the other, or share a buffer",
                "chapter 01, One coroutine a connection"));
    constexpr std::size_t count = 200;
    constexpr std::size_t size = 4096;
    const EchoUnderTest echo;

    std::vector<Client> clients;
    for (std::size_t i = 0; i < count; ++i) {
        clients.push_back(echo.connect());
    }
    for (std::size_t i = 0; i < count; ++i) {
        clients[i].send(make_bytes(size, i));
    }
    for (std::size_t i = count; i-- > 0;) {
        REQUIRE(same_bytes(make_bytes(size, i), clients[i].receive(size)));
    }
}

TEST_CASE("a silent client holds up nobody") {
    INFO(lesson("three clients connected and said nothing; a fourth wanted its bytes back",
                "the server waits for a client's bytes before it accepts the next client",
                "chapter 01, One coroutine a connection"));
    const EchoUnderTest echo;

    std::vector<Client> silent;
    for (int i = 0; i < 3; ++i) {
        silent.push_back(echo.connect());
    }

    REQUIRE(serves_a_new_client(echo));
    // Silence is no reason to be forgotten.
    for (Client& client : silent) {
        client.send("after all");
        REQUIRE(same_bytes("after all", client.receive(9)));
    }
}

TEST_CASE("a client that does not read holds up nobody") {
    INFO(lesson(
        "one client sent until nothing more was taken, and read nothing; another wanted its bytes back",
        "the server waits inside a write, with its only thread, until the first client reads",
        "chapter 01, One coroutine a connection"));
    const EchoUnderTest echo;

    Client stuck = echo.connect();
    stuck.send_until_stuck(Millis{300}, 64 * 1024 * 1024);

    REQUIRE(serves_a_new_client(echo));
}

TEST_CASE("a client that half-closes gets everything back and then a clean end") {
    INFO(lesson(
        "the client sent 1 MiB and FIN, and then read to the end",
        "the end of stream was taken for the end of the connection, which dropped what was still to be "
        "written; or the server never ended its own half",
        "chapter 01, End of stream"));
    const EchoUnderTest echo;
    const std::string bytes = make_bytes(1024 * 1024);

    Client client = echo.connect();
    auto sending = std::async(std::launch::async, [&] {
        client.send(bytes);
        client.half_close();
    });

    const Received received = client.receive_until_end();
    sending.get();
    REQUIRE(received.is_exactly(bytes));
}

TEST_CASE("a client that says nothing and half-closes gets a clean end") {
    INFO(lesson("the client connected and sent FIN at once",
                "the end of stream is noticed only after a byte, or answered with a reset",
                "chapter 01, End of stream"));
    const EchoUnderTest echo;

    Client client = echo.connect();
    client.half_close();

    REQUIRE(client.ends_cleanly());
}

TEST_CASE("a client that resets harms nobody else") {
    INFO(lesson(
        "ten clients reset, some silent, some with bytes on their way in both directions; another client "
        "was in the middle of its own exchange",
        "an error of one connection ended the program: an exception nobody caught, or SIGPIPE, which a "
        "write to a broken connection raises unless it is ignored",
        "chapter 01, Resets"));
    const EchoUnderTest echo;

    Client bystander = echo.connect();
    bystander.send("before");
    REQUIRE(same_bytes("before", bystander.receive(6)));

    for (std::size_t i = 0; i < 10; ++i) {
        Client client = echo.connect();
        if (i % 2 == 1) {
            // More than the client will read, so that the server is still writing when the reset comes.
            client.send(make_bytes(256 * 1024));
            client.receive(1);
        }
        client.reset();
    }

    bystander.send("after");
    REQUIRE(same_bytes("after", bystander.receive(5)));
    REQUIRE(serves_a_new_client(echo));
    REQUIRE(echo.running());
}

TEST_CASE("clients that have left leave no descriptor behind") {
    INFO(lesson(
        "300 clients came one after the other and left, every third with a reset",
        "a socket stays open after its connection has ended, until no descriptor is left for a new client",
        "chapter 01, Resets"));
    const EchoUnderTest echo;
    // The first client of a thread may make the program open things once and for all, and later chapters have
    // a thread for each core; from then on nothing may stay.
    for (unsigned i = 0; i < std::thread::hardware_concurrency() + 2; ++i) {
        REQUIRE(serves_a_new_client(echo));
    }
    const std::size_t before = open_descriptors(echo);

    for (int i = 0; i < 300; ++i) {
        Client client = echo.connect();
        client.send("hello");
        client.receive(5);
        if (i % 3 == 0) {
            client.reset();
        }
    }

    REQUIRE(eventually([&] { return open_descriptors(echo) <= before; }, "every descriptor to be closed"));
}
