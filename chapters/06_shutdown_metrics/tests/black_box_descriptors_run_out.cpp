// A machine that has run out of descriptors, seen by the operator: it has to show in the metrics, and it must
// not stand in the way of a shutdown.
//
// While no descriptor is left the accept loop is not accepting but waiting, so this is where a shutdown that
// cancels only the accept gets stuck. And since a scrape needs a descriptor too, the metrics can be read only
// afterwards: that is why failed accepts are a counter.
#include "drain.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

using namespace harness;

namespace {

constexpr unsigned descriptors = 64;

Program::Options few_descriptors() {
    Program::Options options;
    options.descriptor_limit = descriptors;
    return options;
}

/// More clients than there are descriptors, and each of them needs two.
std::vector<Client> too_many_clients(Program& harbor) {
    std::vector<Client> clients;
    for (unsigned i = 0; i < descriptors; ++i) {
        if (std::optional<Client> client = Client::try_connect(harbor.endpoint())) {
            clients.push_back(std::move(*client));
        }
    }
    eventually([&] { return harbor.process().open_descriptors() + 2 >= descriptors; },
               "the descriptors to be used up", Millis{1000});
    return clients;
}

} // namespace

TEST_CASE("accepts that fail are counted") {
    INFO(lesson(
        "more clients came than there are descriptors for, and when they had left the metrics were read",
        "an accept that fails is only waited out and not counted", "chapter 06, Counters and gauges"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}}, few_descriptors());
    REQUIRE(scrape(harbor.metrics_endpoint()).value("harbor_accept_errors_total") == 0);

    // A client whose dial fails for want of a descriptor is closed, which frees one. So a single wave may
    // just fit.
    REQUIRE(eventually(
        [&] {
            too_many_clients(harbor).clear();
            const double errors = scrape(harbor.metrics_endpoint()).value("harbor_accept_errors_total");
            return Verdict{errors >= 1, "harbor_accept_errors_total is " + std::to_string(errors)};
        },
        "an accept error to be counted"));
}

TEST_CASE("SIGTERM is obeyed while every accept fails") {
    INFO(lesson(
        "all descriptors were in use and more clients were waiting when SIGTERM came",
        "only the accept is cancelled, but the program is waiting to try again, or the wait is for ever",
        "chapter 06, A signal is an event"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_SHUTDOWN_GRACE_MS", a_minute}}, few_descriptors());

    Client client = harbor.connect();
    client.send("before");
    REQUIRE(client.receive(6) == "before");
    std::vector<Client> others = too_many_clients(harbor);
    harbor.process().send_signal(SIGTERM);
    REQUIRE(refuses_new_clients(harbor));

    client.send("after");
    REQUIRE(client.receive(5) == "after");
    client.half_close();
    REQUIRE(client.ends_cleanly());
    others.clear();
    REQUIRE(harbor.process().wait_for_exit().exited_with(0));
}
