// Every limit of this chapter can be configured, so every one can be configured wrongly.
//
// A timeout that nobody understood is worse than none: the operator believes in it. `LB_IO_TIMEOUT_MS=10s`
// read as 10 cuts off every connection, read as the default it does nothing that was asked for, and both look
// healthy at the start. So the program does not start, and says which variable, which value, and what it
// expects instead.
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <string>

using namespace harness;

TEST_CASE("a number of this chapter that is none is refused by name") {
    const std::string name = GENERATE("LB_DIAL_TIMEOUT_MS", "LB_DIAL_RETRIES", "LB_BACKEND_COOLDOWN_MS",
                                      "LB_IO_TIMEOUT_MS", "LB_MAX_INFLIGHT", "LB_TCP_KEEPALIVE_MS");
    const std::string value = GENERATE("", "soon", "-1", "10s", "1.5", " 1", "99999999999999999999");
    INFO(lesson("the program was started with " + name + "='" + value + "'",
                "the text was converted as far as it went, wrapped around, or replaced by the default",
                "chapter 05, Configuration"));

    const Refusal refusal = run_expecting_refusal({{"BACKENDS", "127.0.0.1:9"}, {name, value}});
    REQUIRE(refusal.names({name, value, "expected", "number"}));
}

TEST_CASE("LB_TCP_NODELAY is yes or no and nothing else") {
    const std::string value = GENERATE("", "maybe", "2");
    INFO(lesson("the program was started with LB_TCP_NODELAY='" + value + "'",
                "everything that is not the one word for yes was taken for no, or the other way round",
                "chapter 05, Configuration"));

    const Refusal refusal = run_expecting_refusal({{"BACKENDS", "127.0.0.1:9"}, {"LB_TCP_NODELAY", value}});
    REQUIRE(refusal.names({"LB_TCP_NODELAY", value, "expected", "true", "false"}));
}
