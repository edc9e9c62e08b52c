// Streams: what arrives, to the last byte, and how it ends, where the chapters' tests leave it open.
//
// The chapters ask that a reset arrives as a reset. harbor promises more: what a side had sent before it
// reset is delivered first. To a client that makes the difference between "the server died" and "the server
// answered, and then died".
#include "conformance.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <atomic>
#include <cstdint>
#include <future>
#include <string>

using namespace harness;
using conformance::in_short;
using conformance::measured;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;

/// Sends, and resets when the balancer's kernel has all of it.
Behaviour answer_then_reset(const std::string& bytes) {
    return behave::send_then_reset(bytes);
}

std::string told(const ConnectionRecord& record, std::size_t of) {
    return std::to_string(record.received_count) + " of " + std::to_string(of) + " bytes, then " +
           in_short(record.ending);
}

/// The descriptors of so many connections are closed again.
Verdict descriptors_return(const Program& program, std::size_t before) {
    return eventually(
        [&] {
            const std::size_t now = program.process().open_descriptors();
            return Verdict{now <= before,
                           std::to_string(now) + " descriptors are open, to be " + std::to_string(before)};
        },
        "the descriptors to be closed");
}

} // namespace

TEST_CASE("both sides end their streams at the same moment and nothing is lost") {
    INFO(lesson("client and backend each sent 1 MiB and FIN, at the same time, and read to the end",
                "the first end of stream closes both directions", "chapter 02, Half-close by half-close"));
    const std::string question = make_bytes(mebibyte, 1);
    const std::string answer = make_bytes(mebibyte, 2);
    const Backend backend(behave::half_close_first(answer));
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    auto sending = std::async(std::launch::async, [&] {
        const Verdict sent = client.try_send(question);
        if (sent) {
            client.half_close();
        }
        return sent;
    });
    const Received received = client.receive_until_end();
    const Verdict sent = sending.get();

    measured("the answer: " + in_short(received, answer.size()));
    REQUIRE(received.is_exactly(answer));
    REQUIRE(sent);
    REQUIRE(backend.saw_bytes(1, question));
    REQUIRE(backend.saw_end_of_stream(1));
}

