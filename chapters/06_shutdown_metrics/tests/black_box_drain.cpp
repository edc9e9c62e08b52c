// The drain: what a balancer owes to those who are connected when it is told to stop.
//
// It is told to stop every time a new version is rolled out, so this is not an emergency but the most
// ordinary moment in its life, and nobody should notice it: what has begun is finished, and what has not
// begun goes elsewhere, at once. The tests say so for every state a connection can be in when the signal
// comes. The grace period is a minute throughout, far longer than a test may take: whoever waits for its end
// instead of the connections fails.
#include "drain.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <csignal>
#include <cstdint>
#include <future>
#include <string>
#include <vector>

using namespace harness;

TEST_CASE("a running transfer completes after SIGTERM") {
    INFO(lesson("64 MiB were on their way to the backend and back when SIGTERM came",
                "the signal ends the process, or closes the connections together with the listener",
                "chapter 06, Drain"));
    constexpr std::uint64_t before = 1 << 20;
    constexpr std::uint64_t after = 63 << 20;
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    Client client = harbor.connect();
    auto sending = std::async(std::launch::async, [&] {
        client.send_pattern(before, 1);
        client.send_pattern(after, 2);
        client.half_close();
    });
    REQUIRE(client.receive_pattern(before, 1));
    // Nobody reads meanwhile, so all buffers are full in both directions.
    harbor.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(harbor));

    REQUIRE(client.receive_pattern(after, 2));
    REQUIRE(client.ends_cleanly());
    sending.get();
    REQUIRE(backend.wait_for_bytes(1, before + after));
    REQUIRE(backend.saw_end_of_stream(1));
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("SIGINT drains as SIGTERM does") {
    INFO(lesson("a client was connected when SIGINT came, which is what Ctrl-C sends",
                "only SIGTERM is handled", "chapter 06, A signal is an event"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    Client client = harbor.connect();
    client.send("before");
    REQUIRE(client.receive(6) == "before");
    harbor.process().send_signal(SIGINT);
    REQUIRE(refuses_new_clients(harbor));

    client.send("after");
    REQUIRE(client.receive(5) == "after");
    client.half_close();
    REQUIRE(client.ends_cleanly());
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a client that has half-closed gets its answer during the drain") {
    INFO(lesson(
        "the client sent its question and FIN, then SIGTERM came, and only then the backend answered 1 MiB",
        "a connection of which one direction is over is taken for finished", "chapter 06, Drain"));
    const std::string answer = make_bytes(1 << 20);
    Gate gate;
    Backend backend([&](Peer& peer) {
        peer.drain(forever);
        if (gate.wait(peer)) {
            peer.send(answer);
        }
    });
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    Client client = harbor.connect();
    client.send("question");
    client.half_close();
    REQUIRE(backend.saw_end_of_stream(1));
    harbor.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(harbor));
    gate.open();

    REQUIRE(client.receive_until_end().is_exactly(answer));
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("an upload goes on during the drain although the backend has half-closed") {
    INFO(
        lesson("the backend greeted and sent FIN, then SIGTERM came, and only then the client uploaded 1 MiB",
               "a connection of which one direction is over is taken for finished", "chapter 06, Drain"));
    const std::string upload = make_bytes(1 << 20);
    Backend backend(behave::half_close_first("go ahead"));
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    Client client = harbor.connect();
    REQUIRE(client.receive_until_end().is_exactly("go ahead"));
    harbor.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(harbor));
    client.send(upload);
    client.half_close();

    REQUIRE(backend.saw_bytes(1, upload));
    REQUIRE(backend.saw_end_of_stream(1));
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a connection that is dialling when the signal comes is served") {
    INFO(lesson(
        "of two clients one was being dialled to a backend that answers nothing when SIGTERM came; the other "
        "backend was well",
        "the drain waits for relays only and forgets the dials, or refuses their retry",
        "chapter 06, Drain"));
    Blackhole hole;
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", hole.address() + "," + backend.address()},
                    {"LB_DIAL_TIMEOUT_MS", "700"},
                    {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    // Round-robin: one of the two meets the hole first.
    Client first = harbor.connect();
    Client second = harbor.connect();
    REQUIRE(metric_becomes(harbor.metrics_endpoint(), "harbor_active_conns", 2));
    harbor.process().send_signal(SIGTERM);
    first.send("first");
    second.send("second");

    REQUIRE(first.receive(5) == "first");
    REQUIRE(second.receive(6) == "second");
    REQUIRE(refuses_new_clients(harbor));
    first.half_close();
    second.half_close();
    REQUIRE(first.ends_cleanly());
    REQUIRE(second.ends_cleanly());
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("the program ends with the last of a hundred connections") {
    INFO(lesson(
        "a hundred clients were connected when SIGTERM came, and left one after the other",
        "the first thread without connections ends the program, or nobody notices that the last one has left",
        "chapter 06, Drain"));
    Backend backend(behave::echo());
    Program harbor(
        {{"BACKENDS", backend.address()}, {"LB_THREADS", "3"}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    std::vector<Client> clients;
    for (int i = 0; i < 100; ++i) {
        clients.push_back(harbor.connect());
        clients.back().send("x");
        REQUIRE(clients.back().receive(1) == "x");
    }
    harbor.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(harbor));
    while (clients.size() > 1) {
        clients.pop_back();
    }
    REQUIRE(backend.wait_for_open_connections_at_most(1));

    Client& last = clients.back();
    last.send("still here");
    REQUIRE(last.receive(10) == "still here");
    last.half_close();
    REQUIRE(last.ends_cleanly());
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a program without clients ends at once") {
    INFO(lesson(
        "SIGTERM came as soon as the program had said that it listens, and nobody had ever connected",
        "the grace period is waited out although there is nothing to wait for, or the signal is handled only "
        "after the ready line",
        "chapter 06, A signal is an event"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    harbor.process().send_signal(SIGTERM);

    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a program whose clients have left ends at once") {
    INFO(lesson("twenty clients came and went, each in a way of its own, and then SIGTERM came",
                "a connection that is over is still counted as open, so the drain waits for it",
                "chapter 06, Drain"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    for (int i = 0; i < 20; ++i) {
        Client client = harbor.connect();
        client.send("x");
        REQUIRE(client.receive(1) == "x");
        if (i % 2 == 0) {
            client.reset();
        }
    }
    REQUIRE(backend.wait_for_open_connections_at_most(0));
    harbor.process().send_signal(SIGTERM);

    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a successor takes the port over while the old program drains") {
    INFO(lesson("one program was draining with a client when a second was started on the same address",
                "the listener stays open during the drain, so a new version cannot start before the old one "
                "has ended",
                "chapter 06, Close the listener first"));
    Backend old_backend(behave::echo_with_greeting("old"));
    Backend new_backend(behave::echo_with_greeting("new"));
    Program old_program({{"BACKENDS", old_backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    Client patient = old_program.connect();
    REQUIRE(patient.receive_line() == "old");
    old_program.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(old_program));
    Program new_program({{"BACKENDS", new_backend.address()}, {"LB_ADDR", old_program.address()}});

    Client next = new_program.connect();
    REQUIRE(next.receive_line() == "new");
    patient.send("still here");
    REQUIRE(patient.receive(10) == "still here");
    patient.half_close();
    REQUIRE(patient.ends_cleanly());
    REQUIRE(old_program.process().wait_for_exit().exited_with(0));
    next.send("here too");
    REQUIRE(next.receive(8) == "here too");
}

TEST_CASE("metrics are answered while the program drains") {
    INFO(lesson("a client was still connected after SIGTERM, and somebody wanted to know how many are left",
                "the metrics port is closed together with the listener",
                "chapter 06, Close the listener first"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    Client client = harbor.connect();
    client.send("x");
    REQUIRE(client.receive(1) == "x");
    harbor.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(harbor));

    REQUIRE(metric_becomes(harbor.metrics_endpoint(), "harbor_active_conns", 1));
    REQUIRE(scrape_json(harbor.metrics_endpoint()).number("active_conns") == 1);
    client.close();
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a scraper does not keep the program alive") {
    INFO(lesson("the only connection at SIGTERM was one to the metrics port, on which nothing was ever asked",
                "the drain waits for scrapers as if they were clients", "chapter 06, Drain"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    Client scraper(harbor.metrics_endpoint());
    Client late_scraper(harbor.metrics_endpoint());
    late_scraper.send("GET /metrics HT");
    scrape(harbor.metrics_endpoint()); // those before it have been accepted by now
    harbor.process().send_signal(SIGTERM);

    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}
