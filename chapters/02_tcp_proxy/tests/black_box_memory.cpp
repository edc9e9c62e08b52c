// A slow reader bounds the proxy's memory: 64 MiB are pushed towards somebody who does not read.
//
// A proxy sits between a fast side and a slow one, and whatever the fast side sends and the slow one does not
// take yet has to be somewhere. If the proxy reads as fast as it can, that is its own memory, and one client
// with a slow line is enough to fill it. If it reads only when its last write is through, the kernel's
// buffers fill, TCP closes the window, and the fast side waits: the pace of the slow side has become the pace
// of both.
//
// First it is shown that memory stays bounded while nothing is taken, then that every byte arrives once
// somebody reads again. The bound is 4 MiB for one direction, much more than the one buffer the chapters hold
// and far less than what was pushed. Memory is the resident size of the process, so the kernel's own buffers
// do not count.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <utility>

using namespace harness;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;
constexpr std::uint64_t size = 64 * mebibyte;
constexpr std::uint64_t bound = 4 * mebibyte;

// Until nothing more has been sent for half a second. On a very busy machine that may be too early; then what
// is measured next is smaller than it could be, but not wrong.
void wait_until_stuck(const std::function<std::uint64_t()>& sent) {
    std::uint64_t before = sent();
    while (before < size) {
        const bool moved = static_cast<bool>(
            eventually([&] { return sent() != before; }, "a byte to be taken", Millis{500}));
        if (!moved && before > 0) {
            return;
        }
        before = sent();
    }
}

// Waits until `go` is set; false if the test is over before.
bool wait_for(const std::atomic<bool>& go, Peer& peer) {
    while (!go) {
        if (!peer.pause(Millis{2})) {
            return false;
        }
    }
    return true;
}

// What a backend found out in its own thread, for the test's thread to wait for and to judge.
class Finding {
public:
    void is(Verdict verdict) { promise_.set_value(std::move(verdict)); }

    Verdict wait() {
        // The backend itself gives up when nothing comes for that long; twice as long, so that it is asked
        // first.
        if (future_.wait_for(2 * patience()) != std::future_status::ready) {
            return Verdict::no("the backend is still waiting for its bytes");
        }
        return future_.get();
    }

private:
    std::promise<Verdict> promise_;
    std::future<Verdict> future_ = promise_.get_future();
};

// Four clients are answered and leave, so that what a program sets up once, or once for each of its threads,
// is there before memory is measured. The test's own connection is the fifth.
constexpr std::size_t fifth = 5;
void warm_up(const Program& program) {
    for (std::size_t i = 1; i < fifth; ++i) {
        Client client = program.connect();
        client.send("hello");
        REQUIRE(same_bytes("hello", client.receive(5)));
    }
}

Verdict growth_is_bounded(const Program& program, std::uint64_t before, std::uint64_t limit = bound) {
    const std::uint64_t now = program.process().resident_bytes();
    const std::uint64_t growth = now > before ? now - before : 0;
    return {growth < limit, "its resident memory grew by " + std::to_string(growth / 1024) + " KiB, from " +
                                std::to_string(before / 1024) + " KiB; to be less than " +
                                std::to_string(limit / 1024) + " KiB"};
}

} // namespace

TEST_CASE("a backend that pauses while 64 MiB are sent to it does not fill the memory of the proxy") {
    INFO(lesson(
        "the client sent 64 MiB; the backend read nothing until no more was taken, and then everything",
        "the proxy goes on reading while its own write waits: into a queue, or a buffer that grows",
        "chapter 02, Backpressure"));
    std::atomic<bool> go{false};
    Finding finding;
    Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});
    warm_up(harbor);
    const std::uint64_t before = harbor.process().resident_bytes();

    backend.change_behaviour([&](Peer& peer) {
        if (wait_for(go, peer)) {
            peer.set_patience(patience());
            const Verdict unchanged = peer.receive_pattern(size);
            finding.is(unchanged ? peer.ends_cleanly() : unchanged);
        }
    });
    Client client = harbor.connect();
    auto sending = std::async(std::launch::async, [&] {
        client.send_pattern(size);
        client.half_close();
    });
    wait_until_stuck([&] { return client.bytes_sent(); });
    CHECK(growth_is_bounded(harbor, before));

    go = true;
    REQUIRE(finding.wait());
    sending.get();
    REQUIRE(growth_is_bounded(harbor, before));
}

TEST_CASE("a client that pauses while 64 MiB are sent to it does not fill the memory of the proxy") {
    INFO(lesson(
        "the backend sent 64 MiB; the client read nothing until no more was taken, and then everything",
        "the proxy goes on reading while its own write waits: into a queue, or a buffer that grows",
        "chapter 02, Backpressure"));
    Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});
    warm_up(harbor);
    const std::uint64_t before = harbor.process().resident_bytes();

    backend.change_behaviour([](Peer& peer) {
        peer.send_pattern(size);
        peer.half_close();
        peer.drain(forever);
    });
    Client client = harbor.connect();
    REQUIRE(backend.wait_for_connections(fifth));
    wait_until_stuck([&] { return backend.connection(fifth).sent_count; });
    CHECK(growth_is_bounded(harbor, before));

    REQUIRE(client.receive_pattern(size));
    REQUIRE(client.ends_cleanly());
    REQUIRE(growth_is_bounded(harbor, before));
}

TEST_CASE("two sides that send and do not read fill no memory and lose nothing") {
    INFO(lesson("client and backend each sent 64 MiB to the other, and neither read until no more was taken",
                "one direction is bounded and the other is not, or both wait for each other and never go on",
                "chapter 02, Backpressure"));
    std::atomic<bool> go{false};
    Finding finding;
    Backend backend(behave::echo());
    const Program harbor({{"BACKENDS", backend.address()}});
    warm_up(harbor);
    const std::uint64_t before = harbor.process().resident_bytes();

    backend.change_behaviour([&](Peer& peer) {
        auto sending = std::async(std::launch::async, [&] { peer.send_pattern(size, 2); });
        if (wait_for(go, peer)) {
            peer.set_patience(patience());
            finding.is(peer.receive_pattern(size, 1));
        }
        sending.get();
    });
    Client client = harbor.connect();
    auto sending = std::async(std::launch::async, [&] { client.send_pattern(size, 1); });
    REQUIRE(backend.wait_for_connections(fifth));
    wait_until_stuck([&] { return client.bytes_sent(); });
    wait_until_stuck([&] { return backend.connection(fifth).sent_count; });
    CHECK(growth_is_bounded(harbor, before, 2 * bound));

    go = true;
    REQUIRE(client.receive_pattern(size, 2));
    REQUIRE(finding.wait());
    sending.get();
}
