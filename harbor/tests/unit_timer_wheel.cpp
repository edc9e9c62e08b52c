// The wheel under a clock that the test sets: what may be promised of a time can only be asked of one that
// stands still.
//
// The wheel is a data structure that everything else in the program hangs on by raw pointers, so besides the
// promises (never early, at most a tick late) the tests do to it what connections do: entries that move,
// remove, insert and destroy each other, from inside the call back too. The last test does so at random, and
// compares with a model that is too simple to be wrong.
#include "timer_wheel.hpp"

#include <harness/catch.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <vector>

using namespace std::chrono_literals;
using harbor::Clock;
using harbor::TimerWheel;

namespace {

// Any time will do, except the epoch, and one that is no multiple of a tick.
constexpr Clock::time_point start{1000h + 3333us};
constexpr auto tick = TimerWheel::tick;
constexpr auto a_turn = TimerWheel::slots * std::chrono::milliseconds(tick);
constexpr Clock::duration instant{1};

/// An entry that notes when it was called back, and does whatever the test wants then.
struct Alarm : TimerWheel::Entry {
    Alarm() = default;
    explicit Alarm(std::function<void(Clock::time_point)> what) : then(std::move(what)) {}

    void expired(Clock::time_point now) override {
        calls.push_back(now);
        if (then) {
            const auto what = then; // the alarm may be gone by the end of it
            what(now);
        }
    }

    std::vector<Clock::time_point> calls;
    std::function<void(Clock::time_point)> then;
};

} // namespace

TEST_CASE("an entry is called back once and neither early nor more than a tick late") {
    // Every position of the due time within its tick, and looked at every instant that matters.
    for (const Clock::duration after :
         {Clock::duration(instant), Clock::duration(4ms), Clock::duration(10ms - instant),
          Clock::duration(10ms), Clock::duration(10ms + instant), Clock::duration(25ms), Clock::duration(1s),
          Clock::duration(a_turn - tick), Clock::duration(a_turn), Clock::duration(a_turn + instant)}) {
        INFO("due after " << after.count() << " ns");
        TimerWheel wheel(start);
        Alarm alarm;
        wheel.insert(alarm, start + after);
        REQUIRE(wheel.size() == 1);

        for (Clock::time_point now = start; now < start + after; now += 1ms) {
            wheel.expire(now);
        }
        wheel.expire(start + after - instant);
        REQUIRE(alarm.calls.empty());

        wheel.expire(start + after + tick - instant);
        REQUIRE(alarm.calls.size() == 1);
        REQUIRE(wheel.size() == 0);
        wheel.expire(start + after + 3 * a_turn);
        REQUIRE(alarm.calls.size() == 1);
    }
}

TEST_CASE("the call back is told the time that expire was told") {
    TimerWheel wheel(start);
    Alarm alarm;
    wheel.insert(alarm, start + 15ms);
    wheel.expire(start + 777ms);
    REQUIRE(alarm.calls == std::vector{start + 777ms});
}

TEST_CASE("an entry that is due already waits for the next tick and no longer") {
    TimerWheel wheel(start);
    wheel.expire(start + 500ms);
    Alarm long_ago;
    Alarm before_the_start;
    Alarm now;
    wheel.insert(long_ago, start + 20ms);
    wheel.insert(before_the_start, start - 1h);
    wheel.insert(now, start + 500ms);
    wheel.expire(start + 500ms);
    REQUIRE(long_ago.calls.empty()); // insert() during a round must not make the round endless
    wheel.expire(start + 510ms);
    REQUIRE(long_ago.calls.size() == 1);
    REQUIRE(before_the_start.calls.size() == 1);
    REQUIRE(now.calls.size() == 1);
}

TEST_CASE("entries of different ticks are called back in the order of their ticks") {
    TimerWheel wheel(start);
    std::vector<int> order;
    std::vector<std::unique_ptr<Alarm>> alarms;
    for (const int at : {5, 3, 9, 1, 7, 1000, 500}) {
        alarms.push_back(std::make_unique<Alarm>([&order, at](Clock::time_point) { order.push_back(at); }));
        wheel.insert(*alarms.back(), start + at * tick);
    }
    wheel.expire(start + a_turn);
    REQUIRE(order == std::vector{1, 3, 5, 7, 9, 500, 1000});
}

