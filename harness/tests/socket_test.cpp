// Clients against the harness's own backends: each behaviour must look from outside as its name says.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/socket.hpp>

#include <thread>

using namespace harness;

TEST_CASE("addresses are read and written") {
    REQUIRE(Endpoint::parse("127.0.0.1:80") == Endpoint{"127.0.0.1", 80});
    REQUIRE(Endpoint::parse("[::1]:80").text() == "[::1]:80");
    REQUIRE(Endpoint::parse(":80").host == "127.0.0.1");
    REQUIRE_THROWS_AS(Endpoint::parse("127.0.0.1"), Failure);
    REQUIRE_THROWS_AS(Endpoint::parse("127.0.0.1:65536"), Failure);
    REQUIRE_THROWS_AS(Endpoint::parse("127.0.0.1:8x"), Failure);
}

TEST_CASE("a longer pattern begins with the shorter one") {
    REQUIRE(make_bytes(100, 7) == make_bytes(1000, 7).substr(0, 100));
    REQUIRE(make_bytes(100, 7) != make_bytes(100, 8));
}

TEST_CASE("an echo comes back and ends cleanly") {
    Backend a(behave::echo());
    Client client(a.endpoint());
    client.send("hello");
    REQUIRE(client.receive(5) == "hello");
    client.send_byte_by_byte("world\n");
    REQUIRE(client.receive_line() == "world");
    client.half_close();
    REQUIRE(client.ends_cleanly());
    REQUIRE(a.saw_bytes(1, "helloworld\n"));
    REQUIRE(a.saw_end_of_stream(1));
    REQUIRE(a.wait_for_open_connections_at_most(0));
}

TEST_CASE("a pattern of 64 MiB goes through both ways at once") {
    constexpr std::uint64_t size = 64ULL << 20;
    Backend a(behave::echo());
    Client client(a.endpoint());
    std::thread sender([&] {
        client.send_pattern(size, 3);
        client.half_close();
    });
    const Verdict came = client.receive_pattern(size, 3);
    sender.join();
    REQUIRE(came);
    REQUIRE(client.ends_cleanly());
    REQUIRE(a.connection(1).received_count == size);
    REQUIRE(a.connection(1).received.size() == 1 << 20);
}

TEST_CASE("a wrong pattern is noticed") {
    std::string bytes = make_bytes(100000, 3);
    bytes[70000] = static_cast<char>(bytes[70000] ^ 1);
    Backend a(behave::half_close_first(bytes));
    Client client(a.endpoint());
    REQUIRE_FALSE(client.receive_pattern(100000, 3));
}

TEST_CASE("a pattern that ends early is noticed") {
    Backend a(behave::half_close_first(make_bytes(1000, 3)));
    Client client(a.endpoint());
    const Verdict verdict = client.receive_pattern(2000, 3);
    REQUIRE(contains(verdict.explanation, "after 1000 bytes the other side ended the stream"));
}

TEST_CASE("what did come is in the failure when too little comes") {
    Backend a(behave::half_close_first("abc"));
    Client client(a.endpoint());
    std::string text;
    try {
        client.receive(10);
    } catch (const Failure& failure) {
        text = failure.what();
    }
    REQUIRE(contains(text,
                     "client 1 was to receive 10 bytes, but after 3 bytes the other side ended the stream"));
    REQUIRE(contains(text, "\"abc\""));
}

TEST_CASE("silence ends a wait in time") {
    Backend a(behave::silent());
    Client client(a.endpoint());
    client.set_patience(Millis{50});
    REQUIRE_THROWS_AS(client.receive(1), Failure);
    REQUIRE(client.receive_until_end().ending == Ending::silence);
    REQUIRE(client.stays_silent(Millis{50}));
}

TEST_CASE("a greeting comes first") {
    Backend a(behave::echo_with_greeting("A"));
    Client client(a.endpoint());
    REQUIRE(client.receive_line() == "A");
    client.send("x");
    REQUIRE(client.receive(1) == "x");
}

TEST_CASE("a late answer comes after the end of stream") {
    Backend a(behave::answer_late("done", Millis{50}));
    Client client(a.endpoint());
    client.send("question");
    REQUIRE(client.stays_silent(Millis{50}));
    client.half_close();
    REQUIRE(client.receive_until_end().is_exactly("done"));
    REQUIRE(a.saw_bytes(1, "question"));
}

TEST_CASE("a backend that half-closes first goes on reading") {
    Backend a(behave::half_close_first("bye"));
    Client client(a.endpoint());
    REQUIRE(client.receive_until_end().is_exactly("bye"));
    client.send("still here");
    REQUIRE(a.saw_bytes(1, "still here"));
    REQUIRE(a.open_connections() == 1);
    client.close();
    REQUIRE(a.saw_end_of_stream(1));
}

TEST_CASE("a backend resets after so many bytes") {
    Backend a(behave::reset_after(4));
    Client client(a.endpoint());
    client.send("abc");
    REQUIRE(client.stays_silent(Millis{50}));
    client.send("d");
    REQUIRE(client.ends_with_reset());
    REQUIRE_FALSE(client.try_send("e"));
}

