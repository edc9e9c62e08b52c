// The pause after a failed accept: short at first, because most shortages are; longer and longer, because
// some are not.
#include "backoff.hpp"

#include <harness/catch.hpp>

#include <chrono>
#include <vector>

using namespace std::chrono_literals;
using harbor::Backoff;

TEST_CASE("a backoff doubles from 5 ms to a second and begins anew after a success") {
    using Pauses = std::vector<std::chrono::milliseconds>;
    Backoff backoff;
    Pauses pauses;
    for (int i = 0; i < 11; ++i) {
        pauses.push_back(backoff.next());
    }
    REQUIRE(pauses == Pauses{5ms, 10ms, 20ms, 40ms, 80ms, 160ms, 320ms, 640ms, 1000ms, 1000ms, 1000ms});

    backoff.reset();
    REQUIRE(backoff.next() == 5ms);
    REQUIRE(backoff.next() == 10ms);
}
