// The event: everything about it is the order of "set" and "wait", so nothing here waits for time to pass.
//
// poll() runs what is ready and no more. What has not happened after it, will not happen by itself.
#include "event.hpp"

#include <harness/catch.hpp>
#include <harness/verdict.hpp>

#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>

#include <exception>

using asio::experimental::awaitable_operators::operator||;
using harbor::Event;
using harness::lesson;

namespace {

/// Counts those that have waited to the end.
struct Waiters {
    asio::io_context context{1};
    int woken = 0;

    void start(Event& event) {
        asio::co_spawn(context, event.wait(), [this](const std::exception_ptr& failure) {
            if (failure) {
                std::rethrow_exception(failure);
            }
            ++woken;
        });
    }
};

} // namespace

TEST_CASE("an event that was set before does not keep anybody waiting") {
    INFO(lesson("set() came first and wait() afterwards, twice",
                "only those who wait at the moment of set() are woken", "chapter 06, An event to wait for"));
    Waiters waiters;
    Event event(waiters.context.get_executor());

    event.set();
    waiters.start(event);
    waiters.context.poll();
    REQUIRE(waiters.woken == 1);

    waiters.start(event);
    waiters.context.restart();
    waiters.context.poll();
    REQUIRE(waiters.woken == 2);
}

TEST_CASE("an event keeps everybody waiting until it is set") {
    INFO(lesson("five coroutines were waiting when set() came",
                "a wait returns by itself, or only one of several is woken",
                "chapter 06, An event to wait for"));
    Waiters waiters;
    Event event(waiters.context.get_executor());
    for (int i = 0; i < 5; ++i) {
        waiters.start(event);
    }

    waiters.context.poll();
    REQUIRE(waiters.woken == 0);

    event.set();
    waiters.context.poll();
    REQUIRE(waiters.woken == 5);
}

TEST_CASE("to set an event twice is as good as once") {
    INFO(lesson("set() came twice while somebody was waiting, and then somebody else waited",
                "the second set() undoes the first", "chapter 06, An event to wait for"));
    Waiters waiters;
    Event event(waiters.context.get_executor());
    waiters.start(event);

    event.set();
    event.set();
    waiters.start(event);
    waiters.context.poll();

    REQUIRE(waiters.woken == 2);
}

TEST_CASE("who stops waiting for an event takes nothing from the others") {
    INFO(lesson(
        "one coroutine waited for either of two events, another for the second only; the first was set",
        "the end of one wait cancels all waits for the same event", "chapter 06, An event to wait for"));
    Waiters waiters;
    Event first(waiters.context.get_executor());
    Event second(waiters.context.get_executor());
    bool raced = false;
    asio::co_spawn(waiters.context, first.wait() || second.wait(),
                   [&](const std::exception_ptr&, auto winner) { raced = winner.index() == 0; });
    waiters.start(second);
    waiters.context.poll();

    first.set();
    waiters.context.poll();
    REQUIRE(raced);
    REQUIRE(waiters.woken == 0);

    second.set();
    waiters.context.poll();
    REQUIRE(waiters.woken == 1);
}
