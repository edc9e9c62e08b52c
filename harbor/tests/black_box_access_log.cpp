// The access log: a line for each connection that has ended, and none when it was not asked for.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <string>

using namespace harness;

TEST_CASE("a connection that has ended leaves a line in the access log") {
    const Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_ACCESS_LOG", "1"}});
    Client client = harbor.connect();
    client.send("hello");
    REQUIRE(client.receive(5) == "hello");
    CHECK(harbor.process().count_lines("client=") == 0); // it has not ended
    client.half_close();
    REQUIRE(client.ends_cleanly());

    const std::string line = harbor.process().wait_for_line("client=");
    CHECK(contains(line, "client=127.0.0.1:" + std::to_string(client.local_port()) + ' '));
    CHECK(contains(line, " backend=" + backend.address() + ' '));
    CHECK(contains(line, " sent=5 received=5 "));
    CHECK(contains(line, " attempts=1 "));
    CHECK(contains(line, " end=client_end"));
    CHECK(harbor.process().count_lines("client=") == 1);
}

TEST_CASE("a client for whom nobody could be reached is in the access log") {
    const Backend one = Backend::refusing();
    const Backend other = Backend::refusing();
    Program harbor(
        {{"BACKENDS", addresses({&one, &other})}, {"LB_ACCESS_LOG", "1"}, {"LB_DIAL_RETRIES", "1"}});
    Client client = harbor.connect();
    client.receive_until_end();

    const std::string line = harbor.process().wait_for_line("client=");
    CHECK(contains(line, " sent=0 received=0 "));
    CHECK(contains(line, " attempts=2 end=dial_failed"));
}

TEST_CASE("connections that are open when the program ends are in the access log") {
    const Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_ACCESS_LOG", "1"}, {"LB_SHUTDOWN_GRACE_MS", "0"}});
    Client client = harbor.connect();
    client.send("x");
    REQUIRE(client.receive(1) == "x");

    REQUIRE(harbor.stop());
    CHECK(harbor.process().logs(" sent=1 received=1 "));
    CHECK(harbor.process().logs(" end=shutdown"));
}

TEST_CASE("connections are not logged unless it is asked for") {
    const Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}, {"LB_LOG_LEVEL", "trace"}});
    Client client = harbor.connect();
    client.send("x");
    REQUIRE(client.receive(1) == "x");
    client.half_close();
    REQUIRE(client.ends_cleanly());

    REQUIRE(harbor.stop()); // by then everything that was to be logged has been
    CHECK(harbor.process().count_lines("client=") == 0);
}
