// Each metric moves when it should, by as much as it should, and no other moves with it.
//
// Every test makes something happen whose number is known beforehand, and then reads the whole story: that
// five dials were made says little, that five were made of which one failed, at this backend, and was
// retried, says what happened. Counters are compared exactly, at a moment when nothing else is going on;
// gauges are waited for, because they follow connections that end when they end.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <string>
#include <vector>

using namespace harness;

namespace {

/// Longer than any test: a backend that has failed stays out until something else brings it back.
const std::string a_minute = "60000";

/// Connects, has one byte sent back, and stays.
Client served_client(const Program& harbor) {
    Client client = harbor.connect();
    client.send("x");
    REQUIRE(client.receive(1) == "x");
    return client;
}

double by_backend(const Metrics& page, const std::string& name, const Backend& backend) {
    return page.value(name, {{"backend", backend.address()}});
}

} // namespace

TEST_CASE("every metric is there from the start and is zero") {
    INFO(lesson(
        "the metrics were read before the first client",
        "a sample appears only once it has been counted, so a rate over its first event is missing and an "
        "alert on it never fires",
        "chapter 06, Counters and gauges"));
    Backend a(behave::echo());
    Backend b(behave::echo());
    Program harbor({{"BACKENDS", addresses({&a, &b})}});

    const Metrics page = scrape(harbor.metrics_endpoint());

    for (const char* name :
         {"harbor_accepts_total", "harbor_accept_errors_total", "harbor_capacity_dropped_total",
          "harbor_active_conns", "harbor_dials_total", "harbor_dial_failures_total", "harbor_retries_total",
          "harbor_cooldown_backends"}) {
        INFO(name);
        REQUIRE(page.value(name) == 0);
    }
    for (const Backend* backend : {&a, &b}) {
        REQUIRE(by_backend(page, "harbor_picks_by_backend_total", *backend) == 0);
        REQUIRE(by_backend(page, "harbor_dial_failures_by_backend_total", *backend) == 0);
    }
}

TEST_CASE("a client is one accept and one dial and one pick") {
    INFO(lesson("three clients were served, one after the other, by the only backend",
                "something is counted twice, in the wrong place, or only when the connection ends",
                "chapter 06, Counters and gauges"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    for (int count = 1; count <= 3; ++count) {
        Client client = served_client(harbor);
        const Metrics page = scrape(harbor.metrics_endpoint());
        REQUIRE(page.value("harbor_accepts_total") == count);
        REQUIRE(page.value("harbor_dials_total") == count);
        REQUIRE(by_backend(page, "harbor_picks_by_backend_total", backend) == count);
        REQUIRE(page.value("harbor_accept_errors_total") == 0);
        REQUIRE(page.value("harbor_capacity_dropped_total") == 0);
        REQUIRE(page.value("harbor_dial_failures_total") == 0);
        REQUIRE(page.value("harbor_retries_total") == 0);
        REQUIRE(page.value("harbor_cooldown_backends") == 0);
    }
}

TEST_CASE("scrapes are not counted as clients") {
    INFO(lesson("nobody but scrapers connected, ten times",
                "the metrics port shares its accept loop, and so its counters, with the clients",
                "chapter 06, Counters and gauges"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});

    for (int i = 0; i < 10; ++i) {
        scrape(harbor.metrics_endpoint());
    }

    const Metrics page = scrape(harbor.metrics_endpoint());
    REQUIRE(page.value("harbor_accepts_total") == 0);
    REQUIRE(page.value("harbor_active_conns") == 0);
    REQUIRE(page.value("harbor_dials_total") == 0);
    REQUIRE(backend.connection_count() == 0);
}

TEST_CASE("open connections are counted up and down to zero") {
    INFO(lesson("three clients connected and left: one after a clean end, one with a reset, one after its "
                "backend had "
                "reset it",
                "the gauge is not lowered on every way in which a connection can end",
                "chapter 06, Counters and gauges"));
    Backend backend([](Peer& peer) {
        peer.send(peer.receive(1));
        if (peer.receive_some() == "reset") {
            peer.reset();
        }
    });
    Program harbor({{"BACKENDS", backend.address()}});
    const Endpoint metrics = harbor.metrics_endpoint();

    Client clean = served_client(harbor);
    REQUIRE(scrape(metrics).value("harbor_active_conns") == 1);
    Client rude = served_client(harbor);
    REQUIRE(scrape(metrics).value("harbor_active_conns") == 2);
    Client unlucky = served_client(harbor);
    REQUIRE(scrape(metrics).value("harbor_active_conns") == 3);

    clean.half_close();
    REQUIRE(clean.ends_cleanly());
    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 2));
    rude.reset();
    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 1));
    unlucky.send("reset");
    REQUIRE(unlucky.ends_with_reset());
    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 0));
    REQUIRE(scrape(metrics).value("harbor_accepts_total") == 3);
}

