// Histories that have found something, as short as they could be made: what harbor_histories prints is pasted
// here, and named after what went wrong.
#include "replay.hpp"

#include <harness/catch.hpp>
#include <harness/program.hpp>

using namespace histories;

TEST_CASE("an answer and a reset that the balancer finds together arrive both") {
    REQUIRE(agrees(
        {{},
         {open(0), send(Side::backend, 0, 100'000), wait(1), freeze(), reset(Side::backend, 0), thaw()}}));
}
