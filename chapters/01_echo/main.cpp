//! [ch01:main_head]
// Chapter 01: an echo server. The later chapters put it behind the balancer, as the backend whose answers can
// be seen.
//
//     echo [--id NAME] PORT…
//
// Listens on every port given, on the loopback address only: this is a toy for tests, not a service.
#include "server.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <charconv>
#include <cstdint>
#include <exception>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using asio::ip::tcp;
//! [ch01:main_head]

//! [ch01:arguments]
constexpr auto usage = "usage: echo [--id NAME] PORT…   (a PORT is 0 to 65535; 0 takes any free one)";

struct Arguments {
    std::string greeting;
    std::vector<std::uint16_t> ports;
};

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};
//! [ch01:arguments]

//! [ch01:parse_port]
std::uint16_t parse_port(std::string_view text) {
    std::uint16_t port = 0; // too small for 65536, so from_chars reports that by itself
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size()) {
        throw UsageError("'" + std::string(text) + "' is not a port");
    }
    return port;
}
//! [ch01:parse_port]

//! [ch01:parse_arguments]
Arguments parse_arguments(std::span<char* const> words) {
    Arguments arguments;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view word = words[i];
        if (word == "--id") {
            if (++i == words.size()) {
                throw UsageError("--id needs a NAME");
            }
            arguments.greeting = std::string(words[i]) + '\n';
        } else {
            arguments.ports.push_back(parse_port(word));
        }
    }
    if (arguments.ports.empty()) {
        throw UsageError("no PORT given");
    }
    return arguments;
}

} // namespace
//! [ch01:parse_arguments]

//! [ch01:main_loop]
int main(int argc, char** argv) {
    try {
        const Arguments arguments = parse_arguments({argv + 1, static_cast<std::size_t>(argc - 1)});

        // One thread runs everything, so nothing here needs a lock. The 1 tells Asio so.
        asio::io_context context(1);
        //! [ch01:main_loop]
        //! [ch01:main_listen]
        for (const std::uint16_t port : arguments.ports) {
            tcp::acceptor acceptor =
                harbor::listen_on(context.get_executor(), {asio::ip::address_v4::loopback(), port});
            std::cerr << "listening on " << acceptor.local_endpoint() << '\n';
            asio::co_spawn(context, harbor::accept_clients(std::move(acceptor), arguments.greeting),
                           asio::detached);
        }
        context.run(); // returns when no coroutine is left to resume: never, here
        return 0;
        //! [ch01:main_listen]
        //! [ch01:main_errors]
    } catch (const UsageError& error) {
        std::cerr << "echo: " << error.what() << '\n' << usage << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "echo: " << error.what() << '\n';
        return 1;
    }
}
//! [ch01:main_errors]
