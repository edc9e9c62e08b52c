// How the worker threads end: by themselves when they have nothing left to do, or when their connections are
// cut.
//
// From outside one sees only that the process is gone. Here the connections are coroutines that wait for
// nothing but the cut, so it can be asked which step ends what.
#include "workers.hpp"

#include <harness/catch.hpp>
#include <harness/deadline.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <atomic>
#include <chrono>
#include <exception>

using harbor::Event;
using harbor::Workers;
using harness::lesson;

namespace {

/// A thread that accepts, and notices when the workers have ended.
struct Accepting {
    asio::io_context context{1};
    bool drained = false;

    void wait_for(Workers& workers) {
        asio::co_spawn(context, workers.drained(), [this](const std::exception_ptr&) { drained = true; });
    }

    bool drained_in_time() {
        const harness::Deadline deadline;
        while (!drained && !deadline.passed()) {
            context.run_one_for(std::chrono::milliseconds(100));
        }
        return drained;
    }

    /// Not a proof, but a worker that ends although it should not does so at once.
    bool goes_on() {
        context.run_for(std::chrono::milliseconds(50));
        return !drained;
    }
};

std::atomic<int> ended;

asio::awaitable<void> stay_until_cut(Event& cut) {
    co_await cut.wait();
    ++ended;
}

asio::awaitable<void> stay_for(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
    ++ended;
}

void connect(Workers& workers, int connections) {
    ended = 0;
    for (int i = 0; i < connections; ++i) {
        Workers::Worker& worker = workers.next();
        asio::co_spawn(worker.context, stay_until_cut(worker.cut), asio::detached);
    }
}

} // namespace

TEST_CASE("workers without connections stay until they are told to drain") {
    INFO(lesson("three workers had nothing to do, and then were told to drain",
                "a thread that has nothing to do ends before the first client comes, or never",
                "chapter 06, Drain"));
    Accepting accepting;
    Workers workers(3, accepting.context.get_executor());
    accepting.wait_for(workers);

    REQUIRE(accepting.goes_on());
    workers.drain();
    REQUIRE(accepting.drained_in_time());
}

TEST_CASE("a drain ends with the last connection") {
    INFO(lesson("two workers drained, and one of them had a connection that lasted a moment longer",
                "the first worker that ends stands for all", "chapter 06, Drain"));
    Accepting accepting;
    Workers workers(2, accepting.context.get_executor());
    accepting.wait_for(workers);
    ended = 0;
    asio::co_spawn(workers.next().context, stay_for(std::chrono::milliseconds(30)), asio::detached);

    workers.drain();

    REQUIRE(accepting.drained_in_time());
    REQUIRE(ended == 1);
}

TEST_CASE("a drain waits for connections that do not end") {
    INFO(lesson("two workers with a connection each were told to drain, and cut later",
                "draining stops the threads instead of letting them finish", "chapter 06, Drain"));
    Accepting accepting;
    Workers workers(2, accepting.context.get_executor());
    accepting.wait_for(workers);
    connect(workers, 2);

    workers.drain();
    REQUIRE(accepting.goes_on());
    REQUIRE(ended == 0);

    workers.cut();
    REQUIRE(accepting.drained_in_time());
    REQUIRE(ended == 2);
}

TEST_CASE("a cut reaches every connection of every worker") {
    INFO(lesson("three workers had ten connections together when they were drained and cut",
                "only one worker is cut, or one connection of each", "chapter 06, The grace period"));
    Accepting accepting;
    Workers workers(3, accepting.context.get_executor());
    accepting.wait_for(workers);
    connect(workers, 10);

    workers.drain();
    workers.cut();

    REQUIRE(accepting.drained_in_time());
    REQUIRE(ended == 10);
}

TEST_CASE("a connection that comes after the cut is cut too") {
    INFO(lesson("the cut came first, and a connection was handed to the worker afterwards",
                "the cut is a moment and not a state, so who comes late stays for ever",
                "chapter 06, The grace period"));
    Accepting accepting;
    Workers workers(1, accepting.context.get_executor());
    accepting.wait_for(workers);

    workers.cut();
    connect(workers, 1);
    workers.drain();

    REQUIRE(accepting.drained_in_time());
    REQUIRE(ended == 1);
}

TEST_CASE("workers that go take their connections with them") {
    INFO(
        lesson("the workers were destroyed while connections were waiting, as when the program cannot listen",
               "a thread is left behind, or a coroutine uses a worker that is gone", "chapter 06, Drain"));
    Accepting accepting;
    {
        Workers workers(2, accepting.context.get_executor());
        connect(workers, 4);
    }
    REQUIRE(ended == 0);
}
