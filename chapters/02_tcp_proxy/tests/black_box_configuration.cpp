// Configuration: from the environment, judged as a whole before anything is bound, and never silently
// replaced.
//
// Whoever starts a balancer learns at once whether its settings make sense, or learns it later from the
// users. So a bad value ends the program with the exit status 2, which start scripts can tell from other
// failures (1), and with one line that names the variable, the value, and the form that was expected. What is
// refused here is what people really write: a forgotten port, a port of 0, an IPv6 address without its
// brackets.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <csignal>
#include <iostream>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace harness;

namespace {

// No more than an exchange: whether connections end as they should is asked in black_box_half_close.cpp.
Verdict serves(const Program& harbor) {
    Client client = harbor.connect();
    client.send("hello");
    return same_bytes("hello", client.receive(5));
}

bool machine_has_ipv6_loopback() {
    const int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0) {
        return false;
    }
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return bound;
}

} // namespace

TEST_CASE("without BACKENDS it does not start") {
    INFO(lesson("the program was started with no BACKENDS",
                "a default was made up, or the missing variable was read as an empty one and used",
                "chapter 02, Configuration"));

    REQUIRE(run_expecting_refusal({}).names({"BACKENDS", "host:port"}));
}

TEST_CASE("a bad value of BACKENDS is refused by name") {
    const std::string value =
        GENERATE("", "127.0.0.1", "127.0.0.1:", ":9001", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1",
                 "127.0.0.1:http", "127.0.0.1:90x", "::1:9001", "[::1]", "[::1:9001", "local host:9001");
    INFO(lesson(
        "the program was started with BACKENDS='" + value + "'",
        "the text was not read to its end, or the port was cut down to 16 bits; or the message does not say "
        "which variable, which value, and what would have been right",
        "chapter 02, Configuration"));

    REQUIRE(run_expecting_refusal({{"BACKENDS", value}}).names({"BACKENDS", value, "host:port"}));
}

TEST_CASE("a backend whose name does not resolve is refused by name") {
    // No name has an empty label, so nobody needs to be asked about it: the test needs no network.
    const std::string value = "no..such.host:9001";
    INFO(lesson("the program was started with BACKENDS='" + value + "', a host that cannot exist",
                "names are looked up when the first client comes, and then it is too late to refuse",
                "chapter 02, Configuration"));

    REQUIRE(run_expecting_refusal({{"BACKENDS", value}}).names({"BACKENDS", value}));
}

TEST_CASE("a bad value of LB_ADDR is refused by name") {
    const std::string value = GENERATE("", "9090", "127.0.0.1", "127.0.0.1:", ":65536", ":-1", ":http",
                                       "::1:9090", "[::1]", "127.0.0.1:9090x");
    INFO(lesson(
        "the program was started with LB_ADDR='" + value + "'",
        "the text was not read to its end, or a default took its place; or the message does not say which "
        "variable, which value, and what would have been right",
        "chapter 02, Configuration"));

    REQUIRE(run_expecting_refusal({{"BACKENDS", "127.0.0.1:9001"}, {"LB_ADDR", value}})
                .names({"LB_ADDR", value, "host:port"}));
}

TEST_CASE("a host in LB_ADDR that does not resolve is refused by name") {
    const std::string value = "no..such.host:9090";
    INFO(lesson(
        "the program was started with LB_ADDR='" + value + "', a host that cannot exist",
        "the lookup fails like a bind: the program says that it cannot listen, not which variable is wrong",
        "chapter 02, Configuration"));

    REQUIRE(run_expecting_refusal({{"BACKENDS", "127.0.0.1:9001"}, {"LB_ADDR", value}})
                .names({"LB_ADDR", value}));
}

TEST_CASE("bad configuration is found before anything is bound") {
    INFO(lesson("LB_ADDR named a port that was taken, and BACKENDS made no sense: it is BACKENDS that has to "
                "be refused",
                "the port is bound first: a program that then ends has already turned clients away",
                "chapter 02, Configuration"));
    const Backend taken(behave::echo());

    REQUIRE(run_expecting_refusal({{"BACKENDS", "nonsense"}, {"LB_ADDR", taken.address()}})
                .names({"BACKENDS", "nonsense"}));
    REQUIRE(taken.connection_count() == 0);
}