TEST_CASE("an answer that came before a reset is delivered before it") {
    INFO(lesson(
        "the backend sent 100,000 bytes, all of which had left it, and reset; the client read to the end",
        "the client's connection is reset at once, which drops what is still in its send buffer",
        "chapter 02, Resets"));
    const std::string answer = make_bytes(100'000);
    const Backend backend(answer_then_reset(answer));
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    const Received received = client.receive_until_end();

    measured(in_short(received, answer.size()));
    REQUIRE(same_bytes(answer, received.bytes));
    REQUIRE(received.ends_with_reset());
}

TEST_CASE("an upload that came before a reset is delivered before it") {
    INFO(lesson(
        "the client sent 100,000 bytes, all of which had left it, and reset; the backend read to the end",
        "the backend's connection is reset at once, which drops what is still in its send buffer",
        "chapter 02, Resets"));
    const std::string upload = make_bytes(100'000);
    const Backend backend(behave::silent_reader());
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("x");
    REQUIRE(backend.wait_for_bytes(1, 1)); // the dial is over: to leave during it would end it
    client.send(upload);
    client.wait_until_delivered();
    client.reset();

    const Verdict reset = backend.saw_reset(1);
    measured(told(backend.connection(1), 1 + upload.size()));
    REQUIRE(backend.saw_bytes(1, "x" + upload));
    REQUIRE(reset);
}

TEST_CASE("an answer and a reset wait for a client that reads late") {
    INFO(lesson(
        "the backend sent 300,000 bytes and reset; only then did the client, with a small window, begin to "
        "read",
        "the reset is passed on while a part of the answer is still in the send buffer, which it drops",
        "chapter 02, Resets"));
    const std::string answer = make_bytes(300'000);
    const Backend backend(answer_then_reset(answer));
    const Program harbor({{"BACKENDS", backend.address()}});

    Client::Options small;
    small.receive_buffer = 4096;
    Client client = harbor.connect(small);
    REQUIRE(backend.wait_for_connections(1));
    REQUIRE(backend.wait_for_open_connections_at_most(0));
    const Received received = client.receive_until_end();

    measured(in_short(received, answer.size()));
    REQUIRE(same_bytes(answer, received.bytes));
    REQUIRE(received.ends_with_reset());
}

TEST_CASE("an upload and a reset wait for a backend that reads late") {
    INFO(lesson(
        "the client sent 300,000 bytes and reset; only then did the backend, with a small window, begin to "
        "read",
        "the reset is passed on while a part of the upload is still in the send buffer, which it drops",
        "chapter 02, Resets"));
    const std::string upload = make_bytes(300'000);
    std::atomic<bool> read = false;
    Backend::Options small;
    small.receive_buffer = 4096;
    const Backend backend(
        [&read](Peer& peer) {
            peer.receive(1);
            while (!read) {
                if (!peer.pause(Millis{2})) {
                    return;
                }
            }
            peer.drain(forever);
        },
        small);
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("x");
    REQUIRE(backend.wait_for_bytes(1, 1));
    client.send(upload);
    client.wait_until_delivered();
    client.reset();
    read = true;

    const Verdict reset = backend.saw_reset(1);
    measured(told(backend.connection(1), 1 + upload.size()));
    REQUIRE(backend.saw_bytes(1, "x" + upload));
    REQUIRE(reset);
}

TEST_CASE("a backend that closes with unread bytes is taken for what it is") {
    INFO(lesson("the client sent 64 KiB; the backend read 8 bytes of them, answered 1000, and closed: its "
                "kernel sends a "
                "reset, since bytes were thrown away",
                "the reset is passed on as a clean end, and the client believes that all it sent was read",
                "chapter 02, Resets"));
    const std::string answer = make_bytes(1000);
    const Backend backend([&answer](Peer& peer) {
        peer.receive(65536 - 8); // the last eight are never read
        peer.send(answer);
        peer.wait_until_delivered();
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send_pattern(65536);
    const Received received = client.receive_until_end();

    measured(in_short(received, answer.size()));
    REQUIRE(same_bytes(answer, received.bytes));
    REQUIRE(received.ends_with_reset());
}

TEST_CASE("a reset after a clean end does not take the end back") {
    INFO(lesson(
        "the backend sent its whole answer and FIN, waited until both had arrived, and then reset, with the "
        "client's half still open",
        "a late reset overtakes the answer, or turns its clean end into a reset", "chapter 02, Resets"));
    const std::string answer = make_bytes(200'000);
    const Backend backend([&answer](Peer& peer) {
        peer.send(answer);
        peer.half_close();
        peer.wait_until_delivered();
        peer.reset();
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    const Received received = client.receive_until_end();

    measured(in_short(received, answer.size()));
    REQUIRE(received.is_exactly(answer));
}

TEST_CASE("a reset after a clean end is noticed although nobody sends any more") {
    INFO(lesson(
        "the backend ended its stream and then reset; the client had nothing to say, and did not leave",
        "after the end of a stream its socket is not watched any more, and the connection stays for ever",
        "chapter 02, Resets"));
    const Backend backend([](Peer& peer) {
        peer.receive(1);
        peer.half_close();
        peer.wait_until_delivered();
        peer.reset();
    });
    const Program harbor({{"BACKENDS", backend.address()}, {"LB_IO_TIMEOUT_MS", "0"}});
    const std::size_t before = harbor.process().open_descriptors();

    Client client = harbor.connect();
    client.send("x");
    REQUIRE(client.ends_cleanly());

    const Verdict closed = descriptors_return(harbor, before);
    measured(closed ? "closed" : "the connection is kept");
    REQUIRE(closed);
}

TEST_CASE("8 MiB arrive from a client that has closed long ago") {
    INFO(lesson(
        "the client sent 8 MiB and closed; the backend began to read only when the client could send no more",
        "what is left is dropped when the client's socket reports the end of both directions",
        "chapter 02, Half-close by half-close"));
    constexpr std::uint64_t size = 8 * mebibyte;
    std::atomic<bool> read = false;
    Backend::Options keep;
    keep.bytes_kept = size;
    const Backend backend(
        [&read](Peer& peer) {
            while (!read) {
                if (!peer.pause(Millis{2})) {
                    return;
                }
            }
            peer.drain(forever);
        },
        keep);
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    const std::string upload = make_bytes(size);
    const std::uint64_t sent = client.send_until_stuck(Millis{200}, size);
    read = true;
    client.send(std::string_view(upload).substr(sent));
    client.close();

    const Verdict end = backend.saw_end_of_stream(1);
    measured(told(backend.connection(1), size));
    REQUIRE(backend.saw_bytes(1, upload));
    REQUIRE(end);
}

TEST_CASE("a client that leaves during the dial ends the dial") {
    INFO(lesson("the only backend did not answer the dial, which might take a minute; the client reset",
                "nobody listens to the client while the dial goes on, and its descriptors and its place are "
                "taken until "
                "the dial fails",
                "harbor, dial.cpp"));
    const Blackhole backend;
    const Program harbor({{"BACKENDS", backend.address()}, {"LB_DIAL_TIMEOUT_MS", "60000"}});
    const std::size_t before = harbor.process().open_descriptors();

    Client client = harbor.connect();
    REQUIRE(
        eventually([&] { return harbor.process().open_descriptors() >= before + 2; }, "the dial to begin"));
    client.reset();

    const Verdict closed = descriptors_return(harbor, before);
    measured(closed ? "ended" : "the dial goes on");
    REQUIRE(closed);
}

TEST_CASE("what was sent to a backend that closes at once goes to no other") {
    INFO(lesson("of two backends the first accepts and closes at once; its client had sent a line",
                "the line is sent again, to the second backend: what was asked for once may be done twice",
                "chapter 05, Retry on another backend"));
    const Backend closing([](Peer& peer) { peer.receive(1); });
    const Backend other(behave::silent_reader());
    const Program harbor({{"BACKENDS", addresses({&closing, &other})}});

    Client client = harbor.connect();
    client.send("buy one book");
    const Received received = client.receive_until_end();

    measured(other.connection_count() == 0 ? in_short(received, 0) : "sent again to the second");
    REQUIRE(received.bytes.empty());
    REQUIRE(received.ending != Ending::silence);
    REQUIRE(other.connection_count() == 0);
}