TEST_CASE("a reset does not swallow what was sent before it") {
    Backend a(behave::send_then_reset(make_bytes(50000)));
    Client client(a.endpoint());
    const Received received = client.receive_until_end();
    REQUIRE(same_bytes(make_bytes(50000), received.bytes));
    REQUIRE(received.ends_with_reset());
    REQUIRE_FALSE(received.ends_cleanly());
}

TEST_CASE("a backend resets or closes at once") {
    Backend resets(behave::reset_at_once());
    Client first(resets.endpoint());
    REQUIRE(first.ends_with_reset());
    Backend closes(behave::close_at_once());
    Client second(closes.endpoint());
    REQUIRE(second.ends_cleanly());
}

TEST_CASE("a client that resets is seen to") {
    Backend a(behave::sink());
    Client client(a.endpoint());
    client.send("abc");
    REQUIRE(a.wait_for_bytes(1, 3));
    client.reset();
    REQUIRE(a.saw_reset(1));
}

TEST_CASE("a reset is seen by a backend that does not read") {
    Backend a(behave::silent());
    Client client(a.endpoint());
    client.send("abc");
    REQUIRE(a.wait_for_connections(1));
    client.reset();
    REQUIRE(a.saw_reset(1));
    REQUIRE(a.connection(1).received_count == 0);
}

TEST_CASE("a backend that stops reading fills the buffers") {
    Backend::Options small;
    small.receive_buffer = 16384;
    Backend a(behave::stop_reading(10), small);
    Client::Options options;
    options.send_buffer = 16384;
    Client client(a.endpoint(), options);
    const std::uint64_t taken = client.send_until_stuck(Millis{200});
    REQUIRE(is_between("bytes taken", static_cast<double>(taken), 10, 4e6));
    REQUIRE(a.connection(1).received_count == 10);
    client.set_patience(Millis{50});
    const Verdict more = client.try_send(make_bytes(1 << 20));
    REQUIRE(contains(more.explanation, "nothing moved for 50 ms"));
}

TEST_CASE("a sink reads everything and a silent reader never closes") {
    Backend sink(behave::sink());
    Client first(sink.endpoint());
    first.send("abc");
    first.half_close();
    REQUIRE(first.ends_cleanly());
    Backend quiet(behave::silent_reader());
    Client second(quiet.endpoint());
    second.send("abc");
    second.half_close();
    REQUIRE(quiet.saw_end_of_stream(1));
    REQUIRE(second.stays_silent(Millis{50}));
}

TEST_CASE("a backend refuses and listens and stops again on one port") {
    Backend a = Backend::refusing();
    for (int i = 0; i < 5; ++i) {
        REQUIRE(connect_refused(a.endpoint()));
        REQUIRE_FALSE(Client::try_connect(a.endpoint()).has_value());
        a.start_listening();
        Client client(a.endpoint());
        client.send("x");
        REQUIRE(client.receive(1) == "x");
        a.stop_listening();
        client.send("y");
        REQUIRE(client.receive(1) == "y");
    }
    REQUIRE(a.connection_count() == 5);
}

TEST_CASE("stopping can cut what is open") {
    Backend a(behave::silent());
    Client client(a.endpoint());
    REQUIRE(a.wait_for_connections(1));
    a.stop_listening(true);
    REQUIRE(client.receive_until_end().ending != Ending::silence);
    REQUIRE(connect_refused(a.endpoint()));
}

TEST_CASE("a port given is the port taken") {
    std::uint16_t port = 0;
    {
        Backend a(behave::echo());
        port = a.endpoint().port;
    }
    Backend::Options options;
    options.port = port;
    Backend again(behave::close_at_once(), options);
    REQUIRE(again.endpoint().port == port);
    REQUIRE(connect_accepted(again.endpoint()));
}

TEST_CASE("two thousand short connections leave nothing behind") {
    Backend a(behave::echo());
    for (int i = 0; i < 2000; ++i) {
        Client client(a.endpoint());
        client.send("x");
        client.half_close();
        REQUIRE(client.receive_until_end().is_exactly("x"));
    }
    REQUIRE(a.connection_count() == 2000);
    REQUIRE(a.wait_for_open_connections_at_most(0));
}

TEST_CASE("a behaviour can change and be written in place") {
    Backend a(behave::echo());
    a.change_behaviour([](Peer& peer) {
        const std::string line = peer.receive_line();
        peer.send("you said " + line);
    });
    Client client(a.endpoint());
    client.send("so\n");
    REQUIRE(client.receive_until_end().is_exactly("you said so"));
}

TEST_CASE("trouble in a behaviour is kept in the record") {
    Backend a([](Peer& peer) { peer.receive(10); });
    Client client(a.endpoint());
    client.send("abc");
    client.half_close();
    REQUIRE(client.ends_cleanly());
    REQUIRE(eventually([&] { return !a.connection(1).trouble.empty(); }, "the trouble to be recorded"));
    REQUIRE(contains(a.connection(1).trouble, "after 3 bytes"));
    REQUIRE_THROWS_AS(a.connection(2), Failure);
}

TEST_CASE("a black hole neither accepts nor refuses") {
    Blackhole hole;
    Client::Options options;
    options.patience = Millis{100};
    std::string text;
    try {
        Client client(hole.endpoint(), options);
    } catch (const Failure& failure) {
        text = failure.what();
    }
    REQUIRE(contains(text, "timed out"));
}
