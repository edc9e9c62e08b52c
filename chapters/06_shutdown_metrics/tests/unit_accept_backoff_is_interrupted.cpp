// The wait after a failed accept ends with the shutdown, and not a second later.
//
// From outside this is a matter of up to a second, which no test should measure. Here it can be asked
// directly: after six failed accepts the loop waits for 160 ms; it is cancelled, and what is ready is run
// without any more time passing. A loop that waits out its time is not ready. The descriptors are made to run
// out by lowering the limit of this very process to those in use.
#include "server.hpp"

#include <harness/catch.hpp>
#include <harness/socket.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <exception>

namespace {

/// While it lives, no new descriptor is to be had.
class NoDescriptorLeft {
public:
    NoDescriptorLeft() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const int lowest_free = ::open("/dev/null", O_RDONLY);
        ::close(lowest_free);
        rlimit now = before_;
        now.rlim_cur = static_cast<rlim_t>(lowest_free);
        ::setrlimit(RLIMIT_NOFILE, &now);
    }
    ~NoDescriptorLeft() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    NoDescriptorLeft(const NoDescriptorLeft&) = delete;
    NoDescriptorLeft& operator=(const NoDescriptorLeft&) = delete;

private:
    rlimit before_{};
};

} // namespace

TEST_CASE("a shutdown interrupts the wait after a failed accept") {
    INFO(harness::lesson("the accept loop was waiting because no descriptor was left, and was cancelled",
                         "the cancellation reaches the accept but not the timer, or the loop begins anew",
                         "chapter 06, A signal is an event"));
    harbor::Config config;
    config.backends = {{"127.0.0.1", "9"}};
    harbor::Balancer balancer{config};
    asio::io_context context(1);
    harbor::Workers workers(1, context.get_executor());
    auto acceptor =
        harbor::listen_on(context.get_executor(), {asio::ip::address_v4::loopback(), asio::ip::port_type{0}});
    const harness::Endpoint endpoint{"127.0.0.1", acceptor.local_endpoint().port()};
    const harness::Client client(endpoint); // waits to be accepted

    asio::cancellation_signal shutdown;
    bool has_ended = false;
    asio::co_spawn(context, harbor::accept_clients(std::move(acceptor), balancer, workers),
                   asio::bind_cancellation_slot(
                       shutdown.slot(), [&has_ended](const std::exception_ptr&) { has_ended = true; }));
    {
        const NoDescriptorLeft none;
        const harness::Deadline deadline;
        while (balancer.metrics.accept_errors.value() < 6 && !deadline.passed()) {
            context.run_one_for(std::chrono::milliseconds(100));
        }
        REQUIRE(balancer.metrics.accept_errors.value() >= 6);
        REQUIRE_FALSE(has_ended);

        shutdown.emit(asio::cancellation_type::terminal);
        context.poll();
        REQUIRE(has_ended);
    }
    REQUIRE(balancer.metrics.accepts.value() == 0);
    REQUIRE(harness::connect_refused(endpoint));
}
