// Two thousand connections with all the endings there are, and afterwards nothing of them is left.
//
// A connection that leaks one descriptor passes every other test and stops a balancer after a day. It leaks
// in one way of ending and not in the others, so all are mixed here, many at a time. That the gauges come
// back to zero and that the counters add up shows that nothing is leaked in the books either.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <csignal>
#include <string>
#include <vector>

using namespace harness;

namespace {

constexpr int batch = 40;

/// The client's first byte tells how the connection is to end.
void end_as_told(Peer& peer) {
    const std::string order = peer.receive(1);
    if (order == "a") { // answer after the client's end
        peer.drain(forever);
        peer.send("answer");
        return;
    }
    peer.send(order);
    if (order == "f") { // end first
        peer.half_close();
    }
    if (order == "r") {
        peer.wait_until_delivered();
        peer.reset();
        return;
    }
    peer.drain(forever);
}

/// One way to end for each remainder of `number`.
std::string order(int number) {
    return std::string(1, "acxfr"[number % 5]);
}

Verdict end(Client& client, int number) {
    switch (number % 5) {
    case 0: // the client half-closes and the backend answers then
        client.half_close();
        return client.receive_until_end().is_exactly("answer");
    case 1: // both have said all they had to say
        client.half_close();
        return client.receive_until_end().is_exactly("c");
    case 2: // the client resets
        if (client.receive(1) != "x") {
            return Verdict::no("another byte came back");
        }
        client.reset();
        return Verdict::yes("reset");
    case 3: // the backend half-closes first
        return client.receive_until_end().is_exactly("f");
    default: // the backend resets
        return client.receive_until_end().ends_with_reset();
    }
}

/// So many connections open at once, each ended in its own way.
void one_batch(const Program& harbor) {
    std::vector<Client> clients;
    for (int i = 0; i < batch; ++i) {
        clients.push_back(harbor.connect());
        clients.back().send(order(i));
    }
    for (int i = 0; i < batch; ++i) {
        INFO("connection " << i << " of the batch, ordered to end by " << order(i));
        REQUIRE(end(clients[static_cast<std::size_t>(i)], i));
    }
}

} // namespace

TEST_CASE("2000 connections leave no descriptor behind and the books are even") {
    INFO(lesson(
        "2000 clients came, 40 at a time, and left: by clean ends, half-closes and resets from either side",
        "one way of ending does not close both sockets, or does not give back its place in the gauge",
        "chapter 06, What is left at the end"));
    Backend backend(end_as_told);
    Program harbor({{"BACKENDS", backend.address()}});
    const Endpoint metrics = harbor.metrics_endpoint();
    const auto open = [&] { return harbor.process().open_descriptors(); };

    // What a program opens once and keeps, it has opened after the first batch and the first scrape.
    one_batch(harbor);
    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 0));
    std::size_t before = open();
    eventually([&] { return open() < before; }, "the last scrape to be closed", Millis{50});
    before = open();

    for (int done = batch; done < 2000; done += batch) {
        one_batch(harbor);
    }

    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 0));
    const Metrics page = scrape(metrics);
    REQUIRE(page.value("harbor_accepts_total") == 2000);
    REQUIRE(page.value("harbor_dials_total") == 2000);
    REQUIRE(page.value("harbor_picks_by_backend_total", {{"backend", backend.address()}}) == 2000);
    REQUIRE(page.value("harbor_cooldown_backends") == 0);
    REQUIRE(page.value("harbor_accept_errors_total") == 0);
    REQUIRE(backend.connection_count() == 2000);
    REQUIRE(backend.wait_for_open_connections_at_most(0));
    REQUIRE(eventually(
        [&] {
            return Verdict{open() <= before, std::to_string(before) + " descriptors were open before, now " +
                                                 std::to_string(open())};
        },
        "every descriptor to be closed"));

    harbor.process().send_signal(SIGTERM);
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}
