//! [ch02:main_purpose]
// Chapter 02: a TCP proxy. Every client that connects is connected to the one backend.
//
// Configured by its environment (config.hpp). Exits with 2 when that makes no sense, and with 1 when it
// cannot listen.
//! [ch02:main_purpose]
#include "backend.hpp"
#include "config.hpp"
#include "server.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>

//! [ch02:main_config]
int main() {
    try {
        const harbor::Config config = harbor::read_config(std::getenv);
        const harbor::Backend backend(config.backend);

        // One thread runs everything, so nothing here needs a lock. The 1 tells Asio so.
        //! [ch02:main_config]
        //! [ch02:main_listen]
        asio::io_context context(1);
        const auto endpoint = harbor::resolve(config.listen, "LB_ADDR").front();
        auto acceptor = harbor::listen_on(context.get_executor(), endpoint);
        std::cerr << "listening on " << acceptor.local_endpoint() << '\n';
        asio::co_spawn(context, harbor::accept_clients(std::move(acceptor), backend), asio::detached);
        context.run(); // returns when no coroutine is left to resume: never, here
        return 0;
        //! [ch02:main_listen]
        //! [ch02:main_errors]
    } catch (const harbor::ConfigError& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 1;
    }
}
//! [ch02:main_errors]
