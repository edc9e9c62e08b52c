// What it costs to take a turn: by an atomic counter, as chapter 03 does, by a counter behind a mutex, and by
// an atomic counter behind a shared mutex, which is what a pool needs whose backends may change while it is
// used.
//
// Each thread takes turns as fast as it can for the same time, and nothing else: in a balancer a pick comes
// once a connection, so this is the worst case, which no balancer ever sees. The sum of all turns is checked
// against the counter, because a fast counter that loses turns would win.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <latch>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct ByAtomic {
    std::atomic<std::uint64_t> turn{0};
    std::uint64_t take() { return turn.fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t taken() const { return turn; }
};

struct ByMutex {
    std::mutex mutex;
    std::uint64_t turn = 0;
    std::uint64_t take() {
        const std::lock_guard lock(mutex);
        return turn++;
    }
    std::uint64_t taken() const { return turn; }
};

struct BySharedMutex {
    std::shared_mutex mutex;
    std::atomic<std::uint64_t> turn{0};
    std::uint64_t take() {
        const std::shared_lock lock(mutex);
        return turn.fetch_add(1, std::memory_order_relaxed);
    }
    std::uint64_t taken() const { return turn; }
};

/// Nanoseconds that one turn takes one thread, on average, while `count` threads take turns.
template<typename Counter>
double nanoseconds_a_pick(unsigned count, std::chrono::milliseconds duration) {
    Counter counter;
    std::atomic<bool> over{false};
    std::atomic<std::uint64_t> picks{0};
    std::latch together(count + 1);
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < count; ++i) {
        threads.emplace_back([&] {
            together.arrive_and_wait();
            std::uint64_t mine = 0;
            while (!over.load(std::memory_order_relaxed)) {
                for (int n = 0; n < 100; ++n) {
                    counter.take();
                }
                mine += 100;
            }
            picks += mine;
        });
    }
    together.arrive_and_wait();
    const auto begin = Clock::now();
    std::this_thread::sleep_for(duration);
    over = true;
    threads.clear();
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    if (picks != counter.taken()) {
        throw std::runtime_error(std::to_string(picks.load()) + " turns were taken, and the counter says " +
                                 std::to_string(counter.taken()));
    }
    return took.count() * count / static_cast<double>(picks);
}

template<typename Counter>
void measure(const char* name, std::chrono::milliseconds duration) {
    std::printf("%-14s", name);
    for (const unsigned threads : {1U, 2U, 4U}) {
        std::printf("  %9.1f", nanoseconds_a_pick<Counter>(threads, duration));
        std::fflush(stdout);
    }
    std::printf("\n");
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 2 || (argc == 2 && std::string_view(argv[1]) != "--quick")) {
        std::fprintf(stderr, "usage: pick_cost [--quick]\n");
        return 2;
    }
    const std::chrono::milliseconds duration(argc == 2 ? 50 : 1000);
    try {
        std::printf("ns a pick       1 thread  2 threads  4 threads\n");
        measure<ByAtomic>("atomic", duration);
        measure<ByMutex>("mutex", duration);
        measure<BySharedMutex>("shared_mutex", duration);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "pick_cost: %s\n", error.what());
        return 1;
    }
}
