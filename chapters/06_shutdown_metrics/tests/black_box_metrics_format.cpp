// The two forms of /metrics, read by parsers that forgive nothing.
//
// A scraper drops the whole page for one malformed line, and the graph stays empty until the night somebody
// needs it. So the form is part of the contract as much as the numbers are: names, types, labels, the content
// type, the length. The format is described at https://prometheus.io/docs/instrumenting/exposition_formats/
// (text, version 0.0.4).
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <atomic>
#include <future>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace harness;

namespace {

// As in the contract. The text names add the prefix `harbor_`, and `_total` to what is kept by backend.
const std::set<std::string> single_names = {"accepts_total", "accept_errors_total", "capacity_dropped_total",
                                            "active_conns",  "dials_total",         "dial_failures_total",
                                            "retries_total", "cooldown_backends"};
const std::set<std::string> names_by_backend = {"picks_by_backend", "dial_failures_by_backend"};

std::string text_name(const std::string& name) {
    return "harbor_" + name + (names_by_backend.contains(name) ? "_total" : "");
}

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// Something to tell: one backend is down, the other has served two clients, of whom one is still there.
Client some_traffic(const Program& harbor) {
    for (int i = 0;; ++i) {
        Client client = harbor.connect();
        client.send("x");
        REQUIRE(client.receive(1) == "x");
        if (i == 1) {
            return client;
        }
        client.half_close();
        REQUIRE(client.ends_cleanly());
    }
}

} // namespace

