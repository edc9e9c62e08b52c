// Chapter 05's pool, on a clock that stands still until somebody moves it. Nothing is dialled.
#include "../../chapters/05_timeouts_retry/pool.hpp"

#include <iostream>

using namespace std::chrono_literals;

int main() {
    harbor::Pool pool({{"127.0.0.1", "9001"}, {"127.0.0.1", "9002"}}, harbor::make_strategy("rr"), 5s);
    const harbor::Clock::time_point start{1h};

    const auto four_clients = [&pool](const char* when, harbor::Clock::time_point now) {
        std::cout << when << ':';
        for (int i = 0; i < 4; ++i) {
            std::cout << ' ' << pool.pick({}, now)->name;
        }
        std::cout << '\n';
    };

    four_clients("at the start", start);
    harbor::Backend& first = *pool.pick({}, start);
    pool.dial_failed(first, start);
    four_clients("a dial has failed", start);
    four_clients("4.9 s later", start + 4900ms);
    four_clients("5 s later", start + 5s);
    pool.dial_succeeded(first);
    four_clients("a dial has succeeded", start + 5s);
}
