// No descriptors left: the balancer cannot accept, and must neither spin nor blame its backends.
//
// When accept() fails with EMFILE the client stays in the queue, so the listener is ready again at once. A
// loop that just goes on uses a whole core for as long as the shortage lasts, at the worst possible moment.
// And when it is the dial that finds no descriptor, the failure is ours: a backend that is put aside for it
// turns a shortage of descriptors into a shortage of backends.
//
// Which of the two is hit depends on whether the number of descriptors left is even or odd, since a
// connection takes two. Programs differ in how many they use themselves, so every test runs two balancers,
// with one descriptor between their limits, and expects the same of both.
#include "served.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/program.hpp>

#include <cstddef>
#include <string>
#include <vector>

using namespace harness;

namespace {

/// Room for twelve connections.
constexpr unsigned room = 24;

Environment settings(const std::string& backends) {
    return {{"BACKENDS", backends},
            {"LB_MAX_INFLIGHT", "100000"},
            {"LB_IO_TIMEOUT_MS", "600000"},
            {"LB_BACKEND_COOLDOWN_MS", "600000"}};
}

/// How many the program uses without any client.
unsigned descriptors_at_rest(const Environment& environment) {
    const Program program(environment);
    return static_cast<unsigned>(program.process().open_descriptors());
}

Program::Options limited_to(unsigned descriptors) {
    Program::Options options;
    options.descriptor_limit = descriptors;
    return options;
}

struct Clients {
    std::vector<Client> served;
    std::vector<Client> beyond;
};

/// Connects one client after the other until there are some that are not served.
Clients exhaust(const Program& program) {
    Clients clients;
    while (clients.beyond.empty()) {
        Client client = program.connect();
        // One that has to wait has to wait until others leave: a second is long enough to know.
        client.set_patience(Millis{1000});
        const bool served = served_by(client) != nobody;
        client.set_patience(patience());
        (served ? clients.served : clients.beyond).push_back(std::move(client));
    }
    for (int i = 0; i < 2; ++i) {
        clients.beyond.push_back(program.connect());
    }
    return clients;
}

Verdict all_go_on(std::vector<Client>& clients) {
    for (Client& client : clients) {
        client.send("still there?");
        if (const Verdict same = same_bytes("still there?", client.receive(12)); !same) {
            return same;
        }
    }
    return Verdict::yes(std::to_string(clients.size()) + " connections go on");
}

/// Either closed, or served now.
Verdict is_not_forgotten(Client& client) {
    try {
        client.receive_some();
    } catch (const Failure& failure) {
        return {!client.open() || client.receive_until_end().ending != Ending::silence, failure.what()};
    }
    return Verdict::yes(client.name() + " was answered");
}

} // namespace

TEST_CASE("without descriptors the processor stays idle and open connections go on") {
    INFO(lesson("clients came until the balancer had no descriptor left, and some more",
                "accept fails at once, over and over again, and the loop around it does not pause",
                "chapter 05, Out of descriptors"));
    const Backend a(behave::echo_with_greeting("A"));
    const Backend b(behave::echo_with_greeting("B"));
    const Environment environment = settings(addresses({&a, &b}));
    const unsigned at_rest = descriptors_at_rest(environment);
    const Program even(environment, limited_to(at_rest + room));
    const Program odd(environment, limited_to(at_rest + room + 1));
    Clients of_even = exhaust(even);
    Clients of_odd = exhaust(odd);

    const Millis even_before = even.process().cpu_time();
    const Millis odd_before = odd.process().cpu_time();
    constexpr Millis little{300};
    const auto both_are_idle = [&] {
        return even.process().cpu_time() - even_before < little &&
               odd.process().cpu_time() - odd_before < little;
    };
    REQUIRE(
        throughout(Millis{1500}, both_are_idle, "each balancer has used less than 300 ms of processor time"));
    REQUIRE(all_go_on(of_even.served));
    REQUIRE(all_go_on(of_odd.served));
}

TEST_CASE("a shortage of descriptors passes and puts no backend aside") {
    INFO(lesson(
        "C refused from the start; a balancer ran out of descriptors; then most clients left and others came",
        "nobody is served: the loop around accept has ended; only one of A and B is: the other cools down "
        "for a shortage that was not its own; some are sent away: C does not cool down",
        "chapter 05, Out of descriptors"));
    const Backend a(behave::echo_with_greeting("A"));
    const Backend b(behave::echo_with_greeting("B"));
    const Backend c = Backend::refusing();
    const Environment environment = settings(addresses({&a, &b, &c}));
    const unsigned at_rest = descriptors_at_rest(environment);

    for (const unsigned limit : {at_rest + room, at_rest + room + 1}) {
        const Program harbor(environment, limited_to(limit));
        Clients clients = exhaust(harbor);

        clients.served.erase(clients.served.begin() + 2, clients.served.end());
        for (Client& client : clients.beyond) {
            REQUIRE(is_not_forgotten(client));
        }
        // Those who have left are a matter of the past only when the balancer has noticed.
        const std::size_t still_there = clients.served.size() + clients.beyond.size();
        REQUIRE(eventually([&] { return harbor.process().open_descriptors() <= at_rest + 2 * still_there; },
                           "the descriptors of those who have left to be closed"));
        REQUIRE(describe(shares(harbor.endpoint(), 4)) == "2 x A, 2 x B");
        REQUIRE(all_go_on(clients.served));
    }
}