TEST_CASE("all entries of one tick are called back however many they are") {
    TimerWheel wheel(start);
    std::vector<Alarm> alarms(10000);
    for (Alarm& alarm : alarms) {
        wheel.insert(alarm, start + 100ms);
    }
    REQUIRE(wheel.size() == alarms.size());
    wheel.expire(start + 99ms);
    REQUIRE(wheel.size() == alarms.size());
    wheel.expire(start + 100ms);
    REQUIRE(wheel.size() == 0);
    REQUIRE(std::all_of(alarms.begin(), alarms.end(),
                        [](const Alarm& alarm) { return alarm.calls.size() == 1; }));
}

TEST_CASE("inserting an entry again moves it") {
    TimerWheel wheel(start);
    Alarm later;
    Alarm sooner;
    wheel.insert(later, start + 50ms);
    wheel.insert(later, start + 200ms);
    wheel.insert(sooner, start + 300ms);
    wheel.insert(sooner, start + 20ms);
    REQUIRE(wheel.size() == 2);
    wheel.expire(start + 100ms);
    REQUIRE(later.calls.empty());
    REQUIRE(sooner.calls.size() == 1);
    wheel.expire(start + 200ms);
    REQUIRE(later.calls.size() == 1);
    wheel.expire(start + 400ms);
    REQUIRE(sooner.calls.size() == 1);
}

TEST_CASE("an entry that is removed is not called back and may be removed twice") {
    TimerWheel wheel(start);
    Alarm first;
    Alarm middle;
    Alarm last; // three in one list, and the one between two others goes
    for (Alarm* alarm : {&first, &middle, &last}) {
        wheel.insert(*alarm, start + 50ms);
    }
    wheel.remove(middle);
    wheel.remove(middle);
    REQUIRE(wheel.size() == 2);
    wheel.expire(start + 1s);
    REQUIRE(first.calls.size() == 1);
    REQUIRE(middle.calls.empty());
    REQUIRE(last.calls.size() == 1);
    wheel.insert(middle, start + 2s);
    wheel.expire(start + 2s);
    REQUIRE(middle.calls.size() == 1);
}

TEST_CASE("an entry leaves the wheel when it is destroyed") {
    TimerWheel wheel(start);
    auto alarm = std::make_unique<Alarm>();
    wheel.insert(*alarm, start + 50ms);
    alarm.reset();
    REQUIRE(wheel.size() == 0);
    REQUIRE_FALSE(wheel.until_next(start));
    wheel.expire(start + 1s);
}

TEST_CASE("an entry may put itself in again when it is called back") {
    TimerWheel wheel(start);
    Alarm alarm;
    alarm.then = [&](Clock::time_point now) {
        if (alarm.calls.size() < 5) {
            wheel.insert(alarm, now + 100ms);
        }
    };
    wheel.insert(alarm, start + 100ms);
    for (Clock::time_point now = start; now < start + 2s; now += 1ms) {
        wheel.expire(now);
    }
    REQUIRE(alarm.calls ==
            std::vector{start + 100ms, start + 200ms, start + 300ms, start + 400ms, start + 500ms});
    REQUIRE(wheel.size() == 0);
}

TEST_CASE("an entry that puts itself in again for a time that has passed does not stop time") {
    // A round that is late by many ticks, and an entry that always wants to be called at once: it is, but
    // expire() comes to an end.
    TimerWheel wheel(start);
    Alarm alarm;
    alarm.then = [&](Clock::time_point now) { wheel.insert(alarm, now - 1h); };
    wheel.insert(alarm, start + 10ms);
    wheel.expire(start + 1s);
    REQUIRE(alarm.calls.size() <= 100);
    REQUIRE(wheel.size() == 1);
    const std::size_t before = alarm.calls.size();
    wheel.expire(start + 1010ms);
    REQUIRE(alarm.calls.size() == before + 1);
}

