// Tasks without sockets: a gate takes the place of whatever a task waits for, and the test opens it.
//
// A coroutine that is never resumed, resumed twice or never freed shows nothing of it at the place where the
// mistake is. So every frame here holds an object that is counted: what is alive is what has not been freed.
#include "task.hpp"

#include <harness/catch.hpp>

#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using harbor::Both;
using harbor::Detached;
using harbor::Task;

namespace {

/// Counts how many of its kind are alive.
struct Tracked {
    Tracked() { ++alive; }
    Tracked(const Tracked&) { ++alive; }
    Tracked(Tracked&&) noexcept { ++alive; }
    ~Tracked() { --alive; }
    Tracked& operator=(const Tracked&) = default;

    static inline int alive = 0;
};

/// Parks whoever awaits it, until it is opened.
struct Gate {
    bool await_ready() const { return is_open; }
    void await_suspend(std::coroutine_handle<> who) { waiter = who; }
    void await_resume() const {}

    void open() {
        is_open = true;
        if (waiter) {
            std::exchange(waiter, {}).resume();
        }
    }

    bool is_open = false;
    std::coroutine_handle<> waiter;
};

Task<> pass(Gate& gate, std::string& log, char name) {
    const Tracked tracked;
    log += name;
    co_await gate;
    log += static_cast<char>(name - 'a' + 'A');
}

Task<> fail(Gate& gate, std::string text) {
    const Tracked tracked;
    co_await gate;
    throw std::runtime_error(text);
}

Task<int> number(int n) {
    co_return n;
}

Task<std::unique_ptr<int>> boxed(int n) {
    co_return std::make_unique<int>(n);
}

Task<> nothing() {
    co_return;
}

/// Runs a task as the program's outermost coroutine does, and notes how it ended.
struct Outcome {
    bool ended = false;
    std::string error;
};

Detached run(Task<> task, Outcome& outcome) {
    try {
        co_await task;
    } catch (const std::exception& failure) {
        outcome.error = failure.what();
    }
    outcome.ended = true;
}

Task<> both(Task<> first, Task<> second) {
    co_await Both(std::move(first), std::move(second));
}

} // namespace

TEST_CASE("a task does nothing until it is awaited") {
    Gate gate;
    std::string log;
    {
        const Task<> never = pass(gate, log, 'a');
        REQUIRE(log.empty());
    }
    REQUIRE(log.empty());
    REQUIRE(Tracked::alive == 0);

    Outcome outcome;
    run(pass(gate, log, 'a'), outcome);
    REQUIRE(log == "a");
    REQUIRE_FALSE(outcome.ended);
    gate.open();
    REQUIRE(log == "aA");
    REQUIRE(outcome.ended);
    REQUIRE(Tracked::alive == 0);
}

TEST_CASE("start runs a task up to its first wait") {
    Gate gate;
    std::string log;
    Task<> task = pass(gate, log, 'a');
    task.start();
    REQUIRE(log == "a");
    gate.open();
    REQUIRE(log == "aA");
}

namespace {

Task<> gather(std::vector<int>& values) {
    values.push_back(co_await number(1));
    values.push_back(*co_await boxed(2)); // what is moved only, can be a result as well
    co_await nothing();
    Task<int> later = number(3);
    Task<int> moved = std::move(later);
    values.push_back(co_await moved);
}

} // namespace

TEST_CASE("a task gives its value to whoever awaits it") {
    std::vector<int> values;
    Outcome outcome;
    run(gather(values), outcome);
    REQUIRE(outcome.ended);
    REQUIRE(values == std::vector{1, 2, 3});
}

TEST_CASE("a task that is replaced by another is freed") {
    Gate gate;
    std::string log;
    {
        Task<> task = pass(gate, log, 'a');
        task.start();
        REQUIRE(Tracked::alive == 1);
        task = pass(gate, log, 'b');
        task.start();
        REQUIRE(log == "ab");
    }
    REQUIRE(Tracked::alive == 0);
}

namespace {

Task<int> through(Gate& gate, bool deeper) {
    const Tracked tracked;
    if (deeper) {
        co_return co_await through(gate, false);
    }
    co_await fail(gate, "the reason");
    co_return 1;
}

Task<> catcher(Gate& gate, std::string& caught) {
    try {
        co_await through(gate, true);
    } catch (const std::runtime_error& failure) {
        caught = failure.what();
    }
    const int after = co_await number(5); // and life goes on
    caught += std::to_string(after);
}

} // namespace

TEST_CASE("an exception goes through every task up to the one that catches it") {
    for (const bool at_once : {true, false}) {
        INFO("thrown " << (at_once ? "at once" : "after a wait"));
        Gate gate{at_once, {}};
        std::string caught;
        Outcome outcome;
        run(catcher(gate, caught), outcome);
        gate.open();
        REQUIRE(outcome.ended);
        REQUIRE(caught == "the reason5");
        REQUIRE(Tracked::alive == 0);
    }
}

