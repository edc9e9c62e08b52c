// Limits that belong to the machine: each test has a network of its own, in which they are small.
#include "conformance.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <csignal>
#include <future>
#include <string>
#include <vector>

using namespace harness;
using conformance::measured;
using conformance::OwnNetwork;

TEST_CASE("clients that find the queue full are served when there is room", "[namespace]") {
    INFO(lesson("the program was stopped, its queue held 4 clients, and 40 came; then it went on",
                "what the kernel tries again later is not accepted, or accepting ends at an error",
                "chapter 05, Accept errors"));
    const OwnNetwork network;
    OwnNetwork::set("core/somaxconn", "4");
    const Backend backend(behave::echo_with_greeting("served"));
    Program harbor({{"BACKENDS", backend.address()}});

    harbor.process().send_signal(SIGSTOP);
    std::vector<std::future<bool>> clients;
    for (int i = 0; i < 40; ++i) {
        clients.push_back(std::async(std::launch::async, [endpoint = harbor.endpoint()] {
            try {
                // It speaks first: of a client that the kernel answered with a SYN cookie and then had no
                // room for, the kernel remembers nothing, until it is sent something.
                Client client(endpoint);
                client.send("x");
                return client.receive_line() == "served";
            } catch (const Failure&) {
                return false;
            }
        }));
    }
    const Verdict overflown =
        eventually([] { return OwnNetwork::queue_overflows() > 0; }, "the queue to be full");
    harbor.process().send_signal(SIGCONT);
    int served = 0;
    for (auto& client : clients) {
        served += client.get() ? 1 : 0;
    }

    measured(std::to_string(served) + " of 40 served");
    REQUIRE(overflown);
    REQUIRE(served == 40);
}

TEST_CASE("no port is left towards a backend and its clients go to another", "[namespace]") {
    INFO(lesson("all local ports were taken by connections to one of two backends; its clients went to the "
                "other; then "
                "the ports were free again",
                "the client is sent away, or a shortage of ours puts the backend aside for a minute",
                "chapter 05, Dial failures"));
    const OwnNetwork network;
    const Backend scarce(behave::echo_with_greeting("scarce"));
    const Backend other(behave::echo_with_greeting("other"));
    const Program harbor({{"BACKENDS", addresses({&scarce, &other})}, {"LB_BACKEND_COOLDOWN_MS", "60000"}});
    OwnNetwork::set("ipv4/ip_local_port_range", "61000 61003");

    // A port is taken for one destination only, so these leave the clients' and the other backend's alone.
    std::vector<Client> takers;
    while (auto taker = Client::try_connect(scarce.endpoint())) {
        takers.push_back(std::move(*taker));
        REQUIRE(takers.size() <= 4);
    }
    const auto serve = [&] {
        Client client = harbor.connect();
        std::string who;
        try {
            who = client.receive_line();
        } catch (const Failure&) {
            who = "nobody";
        }
        client.reset(); // leaves no port in TIME_WAIT
        return who;
    };
    int by_other = 0;
    for (int i = 0; i < 3; ++i) {
        by_other += serve() == "other" ? 1 : 0;
    }
    for (Client& taker : takers) {
        taker.reset();
    }
    const bool at_once = serve() == "scarce" || serve() == "scarce"; // it has every second turn

    measured(std::to_string(by_other) + " of 3 served by the other; afterwards " +
             (at_once ? "used at once" : "the backend is put aside"));
    REQUIRE(by_other == 3);
    REQUIRE(at_once);
}
