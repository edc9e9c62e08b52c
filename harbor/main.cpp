// The program: what the command line asks for, and a word for every way in which it can fail to start.
//
// Exits with 2 when a flag or a setting makes no sense, with 1 when it cannot listen, and with 0 after a
// shutdown.
#include "check.hpp"
#include "log.hpp"
#include "options.hpp"
#include "server.hpp"

#include <cstdlib>
#include <exception>
#include <iostream>

namespace {

void run(const harbor::Options& options) {
    const harbor::Config config = harbor::read_config(options, std::getenv);
    // Around run(), so that the last lines are out before main() prints an error or returns.
    const harbor::Log log(config.log_level, config.access_log);
    harbor::run(config);
}

} // namespace

int main(int argc, char** argv) {
    try {
        const harbor::Options options = harbor::read_options(argc, argv);
        switch (options.action) {
        case harbor::Options::Action::print:
            std::cout << options.text;
            break;
        case harbor::Options::Action::check:
            std::cout << harbor::check(options, std::getenv);
            break;
        case harbor::Options::Action::run:
            run(options);
            break;
        }
        return 0;
    } catch (const harbor::ConfigError& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 1;
    }
}
