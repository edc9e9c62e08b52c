// The end of the program at moments that the chapters' tests do not choose.
#include "conformance.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <csignal>
#include <string>

using namespace harness;
using conformance::in_short;
using conformance::measured;

TEST_CASE("a client that is in the queue when the signal comes is served") {
    INFO(lesson("the program was stopped; a client connected, which its kernel accepts for it; then came "
                "SIGTERM, and "
                "the program went on",
                "the listener is closed with clients in its queue, which resets them although they think "
                "that they are "
                "connected",
                "chapter 06, Drain"));
    const Backend backend(behave::answer_late("whole", Millis{0}));
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", "60000"}});

    harbor.process().send_signal(SIGSTOP);
    Client client = harbor.connect();
    client.send("question");
    client.half_close();
    harbor.process().send_signal(SIGTERM);
    harbor.process().send_signal(SIGCONT);
    const Received received = client.receive_until_end();

    measured(in_short(received, 5));
    REQUIRE(received.is_exactly("whole"));
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("readyz says no from the moment when new clients are refused") {
    INFO(
        lesson("a client was connected when SIGTERM came; as soon as a new one was refused /readyz was asked",
               "the port is closed first and /readyz changes later: whoever asks it goes on sending clients "
               "to a closed "
               "port",
               "chapter 06, Drain"));
    const Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", "60000"}});
    Client client = harbor.connect();
    client.send("x");
    REQUIRE(client.receive(1) == "x");
    REQUIRE(http_get(harbor.metrics_endpoint(), "/readyz").status == 200);

    harbor.process().send_signal(SIGTERM);
    while (connect_accepted(harbor.endpoint())) {
    }
    const HttpReply ready = http_get(harbor.metrics_endpoint(), "/readyz");

    REQUIRE(ready.status == 503);
    REQUIRE(http_get(harbor.metrics_endpoint(), "/healthz").status == 200);
    client.close();
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a half-closed transfer that is cut does not end like a whole one") {
    INFO(lesson(
        "the client had ended its half, the backend had sent a part of its answer, and the grace period of 0 "
        "began with SIGTERM",
        "one direction had ended already, so the other is ended in the same polite way",
        "chapter 06, Cutting"));
    const std::string part = make_bytes(100'000);
    const Backend backend([&part](Peer& peer) {
        peer.send(part);
        peer.drain(forever);
        peer.wait_for_end_without_reading(forever);
    });
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", "0"}});

    Client client = harbor.connect();
    client.send("question");
    client.half_close();
    REQUIRE(client.receive(part.size()) == part);
    REQUIRE(backend.saw_end_of_stream(1));
    harbor.process().send_signal(SIGTERM);
    const Received received = client.receive_until_end();

    measured(in_short(received.ending) + " after a part of the answer");
    REQUIRE(received.ends_with_reset());
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}
