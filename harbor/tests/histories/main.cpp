// harbor_histories: random histories against the real program, many side by side, each compared with the
// contract.
//
// History number i of a run has a seed of its own, made from the run's seed and i, and everything that is
// printed names that seed: `--seed N --count 1` runs it alone. (A run of one history takes the seed as it
// is.)
#include "history.hpp"
#include "replay.hpp"
#include "shrink.hpp"

#include <harness/complaint.hpp>
#include <harness/program.hpp>
#include <harness/socket.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <iostream>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using harness::Millis;

struct Options {
    std::string program;
    std::uint64_t seed = 0;
    std::uint64_t count = 500;
    unsigned jobs = 8;
    unsigned shrink_seconds = 60;
    bool print = false;
};

/// SplitMix64 (S. Vigna): neighbouring numbers give seeds that have nothing in common.
std::uint64_t seed_of(const Options& options, std::uint64_t number) {
    if (options.count == 1) {
        return options.seed;
    }
    std::uint64_t z = options.seed + (number + 1) * 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) >> 1; // 63 bits: what reads it may know signed numbers only
}

struct Found {
    std::uint64_t seed;
    std::string difference;
};

/// Runs all histories, or stops at the first that differs.
std::optional<Found> run_all(const Options& options, std::atomic<std::uint64_t>& done) {
    std::atomic<std::uint64_t> next = 0;
    std::atomic<bool> stop = false;
    std::mutex mutex;
    std::optional<Found> found;
    std::vector<std::thread> threads;
    for (unsigned job = 0; job < options.jobs; ++job) {
        threads.emplace_back([&] {
            const histories::Replay how{options.program};
            for (std::uint64_t i = next++; i < options.count && !stop; i = next++) {
                const std::uint64_t seed = seed_of(options, i);
                const auto difference = histories::replay(histories::make_history(seed), how);
                ++done;
                if (difference) {
                    stop = true;
                    const std::lock_guard lock(mutex);
                    if (!found) {
                        found = Found{seed, *difference};
                    }
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    return found;
}

void explain(const Options& options, const Found& found) {
    std::cout << "history " << found.seed << " differs from the contract:\n  " << found.difference
              << "\nagain, it alone:  harbor_histories --seed " << found.seed << " --count 1 --program "
              << options.program << "\nmaking it shorter, for at most " << options.shrink_seconds << " s …\n"
              << std::flush;
    // While it is made shorter nothing waits for long: a history that does not fail at once is not the one
    // that is wanted.
    histories::Replay how{options.program};
    how.patience = std::min(how.patience, Millis{2000});
    std::string difference = found.difference;
    const histories::Fails fails = [&](const histories::History& history) {
        constexpr int times = 4; // it may depend on who is faster
        for (int i = 0; i < times; ++i) {
            if (const auto differs = histories::replay(history, how)) {
                difference = *differs;
                return true;
            }
        }
        return false;
    };
    const histories::History whole = histories::make_history(found.seed);
    const auto limit = std::chrono::seconds(options.shrink_seconds);
    const histories::History shortest = histories::shrink(whole, fails, limit);
    std::cout << "from " << whole.events.size() << " events to " << shortest.events.size()
              << ", as a test:\n\n"
              << histories::to_code(shortest, "history " + std::to_string(found.seed))
              << "\nwhich says: " << difference << '\n'
              << std::flush;
}

std::optional<Options> parse(int argc, char** argv, int& status) {
    Options options;
    CLI::App app("Random histories of connections against a running balancer, compared with the contract.",
                 "harbor_histories");
    auto* seed =
        app.add_option("--seed", options.seed, "of the run, or with --count 1 of the history (a fresh one)");
    app.add_option("--count", options.count, "histories (500)")->check(CLI::Range(1, 100'000'000));
    app.add_option("--program", options.program,
                   "the balancer (HARBOR_UNDER_TEST, or the one of this build)");
    app.add_option("--jobs", options.jobs, "histories at a time (8; most of them wait)")
        ->check(CLI::Range(1, 64));
    app.add_option("--shrink-seconds", options.shrink_seconds,
                   "how long to make a failing history shorter (60)")
        ->check(CLI::Range(0, 3600));
    app.add_flag("--print", options.print, "print the histories as code instead of running them");
    try {
        app.parse(argc, argv);
        if (seed->empty()) {
            options.seed = std::random_device{}();
        }
        if (options.program.empty()) {
            options.program = harness::program_under_test();
        }
    } catch (const CLI::ParseError& error) {
        status = app.exit(error) == 0 ? 0 : 2;
        return std::nullopt;
    }
    return options;
}

} // namespace

int main(int argc, char** argv) {
    try {
        int status = 1;
        const auto options = parse(argc, argv, status);
        if (!options) {
            return status;
        }
        if (options->print) {
            for (std::uint64_t i = 0; i < options->count; ++i) {
                const std::uint64_t seed = seed_of(*options, i);
                std::cout << histories::to_code(histories::make_history(seed),
                                                "history " + std::to_string(seed))
                          << '\n';
            }
            return 0;
        }
        harness::raise_descriptor_limit();
        harness::papers_will_be_taken(true); // logs are asked for, not printed by whoever is destroyed
        std::cout << "histories: " << options->count << ", seed " << options->seed << '\n' << std::flush;
        const harness::Stopwatch watch;
        std::atomic<std::uint64_t> done = 0;
        const auto found = run_all(*options, done);
        if (found) {
            explain(*options, *found);
        }
        const double seconds = static_cast<double>(watch.elapsed().count()) / 1000;
        std::cout << "histories: " << done << " run, " << (found ? "1 difference" : "no difference")
                  << ", seed " << options->seed << ", " << seconds << " s\n";
        return found ? 1 : 0;
    } catch (const std::exception& error) {
        std::cerr << "harbor_histories: " << error.what() << '\n';
        return 1;
    }
}