TEST_CASE("a listening address in use ends the program with the address and the reason") {
    INFO(lesson(
        "LB_ADDR named a port that somebody else listened on",
        "the error was ignored, or passed on without the address; or it counts as bad configuration (2), "
        "although a second try may well succeed (1)",
        "chapter 02, Configuration"));
    const Backend taken(behave::echo());

    REQUIRE(run_expecting_refusal({{"BACKENDS", "127.0.0.1:9001"}, {"LB_ADDR", taken.address()}})
                .exits_with_and_names(1, {taken.address(), "in use"}));
}

TEST_CASE("the ready line names the address at which clients are accepted") {
    INFO(lesson(
        "LB_ADDR was 127.0.0.1:0, any free port; the program said where it listens, and a client went there",
        "it prints the port it was given (0) and not the one it got, or before clients can connect",
        "chapter 02, Configuration"));
    const Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_ADDR", "127.0.0.1:0"}});

    REQUIRE(harbor.endpoint().port != 0);
    REQUIRE(harbor.process().logs("listening on 127.0.0.1:" + std::to_string(harbor.endpoint().port)));
    REQUIRE(harbor.process().count_lines("listening on") == 1);
    REQUIRE(serves(harbor));
}

TEST_CASE("without a host it listens on every address") {
    INFO(lesson("LB_ADDR was ':0', a port and no host; a client came by the loopback address",
                "the empty host was refused, or looked up as a name", "chapter 02, Configuration"));
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}, {"LB_ADDR", ":0"}});

    REQUIRE(serves(harbor));
}

TEST_CASE("started again at once it gets its port back") {
    INFO(lesson("the program was stopped with a connection open, and started again with the same LB_ADDR",
                "without SO_REUSEADDR the port cannot be bound while old connections are in TIME_WAIT",
                "chapter 02, Configuration"));
    const Backend backend(behave::echo());
    const Backend reservation = Backend::refusing(); // so that nobody else is given the port meanwhile
    const Environment environment{{"BACKENDS", backend.address()}, {"LB_ADDR", reservation.address()}};

    {
        Program first(environment);
        Client client = first.connect();
        client.send("hello");
        REQUIRE(same_bytes("hello", client.receive(5)));
        first.process().send_signal(
            SIGKILL); // the system closes its sockets first, so TIME_WAIT is on its side
        first.process().wait_for_exit();
        client.receive_until_end();
    }
    const Program second(environment);

    REQUIRE(second.address() == reservation.address());
    REQUIRE(serves(second));
}

TEST_CASE("a backend may be given by name") {
    INFO(lesson("BACKENDS was localhost:PORT, which may stand for an IPv6 and an IPv4 address; the backend "
                "listened on "
                "127.0.0.1",
                "names are not looked up, or only the first address of a name is tried",
                "chapter 02, Configuration"));
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", "localhost:" + std::to_string(backend.endpoint().port)}});

    REQUIRE(serves(harbor));
}

namespace {

void serve_from_an_ipv6_backend() {
    INFO(lesson("BACKENDS was [::1]:PORT",
                "the brackets were taken for a part of the address, or the socket was made for IPv4",
                "chapter 02, Configuration"));
    Backend::Options options;
    options.host = "::1";
    const Backend backend(behave::echo(), options);
    const Program harbor({{"BACKENDS", backend.address()}});

    REQUIRE(serves(harbor));
}

void listen_on_ipv6() {
    INFO(lesson("LB_ADDR was [::1]:0; the client connected to the address in the ready line",
                "the brackets were taken for a part of the address, or are missing in the ready line",
                "chapter 02, Configuration"));
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}, {"LB_ADDR", "[::1]:0"}});

    REQUIRE(harbor.endpoint().host == "::1");
    REQUIRE(serves(harbor));
}

// On a machine without IPv6 these two tests do not exist: a test that does nothing there would count as
// passed.
[[maybe_unused]] const bool ipv6_tests = [] {
    if (!machine_has_ipv6_loopback()) {
        std::cerr << "note: this machine has no address ::1, so the tests of IPv6 are left out\n";
        return false;
    }
    REGISTER_TEST_CASE(serve_from_an_ipv6_backend, "a backend may have an IPv6 address");
    REGISTER_TEST_CASE(listen_on_ipv6, "it may listen on an IPv6 address");
    return true;
}();

} // namespace
