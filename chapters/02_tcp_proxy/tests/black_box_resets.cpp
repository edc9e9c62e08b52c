// A reset says that the connection is broken: bytes may be missing, and nothing that came can be taken for
// the whole.
//
// TCP tells two kinds of end apart, and protocols that end a message with the connection (HTTP/1.0, and many
// simple ones) rely on it: FIN after the last byte means complete, RST means cut off. A proxy stands between
// two connections, and if one of them breaks the other is perfectly healthy. Closing it politely would send a
// FIN, and half an answer would pass for a whole one. So a reset has to be passed on as a reset, in both
// directions, whatever else has happened before.
//
// How many of the bytes before the reset arrive is left open: they may be anywhere on the way. What does
// arrive has to be the beginning of what was sent.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <cstdint>
#include <string>
#include <string_view>

using namespace harness;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;

// `got` is the first part of `sent`, or all of it.
Verdict is_the_beginning(std::string_view got, std::string_view sent) {
    if (got.size() > sent.size()) {
        return Verdict::no("more came than was sent: " + std::to_string(got.size()) + " bytes");
    }
    return same_bytes(sent.substr(0, got.size()), got);
}

// Sends for ever; ends when the other side does not want any more.
void send_without_end(Peer& peer) {
    peer.send_pattern(std::uint64_t{1} << 40);
}

} // namespace

TEST_CASE("a reset of the backend resets the client") {
    INFO(lesson("the client sent a question; the backend read it and reset, without an answer",
                "the proxy closes the client's connection politely, or leaves it open",
                "chapter 02, Resets"));
    const Backend backend(behave::reset_after(8));
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("question");

    REQUIRE(client.ends_with_reset());
}

TEST_CASE("an answer cut off by a reset does not pass for a whole one") {
    INFO(lesson("the backend sent 1 MiB and then reset; the client read until the end",
                "after the reset the client was sent a FIN: what it had received looks complete",
                "chapter 02, Resets"));
    const std::string answer = make_bytes(mebibyte);
    const Backend backend(behave::send_then_reset(answer));
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    const Received received = client.receive_until_end();

    REQUIRE(is_the_beginning(received.bytes, answer));
    REQUIRE(received.ends_with_reset());
}

TEST_CASE("a reset reaches a client that has half-closed") {
    INFO(lesson(
        "the client sent its question and FIN; the backend sent a part of the answer, and reset",
        "once the client has ended its half, the proxy has only one way left to end the connection: politely",
        "chapter 02, Resets"));
    const std::string part = make_bytes(100'000);
    const Backend backend([&part](Peer& peer) {
        if (peer.drain(forever).ending == Ending::end_of_stream) {
            peer.send(part);
            peer.wait_until_delivered();
            peer.reset();
        }
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("question");
    client.half_close();
    const Received received = client.receive_until_end();

    REQUIRE(is_the_beginning(received.bytes, part));
    REQUIRE(received.ends_with_reset());
}

TEST_CASE("a reset of the client resets the backend") {
    INFO(lesson(
        "the client sent a line, which arrived; then it reset",
        "the proxy ends the backend's connection politely, so a request cut off looks complete, or leaves it "
        "open until the backend speaks",
        "chapter 02, Resets"));
    const Backend backend(behave::silent_reader());
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("half a requ");
    REQUIRE(backend.saw_bytes(1, "half a requ"));
    client.reset();

    REQUIRE(backend.saw_reset(1));
}

TEST_CASE("an upload cut off by a reset does not pass for a whole one") {
    INFO(lesson("the client sent 1 MiB and reset at once, with most of it still on the way",
                "what was left was dropped, and the backend was told that it was all", "chapter 02, Resets"));
    const std::string upload = make_bytes(mebibyte);
    const Backend backend(behave::silent_reader());
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send(upload);
    client.reset();

    REQUIRE(backend.saw_reset(1));
    REQUIRE(is_the_beginning(backend.connection(1).received, upload));
}

TEST_CASE("a client that resets in the middle of a download stops the backend") {
    INFO(lesson("the backend sent without end; the client read 1 MiB of it and reset",
                "the proxy reads on although nobody takes the bytes any more, or dies of SIGPIPE",
                "chapter 02, Resets"));
    const Backend backend(send_without_end);
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    REQUIRE(client.receive_pattern(mebibyte));
    client.reset();

    REQUIRE(backend.saw_reset(1));
}

TEST_CASE("a reset reaches a backend whose client had half-closed before") {
    INFO(lesson(
        "the client sent its question and FIN, read 1 MiB of an endless answer, and reset",
        "after the client's end of stream nothing more is expected from it, so its reset is not passed on",
        "chapter 02, Resets"));
    const Backend backend([](Peer& peer) {
        if (peer.drain(forever).ending == Ending::end_of_stream) {
            send_without_end(peer);
        }
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("question");
    client.half_close();
    REQUIRE(client.receive_pattern(mebibyte));
    client.reset();

    REQUIRE(backend.saw_reset(1));
}

TEST_CASE("a reset of one connection leaves the others alone") {
    INFO(lesson(
        "two clients were connected; the first was reset by its backend, then the second exchanged bytes",
        "an error of one connection ended the program, or was answered with the wrong connection",
        "chapter 02, Resets"));
    Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});

    Client bystander = harbor.connect();
    bystander.send("before");
    REQUIRE(same_bytes("before", bystander.receive(6)));

    backend.change_behaviour(behave::reset_after(1));
    Client unlucky = harbor.connect();
    unlucky.send("x");
    REQUIRE(unlucky.receive_until_end().ending != Ending::silence);

    bystander.send("after");
    REQUIRE(same_bytes("after", bystander.receive(5)));
}