TEST_CASE("the page says what it is and how long") {
    INFO(lesson(
        "GET /metrics, as a scraper sends it",
        "the content type does not name the format and its version, or the length is not that of the body",
        "chapter 06, The exposition format"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    const HttpReply reply = http_get(harbor.metrics_endpoint(), "/metrics");

    INFO(reply);
    REQUIRE(reply.status == 200);
    REQUIRE(reply.header("Content-Type").substr(0, 25) == "text/plain; version=0.0.4");
    REQUIRE(reply.header("Content-Length") == std::to_string(reply.body.size()));
    REQUIRE(reply.ending == Ending::end_of_stream);
    REQUIRE_FALSE(reply.body.empty());
    Metrics::parse(reply.body);
}

TEST_CASE("every metric has a type and a help text and a name that fits") {
    INFO(lesson("GET /metrics, and each family was looked at",
                "a TYPE or HELP line is missing, a counter does not end in _total, or a gauge does",
                "chapter 06, The exposition format"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    const Metrics page = scrape(harbor.metrics_endpoint());

    for (const std::string& name : page.names()) {
        INFO(name);
        REQUIRE_FALSE(page.help(name).empty());
        const std::string type = page.type(name);
        REQUIRE((type == "counter" || type == "gauge" || type == "histogram"));
        REQUIRE(ends_with(name, "_total") == (type == "counter"));
    }
    for (const std::set<std::string>& names : {single_names, names_by_backend}) {
        for (const std::string& name : names) {
            INFO(text_name(name));
            REQUIRE_FALSE(page.samples(text_name(name)).empty());
        }
    }
    REQUIRE(page.type("harbor_active_conns") == "gauge");
    REQUIRE(page.type("harbor_cooldown_backends") == "gauge");
}

TEST_CASE("each backend has a sample of its own under its configured name") {
    INFO(lesson(
        "three backends were configured, one of them with an IPv6 address, and nobody connected",
        "the label is a resolved address or an index instead of what stands in BACKENDS, or other labels "
        "were added",
        "chapter 06, The exposition format"));
    Backend a(behave::echo());
    Backend b(behave::echo());
    const std::string v6 = "[::1]:" + std::to_string(a.endpoint().port);
    Program harbor({{"BACKENDS", addresses({&a, &b}) + "," + v6}});

    const Metrics page = scrape(harbor.metrics_endpoint());

    const std::map<Labels, double> expected = {
        {{{"backend", a.address()}}, 0}, {{{"backend", b.address()}}, 0}, {{{"backend", v6}}, 0}};
    REQUIRE(page.samples("harbor_picks_by_backend_total") == expected);
    REQUIRE(page.samples("harbor_dial_failures_by_backend_total") == expected);
}

TEST_CASE("the JSON form has exactly the members of the contract") {
    INFO(lesson("GET /metrics with Accept: application/json",
                "a member is missing, misspelt, one too many, or a string instead of a number",
                "chapter 06, The JSON form"));
    Backend a(behave::echo());
    Backend b(behave::echo());
    Program harbor({{"BACKENDS", addresses({&a, &b})}});

    const HttpReply reply = http_get(harbor.metrics_endpoint(), "/metrics", {{"Accept", "application/json"}});

    INFO(reply);
    REQUIRE(reply.status == 200);
    REQUIRE(reply.header("Content-Type").substr(0, 16) == "application/json");
    REQUIRE(reply.header("Content-Length") == std::to_string(reply.body.size()));
    const JsonObject object = parse_json(reply.body);
    std::set<std::string> numbers;
    for (const auto& [name, value] : object.numbers) {
        numbers.insert(name);
    }
    REQUIRE(numbers == single_names);
    std::set<std::string> objects;
    const std::map<std::string, double> zeros = {{a.address(), 0}, {b.address(), 0}};
    for (const auto& [name, values] : object.objects) {
        objects.insert(name);
        REQUIRE(values == zeros);
    }
    REQUIRE(objects == names_by_backend);
}

TEST_CASE("the text and the JSON form tell the same") {
    INFO(lesson("after some traffic, with one client still there and one backend down, both forms were read",
                "the two forms are put together in two places, and one of them was forgotten",
                "chapter 06, The JSON form"));
    Backend down = Backend::refusing();
    Backend up(behave::echo());
    Program harbor({{"BACKENDS", addresses({&down, &up})}, {"LB_BACKEND_COOLDOWN_MS", "60000"}});
    const Endpoint metrics = harbor.metrics_endpoint();

    const Client staying = some_traffic(harbor);
    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 1));
    const Metrics page = scrape(metrics);
    const JsonObject object = scrape_json(metrics);

    for (const std::string& name : single_names) {
        INFO(name);
        REQUIRE(page.value(text_name(name)) == object.number(name));
    }
    for (const std::string& name : names_by_backend) {
        for (const Backend* backend : {&down, &up}) {
            INFO(name << " " << backend->address());
            REQUIRE(page.value(text_name(name), {{"backend", backend->address()}}) ==
                    object.object(name).at(backend->address()));
        }
    }
    REQUIRE(object.number("accepts_total") == 2);
    REQUIRE(object.number("cooldown_backends") == 1);
    REQUIRE(object.object("picks_by_backend").at(up.address()) == 2);
}

TEST_CASE("scrapes under traffic are well formed and counters never go back") {
    INFO(lesson(
        "three clients connected again and again while both forms were read 150 times",
        "numbers are written while they change, a counter is reset, or a gauge goes below zero and wraps",
        "chapter 06, Counters and gauges"));
    Backend down = Backend::refusing();
    Backend up(behave::echo());
    Program harbor({{"BACKENDS", addresses({&down, &up})}, {"LB_BACKEND_COOLDOWN_MS", "20"}});
    const Endpoint metrics = harbor.metrics_endpoint();

    std::atomic<bool> enough = false;
    const auto come_and_go = [&] {
        int served = 0;
        while (!enough) {
            Client client = harbor.connect();
            client.send("x");
            if (client.receive(1) != "x") {
                throw Failure("another byte came back");
            }
            ++served;
        }
        return served;
    };
    std::vector<std::future<int>> traffic;
    for (int i = 0; i < 3; ++i) {
        traffic.push_back(std::async(std::launch::async, come_and_go));
    }

    Verdict good = Verdict::yes("all pages");
    try {
        std::map<std::string, double> before;
        for (int i = 0; good && i < 150; ++i) {
            // The JSON form has the same names without prefix; only its form is judged here.
            scrape_json(metrics);
            const Metrics page = scrape(metrics);
            for (const std::string& name : page.names()) {
                for (const auto& [labels, value] : page.samples(name)) {
                    const std::string key = name + (labels.empty() ? "" : labels.begin()->second);
                    if (page.type(name) == "counter" && value < before[key]) {
                        good = Verdict::no(key + " was " + std::to_string(before[key]) + " and is " +
                                           std::to_string(value));
                    }
                    before[key] = value;
                }
            }
            const double open = page.value("harbor_active_conns");
            if (good && (open < 0 || open > 1000)) {
                good = Verdict::no("harbor_active_conns is " + std::to_string(open));
            }
        }
    } catch (const Failure& failure) {
        good = Verdict::no(failure.what());
    }
    enough = true;
    int served = 0;
    for (std::future<int>& client : traffic) {
        served += client.get();
    }
    REQUIRE(good);
    REQUIRE(served > 0);
    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 0));
    REQUIRE(scrape(metrics).value("harbor_accepts_total") == served);
}
