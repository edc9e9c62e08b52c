// The end of a stream: FIN means "I have sent my last byte", and no more than that.
//
// A connection ends in two halves. `echo question | nc -N server` ends its own half with the last byte of the
// question, and then waits for the answer; a proxy that closes everything at the first end of stream cuts
// that answer off. So an end on one side becomes an end on the other, after the last byte, and the other
// direction goes on as if nothing had happened. The connection is over when both have ended.
//
// The mistakes are of two kinds. One ends too much: the tests then see bytes missing. The other ends too
// little: then somebody waits for an end that never comes, which here shows as silence.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <cstdint>
#include <string>

using namespace harness;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;

} // namespace

TEST_CASE("the late answer of a backend reaches a client that has half-closed") {
    INFO(lesson("the client sent its question and FIN; the backend answered 1 MiB half a second later",
                "the first end of stream closed both directions, or the proxy gave up waiting",
                "chapter 02, Half-close by half-close"));
    const std::string answer = make_bytes(mebibyte);
    const Backend backend(behave::answer_late(answer, Millis{500}));
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("question");
    client.half_close();

    REQUIRE(client.receive_until_end().is_exactly(answer));
    REQUIRE(backend.saw_bytes(1, "question"));
    REQUIRE(backend.saw_end_of_stream(1));
}

TEST_CASE("a client goes on uploading to a backend that has half-closed") {
    INFO(lesson("the backend sent a line and FIN; the client read both, and only then uploaded 1 MiB",
                "the backend's end of stream closed both directions",
                "chapter 02, Half-close by half-close"));
    const std::string upload = make_bytes(mebibyte);
    const Backend backend(behave::half_close_first("go ahead\n"));
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    REQUIRE(client.receive_until_end().is_exactly("go ahead\n"));
    client.send(upload);
    client.half_close();

    REQUIRE(backend.saw_bytes(1, upload));
    REQUIRE(backend.saw_end_of_stream(1));
}

TEST_CASE("an end of stream reaches a side that goes on talking") {
    INFO(lesson("the client sent FIN and the backend, having seen it, took turns with nobody: it sent three "
                "lines and "
                "then ended its own half",
                "the end of stream is passed on only when the other direction is over too",
                "chapter 02, Half-close by half-close"));
    const Backend backend([](Peer& peer) {
        // The first line comes only once the end has been seen: if it is not passed on, nothing ever comes.
        if (peer.drain(forever).ending != Ending::end_of_stream) {
            return;
        }
        for (const char* line : {"one\n", "two\n", "three\n"}) {
            peer.send(line);
            peer.pause(Millis{20});
        }
        peer.half_close();
    });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.half_close();

    REQUIRE(client.receive_until_end().is_exactly("one\ntwo\nthree\n"));
}

TEST_CASE("everything arrives from a client that sends and closes at once") {
    INFO(lesson("the client sent 1 MiB and closed its socket without waiting for anything",
                "the proxy took the end for an error, or dropped what it had read and not yet written",
                "chapter 02, Half-close by half-close"));
    const std::string bytes = make_bytes(mebibyte);
    const Backend backend(behave::sink());
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send(bytes);
    client.close();

    REQUIRE(backend.saw_bytes(1, bytes));
    REQUIRE(backend.saw_end_of_stream(1));
}

TEST_CASE("a backend that closes without a word gives its client a clean end") {
    INFO(lesson("the backend accepted the connection, read a byte, and closed; nobody sent anything else",
                "the end is not passed on while the client is silent, or is turned into a reset",
                "chapter 02, Half-close by half-close"));
    const Backend backend([](Peer& peer) { peer.receive(1); });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    client.send("x");

    REQUIRE(client.ends_cleanly());
}

TEST_CASE("a slow reader gets all of an answer whose backend has closed long ago") {
    INFO(lesson(
        "the backend sent 8 MiB and closed; the client read slowly, and ended its own half when all was "
        "there",
        "at the backend's end of stream the client's socket was closed with bytes still to be written, which "
        "drops them, or a clean end was turned into a reset",
        "chapter 02, Half-close by half-close"));
    constexpr std::uint64_t size = 8 * mebibyte;
    constexpr std::size_t piece = 64 * 1024;
    const Backend backend([](Peer& peer) { peer.send_pattern(size); });
    const Program harbor({{"BACKENDS", backend.address()}});

    Client client = harbor.connect();
    // As long as the backend is still there, no more is read than is needed to make it get on.
    std::string bytes = client.receive(1);
    while (bytes.size() + piece < size && backend.open_connections() > 0) {
        if (!eventually([&] { return backend.open_connections() == 0; }, "the backend to be done",
                        Millis{3})) {
            bytes += client.receive(piece);
        }
    }
    const Received rest = client.receive_until_end();

    REQUIRE(same_bytes(make_bytes(size), bytes + rest.bytes));
    REQUIRE(rest.ends_cleanly());
}

TEST_CASE("two clean ends leave nothing of a connection") {
    INFO(lesson(
        "500 clients came one after the other, were served, and left by a clean end on both sides",
        "a socket or its memory is kept although both directions are over: each waits for the other to "
        "clean up",
        "chapter 02, Who owns what"));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    // A sanitizer keeps freed memory back for a while, to catch those who still use it.
    constexpr std::uint64_t allowance = 64 * mebibyte;
#else
    constexpr std::uint64_t allowance = 2 * mebibyte;
#endif
    const Backend backend(behave::echo());
    Program harbor({{"BACKENDS", backend.address()}});
    const auto serve_clients = [&](int count) {
        for (int i = 0; i < count; ++i) {
            Client client = harbor.connect();
            client.send("hello");
            client.half_close();
            REQUIRE(client.receive_until_end().is_exactly("hello"));
        }
    };

    serve_clients(1);
    REQUIRE(backend.wait_for_open_connections_at_most(0));
    const std::size_t descriptors = harbor.process().open_descriptors();
    serve_clients(99); // what an allocator keeps for later use is there by now
    const std::uint64_t memory = harbor.process().resident_bytes();
    serve_clients(400);

    REQUIRE(eventually([&] { return harbor.process().open_descriptors() <= descriptors; },
                       "every descriptor to be closed"));
    REQUIRE(is_between(
        "the growth of its resident memory in KiB",
        (static_cast<double>(harbor.process().resident_bytes()) - static_cast<double>(memory)) / 1024, -1e9,
        static_cast<double>(allowance) / 1024));
}
