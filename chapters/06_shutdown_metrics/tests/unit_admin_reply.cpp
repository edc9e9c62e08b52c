// The reply to each kind of request head. No sockets: a head goes in, a whole reply comes out.
//
// The black-box tests send what scrapers send. Here are the heads that nobody should send, and the ways to
// write one and the same header that everybody must understand (RFC 9110, section 5.1: names of fields in any
// case).
#include "admin.hpp"

#include <harness/catch.hpp>
#include <harness/scrape.hpp>

#include <string>

using harness::HttpReply;
using harness::lesson;

namespace {

HttpReply reply_to(const std::string& head) {
    harbor::Config config;
    config.backends = {{"127.0.0.1", "1001"}};
    const harbor::Balancer balancer{config};
    return harness::parse_http_reply(harbor::admin_reply(head, balancer));
}

/// GET /metrics with one more header line.
HttpReply reply_with(const std::string& header) {
    return reply_to("GET /metrics HTTP/1.1\r\nHost: harbor\r\n" + header + "\r\nConnection: close\r\n\r\n");
}

} // namespace

TEST_CASE("every reply says its length and that it is the last") {
    const std::string head =
        GENERATE(as<std::string>(), "GET /metrics HTTP/1.1\r\n\r\n",
                 "GET /metrics HTTP/1.1\r\nAccept: application/json\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
                 "POST /metrics HTTP/1.1\r\n\r\n", "?\r\n\r\n");
    INFO(harness::printable(head));
    INFO(lesson("a reply was taken apart", "Content-Length is missing or counts the head too",
                "chapter 06, As much of HTTP as it takes"));

    const HttpReply reply = reply_to(head);

    REQUIRE(reply.header("Content-Length") == std::to_string(reply.body.size()));
    REQUIRE_FALSE(reply.header("Content-Type").empty());
    REQUIRE(reply.header("Connection") == "close");
    REQUIRE_FALSE(reply.reason.empty());
}

TEST_CASE("a request for the metrics is understood however it is written") {
    const std::string line = GENERATE(as<std::string>(), "GET /metrics HTTP/1.1", "GET /metrics HTTP/1.0",
                                      "GET /metrics?name=x HTTP/1.1", "GET /metrics? HTTP/1.1");
    INFO(line);
    INFO(lesson("a request line was answered",
                "a query is taken for a part of the path, or HTTP/1.0 is refused",
                "chapter 06, As much of HTTP as it takes"));

    const HttpReply reply = reply_to(line + "\r\nHost: harbor\r\n\r\n");

    REQUIRE(reply.status == 200);
    REQUIRE(reply.header("Content-Type").substr(0, 25) == "text/plain; version=0.0.4");
    REQUIRE(harness::Metrics::parse(reply.body).has("harbor_accepts_total"));
}

TEST_CASE("a head that is no request is bad") {
    const std::string head = GENERATE(
        as<std::string>(), "", "\r\n\r\n", " \r\n\r\n", "GET\r\n\r\n", "GET /metrics\r\n\r\n",
        "GET /metrics \r\n\r\n", "GET  /metrics HTTP/1.1\r\n\r\n", "GET /metrics HTTP/2.0\r\n\r\n",
        "GET /metrics http/1.1\r\n\r\n", " /metrics HTTP/1.1\r\n\r\n", "GET /metrics HTTP/1.1 extra\r\n\r\n",
        "GET /metrics HTTP/1.\r\n\r\n", "GET /metrics SIP/1.1\r\n\r\n", "/metrics HTTP/1.1\r\n\r\n");
    INFO(harness::printable(head));
    INFO(lesson("a head that is no HTTP/1 request was answered",
                "a missing part of the request line is not noticed",
                "chapter 06, As much of HTTP as it takes"));

    REQUIRE(reply_to(head).status == 400);
}

TEST_CASE("only the one path is found") {
    const std::string target =
        GENERATE(as<std::string>(), "/", "/metricsx", "/Metrics", "/metrics/x", "*", "/?/metrics", "metrics");
    INFO(target);
    INFO(lesson("another path than /metrics was asked for", "only a part of the path is compared",
                "chapter 06, As much of HTTP as it takes"));

    REQUIRE(reply_to("GET " + target + " HTTP/1.1\r\n\r\n").status == 404);
}

TEST_CASE("only the one method is allowed") {
    const std::string method = GENERATE(as<std::string>(), "POST", "PUT", "DELETE", "OPTIONS", "get", "GETS");
    INFO(method);
    INFO(lesson("another method than GET was used", "only a part of the method is compared, or in any case",
                "chapter 06, As much of HTTP as it takes"));

    const HttpReply reply = reply_to(method + " /metrics HTTP/1.1\r\n\r\n");

    REQUIRE(reply.status == 405);
    REQUIRE(reply.header("Allow") == "GET");
}

TEST_CASE("who accepts JSON gets JSON") {
    const std::string header = GENERATE(
        as<std::string>(), "Accept: application/json", "accept: application/json", "ACCEPT: Application/JSON",
        "Accept:application/json", "Accept: text/html, application/json;q=0.9");
    INFO(header);
    INFO(lesson("a request asked for JSON", "the name of the header or its value is compared as it stands",
                "chapter 06, The JSON form"));

    const HttpReply reply = reply_with(header);

    REQUIRE(reply.status == 200);
    REQUIRE(reply.header("Content-Type") == "application/json");
    REQUIRE(harness::parse_json(reply.body).number("accepts_total") == 0);
}

TEST_CASE("who does not ask for JSON gets text") {
    const std::string header = GENERATE(
        as<std::string>(), "User-Agent: curl", "Accept: */*", "Accept: text/plain",
        "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
        "X-Accept: application/json", "Accept-Encoding: application/json", "Content-Type: application/json",
        "Cookie: accept: application/json");
    INFO(header);
    INFO(lesson("a request spoke of JSON elsewhere than in Accept, or not at all",
                "the whole head is searched for the word", "chapter 06, The JSON form"));

    const HttpReply reply = reply_with(header);

    REQUIRE(reply.status == 200);
    REQUIRE(reply.header("Content-Type").substr(0, 10) == "text/plain");
}
