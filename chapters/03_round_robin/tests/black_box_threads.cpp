// Several threads, and clients that come at the same moment.
//
// The turn is the one thing that all threads change. If two of them can read the same value before either has
// stored the next, two clients get the same turn and the shares are off by a few in a few hundred: rarely,
// never while one looks, and never on one thread. So the clients here are threads too, let go together, and
// the totals have to be exact: however the turns were mixed, each was taken once. Everything else belongs to
// one thread, and the last tests make sure that what belongs to one connection stays there.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/program.hpp>

#include <cstddef>
#include <functional>
#include <latch>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace harness;

namespace {

/// Runs `work(0)` to `work(count - 1)` in threads that start together. Returns what went wrong, empty if
/// nothing.
std::string at_once(std::size_t count, const std::function<void(std::size_t)>& work) {
    std::vector<std::string> troubles(count);
    std::latch start(static_cast<std::ptrdiff_t>(count));
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i) {
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            try {
                work(i);
            } catch (const std::exception& failure) {
                troubles[i] = failure.what();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    std::string text;
    for (const std::string& trouble : troubles) {
        text += trouble.empty() ? "" : trouble + "\n";
    }
    return text;
}

void require_exact_shares_of_eight_clients(const std::string& worker_threads) {
    constexpr std::size_t clients = 8;
    constexpr int connections = 30; // of each client; 8 x 30 is a multiple of 3
    EchoServers servers({"A", "B", "C"});
    Program harbor({{"BACKENDS", servers.addresses()}, {"LB_THREADS", worker_threads}});

    std::vector<std::map<std::string, int>> seen(clients);
    const std::string trouble =
        at_once(clients, [&](std::size_t i) { seen[i] = shares(harbor.endpoint(), connections); });
    REQUIRE(trouble.empty());

    std::map<std::string, int> total;
    for (const auto& by_one : seen) {
        for (const auto& [name, count] : by_one) {
            total[name] += count;
        }
    }
    REQUIRE(equal_shares(total, 80, 3));
}

} // namespace

TEST_CASE("shares stay exact with eight clients at once") {
    INFO(lesson(
        "eight clients connected at the same time, thirty times each, through two worker threads",
        "two threads took the same turn: the counter is not atomic, or is read and increased in two steps",
        "chapter 03, Why an atomic"));
    require_exact_shares_of_eight_clients("2");
}

TEST_CASE("shares stay exact with four worker threads") {
    INFO(lesson("eight clients connected at the same time, thirty times each, through four worker threads",
                "each worker thread keeps a turn of its own, or two of them took the same one",
                "chapter 03, Why an atomic"));
    require_exact_shares_of_eight_clients("4");
}

TEST_CASE("shares stay exact with one worker thread") {
    INFO(lesson("eight clients connected at the same time, thirty times each, through one worker thread",
                "with a single worker nothing is left to serve, or to accept",
                "chapter 03, Several threads"));
    require_exact_shares_of_eight_clients("1");
}

TEST_CASE("a slow client holds up nobody on any thread") {
    INFO(lesson("as many clients as there are threads sent until they were stuck, and read nothing; eight "
                "others then "
                "came for an exchange",
                "a thread waits inside a write until its slow client reads, and whoever is given to that "
                "thread waits "
                "with it",
                "chapter 03, Several threads"));
    Backend a(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    Backend c(behave::echo_with_greeting("C"));
    Program harbor({{"BACKENDS", addresses({&a, &b, &c})}, {"LB_THREADS", "2"}, {"LB_IO_TIMEOUT_MS", "0"}});

    std::vector<Client> slow;
    for (int i = 0; i < 2; ++i) {
        slow.push_back(harbor.connect());
        slow.back().send_until_stuck(Millis{300}, 64 * 1024 * 1024);
    }

    // With connections given to the threads in turn each thread gets four of these.
    for (int i = 0; i < 8; ++i) {
        Client client = harbor.connect();
        client.receive_line();
        client.send("ping");
        REQUIRE(same_bytes("ping", client.receive(4)));
    }
}

TEST_CASE("connections on several threads do not mix their bytes") {
    INFO(lesson("eight clients at once each sent 1 MiB of their own through four threads and read it back",
                "connections on different threads share a buffer", "chapter 03, Several threads"));
    constexpr std::size_t size = 1024 * 1024;
    Backend a(behave::echo());
    Backend b(behave::echo());
    Program harbor({{"BACKENDS", addresses({&a, &b})}, {"LB_THREADS", "4"}});

    std::vector<Verdict> verdicts(8);
    const std::string trouble = at_once(verdicts.size(), [&](std::size_t i) {
        Client client = harbor.connect();
        std::thread reader([&] { verdicts[i] = client.receive_pattern(size, i); });
        const Verdict sent = client.try_send(make_bytes(size, i));
        reader.join();
        if (!sent) {
            verdicts[i] = sent;
        }
    });

    REQUIRE(trouble.empty());
    for (const Verdict& verdict : verdicts) {
        REQUIRE(verdict);
    }
    REQUIRE(a.connection_count() == 4);
    REQUIRE(b.connection_count() == 4);
}
