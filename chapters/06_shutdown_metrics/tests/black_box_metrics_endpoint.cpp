// The metrics port as a small HTTP server: whoever can reach it can send it anything.
//
// The balancer's work must not depend on how its scrapers behave. So what is not understood is refused with
// the status that says why, nothing is read without bound, and nobody who is slow or silent makes others
// wait. How much of HTTP that takes: one request, one reply, and the connection is closed (RFC 9112).
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <string>
#include <vector>

using namespace harness;

namespace {

/// The whole reply to bytes that need not be a request; the sender does not mind if not all of it is taken.
HttpReply reply_to(const Endpoint& metrics, const std::string& bytes) {
    Client client(metrics);
    client.try_send(bytes);
    return parse_http_reply(client.receive_until_end().bytes);
}

} // namespace

TEST_CASE("the path is metrics and nothing else") {
    INFO(lesson("paths were asked for that look a little like /metrics, or not at all",
                "only the beginning of the path is looked at, or the path is not looked at",
                "chapter 06, As much of HTTP as it takes"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    for (const char* path : {"/", "/metric", "/metricsx", "/favicon.ico", "/x?y=/metrics"}) {
        INFO(path);
        const HttpReply reply = http_get(harbor.metrics_endpoint(), path);
        REQUIRE(reply.status == 404);
        REQUIRE(reply.ending == Ending::end_of_stream);
    }
}

TEST_CASE("a query does not change the path") {
    INFO(lesson("GET /metrics?format=prometheus, as some dashboards send it",
                "the query is taken for a part of the path", "chapter 06, As much of HTTP as it takes"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    const HttpReply reply = http_get(harbor.metrics_endpoint(), "/metrics?format=prometheus");

    REQUIRE(reply.status == 200);
    REQUIRE(Metrics::parse(reply.body).has("harbor_accepts_total"));
}

TEST_CASE("another method is refused and told what is allowed") {
    INFO(lesson("POST, PUT and DELETE were sent to /metrics",
                "the method is not looked at, or the refusal lacks Allow (RFC 9110, section 15.5.6)",
                "chapter 06, As much of HTTP as it takes"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    for (const std::string method : {"POST", "PUT", "DELETE"}) {
        INFO(method);
        const HttpReply reply =
            reply_to(harbor.metrics_endpoint(),
                     method + " /metrics HTTP/1.1\r\nHost: harbor\r\nContent-Length: 0\r\n\r\n");
        REQUIRE(reply.status == 405);
        REQUIRE(contains(reply.header("Allow"), "GET"));
    }
}

TEST_CASE("what is not HTTP is refused") {
    INFO(lesson("four heads that are no HTTP requests were sent",
                "the request line is not taken apart, so anything with /metrics in it is answered",
                "chapter 06, As much of HTTP as it takes"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    for (const std::string rubbish : {"hello\r\n\r\n", "GET /metrics\r\n\r\n", "GET /metrics FTP/1.1\r\n\r\n",
                                      "\x16\x03\x01 \x02 \x01\r\n\r\n"}) {
        INFO(printable(rubbish));
        REQUIRE(reply_to(harbor.metrics_endpoint(), rubbish).status == 400);
    }
    REQUIRE(scrape(harbor.metrics_endpoint()).value("harbor_accepts_total") == 0);
}

TEST_CASE("a head that does not end is refused") {
    INFO(lesson("a request was sent whose one header is 64 KiB long, and then goes on",
                "a request is read until its end, however long: a scraper can fill the memory; or the socket "
                "is closed "
                "with bytes unread, which sends a reset that may overtake the answer",
                "chapter 06, Bounds for scrapers"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    Client scraper(harbor.metrics_endpoint());
    scraper.send("GET /metrics HTTP/1.1\r\nX-Long: " + std::string(64 * 1024, 'x'));
    const Received all = scraper.receive_until_end();

    REQUIRE(parse_http_reply(all.bytes).status == 431);
    REQUIRE(all.ends_cleanly());
    scrape(harbor.metrics_endpoint());
}

TEST_CASE("a request that comes byte by byte is answered") {
    INFO(lesson("every byte of the request came in a segment of its own",
                "what the first read gives is taken for the whole request",
                "chapter 06, As much of HTTP as it takes"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    Client scraper(harbor.metrics_endpoint());
    scraper.send_byte_by_byte("GET /metrics HTTP/1.1\r\nHost: harbor\r\nAccept: application/json\r\n\r\n");

    const HttpReply reply = parse_http_reply(scraper.receive_until_end().bytes);
    REQUIRE(reply.status == 200);
    REQUIRE(parse_json(reply.body).number("accepts_total") == 0);
}

TEST_CASE("a scraper may half-close after its request") {
    INFO(lesson("the request was sent and FIN after it, as nc -N does",
                "the end of stream is taken for a scraper that has left",
                "chapter 06, As much of HTTP as it takes"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    Client scraper(harbor.metrics_endpoint());
    scraper.send("GET /metrics HTTP/1.0\r\n\r\n");
    scraper.half_close();

    const Received all = scraper.receive_until_end();
    REQUIRE(all.ends_cleanly());
    const HttpReply reply = parse_http_reply(all.bytes);
    REQUIRE(reply.status == 200);
    REQUIRE(Metrics::parse(reply.body).has("harbor_accepts_total"));
}

TEST_CASE("silent scrapers hold up nobody") {
    INFO(
        lesson("twenty scrapers connected, of whom ten said nothing and ten half a request; then others came",
               "scrapers are served one after the other, so one that is silent blocks the metrics, or even "
               "the clients",
               "chapter 06, Bounds for scrapers"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    std::vector<Client> silent;
    for (int i = 0; i < 20; ++i) {
        silent.emplace_back(harbor.metrics_endpoint());
        if (i % 2 == 1) {
            silent.back().send("GET /metrics HTTP/1.1\r\nHost");
        }
    }

    for (int i = 0; i < 5; ++i) {
        Client client = harbor.connect();
        client.send("hello");
        REQUIRE(client.receive(5) == "hello");
        REQUIRE(scrape(harbor.metrics_endpoint()).value("harbor_accepts_total") == i + 1);
    }
}

TEST_CASE("a scraper that never asks is closed in time") {
    INFO(
        lesson("one scraper said nothing, one stopped in the middle, one went on sending a byte now and then",
               "a request has no deadline, or one that each byte pushes on: a few such scrapers use up all "
               "descriptors",
               "chapter 06, Bounds for scrapers"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});
    const Millis in_time = 2 * patience();

    Client silent(harbor.metrics_endpoint());
    Client stopped(harbor.metrics_endpoint());
    stopped.send("GET /metrics HTTP/1.1\r\nX-");
    Client dripping(harbor.metrics_endpoint());
    dripping.send("GET /metrics HTTP/1.1\r\nX-Slow: ");

    REQUIRE(eventually([&] { return !dripping.try_send("x").ok; }, "the slow one to be closed", in_time));
    REQUIRE(silent.receive_until_end(in_time).ending != Ending::silence);
    REQUIRE(stopped.receive_until_end(in_time).ending != Ending::silence);
    scrape(harbor.metrics_endpoint());
}

TEST_CASE("scrapers that leave in the middle do no harm") {
    INFO(lesson("scrapers reset their connections before, during and after their requests",
                "an error on one connection ends the loop that accepts, or the program",
                "chapter 06, Bounds for scrapers"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    for (int i = 0; i < 10; ++i) {
        for (const char* said : {"", "GET /met", "GET /metrics HTTP/1.1\r\nHost: harbor\r\n\r\n"}) {
            Client scraper(harbor.metrics_endpoint());
            scraper.send(said);
            scraper.reset();
        }
    }

    REQUIRE(scrape(harbor.metrics_endpoint()).value("harbor_accepts_total") == 0);
}
