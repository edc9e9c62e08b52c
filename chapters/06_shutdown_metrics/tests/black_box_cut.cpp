// The end of patience: what happens to those who have not finished when the grace period is over.
//
// Somebody is waiting for the process to end, and will kill it if it does not; an idle keep-alive connection
// would hold it for ever. So the drain has a deadline, and the operator can shorten it with a second signal.
// What is cut is cut honestly: with a reset on both sides, because a clean end after half an answer would be
// a lie.
//
// Where the grace period itself is the subject it is short, and only its lower bound is asserted. Everywhere
// else it is a minute, so that whatever ends has ended for another reason.
#include "drain.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <csignal>
#include <string>
#include <vector>

using namespace harness;

namespace {

/// Clients that have been served: neither waiting to be accepted nor dialling.
std::vector<Client> served_clients(const Program& harbor, int count) {
    std::vector<Client> clients;
    for (int i = 0; i < count; ++i) {
        clients.push_back(harbor.connect());
        clients.back().send("hello");
        REQUIRE(clients.back().receive(5) == "hello");
    }
    return clients;
}

} // namespace

TEST_CASE("what is left at the end of the grace period is reset and counted") {
    INFO(lesson("three clients stayed connected after SIGTERM, with a grace period of 400 ms",
                "the drain has no deadline, or the connections end with the process and nobody says how many",
                "chapter 06, The grace period"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", "400"}});

    std::vector<Client> clients = served_clients(harbor, 3);
    const Stopwatch watch;
    harbor.process().send_signal(SIGTERM);

    for (std::size_t i = 0; i < clients.size(); ++i) {
        REQUIRE(clients[i].ends_with_reset());
        REQUIRE(backend.saw_reset(i + 1));
    }
    const Exit exit = harbor.process().wait_for_exit();
    REQUIRE(is_between("time from the signal to the end", watch.elapsed(), Millis{400}, patience()));
    REQUIRE(exit.exited_with(0));
    INFO("it printed:\n" << exit.log);
    REQUIRE(lines_with_number(exit.log, "3") >= 1);
}

TEST_CASE("an answer that is cut off does not end like a whole one") {
    INFO(lesson(
        "the backend was sending 64 MiB, the client had stopped reading, and the grace period ended",
        "the sockets are merely closed, so the client reads half an answer and then a clean end of stream",
        "chapter 06, The grace period"));
    constexpr std::uint64_t whole = 64 << 20;
    Backend backend([](Peer& peer) { peer.send_pattern(whole); });
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", "300"}});

    Client client = harbor.connect();
    REQUIRE(client.receive_pattern(1 << 20));
    harbor.process().send_signal(SIGTERM);
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));

    const Drained rest = client.drain();
    REQUIRE(rest.count < whole - (1 << 20));
    REQUIRE(rest.ending == Ending::reset);
    REQUIRE(backend.saw_reset(1));
}

TEST_CASE("a connection with full buffers is cut too") {
    INFO(lesson("the client had sent until every buffer was full, the backend read nothing, and the grace "
                "period ended",
                "the cut waits for bytes that nobody will ever take", "chapter 06, The grace period"));
    Backend backend(behave::silent());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", "300"}});

    Client client = harbor.connect();
    client.send_until_stuck(Millis{150});
    harbor.process().send_signal(SIGTERM);

    REQUIRE(client.wait_for_end_without_reading() == Ending::reset);
    REQUIRE(backend.saw_reset(1));
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("a grace period of zero cuts at once") {
    INFO(lesson("a client was connected when SIGTERM came, with a grace period of 0",
                "0 is taken for not set (the default is five seconds), or for no limit",
                "chapter 06, The grace period"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", "0"}});

    std::vector<Client> clients = served_clients(harbor, 1);
    const Stopwatch watch;
    harbor.process().send_signal(SIGTERM);

    REQUIRE(clients.front().ends_with_reset());
    REQUIRE(backend.saw_reset(1));
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
    REQUIRE(is_between("time from the signal to the end", watch.elapsed(), Millis{0}, Millis{4000}));
}

TEST_CASE("a second signal cuts at once and what is cut is counted in one line") {
    INFO(lesson(
        "five clients were connected at SIGTERM, two of them finished, and then SIGINT came, long before the "
        "end of the grace period",
        "only the first signal is handled, the second kills the process, or all that were there at the first "
        "signal are counted",
        "chapter 06, The second signal"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    std::vector<Client> clients = served_clients(harbor, 5);
    harbor.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(harbor));
    clients.pop_back();
    clients.pop_back();
    REQUIRE(metric_becomes(harbor.metrics_endpoint(), "harbor_active_conns", 3));
    clients.front().send("drain");
    REQUIRE(clients.front().receive(5) == "drain");
    harbor.process().send_signal(SIGINT);

    for (std::size_t i = 0; i < clients.size(); ++i) {
        REQUIRE(clients[i].ends_with_reset());
        REQUIRE(backend.saw_reset(i + 1));
    }
    const Exit exit = harbor.process().wait_for_exit();
    REQUIRE(exit.exited_with(0));
    INFO("it printed:\n" << exit.log);
    REQUIRE(lines_with_number(exit.log, "3") == 1);
}

TEST_CASE("a second signal ends a dial that would last a minute") {
    INFO(lesson("a client was being dialled to a backend that answers nothing when two signals came",
                "the cut reaches connections that relay but not those that still dial",
                "chapter 06, The second signal"));
    Blackhole hole;
    Program harbor(
        {{"BACKENDS", hole.address()}, {"LB_DIAL_TIMEOUT_MS", a_minute}, {"LB_SHUTDOWN_GRACE_MS", a_minute}});

    Client client = harbor.connect();
    REQUIRE(metric_becomes(harbor.metrics_endpoint(), "harbor_active_conns", 1));
    harbor.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(harbor));
    harbor.process().send_signal(SIGTERM);

    REQUIRE(client.ends_with_reset());
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}

TEST_CASE("the end of the grace period ends a dial") {
    INFO(lesson("a client was being dialled to a backend that answers nothing when the grace period ended",
                "the cut reaches connections that relay but not those that still dial",
                "chapter 06, The grace period"));
    Blackhole hole;
    Program harbor(
        {{"BACKENDS", hole.address()}, {"LB_DIAL_TIMEOUT_MS", a_minute}, {"LB_SHUTDOWN_GRACE_MS", "300"}});

    Client client = harbor.connect();
    REQUIRE(metric_becomes(harbor.metrics_endpoint(), "harbor_active_conns", 1));
    const Stopwatch watch;
    harbor.process().send_signal(SIGTERM);

    REQUIRE(client.ends_with_reset());
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
    REQUIRE(is_between("time from the signal to the end", watch.elapsed(), Millis{300}, patience()));
}
