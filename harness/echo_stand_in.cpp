// A stand-in for chapter 01's program, built only where that chapter is not at hand: a chapter copied
// elsewhere with harness/ alone still needs echo servers. Same command line, same lines, but on the harness's
// own Backend; slow and simple.
#include "backend.hpp"

#include <charconv>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

int usage(std::string_view problem) {
    std::cerr << problem << "\nusage: echo [--id NAME] PORT...   (PORT: 0 to 65535, 0 = any)\n";
    return 2;
}

} // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    std::string id;
    std::vector<std::uint16_t> ports;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (argument == "--id") {
            if (++i == arguments.size())
                return usage("--id needs a name");
            id = arguments[i];
            continue;
        }
        std::uint16_t port = 0;
        const char* const end = argument.data() + argument.size();
        const auto [stopped, error] = std::from_chars(argument.data(), end, port);
        if (error != std::errc{} || stopped != end)
            return usage("not a port: " + argument);
        ports.push_back(port);
    }
    if (ports.empty())
        return usage("no port given");

    // Blocked before the first thread starts, so that every thread inherits it and sigwait() below gets them.
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);

    std::vector<std::unique_ptr<harness::Backend>> servers;
    try {
        for (const std::uint16_t port : ports) {
            harness::Backend::Options options;
            options.port = port;
            options.bytes_kept = 0;
            servers.push_back(std::make_unique<harness::Backend>(
                id.empty() ? harness::behave::echo() : harness::behave::echo_with_greeting(id), options));
            std::cerr << "listening on " << servers.back()->address() << '\n';
        }
    } catch (const harness::Failure& failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
    int signal = 0;
    ::sigwait(&ends, &signal);
    return 0;
}
