// Both pages of metrics, from a balancer whose every number is known and different.
//
// Different, because the mistake to be found is a counter that stands in the place of another, or one of the
// workers that was left out of a sum. What a page must look like is judged by the harness's strict parsers,
// as from outside.
#include "balancer.hpp"
#include "metrics.hpp"

#include <harness/catch.hpp>
#include <harness/scrape.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using harbor::Counter;
using harbor::End;
using harbor::Histogram;
using harbor::WorkerMetrics;
using harness::JsonObject;
using Page = harness::Metrics;

namespace {

harbor::Config two_backends_and_three_workers() {
    harbor::Config config;
    config.backends = {{"127.0.0.1", "1001"}, {"::1", "1002"}};
    config.threads = 3;
    return config;
}

Page page_of(const harbor::Balancer& balancer) {
    return Page::parse(harbor::metrics_as_text(balancer));
}

/// Gives the counter of each worker another share, so that only the sum of all is `total`.
void share_out(harbor::Balancer& balancer, Counter WorkerMetrics::* counter, std::uint64_t total) {
    (balancer.metrics[0].*counter).add(total - 3);
    (balancer.metrics[1].*counter).add();
    (balancer.metrics[2].*counter).add(2);
}

} // namespace

TEST_CASE("every number stands under its own name and is the sum over all workers") {
    harbor::Balancer balancer(two_backends_and_three_workers());
    REQUIRE(balancer.metrics.size() == 3);
    const std::map<std::string, Counter WorkerMetrics::*> counters = {
        {"accepts_total", &WorkerMetrics::accepts},
        {"accept_errors_total", &WorkerMetrics::accept_errors},
        {"capacity_dropped_total", &WorkerMetrics::capacity_dropped},
        {"dials_total", &WorkerMetrics::dials},
        {"dial_failures_total", &WorkerMetrics::dial_failures},
        {"retries_total", &WorkerMetrics::retries},
        {"buffers_in_use", &WorkerMetrics::buffers_taken},
        {"buffers_free", &WorkerMetrics::buffers_kept},
        {"pipes_free", &WorkerMetrics::pipes_kept},
        {"timers", &WorkerMetrics::timers},
    };
    std::uint64_t value = 100;
    std::map<std::string, std::uint64_t> expected;
    for (const auto& [name, counter] : counters) {
        expected[name] = value;
        share_out(balancer, counter, value++);
    }
    share_out(balancer, &WorkerMetrics::bytes_to_backend,
              5'000'000'000'000'001); // more than a float can hold
    share_out(balancer, &WorkerMetrics::bytes_to_client, 202);
    std::vector<harbor::Slot> clients;
    for (int i = 0; i < 17; ++i) {
        clients.push_back(balancer.inflight.take());
    }
    for (std::size_t worker = 0; worker < 3; ++worker) {
        for (std::size_t backend = 0; backend < 2; ++backend) {
            balancer.metrics[worker].backends[backend].picks.add(1 + worker + 10 * backend);
            balancer.metrics[worker].backends[backend].dial_failures.add(2 + worker + 20 * backend);
        }
    }
    const harbor::Lease first = balancer.pool.pick();
    const harbor::Lease second = balancer.pool.pick();
    const harbor::Lease third = balancer.pool.pick();
    balancer.pool.dial_failed(*second);

    const Page page = page_of(balancer);
    for (const auto& [name, number] : expected) {
        INFO(name);
        REQUIRE(page.value("harbor_" + name) == static_cast<double>(number));
    }
    REQUIRE(page.text().find("harbor_bytes_total{direction=\"to_backend\"} 5000000000000001\n") !=
            std::string::npos);
    REQUIRE(page.value("harbor_bytes_total", {{"direction", "to_client"}}) == 202);
    REQUIRE(page.value("harbor_active_conns") == 17);
    REQUIRE(page.value("harbor_cooldown_backends") == 1);
    REQUIRE(page.value("harbor_picks_by_backend_total", {{"backend", "127.0.0.1:1001"}}) == 6);
    REQUIRE(page.value("harbor_picks_by_backend_total", {{"backend", "[::1]:1002"}}) == 36);
    REQUIRE(page.value("harbor_dial_failures_by_backend_total", {{"backend", "127.0.0.1:1001"}}) == 9);
    REQUIRE(page.value("harbor_dial_failures_by_backend_total", {{"backend", "[::1]:1002"}}) == 69);
    REQUIRE(page.value("harbor_backend_connections", {{"backend", "127.0.0.1:1001"}}) == 2);
    REQUIRE(page.value("harbor_backend_connections", {{"backend", "[::1]:1002"}}) == 1);
    REQUIRE(page.value("harbor_workers") == 3);

    const JsonObject object = harness::parse_json(harbor::metrics_as_json(balancer));
    for (const char* name : {"accepts_total", "accept_errors_total", "capacity_dropped_total", "dials_total",
                             "dial_failures_total", "retries_total"}) {
        INFO(name);
        REQUIRE(object.number(name) == static_cast<double>(expected.at(name)));
    }
    REQUIRE(object.number("active_conns") == 17);
    REQUIRE(object.number("cooldown_backends") == 1);
    REQUIRE(object.object("picks_by_backend") ==
            std::map<std::string, double>{{"127.0.0.1:1001", 6}, {"[::1]:1002", 36}});
    REQUIRE(object.object("dial_failures_by_backend") ==
            std::map<std::string, double>{{"127.0.0.1:1001", 9}, {"[::1]:1002", 69}});
}

TEST_CASE("the JSON object has the members of the contract and no others") {
    const harbor::Balancer balancer(two_backends_and_three_workers());
    const JsonObject object = harness::parse_json(harbor::metrics_as_json(balancer));
    std::set<std::string> numbers;
    for (const auto& [name, value] : object.numbers) {
        numbers.insert(name);
        REQUIRE(value == 0);
    }
    REQUIRE(numbers == std::set<std::string>{"accepts_total", "accept_errors_total", "capacity_dropped_total",
                                             "active_conns", "dials_total", "dial_failures_total",
                                             "retries_total", "cooldown_backends"});
    std::set<std::string> objects;
    for (const auto& [name, members] : object.objects) {
        objects.insert(name);
        REQUIRE(members.size() == 2);
    }
    REQUIRE(objects == std::set<std::string>{"picks_by_backend", "dial_failures_by_backend"});
}

TEST_CASE("every family says what it is and has a name to match") {
    harbor::Balancer balancer(two_backends_and_three_workers());
    const Page page = page_of(balancer);
    const std::set<std::string> known = {"counter", "gauge", "histogram"};
    for (const std::string& name : page.names()) {
        INFO(name);
        REQUIRE(name.starts_with("harbor_"));
        REQUIRE(known.count(page.type(name)) == 1);
        REQUIRE(page.help(name).size() > 10);
        REQUIRE(page.help(name).back() == '.');
        REQUIRE((page.type(name) == "counter") == name.ends_with("_total"));
    }
}

TEST_CASE("each reason for an end has a counter of its own and a name") {
    harbor::Balancer balancer(two_backends_and_three_workers());
    for (std::size_t i = 0; i < harbor::number_of_ends; ++i) {
        for (std::size_t times = 0; times <= i; ++times) {
            balancer.metrics[times % 3].ended(static_cast<End>(i));
        }
    }
    const Page page = page_of(balancer);
    std::set<std::string> names;
    for (std::size_t i = 0; i < harbor::number_of_ends; ++i) {
        const std::string reason(to_text(static_cast<End>(i)));
        INFO(reason);
        REQUIRE(names.insert(reason).second);
        REQUIRE(page.value("harbor_connections_ended_total", {{"reason", reason}}) ==
                static_cast<double>(i + 1));
    }
    REQUIRE(page.samples("harbor_connections_ended_total").size() == harbor::number_of_ends);
    REQUIRE(to_text(End::client_end) == "client_end");
    REQUIRE(to_text(End::out_of_resources) == "out_of_resources");
}

TEST_CASE("a duration is counted in the first bucket that it is not longer than") {
    for (std::size_t i = 0; i < Histogram::bounds.size(); ++i) {
        const auto bound =
            std::chrono::round<std::chrono::nanoseconds>(std::chrono::duration<double>(Histogram::bounds[i]));
        INFO(bound.count() << " ns");
        Histogram histogram;
        histogram.observe(bound);
        REQUIRE(histogram.count_in_bucket(i) == 1); // the bound itself belongs to it: `le`
        histogram.observe(bound - 1ns);
        REQUIRE(histogram.count_in_bucket(i) == 2);
        histogram.observe(bound + 1ns);
        REQUIRE(histogram.count_in_bucket(i) == 2);
        REQUIRE(histogram.count_in_bucket(i + 1) == 1);
        REQUIRE(std::abs(histogram.sum_in_seconds() - 3 * Histogram::bounds[i]) < 1e-9);
    }
    Histogram histogram;
    histogram.observe(0ns);
    REQUIRE(histogram.count_in_bucket(0) == 1);
    histogram.observe(24h);
    REQUIRE(histogram.count_in_bucket(Histogram::bounds.size()) == 1);
    REQUIRE(histogram.sum_in_seconds() == 86400);
}

TEST_CASE("bucket bounds rise") {
    REQUIRE(std::is_sorted(Histogram::bounds.begin(), Histogram::bounds.end()));
    REQUIRE(std::adjacent_find(Histogram::bounds.begin(), Histogram::bounds.end()) ==
            Histogram::bounds.end());
}

TEST_CASE("a histogram on the page is cumulative and sums up all workers") {
    harbor::Balancer balancer(two_backends_and_three_workers());
    balancer.metrics[0].dial_seconds.observe(200us);
    balancer.metrics[1].dial_seconds.observe(200us);
    balancer.metrics[2].dial_seconds.observe(3ms);
    balancer.metrics[2].dial_seconds.observe(1h);
    balancer.metrics[1].connection_seconds.observe(1500ms);

    const Page page = page_of(balancer);
    const std::string dial = "harbor_dial_duration_seconds";
    REQUIRE(page.type(dial + "_bucket") == "histogram");
    const std::map<std::string, double> expected = {{"0.0001", 0}, {"0.00025", 2}, {"0.0025", 2},
                                                    {"0.005", 3},  {"300", 3},     {"+Inf", 4}};
    for (const auto& [bound, count] : expected) {
        INFO("le " << bound);
        REQUIRE(page.value(dial + "_bucket", {{"le", bound}}) == count);
    }
    REQUIRE(page.samples(dial + "_bucket").size() == Histogram::bounds.size() + 1);
    REQUIRE(page.value(dial + "_count") == 4);
    REQUIRE(std::abs(page.value(dial + "_sum") - 3600.0034) < 1e-5);
    REQUIRE(page.value("harbor_connection_duration_seconds_bucket", {{"le", "1"}}) == 0);
    REQUIRE(page.value("harbor_connection_duration_seconds_bucket", {{"le", "2.5"}}) == 1);
    REQUIRE(page.value("harbor_connection_duration_seconds_count") == 1);
    REQUIRE(page.value("harbor_connection_duration_seconds_sum") == 1.5);
}

TEST_CASE("drain and build are on the page") {
    harbor::Balancer balancer(two_backends_and_three_workers());
    REQUIRE(page_of(balancer).value("harbor_draining") == 0);
    balancer.draining = true;
    const Page page = page_of(balancer);
    REQUIRE(page.value("harbor_draining") == 1);
    const auto build = page.samples("harbor_build_info");
    REQUIRE(build.size() == 1);
    REQUIRE(build.begin()->second == 1);
    REQUIRE(build.begin()->first.count("version") == 1);
    REQUIRE_FALSE(build.begin()->first.at("version").empty());
}

TEST_CASE("a control character in a name leaves the JSON well formed") {
    const std::string name = "a\"b\\c\nd\x01\te\x1f";
    const std::string json = "{\"names\":{\"" + harbor::for_json(harbor::escaped(name)) + "\":1}}";
    REQUIRE(harness::parse_json(json).object("names").begin()->first == name);
}

TEST_CASE("quotes and backslashes and line ends are escaped") {
    REQUIRE(harbor::escaped("plain:80") == "plain:80");
    REQUIRE(harbor::escaped("a\"b\\c\nd") == "a\\\"b\\\\c\\nd");
    REQUIRE(harbor::escaped("").empty());
}

TEST_CASE("pages can be made while all workers count") {
    harbor::Balancer balancer(two_backends_and_three_workers());
    std::atomic<bool> done{false};
    std::vector<std::thread> workers;
    for (WorkerMetrics& metrics : balancer.metrics) {
        workers.emplace_back([&metrics, &done] {
            do { // each at least once, also where a thread gets the processor only when all is over
                metrics.accepts.add();
                metrics.ended(End::client_end);
                metrics.dial_seconds.observe(1ms);
                metrics.backends[1].picks.add();
                metrics.show(1, 2, 3, 4);
            } while (!done);
        });
    }
    double before = 0;
    bool grows = true;
    for (int i = 0; i < 50; ++i) {
        const double accepts = page_of(balancer).value("harbor_accepts_total");
        grows = grows && accepts >= before;
        before = accepts;
    }
    done = true;
    for (std::thread& worker : workers) {
        worker.join();
    }
    REQUIRE(grows);
    const Page page = page_of(balancer);
    REQUIRE(page.value("harbor_accepts_total") ==
            page.value("harbor_connections_ended_total", {{"reason", "client_end"}}));
    REQUIRE(page.value("harbor_accepts_total") == page.value("harbor_dial_duration_seconds_count"));
    REQUIRE(page.value("harbor_buffers_in_use") == 3);
}
