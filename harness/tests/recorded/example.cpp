// Test cases to be recorded: recorder_test.cpp runs them with HARBOR_TRACE and reads the files. Some of them
// fail on purpose, so they are not among the tests of ctest.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/process.hpp>
#include <harness/scrape.hpp>
#include <harness/trace.hpp>

#include <csignal>
#include <cstdlib>

using namespace harness;

TEST_CASE("it passes") {
    trace::note("all is well");
    REQUIRE(true);
}

TEST_CASE("it goes through everything") {
    Backend::Options options;
    options.listening = false;
    Backend down(behave::echo(), options);
    Backend talker(
        [](Peer& peer) {
            peer.send("hello \"you\"\n");
            peer.receive(4);
            peer.half_close();
            peer.drain();
        },
        {});
    Backend cutter(behave::reset_after(1));
    Backend page([](Peer& peer) {
        while (peer.receive_line() != "\r") { // up to the end of the head
        }
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });

    REQUIRE_FALSE(Client::try_connect(down.endpoint()));
    Client client(talker.endpoint());
    REQUIRE(client.receive_line() == "hello \"you\"");
    client.send("ciao");
    REQUIRE(client.ends_cleanly());
    client.close();

    Client unlucky(cutter.endpoint());
    unlucky.send("x");
    REQUIRE(unlucky.ends_with_reset());
    REQUIRE(http_get(page.endpoint(), "/metrics").status == 200);

    talker.stop_listening();
    REQUIRE(connect_refused(talker.endpoint()));
    Process echo({echo_program(), "0"});
    echo.wait_for_line("listening on");
    echo.send_signal(SIGTERM);
    echo.wait_for_exit();
    REQUIRE_FALSE(echo.running());
}

TEST_CASE("it fails and goes on") {
    INFO(lesson("it asked for two", "there was one", "chapter 00, Counting"));
    CHECK(same_bytes("two", "one"));
    trace::note("and goes on");
}

TEST_CASE("it fails with a wait cut short") {
    Backend mute([](Peer& peer) { peer.receive(5); });
    Client client(mute.endpoint());
    client.send("hello");
    client.receive(1);
}

TEST_CASE("it comes several times and fails every other time") {
    const int number = GENERATE(1, 2, 3, 4);
    trace::note("time " + std::to_string(number));
    CHECK(number % 2 == 1);
}

TEST_CASE("it is killed in the middle") {
    trace::note("the last words");
    ::kill(::getpid(), SIGKILL);
}

TEST_CASE("causes come before their effects") {
    // Client and backend write from two threads, and each of these bytes depends on the one before.
    Backend backend(behave::echo());
    Client client(backend.endpoint());
    for (int i = 0; i < 200; ++i) {
        client.send("a");
        REQUIRE(client.receive(1) == "a");
    }
    client.half_close();
    REQUIRE(client.ends_cleanly());
}
