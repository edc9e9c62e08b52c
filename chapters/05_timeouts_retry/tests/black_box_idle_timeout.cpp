// The sliding deadline of a connection: silence ends it, any sign of life keeps it.
//
// A peer that has gone without a word (a cable, a crash, a firewall that forgot) looks exactly like one that
// has nothing to say. Time is all there is to go by, and what counts as life has to be chosen with care:
// bytes of either direction count for both, because most answers are long and most questions short; bytes
// that sit in a full buffer do not count, because a peer that never reads is as gone as one that never sends.
//
// Each story ends with the cut, so it shows both halves: not before its time, and then on both sides. Whether
// the cut is FIN or RST is left open, except in the middle of a transfer, where a FIN would pass half of it
// off as the whole.
#include "served.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

using namespace harness;

namespace {

Environment idle_after(Millis timeout, const Backend& backend) {
    return {{"BACKENDS", backend.address()}, {"LB_IO_TIMEOUT_MS", std::to_string(timeout.count())}};
}

/// More than any test lets through.
constexpr std::uint64_t endless = 1ULL << 40;

} // namespace

TEST_CASE("a connection on which nothing moves is closed on both sides") {
    INFO(lesson("one client said nothing at all, another was answered and then fell silent",
                "there is no deadline, or one that only a first byte starts",
                "chapter 05, Sliding deadlines"));
    constexpr Millis timeout{600};
    const Backend backend(behave::echo());
    const Program harbor(idle_after(timeout, backend));

    const Stopwatch since_first;
    Client silent = harbor.connect();
    REQUIRE(backend.wait_for_connections(1));
    Client answered = harbor.connect();
    const Stopwatch since_last_byte;
    answered.send("hello");
    REQUIRE(answered.receive(5) == "hello");
    const std::size_t descriptors = harbor.process().open_descriptors();

    REQUIRE(sent_away(silent));
    REQUIRE(is_between("until the silent client was closed", since_first.elapsed(), almost(timeout),
                       timeout + Millis{5000}));
    REQUIRE(sent_away(answered));
    REQUIRE(is_between("until the answered client was closed", since_last_byte.elapsed(), almost(timeout),
                       timeout + Millis{5000}));
    REQUIRE(saw_an_end(backend, 1));
    REQUIRE(saw_an_end(backend, 2));
    REQUIRE(closes_connections(harbor, 2, descriptors));
}

TEST_CASE("a byte now and then in either direction keeps a connection open") {
    INFO(lesson("one connection carried a byte every 200 ms upwards, another one downwards, with a timeout "
                "of 1200 ms",
                "each direction has a deadline of its own, or a byte does not move it; the silent direction "
                "then cuts the busy one",
                "chapter 05, Sliding deadlines"));
    constexpr Millis timeout{1200};
    static constexpr Millis interval{200};
    constexpr int bytes = 15; // 2800 ms from the first to the last: more than two timeouts
    const Backend listener(behave::silent_reader());
    const Backend speaker([](Peer& peer) {
        for (int i = 0; i < bytes && peer.pause(interval); ++i) {
            peer.send(".");
        }
        peer.drain(forever);
    });
    const Program to_listener(idle_after(timeout, listener));
    const Program from_speaker(idle_after(timeout, speaker));

    const Stopwatch watch;
    Client sends = to_listener.connect();
    Client receives = from_speaker.connect();
    for (int i = 0; i < bytes; ++i) {
        // The speaker sets the pace for both.
        REQUIRE(receives.receive(1) == ".");
        sends.send(".");
    }
    REQUIRE(sent_away(sends));
    REQUIRE(sent_away(receives));
    REQUIRE(is_between("until both were closed", watch.elapsed(), almost(interval * bytes + timeout),
                       interval * bytes + timeout + Millis{8000}));
    REQUIRE(listener.saw_bytes(1, std::string(bytes, '.')));
    REQUIRE(saw_an_end(listener, 1));
    REQUIRE(saw_an_end(speaker, 1));
}