TEST_CASE("a half-closed connection still counts as open") {
    INFO(lesson("the client sent FIN, and the backend had not answered yet",
                "the gauge is lowered when the first direction ends, and again when the second does",
                "chapter 06, Counters and gauges"));
    Backend backend(behave::silent_reader());
    Program harbor({{"BACKENDS", backend.address()}});
    const Endpoint metrics = harbor.metrics_endpoint();

    Client client = harbor.connect();
    client.send("question");
    client.half_close();
    REQUIRE(backend.saw_end_of_stream(1));
    REQUIRE(scrape(metrics).value("harbor_active_conns") == 1);

    backend.cut_connections();
    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 0));
}

TEST_CASE("picks are counted by backend") {
    INFO(lesson(
        "twelve clients were shared out among three backends in turns",
        "all picks are counted for one backend, or the labels do not name the backends as BACKENDS does",
        "chapter 06, Counters and gauges"));
    Backend a(behave::echo());
    Backend b(behave::echo());
    Backend c(behave::echo());
    Program harbor({{"BACKENDS", addresses({&a, &b, &c})}});

    for (int i = 0; i < 12; ++i) {
        served_client(harbor);
    }

    const Metrics page = scrape(harbor.metrics_endpoint());
    for (const Backend* backend : {&a, &b, &c}) {
        REQUIRE(by_backend(page, "harbor_picks_by_backend_total", *backend) == 4);
        REQUIRE(backend->connection_count() == 4);
    }
    REQUIRE(page.value("harbor_dials_total") == 12);
}

TEST_CASE("a failed dial is counted for its backend and makes a retry") {
    INFO(lesson(
        "of two backends one refused; four clients came, and the first of them that met it was retried",
        "a dial that fails is not counted, is charged to the other backend, or every dial counts as a retry",
        "chapter 06, Counters and gauges"));
    Backend down = Backend::refusing();
    Backend up(behave::echo());
    Program harbor({{"BACKENDS", addresses({&down, &up})}, {"LB_BACKEND_COOLDOWN_MS", a_minute}});

    for (int i = 0; i < 4; ++i) {
        served_client(harbor);
    }

    const Metrics page = scrape(harbor.metrics_endpoint());
    REQUIRE(page.value("harbor_accepts_total") == 4);
    REQUIRE(page.value("harbor_dials_total") == 5);
    REQUIRE(page.value("harbor_dial_failures_total") == 1);
    REQUIRE(page.value("harbor_retries_total") == 1);
    REQUIRE(page.value("harbor_cooldown_backends") == 1);
    REQUIRE(by_backend(page, "harbor_picks_by_backend_total", down) == 1);
    REQUIRE(by_backend(page, "harbor_picks_by_backend_total", up) == 4);
    REQUIRE(by_backend(page, "harbor_dial_failures_by_backend_total", down) == 1);
    REQUIRE(by_backend(page, "harbor_dial_failures_by_backend_total", up) == 0);
}

TEST_CASE("a dial that hangs is a failed dial once its time is over") {
    INFO(
        lesson("of two backends one answered nothing at all; two clients came, with a dial timeout of 100 ms",
               "only a refused dial counts as failed, not one that was given up",
               "chapter 06, Counters and gauges"));
    Blackhole hole;
    Backend up(behave::echo());
    Program harbor({{"BACKENDS", hole.address() + "," + up.address()},
                    {"LB_DIAL_TIMEOUT_MS", "100"},
                    {"LB_BACKEND_COOLDOWN_MS", a_minute}});

    served_client(harbor);
    served_client(harbor);

    const Metrics page = scrape(harbor.metrics_endpoint());
    REQUIRE(page.value("harbor_dials_total") == 3);
    REQUIRE(page.value("harbor_dial_failures_total") == 1);
    REQUIRE(page.value("harbor_retries_total") == 1);
    REQUIRE(page.value("harbor_cooldown_backends") == 1);
    REQUIRE(page.value("harbor_dial_failures_by_backend_total", {{"backend", hole.address()}}) == 1);
}

