// What the program is told, and what it says when that makes no sense.
//
// A mistake in a command line is found by the one who made it, at once, if the program names the word it
// could not use and ends with a status of its own (2 here, as in many tools). A program that starts all the
// same, with a default or half of the ports, is found out much later and by somebody else.
//
// A balancer has no command line: it is given the same bad port in BACKENDS, and the same taken one in
// LB_ADDR.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>

#include <string>

using namespace harness;

TEST_CASE("a bad port is refused by name") {
    const std::string port = GENERATE("65536", "-1", "99999999999999999999", "http", "80x", "8 0");
    INFO(lesson("the program was given the port '" + port + "'",
                "the text was converted up to the first character that does not fit, or cut down to 16 bits",
                "chapter 01, Arguments"));

    REQUIRE(run_with_bad_port(port).names({port}));
}

TEST_CASE("without arguments the program says what it needs") {
    INFO(lesson("the program was started with neither arguments nor environment",
                "it waits for clients although there is no port to wait on, or ends as if all were well",
                "chapter 01, Arguments"));

    REQUIRE(run_arguments_expecting_refusal({}).exit.exited_with(2));
}

TEST_CASE("a port that somebody else listens on is refused by name") {
    INFO(lesson("the program was told to listen on a port that was taken",
                "the error of bind or listen was ignored, or passed on without the address",
                "chapter 01, Arguments"));
    const Backend taken(behave::echo());
    const std::string port = std::to_string(taken.endpoint().port);

    const Refusal refusal =
        echo_is_under_test()
            ? run_arguments_expecting_refusal({port})
            : run_expecting_refusal({{"LB_ADDR", taken.address()}, {"BACKENDS", "127.0.0.1:9"}});
    REQUIRE(refusal.exits_with_and_names(1, {taken.address()}));
}