TEST_CASE("a connection that is half closed and silent is closed as well") {
    INFO(
        lesson("one client sent FIN and got no answer; one backend sent FIN and the client said nothing more",
               "the deadline ended with the first of the two directions, and the other one waits for ever",
               "chapter 05, Sliding deadlines"));
    constexpr Millis timeout{500};
    const Backend listener(behave::silent_reader());
    const Backend leaver(behave::half_close_first("bye"));
    const Program to_listener(idle_after(timeout, listener));
    const Program from_leaver(idle_after(timeout, leaver));

    const Stopwatch watch;
    Client asks = to_listener.connect();
    asks.send("anybody there?");
    asks.half_close();
    Client told = from_leaver.connect();
    REQUIRE(told.receive_until_end().is_exactly("bye"));
    REQUIRE(listener.saw_bytes(1, "anybody there?"));
    const std::size_t to_listener_open = to_listener.process().open_descriptors();
    const std::size_t from_leaver_open = from_leaver.process().open_descriptors();

    REQUIRE(sent_away(asks));
    REQUIRE(is_between("until the client that had sent FIN was closed", watch.elapsed(), almost(timeout),
                       timeout + Millis{5000}));
    REQUIRE(closes_connections(to_listener, 1, to_listener_open));
    // This client has had its FIN; that the program has let go of it is all there is to see.
    REQUIRE(closes_connections(from_leaver, 1, from_leaver_open));
}

TEST_CASE("a download that the client has stopped reading is cut") {
    INFO(lesson("the backend sent without end, the client read nothing, and so every buffer filled up",
                "only reads look at the clock, while the connection waits in a write; or a write that has "
                "begun counts as progress",
                "chapter 05, Sliding deadlines"));
    constexpr Millis timeout{700};
    const Backend backend([](Peer& peer) { peer.send_pattern(endless); });
    const Program harbor(idle_after(timeout, backend));

    const Stopwatch watch;
    Client::Options options;
    options.receive_buffer = 16 * 1024;
    Client client = harbor.connect(options);
    REQUIRE(client.wait_for_end_without_reading() == Ending::reset);
    REQUIRE(
        is_between("until the client was cut off", watch.elapsed(), almost(timeout), timeout + Millis{8000}));
    REQUIRE(backend.saw_reset(1));
}

TEST_CASE("an upload that the backend has stopped reading is cut") {
    INFO(lesson("the client sent until no more was taken, while the backend read nothing",
                "only reads look at the clock, while the connection waits in a write; or a write that has "
                "begun counts as progress",
                "chapter 05, Sliding deadlines"));
    constexpr Millis timeout{1200};
    const Backend backend(behave::silent());
    const Program harbor(idle_after(timeout, backend));

    const Stopwatch watch;
    Client client = harbor.connect();
    client.send_until_stuck(Millis{200});
    REQUIRE(client.wait_for_end_without_reading() == Ending::reset);
    REQUIRE(
        is_between("until the client was cut off", watch.elapsed(), almost(timeout), timeout + Millis{8000}));
    REQUIRE(backend.saw_reset(1));
}

TEST_CASE("a slow reader is not cut until it stops") {
    INFO(lesson("the backend sent without end; the client read 256 KiB at a time with pauses, then stopped",
                "cut too early: the time for a whole transfer is limited, and not the time without progress",
                "chapter 05, Sliding deadlines"));
    constexpr Millis timeout{1000};
    const Backend backend([](Peer& peer) { peer.send_pattern(endless); });
    const Program harbor(idle_after(timeout, backend));

    Client::Options options;
    options.receive_buffer = 64 * 1024;
    Client client = harbor.connect(options);
    // 8 MiB a second. The buffers of the kernels on the way hold half of that at most, so that whatever the
    // balancer waits for comes several times within the timeout.
    const Stopwatch watch;
    while (watch.elapsed() < timeout * 5 / 2) {
        REQUIRE(client.receive(256 * 1024).size() == 256 * 1024);
        client.pause(Millis{30});
    }
    REQUIRE(client.wait_for_end_without_reading() == Ending::reset);
    REQUIRE(backend.saw_reset(1));
}

TEST_CASE("a timeout of zero means never") {
    INFO(lesson("two silent connections: one with LB_IO_TIMEOUT_MS=0, one with 400",
                "zero was taken for a time that is over at once, or for the default",
                "chapter 05, Sliding deadlines"));
    const Backend backend(behave::echo());
    const Program never(idle_after(Millis{0}, backend));
    const Program soon(idle_after(Millis{400}, backend));

    Client patient = never.connect();
    REQUIRE(backend.wait_for_connections(1));
    Client impatient = soon.connect();
    REQUIRE(sent_away(impatient));

    patient.send("still there?");
    REQUIRE(patient.receive(12) == "still there?");
}
