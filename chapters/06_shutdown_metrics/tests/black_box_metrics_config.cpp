// The two variables of this chapter, and what the program says when they make no sense.
//
// Both are of the kind that shows only much later: a grace period that was misread is noticed at the next
// deployment, a metrics port that could not be opened when the graph is empty. So the program says so at
// once, and does not start.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <string>

using namespace harness;

TEST_CASE("a bad grace period is refused") {
    const std::string value = GENERATE(as<std::string>(), "", "-1", "5s", "1.5", " 5", "5 ", "0x10", "never",
                                       "99999999999999999999");
    INFO(lesson("LB_SHUTDOWN_GRACE_MS was '" + value + "'",
                "what cannot be read is replaced by the default, or read up to the first character that fits",
                "chapter 06, Configuration"));

    const Refusal refusal =
        run_expecting_refusal({{"BACKENDS", "127.0.0.1:9"}, {"LB_SHUTDOWN_GRACE_MS", value}});

    REQUIRE(refusal.names({"LB_SHUTDOWN_GRACE_MS", value, "number"}));
}

TEST_CASE("a bad metrics address is refused") {
    const std::string value =
        GENERATE(as<std::string>(), "", "9100", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                 "127.0.0.1:http", "::1:9100", "127.0.0.1:9100,127.0.0.1:9101");
    INFO(lesson(
        "LB_METRICS_ADDR was '" + value + "'",
        "what cannot be read is replaced by the default, or the check that LB_ADDR has was forgotten here",
        "chapter 06, Configuration"));

    const Refusal refusal = run_expecting_refusal({{"BACKENDS", "127.0.0.1:9"}, {"LB_METRICS_ADDR", value}});

    REQUIRE(refusal.names({"LB_METRICS_ADDR", value, "host:port"}));
}

TEST_CASE("a host in LB_METRICS_ADDR that does not resolve is refused by name") {
    const std::string value = "no..such.host:9100";
    INFO(lesson(
        "LB_METRICS_ADDR was '" + value + "', a host that cannot exist",
        "the lookup fails like a bind: the program says that it cannot listen, not which variable is wrong",
        "chapter 06, Configuration"));

    const Refusal refusal = run_expecting_refusal({{"BACKENDS", "127.0.0.1:9"}, {"LB_METRICS_ADDR", value}});

    REQUIRE(refusal.names({"LB_METRICS_ADDR", value}));
}

TEST_CASE("a metrics port that is taken ends the program and is named") {
    INFO(lesson("another server was listening on LB_METRICS_ADDR",
                "the program runs on without metrics, or does not say which of its two addresses is taken",
                "chapter 06, Configuration"));
    Backend backend(behave::echo());
    Backend other_server(behave::sink());

    const Refusal refusal =
        run_expecting_refusal({{"BACKENDS", backend.address()}, {"LB_METRICS_ADDR", other_server.address()}});

    REQUIRE(refusal.exits_with_and_names(1, {other_server.address()}));
}

TEST_CASE("metrics on comes before listening on") {
    INFO(lesson(
        "the program was started and its ready lines were read",
        "there is no line for the metrics port, or it comes when others already think that all is ready",
        "chapter 06, Configuration"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    const std::string log = harbor.process().log();
    const std::size_t metrics = log.find("metrics on " + harbor.metrics_endpoint().text() + "\n");
    const std::size_t listening = log.find("listening on " + harbor.address() + "\n");

    INFO("it printed:\n" << log);
    REQUIRE(metrics != std::string::npos);
    REQUIRE(listening != std::string::npos);
    REQUIRE(metrics < listening);
    REQUIRE(harbor.metrics_endpoint().port != harbor.endpoint().port);
}

TEST_CASE("the metrics may have an address of another kind than the clients") {
    INFO(lesson("LB_METRICS_ADDR was [::1]:0 and LB_ADDR 127.0.0.1:0",
                "the host of LB_METRICS_ADDR is ignored, or the brackets are not understood",
                "chapter 06, Configuration"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_METRICS_ADDR", "[::1]:0"}});

    REQUIRE(harbor.metrics_endpoint().host == "::1");
    REQUIRE(scrape(harbor.metrics_endpoint()).value("harbor_accepts_total") == 0);
    REQUIRE(harbor.connect().open());
}