TEST_CASE("an entry that is called back may destroy others of the same tick and of later ones") {
    for (const std::size_t who : {0U, 1U, 2U, 3U}) { // the order within a tick is not promised, so try each
        INFO("entry " << who);
        TimerWheel wheel(start);
        std::vector<std::unique_ptr<Alarm>> alarms(5);
        std::set<std::size_t> called;
        for (std::size_t i = 0; i < alarms.size(); ++i) {
            alarms[i] = std::make_unique<Alarm>([&, i](Clock::time_point) {
                called.insert(i);
                if (i == who) {
                    for (std::size_t other = 0; other < alarms.size(); ++other) {
                        if (other != i) {
                            alarms[other].reset();
                        }
                    }
                }
            });
            wheel.insert(*alarms[i], start + (i < 4 ? 50ms : 60ms));
        }
        wheel.expire(start + 1s);
        REQUIRE(called.count(who) == 1);
        REQUIRE_FALSE(called.contains(4));
        REQUIRE(wheel.size() == 0);
    }
}

TEST_CASE("an entry that is called back may destroy itself and the next of its list") {
    TimerWheel wheel(start);
    std::unique_ptr<Alarm> one;
    std::unique_ptr<Alarm> other;
    int calls = 0;
    const auto destroy_both = [&](Clock::time_point) {
        ++calls;
        one.reset();
        other.reset();
    };
    one = std::make_unique<Alarm>(destroy_both);
    other = std::make_unique<Alarm>(destroy_both);
    wheel.insert(*one, start + 50ms);
    wheel.insert(*other, start + 50ms);
    wheel.expire(start + 50ms);
    REQUIRE(calls == 1);
    REQUIRE(wheel.size() == 0);
}

TEST_CASE("an entry that is called back may move and remove others of the same tick") {
    TimerWheel wheel(start);
    Alarm moved;
    Alarm removed;
    Alarm mover([&](Clock::time_point now) {
        if (moved.calls.empty()) {
            wheel.insert(moved, now + 500ms);
        }
        wheel.remove(removed);
    });
    // The last one in is the first one called as things are; inserted between, it works either way round.
    wheel.insert(moved, start + 50ms);
    wheel.insert(removed, start + 50ms);
    wheel.insert(mover, start + 50ms);
    wheel.expire(start + 50ms);
    REQUIRE(mover.calls.size() == 1);
    REQUIRE(moved.calls.size() + removed.calls.size() + wheel.size() <= 2);
    wheel.expire(start + 550ms);
    REQUIRE(moved.calls.size() == 1);
    REQUIRE(wheel.size() == 0);
}

TEST_CASE("an entry further away than the wheel is wide stays in for as many turns as it takes") {
    TimerWheel wheel(start);
    Alarm day;
    Alarm turns;
    wheel.insert(day, start + 24h);
    wheel.insert(turns, start + 7 * a_turn + 5ms);
    for (Clock::time_point now = start; now < start + 7 * a_turn + 5ms; now += 10ms) {
        wheel.expire(now);
        REQUIRE(turns.calls.empty());
    }
    wheel.expire(start + 7 * a_turn + 10ms);
    REQUIRE(turns.calls.size() == 1);
    wheel.expire(start + 24h - instant);
    REQUIRE(day.calls.empty());
    REQUIRE(wheel.size() == 1);
    wheel.expire(start + 24h + tick);
    REQUIRE(day.calls.size() == 1);
}

TEST_CASE("time may jump by many turns at once") {
    TimerWheel wheel(start);
    std::vector<Alarm> alarms(3000);
    for (std::size_t i = 0; i < alarms.size(); ++i) {
        wheel.insert(alarms[i], start + i * 17ms);
    }
    wheel.expire(start + 1h);
    REQUIRE(wheel.size() == 0);
    REQUIRE(std::all_of(alarms.begin(), alarms.end(),
                        [](const Alarm& alarm) { return alarm.calls.size() == 1; }));
    wheel.expire(start + 48h); // with nothing in it
    Alarm later;
    wheel.insert(later, start + 48h + 30ms);
    wheel.expire(start + 48h + 29ms);
    REQUIRE(later.calls.empty());
    wheel.expire(start + 48h + 40ms);
    REQUIRE(later.calls.size() == 1);
}

