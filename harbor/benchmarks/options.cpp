#include "options.hpp"

#include "backend.hpp"
#include "pattern.hpp"
#include "socket.hpp"

#include <CLI/CLI.hpp>

#include <map>
#include <stdexcept>
#include <string>

namespace harbor::load {

namespace {

const std::map<std::string, Mode>& modes() {
    static const std::map<std::string, Mode> all{{"pingpong", Mode::ping_pong},
                                                 {"churn", Mode::churn},
                                                 {"bulk", Mode::bulk},
                                                 {"bulk-both", Mode::bulk_both},
                                                 {"idle", Mode::idle}};
    return all;
}

constexpr auto description =
    R"(Puts load on a TCP proxy over the loopback interface, checks every byte, and prints one JSON object.

The backend is in this process too: it listens on 127.0.2.1 to 127.0.2.4, and these four, each with the port of --backend,
are what the proxy has to be configured with. Clients connect from 127.0.1.1 to 127.0.1.64.

  pingpong   each connection sends a message, waits until it is back, and sends the next
  churn      each connection is opened, makes one request and is closed; --connections at a time, --count in all
  bulk       each connection uploads as fast as it can; the backend checks and discards
  bulk-both  the same with the backend sending as well, both ways at once
  idle       opens --connections, sends a message on each once and gets it back, and leaves them alone for --seconds; the
             memory of the proxy is taken before the first, with all open, and at the end

Exit status 0 if every byte came back and no connection failed, 1 if not (the JSON says what happened) or if the load
could not be put at all, 2 for a mistake on the command line.)";

constexpr auto example =
    R"(example:
  LB_ADDR=127.0.0.1:9090 BACKENDS=127.0.2.1:9001,127.0.2.2:9001,127.0.2.3:9001,127.0.2.4:9001 harbor &
  harbor_load pingpong --connect 127.0.0.1:9090 --backend 9001 --pid $!)";

std::chrono::milliseconds to_milliseconds(double seconds) {
    return std::chrono::round<std::chrono::milliseconds>(std::chrono::duration<double>(seconds));
}

} // namespace

const char* to_text(Mode mode) {
    for (const auto& [name, value] : modes()) {
        if (value == mode) {
            return name.c_str();
        }
    }
    return "?";
}

std::optional<Options> parse_options(int argc, char** argv, int& status) {
    Options options;
    std::string mode;
    std::string connect_to;
    double seconds = 1.5;
    double warm_up = 0.3;

    CLI::App app(description, "harbor_load");
    app.footer(example);
    app.add_option("mode", mode, "pingpong, churn, bulk, bulk-both or idle")
        ->required()
        ->check(CLI::IsMember(modes()));
    app.add_option("--connect", connect_to,
                   "ADDR:PORT of the proxy; without it the backend itself is measured");
    app.add_option("--backend", options.backend_port, "port for the backend (9001)")
        ->check(CLI::Range(1, 65535));
    app.add_option("--pid", options.pids,
                   "processes of the proxy, to measure their CPU time and memory: PID[,PID…]")
        ->delimiter(',');
    app.add_option("--connections", options.connections, "how many at a time (64)")
        ->check(CLI::Range(1, 100000));
    app.add_option("--size", options.size, "bytes of a message (64; for idle 32768)")
        ->check(CLI::Range(std::size_t{1}, Pattern::period / 2));
    app.add_option("--seconds", seconds, "how long to measure (1.5)")->check(CLI::Range(0.05, 60.0));
    app.add_option("--warm-up", warm_up, "seconds of the same load before (0.3; none for idle)")
        ->check(CLI::Range(0.0, 10.0));
    app.add_option("--count", options.count,
                   "churn: connections to measure, after a tenth to warm up (10000)")
        ->check(CLI::Range(1, 1000000));
    app.add_flag("--copy", options.copy,
                 "bulk: send from memory instead of with sendfile(2); the load costs more then");
    app.add_flag(
        "--hold", options.hold,
        "pingpong: say 'ready' when all are connected and 'done' when all is answered, and wait for a "
        "line each time: a tracer can count what requests_total took, and no more; idle: say 'done' and wait "
        "while all are still open");

    try {
        app.parse(argc, argv);
        options.mode = modes().at(mode);
        options.connect_to = connect_to.empty() ? endpoint(backend_addresses.front(), options.backend_port)
                                                : parse_endpoint(connect_to);
    } catch (const CLI::ParseError& error) {
        status = app.exit(error) == 0 ? 0 : 2;
        return std::nullopt;
    } catch (const std::invalid_argument& error) {
        std::cerr << "harbor_load: --connect: " << error.what() << '\n';
        status = 2;
        return std::nullopt;
    }
    if (options.mode == Mode::idle && app.count("--size") == 0) {
        options.size = 32768;
    }
    options.duration = to_milliseconds(seconds);
    options.warm_up = to_milliseconds(warm_up);
    return options;
}

} // namespace harbor::load
