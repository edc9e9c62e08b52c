// Bytes: what one side sends is what the other receives, in order, exactly once, in both directions at the
// same time.
//
// A connection has two directions, and they have nothing to do with each other. A proxy that handles them in
// turn (read a question, write it, read the answer, write it) works with every toy client and stops for ever
// as soon as one side says two things in a row, or both sides talk at once. So most tests here are about who
// waits for whom.
//
// Who sends more than the buffers on the way can hold has to receive meanwhile, or waits for itself; that is
// why large transfers below are sent from a thread of their own. Larger pieces are made and compared as
// patterns (make_bytes), so that a failure can say which bytes are missing, came twice, or changed places.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

using namespace harness;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;

// Sends `size` bytes and half-closes, while it receives as many and the end: two different patterns that pass
// each other. Both sides do the same, with the seeds the other way round.
Verdict talk_and_listen(Peer& peer, std::uint64_t size, std::uint64_t my_seed, std::uint64_t their_seed) {
    auto sending = std::async(std::launch::async, [&] {
        peer.send_pattern(size, my_seed);
        peer.half_close();
    });
    Verdict verdict = peer.receive_pattern(size, their_seed);
    if (verdict) {
        verdict = peer.ends_cleanly();
    }
    sending.get();
    return verdict;
}

} // namespace

TEST_CASE("one byte passes through and back") {
    INFO(lesson("the client sent a single byte, the backend sent it back",
                "the proxy waits for more before it passes anything on", "chapter 02, Full duplex"));
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("x");

    REQUIRE(same_bytes("x", client.receive(1)));
    REQUIRE(backend.saw_bytes(1, "x"));
}

TEST_CASE("64 KiB pass through and back unchanged") {
    INFO(
        lesson("the client sent 64 KiB, the backend sent them back",
               "the rest of a short write was dropped or repeated, or a read was taken for the whole message",
               "chapter 02, Full duplex"));
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});
    const std::string bytes = make_bytes(64 * 1024);

    Client client = harbor.connect();
    client.send(bytes);

    REQUIRE(same_bytes(bytes, client.receive(bytes.size())));
    REQUIRE(backend.saw_bytes(1, bytes));
}

TEST_CASE("64 MiB pass through and back unchanged") {
    INFO(lesson(
        "the client sent 64 MiB while it read back what the backend returned",
        "two writes to one socket overlapped, a short write was not continued, or a buffer was filled anew "
        "before it was written",
        "chapter 02, Full duplex"));
    constexpr std::uint64_t size = 64 * mebibyte;
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    auto sending = std::async(std::launch::async, [&] {
        client.send_pattern(size);
        client.half_close();
    });

    REQUIRE(client.receive_pattern(size));
    REQUIRE(client.ends_cleanly());
    sending.get();
    REQUIRE(backend.saw_end_of_stream(1));
    REQUIRE(backend.connection(1).received_count == size);
}

TEST_CASE("bytes that trickle in one at a time arrive in order") {
    INFO(lesson("the client sent 2000 bytes, each by itself, and the backend sent each back",
                "bytes are collected until a buffer is full, or those of an earlier read are passed on again",
                "chapter 02, Full duplex"));
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});
    const std::string bytes = make_bytes(2000);

    Client client = harbor.connect();
    auto sending = std::async(std::launch::async, [&] { client.send_byte_by_byte(bytes); });

    REQUIRE(same_bytes(bytes, client.receive(bytes.size())));
    sending.get();
    REQUIRE(backend.saw_bytes(1, bytes));
}

TEST_CASE("a question that needs no answer does not stop the next one") {
    INFO(lesson("the client sent a line and the backend said nothing to it; then the client sent another",
                "after each piece from the client the proxy waits for one from the backend",
                "chapter 02, Full duplex"));
    const Backend backend(behave::silent_reader());
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("first\n");
    REQUIRE(backend.saw_bytes(1, "first\n"));
    client.send("second\n");
    REQUIRE(backend.saw_bytes(1, "first\nsecond\n"));
}

TEST_CASE("32 MiB in each direction at the same time arrive unchanged") {
    INFO(lesson("client and backend each sent 32 MiB of their own while they received the other's",
                "the directions share a buffer, or one waits for the other while the other waits for it",
                "chapter 02, Full duplex"));
    constexpr std::uint64_t size = 32 * mebibyte;
    std::promise<Verdict> judged;
    const Backend backend([&judged](Peer& peer) {
        try {
            judged.set_value(talk_and_listen(peer, size, 2, 1));
        } catch (const std::exception& failure) {
            judged.set_value(Verdict::no(failure.what()));
        }
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    REQUIRE(talk_and_listen(client, size, 1, 2));
    REQUIRE(judged.get_future().get());
}

TEST_CASE("an upload that is stuck does not hold up the download") {
    INFO(lesson(
        "the backend did not read, so the client's upload came to a halt; then the backend sent 1 MiB",
        "while a write to one side waits nothing is read from that side either", "chapter 02, Full duplex"));
    std::atomic<bool> now{false};
    const Backend backend([&now](Peer& peer) {
        while (!now) {
            if (!peer.pause(Millis{2})) {
                return;
            }
        }
        peer.send_pattern(mebibyte);
        peer.wait_for_end_without_reading(forever);
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send_until_stuck(Millis{300}, 64 * mebibyte);
    now = true;

    REQUIRE(client.receive_pattern(mebibyte));
}

TEST_CASE("200 clients at once each get their own bytes through the proxy") {
    INFO(lesson(
        "200 clients were connected, all of them spoke, and they read their answers in the opposite order",
        "connections are relayed one after the other, or something of one of them is kept where the next "
        "one overwrites it",
        "chapter 02, Who owns what"));
    constexpr std::size_t count = 200;
    constexpr std::size_t size = 16 * 1024;
    const Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});

    std::vector<Client> clients;
    for (std::size_t i = 0; i < count; ++i) {
        clients.push_back(harbor.connect());
    }
    for (std::size_t i = 0; i < count; ++i) {
        clients[i].send(make_bytes(size, i));
    }
    for (std::size_t i = count; i-- > 0;) {
        REQUIRE(same_bytes(make_bytes(size, i), clients[i].receive(size)));
    }
    REQUIRE(backend.connection_count() == count);
}