TEST_CASE("time that stands still or goes back does no harm") {
    TimerWheel wheel(start);
    Alarm alarm;
    wheel.insert(alarm, start + 100ms);
    wheel.expire(start + 90ms);
    wheel.expire(start + 10ms);
    wheel.expire(start - 1h);
    REQUIRE(alarm.calls.empty());
    wheel.expire(start + 100ms);
    REQUIRE(alarm.calls.size() == 1);
}

TEST_CASE("until next is nothing for an empty wheel and exact for one entry") {
    TimerWheel wheel(start);
    REQUIRE_FALSE(wheel.until_next(start));
    Alarm alarm;
    wheel.insert(alarm, start + 100ms);
    REQUIRE(wheel.until_next(start) == 100ms);
    REQUIRE(wheel.until_next(start + 60ms) == 40ms);
    REQUIRE(wheel.until_next(start + 60ms + 1us) == 40ms); // rounded up: 39 would be a wait in vain
    REQUIRE(wheel.until_next(start + 61ms - instant) == 40ms);
    REQUIRE(wheel.until_next(start + 61ms) == 39ms);
    wheel.insert(alarm, start + 101ms); // belongs to the tick after
    REQUIRE(wheel.until_next(start) == 110ms);
    wheel.remove(alarm);
    REQUIRE_FALSE(wheel.until_next(start));
}

TEST_CASE("until next is zero when something is due and not dealt with yet") {
    TimerWheel wheel(start);
    Alarm alarm;
    wheel.insert(alarm, start + 100ms);
    REQUIRE(wheel.until_next(start + 100ms) == 0ms);
    REQUIRE(wheel.until_next(start + 100ms + instant) == 0ms);
    REQUIRE(wheel.until_next(start + 5s) == 0ms);
}

TEST_CASE("until next follows entries that come and go") {
    TimerWheel wheel(start);
    Alarm far;
    Alarm near;
    wheel.insert(far, start + 5s);
    REQUIRE(wheel.until_next(start) == 5s);
    wheel.insert(near, start + 50ms);
    REQUIRE(wheel.until_next(start) == 50ms);
    wheel.remove(near);
    REQUIRE(wheel.until_next(start) == 5s);
    wheel.expire(start + 2s);
    wheel.insert(near, start + 2100ms);
    REQUIRE(wheel.until_next(start + 2s) == 100ms);
    wheel.expire(start + 2100ms);
    REQUIRE(near.calls.size() == 1);
    REQUIRE(wheel.until_next(start + 2100ms) == 2900ms);
}

TEST_CASE("whoever sleeps as long as until next says is never late by more than a tick") {
    // The loop of a worker: sleep, look at the clock, expire. Also for entries beyond the width of the wheel.
    TimerWheel wheel(start);
    std::vector<Alarm> alarms(50);
    std::vector<Clock::time_point> due;
    std::mt19937 random(1); // the same every time: this is an example, not a search
    for (Alarm& alarm : alarms) {
        due.push_back(start + std::chrono::microseconds(random() % 60'000'000));
        wheel.insert(alarm, due.back());
    }
    Clock::time_point now = start;
    std::size_t rounds = 0;
    while (const auto wait = wheel.until_next(now)) {
        REQUIRE(*wait > 0ms); // else the loop would spin
        now += *wait;
        wheel.expire(now);
        REQUIRE(++rounds < 1000);
    }
    for (std::size_t i = 0; i < alarms.size(); ++i) {
        REQUIRE(alarms[i].calls.size() == 1);
        REQUIRE(alarms[i].calls[0] >= due[i]);
        REQUIRE(alarms[i].calls[0] < due[i] + tick);
    }
}

namespace {

/// The wheel beside a sorted map that is asked the same.
class Comparison {
public:
    explicit Comparison(unsigned seed) : random_(seed) {
        for (std::size_t i = 0; i < 40; ++i) {
            alarms_.push_back(make(i));
        }
    }

