// What several worker threads must still agree on. Each of them has its own listener, its own clients and its
// own counters; but how busy a backend is, and how many clients there are at all, is the same question on
// every thread, and an answer that only knows the thread's own share of it is wrong by a factor of their
// number.
//
// All clients come at the same moment, from several threads of the test, so that the workers pick at the same
// moment too.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <algorithm>
#include <cstddef>
#include <latch>
#include <string>
#include <thread>
#include <vector>

using namespace harness;

namespace {

constexpr int workers = 4;

/// `count` clients that connect at once, by as many threads as there are workers, and stay.
std::vector<Client> connect_at_once(const Endpoint& endpoint, std::size_t count) {
    std::vector<std::vector<Client>> parts(workers);
    std::latch together(workers);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < workers; ++i) {
            threads.emplace_back([&, i] {
                together.arrive_and_wait();
                for (std::size_t n = 0; n < count / workers; ++n) {
                    parts[i].emplace_back(endpoint);
                }
            });
        }
    }
    std::vector<Client> clients;
    for (std::vector<Client>& part : parts) {
        std::move(part.begin(), part.end(), std::back_inserter(clients));
    }
    return clients;
}

Environment with_threads(const std::string& backends) {
    return {{"BACKENDS", backends},
            {"STRATEGY", "least-connections"},
            {"LB_THREADS", std::to_string(workers)},
            {"LB_IO_TIMEOUT_MS", "0"}};
}

} // namespace

TEST_CASE("least connections counts the connections of all threads") {
    INFO(lesson(
        "120 clients came at once, and 4 threads picked for them by least-connections among 3 backends",
        "each thread counts only its own connections, so that backends which are busy with those of "
        "another thread look free",
        "the tour of harbor, One thread, one world"));
    const Backend a(behave::echo());
    const Backend b(behave::echo());
    const Backend c(behave::echo());
    Program harbor(with_threads(addresses({&a, &b, &c})));

    const std::vector<Client> clients = connect_at_once(harbor.endpoint(), 120);
    REQUIRE(eventually(
        [&] { return a.connection_count() + b.connection_count() + c.connection_count() == clients.size(); },
        "a backend connection for each client"));

    for (const Backend* backend : {&a, &b, &c}) {
        INFO(backend->name() << " has " << backend->open_connections());
        // Between a look at the counts and the lease another thread may take the same backend: one each.
        CHECK(backend->open_connections() >= 40 - workers);
        CHECK(backend->open_connections() <= 40 + workers);
    }
}

TEST_CASE("the limit of clients in flight is one for all threads") {
    INFO(lesson(
        "40 clients came at once to 4 threads, and LB_MAX_INFLIGHT is 10",
        "each thread has a limit of its own, or looks at the count before it takes a place, so that two "
        "threads take the last one",
        "the tour of harbor, One thread, one world"));
    const Backend backend(behave::echo());
    Environment environment = with_threads(backend.address());
    environment.set("LB_MAX_INFLIGHT", "10");
    Program harbor(environment);

    std::vector<Client> clients = connect_at_once(harbor.endpoint(), 40);
    REQUIRE(eventually(
        [&] { return scrape(harbor.metrics_endpoint()).value("harbor_capacity_dropped_total") == 30; },
        "30 clients dropped"));

    CHECK(scrape(harbor.metrics_endpoint()).value("harbor_active_conns") == 10);
    CHECK(scrape(harbor.metrics_endpoint()).value("harbor_accepts_total") == 40);
    REQUIRE(backend.wait_for_connections(10));
    CHECK(backend.connection_count() == 10);
}

TEST_CASE("a transfer that never ends does not keep its thread from others") {
    INFO(lesson(
        "one thread, one client that uploads without an end, and another that asks 200 times in between",
        "the relay goes on for as long as there is something to read, and with a fast sender there always is",
        "the tour of harbor, Where the system calls go"));
    const Backend sink(behave::sink());
    const Backend echo(behave::echo());
    Program harbor({{"BACKENDS", addresses({&sink, &echo})}, {"LB_THREADS", "1"}, {"LB_IO_TIMEOUT_MS", "0"}});

    Client upload = harbor.connect();
    upload.send("first");
    REQUIRE(sink.wait_for_bytes(1, 5)); // so this is the backend of the first client, and the other is free
    const std::jthread busy([&upload](const std::stop_token& stop) {
        const std::string block(256 * 1024, 'x');
        while (!stop.stop_requested() && upload.try_send(block)) {
        }
    });
    REQUIRE(sink.wait_for_bytes(1, 1 << 20));

    Client asker = harbor.connect();
    for (int i = 0; i < 200; ++i) {
        const std::string question = "question " + std::to_string(i) + ";";
        asker.send(question);
        REQUIRE(asker.receive(question.size()) == question);
    }
}
