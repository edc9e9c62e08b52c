// The parsers, on good text and on all the ways to write it badly.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/scrape.hpp>

using namespace harness;

namespace {

// Answers each request with `reply`.
Behaviour web_server(const std::string& reply) {
    return [reply](Peer& peer) {
        for (std::string line = peer.receive_line(); line != "\r"; line = peer.receive_line()) {
        }
        peer.send(reply);
        peer.half_close();
        peer.drain(forever);
    };
}

const std::string good_page = "# HELP requests_total How many.\n"
                              "# TYPE requests_total counter\n"
                              "requests_total{backend=\"127.0.0.1:1\",code=\"a\\\"b\\\\c\\nd\"} 3\n"
                              "requests_total{backend=\"127.0.0.1:2\",} 4.5e3 1700000000000\n"
                              "\n"
                              "# a comment\n"
                              "# TYPE open gauge\n"
                              "open -1\n";

} // namespace

TEST_CASE("a good page is understood") {
    const Metrics page = Metrics::parse(good_page);
    REQUIRE(page.value("requests_total", {{"backend", "127.0.0.1:1"}, {"code", "a\"b\\c\nd"}}) == 3);
    REQUIRE(page.value("requests_total", {{"backend", "127.0.0.1:2"}}) == 4500);
    REQUIRE(page.value("open") == -1);
    REQUIRE(page.type("requests_total") == "counter");
    REQUIRE(page.help("requests_total") == "How many.");
    REQUIRE(page.has("open"));
    REQUIRE_FALSE(page.has("closed"));
    REQUIRE(page.samples("requests_total").size() == 2);
    REQUIRE_THROWS_AS(page.value("requests_total"), Failure);
}

TEST_CASE("the samples of a histogram belong to it") {
    const Metrics page =
        Metrics::parse("# HELP wait_seconds How long.\n# TYPE wait_seconds histogram\n"
                       "wait_seconds_bucket{le=\"0.1\"} 1\nwait_seconds_bucket{le=\"+Inf\"} 3\n"
                       "wait_seconds_sum 2.5\nwait_seconds_count 3\n"
                       "# TYPE head_count gauge\nhead_count 7\n");
    for (const std::string name :
         {"wait_seconds", "wait_seconds_bucket", "wait_seconds_sum", "wait_seconds_count"}) {
        INFO(name);
        REQUIRE(page.type(name) == "histogram");
        REQUIRE(page.help(name) == "How long.");
    }
    REQUIRE(page.value("wait_seconds_bucket", {{"le", "+Inf"}}) == 3);
    REQUIRE(page.type("head_count") == "gauge"); // only called so: no histogram is called `head`
    REQUIRE(page.type("head").empty());
    REQUIRE(page.samples("wait_seconds").empty());
}

TEST_CASE("a bad page is refused") {
    const std::string bad =
        GENERATE(as<std::string>(), "x 1", // no newline
                 "x\n", "x one\n", "1x 1\n", "x{a=b} 1\n", "x{a=\"b} 1\n", "x{a=\"b\" c=\"d\"} 1\n",
                 "x{a=\"\\q\"} 1\n", "x{a=\"b\",a=\"c\"} 1\n", "x 1\nx 2\n", "x 1 soon\n", "x 1 2 3\n",
                 "# TYPE x number\nx 1\n", "x 1\n# TYPE x counter\n", "# TYPE x counter\n# TYPE x counter\n",
                 "x 1\ny 1\nx{a=\"b\"} 1\n", "x 0x10\n", "# HELP x a\n# HELP x b\n");
    INFO(bad);
    REQUIRE_THROWS_AS(Metrics::parse(bad), Failure);
}

TEST_CASE("the complaint shows the line") {
    std::string text;
    try {
        Metrics::parse("good 1\nbad one\n");
    } catch (const Failure& failure) {
        text = failure.what();
    }
    REQUIRE(contains(text, "line 2"));
    REQUIRE(contains(text, "bad one"));
}

TEST_CASE("good JSON is understood") {
    const JsonObject object = parse_json(" {\"a\": 1, \"b\": {\"x\\u0041\": -2.5e1, \"y\": 0}, \"c\": {}}\n");
    REQUIRE(object.number("a") == 1);
    REQUIRE(object.object("b").at("xA") == -25);
    REQUIRE(object.object("c").empty());
    REQUIRE_THROWS_AS(object.number("b"), Failure);
    REQUIRE_THROWS_AS(object.object("z"), Failure);
    REQUIRE(parse_json("{}").numbers.empty());
}

TEST_CASE("bad JSON is refused") {
    const std::string bad = GENERATE(as<std::string>(), "", "{", "[]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}",
                                     "{\"a\":01}", "{\"a\":1.}", "{\"a\":+1}", "{\"a\":\"1\"}", "{\"a\":1} x",
                                     "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":{}}}", "{\"a\":NaN}", "{\"a\n\":1}",
                                     "{\"a\":{\"b\":1,\"b\":1}}", "{\"\\q\":1}", "{\"a\":1\"b\":2}");
    INFO(bad);
    REQUIRE_THROWS_AS(parse_json(bad), Failure);
}

TEST_CASE("an HTTP reply is taken apart") {
    const HttpReply reply =
        parse_http_reply("HTTP/1.1 404 Not Found\r\nContent-Type:  text/plain \r\n\r\nbody");
    REQUIRE(reply.status == 404);
    REQUIRE(reply.reason == "Not Found");
    REQUIRE(reply.header("content-TYPE") == "text/plain");
    REQUIRE(reply.body == "body");
    REQUIRE_THROWS_AS(parse_http_reply("HTTP/1.1 404 Not Found\r\n"), Failure);
    REQUIRE_THROWS_AS(parse_http_reply("HELLO\r\n\r\n"), Failure);
    REQUIRE_THROWS_AS(parse_http_reply("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), Failure);
}

TEST_CASE("a page is scraped") {
    Backend web(web_server("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: " +
                           std::to_string(good_page.size()) + "\r\n\r\n" + good_page));
    REQUIRE(scrape(web.endpoint()).value("open") == -1);
    REQUIRE(metric_becomes(web.endpoint(), "open", -1));
    REQUIRE(contains(web.connection(1).received, "GET /metrics HTTP/1.1\r\n"));
}

TEST_CASE("JSON is scraped") {
    Backend web(web_server("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}"));
    REQUIRE(scrape_json(web.endpoint()).number("a") == 1);
    REQUIRE(contains(web.connection(1).received, "Accept: application/json\r\n"));
}

TEST_CASE("what is not a metrics page is refused") {
    Backend missing(web_server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
    REQUIRE_THROWS_AS(scrape(missing.endpoint()), Failure);
    Backend plain(web_server("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"));
    REQUIRE_THROWS_AS(scrape(plain.endpoint()), Failure);
    Backend rude(web_server("go away"));
    REQUIRE_THROWS_AS(scrape(rude.endpoint()), Failure);
    Backend longer(web_server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc"));
    REQUIRE_THROWS_AS(http_get(longer.endpoint(), "/"), Failure);
}