    void step() {
        const std::size_t i = below(alarms_.size());
        switch (below(8)) {
        case 0:
        case 1:
        case 2:
            insert(i, now_ + any_duration());
            break;
        case 3:
            wheel_.remove(*alarms_[i]);
            forget(i);
            break;
        case 4:
            forget(i);
            alarms_[i] = make(i); // destroys the one that was there
            break;
        default:
            advance();
        }
        check();
    }

private:
    std::size_t below(std::size_t n) { return random_() % n; }

    Clock::duration any_duration() {
        switch (below(5)) {
        case 0:
            return Clock::duration(below(20'000'000)); // a tick or two, not on a border
        case 1:
            return below(100) * tick; // on a border
        case 2:
            return below(40'000) * 1ms; // several turns
        case 3:
            return -1 * static_cast<int>(below(100)) * 1ms; // has passed
        default:
            return std::chrono::microseconds(below(3'000'000));
        }
    }

    std::unique_ptr<Alarm> make(std::size_t i) {
        return std::make_unique<Alarm>([this, i](Clock::time_point now) { called(i, now); });
    }

    void insert(std::size_t i, Clock::time_point due) {
        forget(i);
        wheel_.insert(*alarms_[i], due);
        model_.emplace(due, i);
        // What is due already is owed at the next tick, however long ago it was due.
        inserted_at_[i] = now_;
    }

    void forget(std::size_t i) {
        const auto found =
            std::find_if(model_.begin(), model_.end(), [i](const auto& entry) { return entry.second == i; });
        if (found != model_.end()) {
            model_.erase(found);
        }
    }

    void called(std::size_t i, Clock::time_point now) {
        const auto found =
            std::find_if(model_.begin(), model_.end(), [i](const auto& entry) { return entry.second == i; });
        if (found == model_.end()) {
            FAIL("entry " << i << " was called back without being in the wheel");
        }
        if (now < found->first) {
            FAIL("entry " << i << " was called back early");
        }
        model_.erase(found);
        // Whoever is called back does something to itself or to another: at random, but not without end.
        const std::size_t other = below(alarms_.size());
        switch (below(6)) {
        case 0:
            insert(i, now + tick + any_duration());
            break;
        case 1:
            wheel_.remove(*alarms_[other]);
            forget(other);
            break;
        case 2:
            forget(other);
            alarms_[other] = make(other); // may be itself
            break;
        case 3:
            insert(other, now + tick + any_duration());
            break;
        default:
            break;
        }
    }

    void advance() {
        switch (below(4)) {
        case 0:
            now_ += Clock::duration(below(10'000'000));
            break;
        case 1:
            now_ += below(30) * tick;
            break;
        case 2:
            now_ += below(200) * 1ms;
            break;
        default:
            if (const auto wait = wheel_.until_next(now_)) {
                now_ += *wait;
            }
        }
        wheel_.expire(now_);
        // Everything that was due a whole tick ago has been called back.
        for (const auto& [due, i] : model_) {
            if (std::max(due, inserted_at_[i]) + tick <= now_) {
                FAIL("entry " << i << " is more than a tick late");
            }
        }
    }

    void check() {
        REQUIRE(wheel_.size() == model_.size());
        const auto next = wheel_.until_next(now_);
        REQUIRE(next.has_value() == !model_.empty());
        if (next) {
            // Never so long that the first entry would be more than a tick late (and a millisecond for the
            // rounding), and not zero, which would make a worker spin.
            const Clock::time_point first = std::max(model_.begin()->first, now_);
            REQUIRE(now_ + *next < first + tick + 1ms);
            REQUIRE(*next > 0ms);
        }
    }

    std::mt19937 random_;
    Clock::time_point now_ = start;
    TimerWheel wheel_{start};
    std::multimap<Clock::time_point, std::size_t> model_;
    std::map<std::size_t, Clock::time_point> inserted_at_;
    std::vector<std::unique_ptr<Alarm>> alarms_;
};

} // namespace

TEST_CASE("thousands of random steps leave the wheel as a sorted map would be") {
    const unsigned first = std::random_device{}();
    for (unsigned seed = first; seed != first + 20; ++seed) {
        INFO("seed " << seed);
        Comparison comparison(seed);
        for (int step = 0; step < 3000; ++step) {
            comparison.step();
        }
    }
}
