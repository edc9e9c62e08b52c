// LB_THREADS: how many threads serve connections.
//
// The number is a matter of the machine, and most will never set it. Who does has measured something, and
// must not be given another number than the one that was asked for: no thread at all, a default instead of a
// word, or the digits at the beginning of it. That the program works with one thread and with four is in
// black_box_threads.cpp.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <string>

using namespace harness;

TEST_CASE("a number of threads that makes no sense is refused by name") {
    const std::string value = GENERATE("0", "-1", "many", "2x", "1.5", "99999999999999999999", "");
    INFO(lesson(
        "LB_THREADS was '" + value + "'",
        "the text is converted up to the first character that does not fit, or a default is taken instead",
        "chapter 03, Several threads"));

    const Refusal refusal = run_expecting_refusal({{"BACKENDS", "127.0.0.1:9101"}, {"LB_THREADS", value}});
    REQUIRE(refusal.names({"LB_THREADS", value}));
}

TEST_CASE("a bad number of threads is found before anything is bound") {
    INFO(lesson("LB_THREADS made no sense, and the port to listen on was taken as well",
                "the variable is read when the threads are started, after the port has been opened",
                "chapter 03, Several threads"));
    const Backend taken(behave::echo());

    // 2 is for a bad configuration; 1 would say that the port was tried.
    const Refusal refusal = run_expecting_refusal(
        {{"BACKENDS", "127.0.0.1:9101"}, {"LB_ADDR", taken.address()}, {"LB_THREADS", "many"}});
    REQUIRE(refusal.names({"LB_THREADS", "many"}));
}