TEST_CASE("both tasks run side by side and the wait ends with the later one") {
    for (const bool first_gate_first : {true, false}) {
        Gate a;
        Gate b;
        std::string log;
        Outcome outcome;
        run(both(pass(a, log, 'a'), pass(b, log, 'b')), outcome);
        REQUIRE(log == "ab");
        REQUIRE_FALSE(outcome.ended);
        (first_gate_first ? a : b).open();
        REQUIRE_FALSE(outcome.ended);
        (first_gate_first ? b : a).open();
        REQUIRE(outcome.ended);
        REQUIRE(log == (first_gate_first ? "abAB" : "abBA"));
        REQUIRE(Tracked::alive == 0);
    }
}

TEST_CASE("both tasks may end before the wait for them begins") {
    for (const int open : {0, 1, 2, 3}) { // bit 0: the first does not wait; bit 1: the second
        INFO("open " << open);
        Gate a{(open & 1) != 0, {}};
        Gate b{(open & 2) != 0, {}};
        std::string log;
        Outcome outcome;
        run(both(pass(a, log, 'a'), pass(b, log, 'b')), outcome);
        REQUIRE(outcome.ended == (open == 3));
        a.open();
        b.open();
        REQUIRE(outcome.ended);
        REQUIRE(Tracked::alive == 0);
    }
}

TEST_CASE("an exception in one of both waits for the other and is then told") {
    // All combinations: who throws, and who has to be waited for.
    for (const int throwing : {1, 2, 3}) {
        for (const int open : {0, 1, 2, 3}) {
            for (const bool first_gate_first : {true, false}) {
                INFO("throwing " << throwing << ", open " << open << ", first " << first_gate_first);
                Gate a{(open & 1) != 0, {}};
                Gate b{(open & 2) != 0, {}};
                std::string log;
                Outcome outcome;
                run(both((throwing & 1) != 0 ? fail(a, "first") : pass(a, log, 'a'),
                         (throwing & 2) != 0 ? fail(b, "second") : pass(b, log, 'b')),
                    outcome);
                (first_gate_first ? a : b).open();
                REQUIRE(outcome.ended ==
                        (open == 3 || (open == 2 && first_gate_first) || (open == 1 && !first_gate_first)));
                (first_gate_first ? b : a).open();
                REQUIRE(outcome.ended);
                REQUIRE(outcome.error == ((throwing & 1) != 0 ? "first" : "second"));
                REQUIRE(Tracked::alive == 0);
            }
        }
    }
}

namespace {

Task<> nested(Gate& gate, std::string& log, int depth) {
    const Tracked tracked;
    if (depth > 0) {
        co_await nested(gate, log, depth - 1);
    } else {
        co_await pass(gate, log, 'a');
    }
}

} // namespace

TEST_CASE("a parked task that is destroyed frees every frame below it") {
    Gate gate;
    std::string log;
    {
        Task<> task = nested(gate, log, 10);
        task.start();
        REQUIRE(Tracked::alive == 12);
    }
    REQUIRE(Tracked::alive == 0);
    {
        Gate other;
        Task<> task = both(nested(gate, log, 3), nested(other, log, 4));
        task.start();
        REQUIRE(Tracked::alive == 11);
    }
    REQUIRE(Tracked::alive == 0);
}

TEST_CASE("a task that was never started is freed with its parameters") {
    {
        const Task<> task = [](Tracked) -> Task<> { co_return; }(Tracked());
        REQUIRE(Tracked::alive >= 1);
    }
    REQUIRE(Tracked::alive == 0);
}

// Without optimisation, and under a sanitizer, a jump from frame to frame is a call after all.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CALLS_ARE_CALLS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CALLS_ARE_CALLS 1
#endif
#endif
#if defined(__OPTIMIZE__) && !defined(CALLS_ARE_CALLS)
constexpr int chain = 200'000;
#else
constexpr int chain = 1'000;
#endif

namespace {

Task<int> countdown(int n, Gate& gate) {
    if (n == 0) {
        co_await gate;
        co_return 0;
    }
    co_return 1 + co_await countdown(n - 1, gate);
}

Task<> count_into(int& result, int depth, Gate& gate) {
    result = co_await countdown(depth, gate);
}

Task<> many(int& result, int times) {
    for (int i = 0; i < times; ++i) {
        result += co_await number(1);
    }
}

} // namespace

TEST_CASE("a long chain of tasks takes no stack to begin and none to end") {
    for (const bool open : {true, false}) {
        Gate gate{open, {}};
        int result = 0;
        Outcome outcome;
        run(count_into(result, chain, gate), outcome);
        gate.open();
        REQUIRE(outcome.ended);
        REQUIRE(result == chain);
    }
}

TEST_CASE("a long row of tasks that never wait takes no stack") {
    int result = 0;
    Outcome outcome;
    run(many(result, 10 * chain), outcome);
    REQUIRE(outcome.ended);
    REQUIRE(result == 10 * chain);
}
