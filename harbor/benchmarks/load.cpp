// harbor_load: bounded load for a TCP proxy over the loopback interface, with both ends of it in one thread.
//
// What it measures is the proxy: CPU time by the proxy's own clocks, over exactly the window whose requests
// are counted. So three rules hold here. The load must be cheaper than the proxy, or the proxy idles and
// looks better or worse by how it does that: no system call a request that could be avoided, no allocation,
// memory that stays in the cache. The load must be honest: every byte is compared, every connection has to
// end in order, and whatever does not is in the report. And it must end: by time, by count, or by a deadline.
//
// Rejected: wrk and its like (HTTP, and no look at the bytes), iperf (bulk only), and a backend in a process
// of its own (a third program for two cores, and the scheduler's whims in every figure).
#include "backend.hpp"
#include "modes.hpp"
#include "options.hpp"
#include "report.hpp"
#include "run.hpp"
#include "socket.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

namespace {

/// With both ends here each connection takes two descriptors.
void make_room(const harbor::load::Options& options) {
    const std::size_t needed = std::size_t{2} * options.connections + 64;
    const std::size_t limit = harbor::load::raise_descriptor_limit();
    if (limit < needed) {
        throw std::runtime_error(std::to_string(options.connections) + " connections take " +
                                 std::to_string(needed) + " descriptors, and this process may have " +
                                 std::to_string(limit) + " (ulimit -Hn); ask for fewer with --connections");
    }
}

harbor::load::Report run(harbor::load::Run& run) {
    using harbor::load::Mode;
    harbor::load::Backend backend(run);
    const auto wait_for_line = [&run](const char* word) {
        if (run.options.hold) {
            std::cerr << word << '\n' << std::flush;
            std::string line;
            std::getline(std::cin, line);
        }
    };
    switch (run.options.mode) {
    case Mode::ping_pong:
        return run_ping_pong(run, backend, wait_for_line);
    case Mode::churn:
        return run_churn(run, backend);
    case Mode::idle:
        return run_idle(run, backend, wait_for_line);
    case Mode::bulk:
    case Mode::bulk_both:
        return run_streams(run, backend);
    }
    std::abort();
}

} // namespace

int main(int argc, char** argv) {
    int status = 1;
    try {
        const auto options = harbor::load::parse_options(argc, argv, status);
        if (!options) {
            return status;
        }
        ::alarm(300); // every step has a deadline of its own; this is for the mistake in one of them
        // sendfile(2) has no MSG_NOSIGNAL.
        std::signal(SIGPIPE, SIG_IGN);
        make_room(*options);
        harbor::load::Run state(*options);
        const harbor::load::Report report = run(state);
        std::cout << report.json() << '\n' << std::flush;
        status = state.tally.error_count() + state.tally.wrong_bytes + state.tally.missing_bytes == 0 ? 0 : 1;
    } catch (const std::exception& error) {
        std::cerr << "harbor_load: " << error.what() << '\n';
        status = 1;
    }
    return status;
}
