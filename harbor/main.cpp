// The program: settings from the environment, and a word for every way in which it can fail to start.
//
// Exits with 2 when the settings make no sense, with 1 when it cannot listen, and with 0 after a shutdown.
#include "config.hpp"
#include "server.hpp"

#include <cstdlib>
#include <exception>
#include <iostream>

int main() {
    try {
        harbor::run(harbor::read_config(std::getenv));
        return 0;
    } catch (const harbor::ConfigError& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 1;
    }
}
