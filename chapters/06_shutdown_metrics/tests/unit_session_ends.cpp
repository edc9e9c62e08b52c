// How a session ends when something goes wrong inside it: at once, and without blaming a backend for it.
//
// From outside neither can be made to happen: the program has no strategy that throws, and what a dial that
// is cut counts is gone with the process.
#include "session.hpp"

#include "server.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/deadline.hpp>
#include <harness/socket.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

using harness::lesson;

namespace {

class Throws : public harbor::Strategy {
public:
    harbor::Backend& pick(std::span<harbor::Backend* const> /*candidates*/) override {
        throw std::runtime_error("no idea whom to pick");
    }
};

/// One client and the session that serves it, on the thread of the test.
struct OneSession {
    explicit OneSession(harbor::Balancer& shared) : balancer(shared) {
        asio::ip::tcp::acceptor acceptor = harbor::listen_on(
            context.get_executor(), {asio::ip::address_v4::loopback(), asio::ip::port_type{0}});
        client.emplace(harness::Endpoint{"127.0.0.1", acceptor.local_endpoint().port()});
        asio::co_spawn(context, harbor::serve(acceptor.accept(), balancer.inflight.take(), balancer, cut),
                       [this](const std::exception_ptr&) { has_ended = true; });
    }

    template<typename Condition>
    bool runs_until(Condition condition) {
        const harness::Deadline deadline;
        while (!condition() && !deadline.passed()) {
            context.run_one_for(std::chrono::milliseconds(100));
        }
        return condition();
    }

    harbor::Balancer& balancer;
    asio::io_context context{1};
    harbor::Event cut{context.get_executor()};
    std::optional<harness::Client> client;
    bool has_ended = false;
};

} // namespace

TEST_CASE("a strategy that throws costs one connection and no slot") {
    INFO(lesson("the strategy threw an exception when it was asked",
                "the exception leaves the coroutine that was raced against the cut, and the race goes on: it "
                "waits for the first success, so the client and its slot are held until the shutdown",
                "chapter 06, The grace period"));
    harbor::Config config;
    config.backends = {{"127.0.0.1", "9"}};
    harbor::Balancer balancer{config, harbor::Pool(config.backends, std::make_unique<Throws>())};

    OneSession session(balancer);

    REQUIRE(session.runs_until([&] { return session.has_ended; }));
    REQUIRE(balancer.inflight.taken() == 0);
    REQUIRE(session.client->ends_with_reset());
}

TEST_CASE("a dial that is cut is no failure of the backend") {
    INFO(lesson("a session was cut while it dialled a backend that answers nothing",
                "the dial's end is an error, and every error is counted and starts a cooldown",
                "chapter 06, The grace period"));
    const harness::Blackhole hole;
    harbor::Config config;
    config.backends = {{hole.endpoint().host, std::to_string(hole.endpoint().port)}};
    config.dial_timeout = std::chrono::minutes(1);
    harbor::Balancer balancer{config};

    OneSession session(balancer);
    REQUIRE(session.runs_until([&] { return balancer.metrics.dials.value() == 1; }));
    session.cut.set();

    REQUIRE(session.runs_until([&] { return session.has_ended; }));
    REQUIRE(balancer.metrics.dials.value() == 1);
    REQUIRE(balancer.metrics.dial_failures.value() == 0);
    REQUIRE(balancer.pool.backends().front().dial_failures.value() == 0);
    REQUIRE_FALSE(balancer.pool.backends().front().cooldown.cooling(harbor::Clock::now()));
}