TEST_CASE("when no backend answers every attempt is counted") {
    INFO(lesson(
        "both backends refused and one client came, with one retry allowed",
        "the last failure is not counted because nothing follows it, or the client stays counted as open",
        "chapter 06, Counters and gauges"));
    Backend a = Backend::refusing();
    Backend b = Backend::refusing();
    Program harbor({{"BACKENDS", addresses({&a, &b})}, {"LB_BACKEND_COOLDOWN_MS", a_minute}});

    Client client = harbor.connect();
    REQUIRE(client.receive_until_end().ending != Ending::silence);
    REQUIRE(metric_becomes(harbor.metrics_endpoint(), "harbor_active_conns", 0));

    const Metrics page = scrape(harbor.metrics_endpoint());
    REQUIRE(page.value("harbor_accepts_total") == 1);
    REQUIRE(page.value("harbor_dials_total") == 2);
    REQUIRE(page.value("harbor_dial_failures_total") == 2);
    REQUIRE(page.value("harbor_retries_total") == 1);
    REQUIRE(page.value("harbor_cooldown_backends") == 2);
    for (const Backend* backend : {&a, &b}) {
        REQUIRE(by_backend(page, "harbor_picks_by_backend_total", *backend) == 1);
        REQUIRE(by_backend(page, "harbor_dial_failures_by_backend_total", *backend) == 1);
    }
}

TEST_CASE("a backend counts as cooling down until one success brings it back") {
    INFO(lesson("the only backend refused a client, then listened again and served the next one",
                "the gauge counts failures, or a success does not end the cooldown",
                "chapter 06, Counters and gauges"));
    Backend backend = Backend::refusing();
    Program harbor({{"BACKENDS", backend.address()}, {"LB_BACKEND_COOLDOWN_MS", a_minute}});
    const Endpoint metrics = harbor.metrics_endpoint();

    REQUIRE(scrape(metrics).value("harbor_cooldown_backends") == 0);
    REQUIRE(harbor.connect().receive_until_end().ending != Ending::silence);
    REQUIRE(scrape(metrics).value("harbor_cooldown_backends") == 1);

    // With every backend cooling down it is tried all the same.
    backend.start_listening();
    served_client(harbor);
    REQUIRE(scrape(metrics).value("harbor_cooldown_backends") == 0);
    REQUIRE(scrape(metrics).value("harbor_dial_failures_total") == 1);
}

TEST_CASE("a cooldown that is over is not counted any more") {
    INFO(lesson("a backend refused a client, and nobody came after that, with a cooldown of 300 ms",
                "the gauge is lowered only when somebody dials again, so it shows yesterday's trouble",
                "chapter 06, Counters and gauges"));
    Backend backend = Backend::refusing();
    Program harbor({{"BACKENDS", backend.address()}, {"LB_BACKEND_COOLDOWN_MS", "300"}});
    const Endpoint metrics = harbor.metrics_endpoint();

    REQUIRE(harbor.connect().receive_until_end().ending != Ending::silence);
    REQUIRE(metric_becomes(metrics, "harbor_dial_failures_total", 1));

    REQUIRE(metric_becomes(metrics, "harbor_cooldown_backends", 0));
    REQUIRE(scrape(metrics).value("harbor_dials_total") == 1);
}

TEST_CASE("a client over the capacity is counted as accepted and as dropped") {
    INFO(lesson("with room for two, a third client came and was closed; then one left and another came",
                "a dropped client is not counted at all, or counts as open, or is dialled for",
                "chapter 06, Counters and gauges"));
    Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_MAX_INFLIGHT", "2"}});
    const Endpoint metrics = harbor.metrics_endpoint();

    Client first = served_client(harbor);
    Client second = served_client(harbor);
    REQUIRE(harbor.connect().receive_until_end().ending != Ending::silence);
    const Metrics full = scrape(metrics);
    REQUIRE(full.value("harbor_accepts_total") == 3);
    REQUIRE(full.value("harbor_capacity_dropped_total") == 1);
    REQUIRE(full.value("harbor_active_conns") == 2);
    REQUIRE(full.value("harbor_dials_total") == 2);

    first.close();
    REQUIRE(metric_becomes(metrics, "harbor_active_conns", 1));
    Client next = served_client(harbor);
    const Metrics later = scrape(metrics);
    REQUIRE(later.value("harbor_accepts_total") == 4);
    REQUIRE(later.value("harbor_capacity_dropped_total") == 1);
    REQUIRE(later.value("harbor_active_conns") == 2);
}
