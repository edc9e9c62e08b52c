//! [ch06:main_purpose]
// Chapter 06: the whole balancer, which now ends as carefully as it works, and tells what it does.
//! [ch06:main_purpose]
//
// Configured by its environment (config.hpp). Exits with 2 when that makes no sense, and with 1 when it
// cannot listen.
#include "admin.hpp"
#include "balancer.hpp"
#include "config.hpp"
#include "server.hpp"
#include "workers.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>

#include <csignal>
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
        //! [ch06:main_workers]
        harbor::Balancer balancer{config};

        // This thread accepts, and answers monitoring. The 1 tells Asio that no other thread runs this
        // io_context.
        asio::io_context context(1);
        harbor::Workers workers(config.threads, context.get_executor());

        // From here on a signal is an event like any other. Before the ports are open, so that none comes too
        // early.
        asio::signal_set signals(context, SIGINT, SIGTERM);
        //! [ch06:main_workers]
        //! [ch06:main_admin]
        const auto endpoint = harbor::resolve(config.listen, "LB_ADDR").front();
        const auto metrics_endpoint = harbor::resolve(config.metrics_listen, "LB_METRICS_ADDR").front();
        auto admin = harbor::listen_on(context.get_executor(), metrics_endpoint);
        auto acceptor = harbor::listen_on(context.get_executor(), endpoint);
        std::cerr << "metrics on " << admin.local_endpoint() << '\n';
        std::cerr << "listening on " << acceptor.local_endpoint() << '\n';
        //! [ch06:main_admin]
        //! [ch06:main_serve]

        asio::co_spawn(context, harbor::answer_admin_requests(std::move(admin), balancer), asio::detached);
        asio::co_spawn(context,
                       harbor::serve_until_signalled(std::move(acceptor), signals, balancer, workers),
                       [&context](const std::exception_ptr& failure) {
                           context.stop();
                           if (failure) {
                               std::rethrow_exception(failure); // out of run(), below
                           }
                       });
        context.run(); // returns when the last connection is gone: monitoring is answered until then
        return 0;
        //! [ch06:main_serve]
    } catch (const harbor::ConfigError& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "harbor: " << error.what() << '\n';
        return 1;
    }
}
