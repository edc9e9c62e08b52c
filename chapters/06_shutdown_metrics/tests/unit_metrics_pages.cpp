// Both pages of metrics, from a balancer whose every number is known and different.
//
// Different, because the mistake to be found is a counter that stands in the place of another. What a page
// must look like is judged by the harness's strict parsers, as from outside; what only shows from inside are
// names that need escaping, which no address that can be dialled contains, and counting from several threads
// at once.
#include "balancer.hpp"
#include "metrics.hpp"

#include <harness/catch.hpp>
#include <harness/scrape.hpp>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

using harness::JsonObject;
using harness::lesson;
using Page = harness::Metrics;

namespace {

harbor::Config two_backends() {
    harbor::Config config;
    config.backends = {{"127.0.0.1", "1001"}, {"::1", "1002"}};
    return config;
}

void count(harbor::Counter& counter, int times) {
    for (int i = 0; i < times; ++i) {
        ++counter;
    }
}

} // namespace

TEST_CASE("every number stands under its own name") {
    INFO(lesson("each counter was given another value, and both pages were read",
                "two metrics are mixed up, or a value is shown twice", "chapter 06, Counters and gauges"));
    harbor::Balancer balancer{two_backends()};
    count(balancer.metrics.accepts, 11);
    count(balancer.metrics.accept_errors, 12);
    count(balancer.metrics.capacity_dropped, 13);
    count(balancer.metrics.dials, 14);
    count(balancer.metrics.dial_failures, 15);
    count(balancer.metrics.retries, 16);
    std::vector<harbor::Slot> clients;
    for (int i = 0; i < 17; ++i) {
        clients.push_back(balancer.inflight.take());
    }
    for (int i = 0; i < 7; ++i) { // the first has the first turn: four picks, and three for the other
        const harbor::Lease lease = balancer.pool.pick();
        count(lease->dial_failures, i == 0 ? 5 : 0);
        count(lease->dial_failures, i == 1 ? 6 : 0);
    }
    balancer.pool.dial_failed(*balancer.pool.pick());

    const Page page = Page::parse(harbor::metrics_as_text(balancer));
    const JsonObject object = harness::parse_json(harbor::metrics_as_json(balancer));

    const std::vector<std::pair<std::string, double>> expected = {
        {"accepts_total", 11}, {"accept_errors_total", 12}, {"capacity_dropped_total", 13},
        {"dials_total", 14},   {"dial_failures_total", 15}, {"retries_total", 16},
        {"active_conns", 17},  {"cooldown_backends", 1},
    };
    for (const auto& [name, value] : expected) {
        INFO(name);
        REQUIRE(page.value("harbor_" + name) == value);
        REQUIRE(object.number(name) == value);
    }
    REQUIRE(object.object("picks_by_backend") ==
            std::map<std::string, double>{{"127.0.0.1:1001", 4}, {"[::1]:1002", 4}});
    REQUIRE(object.object("dial_failures_by_backend") ==
            std::map<std::string, double>{{"127.0.0.1:1001", 5}, {"[::1]:1002", 6}});
    REQUIRE(page.value("harbor_picks_by_backend_total", {{"backend", "127.0.0.1:1001"}}) == 4);
    REQUIRE(page.value("harbor_dial_failures_by_backend_total", {{"backend", "127.0.0.1:1001"}}) == 5);
    REQUIRE(page.value("harbor_dial_failures_by_backend_total", {{"backend", "[::1]:1002"}}) == 6);
}

TEST_CASE("gauges are looked up when somebody asks") {
    INFO(lesson("clients left and a cooldown ended by a success between two readings",
                "a gauge is only ever raised", "chapter 06, Counters and gauges"));
    harbor::Balancer balancer{two_backends()};
    const auto gauge = [&](const std::string& name) {
        return Page::parse(harbor::metrics_as_text(balancer)).value(name);
    };
    {
        const harbor::Slot first = balancer.inflight.take();
        const harbor::Slot second = balancer.inflight.take();
        REQUIRE(gauge("harbor_active_conns") == 2);
    }
    REQUIRE(gauge("harbor_active_conns") == 0);

    const harbor::Lease lease = balancer.pool.pick();
    balancer.pool.dial_failed(*lease);
    REQUIRE(gauge("harbor_cooldown_backends") == 1);
    balancer.pool.dial_succeeded(*lease);
    REQUIRE(gauge("harbor_cooldown_backends") == 0);
}

TEST_CASE("what has a meaning inside quotes is escaped") {
    INFO(lesson("texts with a backslash, a quote and a line end were escaped",
                "a name with a quote in it ends the label early, and the whole page is dropped",
                "chapter 06, The exposition format"));
    REQUIRE(harbor::escaped("127.0.0.1:9001") == "127.0.0.1:9001");
    REQUIRE(harbor::escaped("").empty());
    REQUIRE(harbor::escaped("\\") == "\\\\");
    REQUIRE(harbor::escaped("\"") == "\\\"");
    REQUIRE(harbor::escaped("\n") == "\\n");
    REQUIRE(harbor::escaped("a\"b\\c\nd") == "a\\\"b\\\\c\\nd");
    REQUIRE(harbor::escaped("\\n") == "\\\\n"); // not a line end
}

TEST_CASE("an escaped name is read as it was in both forms") {
    INFO(lesson("a name with all three characters stood in a label and in a JSON string",
                "one of the two forms needs an escape that the other does not know",
                "chapter 06, The exposition format"));
    const std::string name = "say \"hello\"\\\nand go";

    const Page page = Page::parse("x{backend=\"" + harbor::escaped(name) + "\"} 1\n");
    const JsonObject object = harness::parse_json("{\"" + harbor::escaped(name) + "\": 1}");

    REQUIRE(page.has("x", {{"backend", name}}));
    REQUIRE(object.number(name) == 1);
}

TEST_CASE("a backend's name is escaped in both pages") {
    INFO(lesson("a backend was configured whose name contains a line end",
                "the name is put between the quotes as it is", "chapter 06, The exposition format"));
    // The configuration does not let such a name through. But the resolver skips blanks before a port (it
    // reads it with strtoul), so a backend can be made that has one.
    harbor::Config config;
    config.backends = {{"127.0.0.1", "\n1001"}};
    try {
        harbor::resolve(config.backends.front(), "BACKENDS");
    } catch (const std::exception&) {
        SUCCEED("this system's resolver is stricter");
        return;
    }
    const harbor::Balancer balancer{config};

    const Page page = Page::parse(harbor::metrics_as_text(balancer));
    const JsonObject object = harness::parse_json(harbor::metrics_as_json(balancer));

    REQUIRE(page.has("harbor_picks_by_backend_total", {{"backend", "127.0.0.1:\n1001"}}));
    REQUIRE(object.object("picks_by_backend").count("127.0.0.1:\n1001") == 1);
}

TEST_CASE("a counter loses nothing when all threads count at once") {
    INFO(lesson("four threads counted to 50000 each",
                "the value is read, increased and written back, in three steps",
                "chapter 06, Counters and gauges"));
    harbor::Counter counter;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&counter] { count(counter, 50000); });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    REQUIRE(counter.value() == 200000);
}
