//! [ch03:main_purpose]
// Chapter 03: a load balancer. Clients go to the backends in turn, and several threads serve them.
//
// Configured by its environment (config.hpp). Exits with 2 when that makes no sense, and with 1 when it
// cannot listen.
#include "config.hpp"
#include "pool.hpp"
#include "server.hpp"
#include "workers.hpp"
//! [ch03:main_purpose]

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>

int main() {
    try {
        //! [ch03:main_pool]
        const harbor::Config config = harbor::read_config(std::getenv);
        if (config.dev_seed) {
            std::cerr
                << "warning: BACKENDS is not set, and LB_ALLOW_DEV_SEED=1: using the development backends\n";
        }
        harbor::Pool pool(config.backends);
        harbor::Workers workers(config.threads);

        // This thread only accepts. The 1 tells Asio that no other thread runs this io_context.
        //! [ch03:main_pool]
        //! [ch03:main_accept]
        asio::io_context context(1);
        const auto endpoint = harbor::resolve(config.listen, "LB_ADDR").front();
        auto acceptor = harbor::listen_on(context.get_executor(), endpoint);
        std::cerr << "listening on " << acceptor.local_endpoint() << '\n';
        asio::co_spawn(context, harbor::accept_clients(std::move(acceptor), pool, workers), asio::detached);
        context.run(); // returns when no coroutine is left to resume: never, here
        return 0;
        //! [ch03:main_accept]
    } catch (const harbor::ConfigError& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 1;
    }
}
