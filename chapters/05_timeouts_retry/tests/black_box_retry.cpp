// A backend that refuses, and a client that never hears of it.
//
// Dialling is the one moment at which a failure can be hidden: nothing has been passed on yet, so another
// backend can take over. After the first byte it is too late, and the only honest answer to a failure is to
// pass it on. These tests stand on both sides of that line, and look at who pays when there is nobody left to
// try.
//
// A refused attempt leaves no trace at the refusing port, so attempts are counted from the other end: by what
// the clients get, and, where the number itself matters, by how long black holes keep them
// (black_box_dial_timeout.cpp).
#include "served.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/program.hpp>

#include <cstddef>
#include <string>

using namespace harness;

TEST_CASE("thirty of thirty clients are served while one of two backends refuses") {
    // With the short cooldown the refusing one is dialled for every second client, with the long one hardly
    // ever.
    const std::string cooldown = GENERATE("1", "5000");
    INFO(lesson("one of two backends refused; 30 clients came, one after the other, cooldown " + cooldown +
                    " ms",
                "a client whose dial is refused is closed, and no other backend is tried",
                "chapter 05, Retry on another backend"));
    const Backend down = Backend::refusing();
    const Backend up(behave::echo_with_greeting("up"));
    const Program harbor({{"BACKENDS", addresses({&down, &up})}, {"LB_BACKEND_COOLDOWN_MS", cooldown}});

    REQUIRE(equal_shares(shares(harbor.endpoint(), 30), 30, 1));
    REQUIRE(up.connection_count() == 30);
}

TEST_CASE("without retries the client that meets a refusing backend pays and the next do not") {
    INFO(lesson(
        "one of two backends refused, LB_DIAL_RETRIES was 0; 10 clients came, one after the other",
        "all served: LB_DIAL_RETRIES is not read; several sent away: the refusing backend did not cool down",
        "chapter 05, Retry on another backend"));
    const Backend down = Backend::refusing();
    const Backend up(behave::echo_with_greeting("up"));
    const Program harbor({{"BACKENDS", addresses({&down, &up})},
                          {"LB_DIAL_RETRIES", "0"},
                          {"LB_BACKEND_COOLDOWN_MS", "60000"}});

    int served = 0;
    for (int i = 0; i < 10; ++i) {
        Client client = harbor.connect();
        served += served_by(client) == nobody ? 0 : 1;
    }
    REQUIRE(served == 9);
}

TEST_CASE("after the first byte no other backend is tried") {
    INFO(lesson("of three backends one refused and two reset the connection once they had read a few bytes",
                "the bytes were sent again to another backend, which may do twice what was asked for once",
                "chapter 05, Retry on another backend"));
    const Backend down = Backend::refusing();
    const Backend a(behave::reset_after(5));
    const Backend b(behave::reset_after(5));
    const Program harbor({{"BACKENDS", addresses({&down, &a, &b})},
                          {"LB_DIAL_RETRIES", "5"},
                          {"LB_BACKEND_COOLDOWN_MS", "1"}});

    // Six clients, so that the refusing one has its turn twice, whatever the order.
    for (std::size_t i = 1; i <= 6; ++i) {
        Client client = harbor.connect();
        client.send("hello");
        REQUIRE(client.ends_with_reset());
        REQUIRE(a.connection_count() + b.connection_count() == i);
    }
    for (const Backend* backend : {&a, &b}) {
        for (const ConnectionRecord& record : backend->connections()) {
            REQUIRE(same_bytes("hello", record.received));
        }
    }
}

TEST_CASE("with every backend cooling down a client is tried on all the same") {
    INFO(
        lesson("both backends refused one client, so both cooled down for a minute; then one of them came up",
               "a pool in which all cool down answers that there is nobody, although somebody may be back",
               "chapter 05, When all are down"));
    const Backend a = Backend::refusing(behave::echo_with_greeting("A"));
    Backend b = Backend::refusing(behave::echo_with_greeting("B"));
    const Program harbor({{"BACKENDS", addresses({&a, &b})}, {"LB_BACKEND_COOLDOWN_MS", "60000"}});

    Client unlucky = harbor.connect();
    REQUIRE(sent_away(unlucky));

    b.start_listening();
    REQUIRE(equal_shares(shares(harbor.endpoint(), 6), 6, 1));
}

TEST_CASE("with every backend cooling down the one due soonest is tried first") {
    const bool a_is_first = GENERATE(true, false);
    INFO(lesson(
        "A failed, later B failed; both came up while both cooled down for a minute; then clients came",
        "with nobody in rotation any backend was picked, and not the one whose cooldown ends first",
        "chapter 05, When all are down"));
    Backend a = Backend::refusing(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    const Program harbor({{"BACKENDS", a_is_first ? addresses({&a, &b}) : addresses({&b, &a})},
                          {"LB_DIAL_RETRIES", "0"},
                          {"LB_BACKEND_COOLDOWN_MS", "60000"}});
    const auto next_is_sent_away = [&harbor] {
        Client client = harbor.connect();
        return served_by(client) == nobody;
    };

    // Round-robin: at the second client at the latest it is A's turn.
    REQUIRE(eventually(next_is_sent_away, "a client to be sent to A"));
    b.stop_listening();
    REQUIRE(eventually(next_is_sent_away, "a client to be sent to B"));
    a.start_listening();
    b.start_listening();

    // A is due first and answers, which clears it. B goes on cooling down, so that it gets nobody at all.
    REQUIRE(describe(shares(harbor.endpoint(), 10)) == "10 x A");
}
