//! [ch05:main_purpose]
// Chapter 05: a load balancer that lives with backends that fail, peers that fall silent and limits that are
// reached.
//! [ch05:main_purpose]
//
// Configured by its environment (config.hpp). Exits with 2 when that makes no sense, and with 1 when it
// cannot listen.
#include "balancer.hpp"
#include "config.hpp"
#include "server.hpp"
#include "workers.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>

int main() {
    try {
        const harbor::Config config = harbor::read_config(std::getenv);
        if (config.dev_seed) {
            std::cerr
                << "warning: BACKENDS is not set, and LB_ALLOW_DEV_SEED=1: using the development backends\n";
        }
        //! [ch05:main_balancer]
        harbor::Balancer balancer{config};
        harbor::Workers workers(config.threads);
        //! [ch05:main_balancer]

        // This thread only accepts. The 1 tells Asio that no other thread runs this io_context.
        asio::io_context context(1);
        const auto endpoint = harbor::resolve(config.listen, "LB_ADDR").front();
        auto acceptor = harbor::listen_on(context.get_executor(), endpoint);
        //! [ch05:main_accept]
        std::cerr << "listening on " << acceptor.local_endpoint() << '\n';
        asio::co_spawn(context, harbor::accept_clients(std::move(acceptor), balancer, workers),
                       asio::detached);
        context.run(); // returns when no coroutine is left to resume: never, here
        //! [ch05:main_accept]
        return 0;
    } catch (const harbor::ConfigError& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 1;
    }
}
