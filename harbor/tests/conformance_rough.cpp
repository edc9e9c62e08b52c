// A network that delays, loses and reorders: TCP mends that, and a balancer in the middle may not spoil it.
#include "conformance.hpp"
#include "rough_network.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <future>
#include <string>
#include <utility>
#include <vector>

using namespace harness;
using conformance::measured;
using conformance::RoughNetwork;

TEST_CASE("on a rough network every byte arrives and every end is clean", "[namespace]") {
    INFO(lesson(
        "one packet in fifty was lost, and each took up to 4 ms, on both sides of the program; clients "
        "sent 200,000 bytes and their end, and an echo came back",
        "bytes are dropped when a write is cut short, or an end of stream is passed on too early",
        "chapter 02, Half-close by half-close"));
    using std::chrono::microseconds;
    RoughNetwork network(
        {.seed = 7, .loss = 0.02, .least_delay = microseconds(0), .most_delay = microseconds(4000)});
    const Backend backend(behave::echo(), {.host = RoughNetwork::near});
    const Program harbor({{"BACKENDS", RoughNetwork::far_of(backend.endpoint()).text()},
                          {"LB_ADDR", std::string(RoughNetwork::near) + ":0"},
                          {"LB_DIAL_TIMEOUT_MS", "10000"}});
    std::vector<std::future<std::pair<bool, std::string>>> clients;
    constexpr std::uint64_t first_seed = 100;
    constexpr int number_of_clients = 8;
    for (int i = 0; i < number_of_clients; ++i) {
        clients.push_back(
            std::async(std::launch::async, [&harbor, seed = first_seed + static_cast<std::uint64_t>(i)] {
                const std::string bytes = make_bytes(200'000, seed);
                try {
                    Client client(RoughNetwork::far_of(harbor.endpoint()));
                    client.send(bytes);
                    client.half_close();
                    const Received received = client.receive_until_end();
                    return std::pair(received.bytes == bytes && received.ending == Ending::end_of_stream,
                                     conformance::in_short(received, bytes.size()));
                } catch (const Failure& failure) {
                    return std::pair(false, std::string(failure.what()));
                }
            }));
    }
    int whole = 0;
    std::string other;
    for (auto& client : clients) {
        const auto [good, what] = client.get();
        whole += good ? 1 : 0;
        other = good ? other : what;
    }

    measured(std::to_string(whole) + " of 8 whole" + (other.empty() ? "" : "; another: " + other));
    CAPTURE(network.carried(), network.lost(), network.overtaken(), other);
    REQUIRE(whole == number_of_clients);
    // Eight times 200,000 bytes went four ways.
    REQUIRE(network.carried() > 8 * 4 * 100);
    REQUIRE(network.lost() > 0);
    REQUIRE(network.overtaken() > 0);
}

TEST_CASE("an answer cut off by a reset does not pass for a whole one on a rough network", "[namespace]") {
    INFO(lesson(
        "the backend sent 100,000 bytes and reset; the client's side of the network delays and reorders",
        "the reset of the backend is passed on as an end of stream", "chapter 02, Resets"));
    using std::chrono::microseconds;
    RoughNetwork network(
        {.seed = 8, .loss = 0, .least_delay = microseconds(0), .most_delay = microseconds(4000)});
    // Nobody repeats a lost reset, so this network loses nothing.
    const Backend backend(behave::send_then_reset(make_bytes(100'000)));
    const Program harbor(
        {{"BACKENDS", backend.address()}, {"LB_ADDR", std::string(RoughNetwork::near) + ":0"}});
    Client client(RoughNetwork::far_of(harbor.endpoint()));
    const Received received = client.receive_until_end();

    measured(conformance::in_short(received, 100'000));
    REQUIRE(network.overtaken() > 0);
    REQUIRE(received.ending == Ending::reset);
}
