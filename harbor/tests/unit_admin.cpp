// What monitoring is told: the replies to all kinds of requests, and the two questions about health.
//
// Most tests ask the function that makes the reply. The last ones go through a socket, for what only shows
// there: requests that come in pieces, too large, or not at all.
#include "admin.hpp"
#include "balancer.hpp"
#include "faults.hpp"
#include "listener.hpp"
#include "running_worker.hpp"

#include <harness/catch.hpp>
#include <harness/scrape.hpp>

#include <asio/ip/address.hpp>

#include <cerrno>
#include <chrono>
#include <latch>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using harness::HttpReply;

namespace {

harbor::Config two_backends(unsigned cooldown_ms = 60'000) {
    harbor::Config config;
    config.backends = {{"127.0.0.1", "1001"}, {"127.0.0.1", "1002"}};
    config.backend_cooldown = std::chrono::milliseconds(cooldown_ms);
    return config;
}

HttpReply ask(const harbor::Balancer& balancer, const std::string& request) {
    return harness::parse_http_reply(harbor::admin_reply(request, balancer));
}

HttpReply get(const harbor::Balancer& balancer, const std::string& target) {
    return ask(balancer, "GET " + target + " HTTP/1.1\r\nHost: harbor\r\n\r\n");
}

} // namespace

TEST_CASE("every reply says how long it is and that the connection ends") {
    const harbor::Balancer balancer(two_backends());
    for (const std::string target : {"/metrics", "/healthz", "/readyz", "/nowhere"}) {
        INFO(target);
        const HttpReply reply = get(balancer, target);
        REQUIRE(reply.header("Content-Length") == std::to_string(reply.body.size()));
        REQUIRE(reply.header("Connection") == "close");
        REQUIRE_FALSE(reply.header("Content-Type").empty());
        REQUIRE(reply.body.back() == '\n');
    }
}

TEST_CASE("metrics come as text unless JSON is asked for") {
    const harbor::Balancer balancer(two_backends());
    const HttpReply text = get(balancer, "/metrics");
    REQUIRE(text.status == 200);
    REQUIRE(text.header("Content-Type") == "text/plain; version=0.0.4");
    REQUIRE(harness::Metrics::parse(text.body).has("harbor_accepts_total"));
    REQUIRE(get(balancer, "/metrics?name=x").status == 200);

    for (const std::string accept :
         {"Accept: application/json", "ACCEPT:application/json;q=1", "accept: text/html, Application/JSON"}) {
        INFO(accept);
        const HttpReply json = ask(balancer, "GET /metrics HTTP/1.1\r\n" + accept + "\r\nHost: x\r\n\r\n");
        REQUIRE(json.status == 200);
        REQUIRE(json.header("Content-Type") == "application/json");
        REQUIRE(harness::parse_json(json.body).numbers.count("accepts_total") == 1);
    }
    for (const std::string other : {"Accept: text/plain", "X-Accept: application/json", "Accept: */*"}) {
        INFO(other);
        const HttpReply reply = ask(balancer, "GET /metrics HTTP/1.1\r\n" + other + "\r\nHost: x\r\n\r\n");
        REQUIRE(reply.header("Content-Type").starts_with("text/plain"));
    }
}

TEST_CASE("what is not understood is refused with the right status") {
    const harbor::Balancer balancer(two_backends());
    REQUIRE(get(balancer, "/").status == 404);
    REQUIRE(get(balancer, "/metrics/").status == 404);
    REQUIRE(get(balancer, "/healthzz").status == 404);
    for (const std::string path : {"/metrics", "/healthz", "/readyz"}) {
        const HttpReply reply = ask(balancer, "POST " + path + " HTTP/1.1\r\n\r\n");
        REQUIRE(reply.status == 405);
        REQUIRE(reply.header("Allow") == "GET");
    }
    for (const std::string request : {"\r\n\r\n", "GET\r\n\r\n", "GET /metrics\r\n\r\n", " \r\n\r\n",
                                      "GET /metrics HTTQ/1.1\r\n\r\n", "GET /metrics HTTP/2.0\r\n\r\n"}) {
        INFO(request);
        REQUIRE(ask(balancer, request).status == 400);
    }
}

TEST_CASE("health is that somebody answers and drain does not change it") {
    harbor::Balancer balancer(two_backends());
    REQUIRE(get(balancer, "/healthz").status == 200);
    REQUIRE(get(balancer, "/healthz").body == "ok\n");
    balancer.draining = true;
    REQUIRE(get(balancer, "/healthz").status == 200);
}

TEST_CASE("ready until the drain begins") {
    harbor::Balancer balancer(two_backends());
    REQUIRE(get(balancer, "/readyz").status == 200);
    REQUIRE(get(balancer, "/readyz").body == "ready\n");
    balancer.draining = true;
    const HttpReply reply = get(balancer, "/readyz");
    REQUIRE(reply.status == 503);
    REQUIRE(reply.body == "draining\n");
}

TEST_CASE("ready as long as one backend is in rotation") {
    harbor::Balancer balancer(two_backends());
    harbor::Lease first = balancer.pool.pick();
    balancer.pool.dial_failed(*first);
    REQUIRE(get(balancer, "/readyz").status == 200);
    const harbor::Lease second = balancer.pool.pick();
    REQUIRE(&*second != &*first);
    balancer.pool.dial_failed(*second);
    const HttpReply reply = get(balancer, "/readyz");
    REQUIRE(reply.status == 503);
    REQUIRE(reply.body == "no backend in rotation\n");
    balancer.pool.dial_succeeded(*first);
    REQUIRE(get(balancer, "/readyz").status == 200);
}

TEST_CASE("backends that are due again count as in rotation") {
    harbor::Balancer balancer(two_backends());
    const auto long_ago = harbor::Clock::now() - std::chrono::hours(1);
    for (int i = 0; i < 2; ++i) {
        const harbor::Lease lease = balancer.pool.pick();
        balancer.pool.dial_failed(*lease, long_ago);
    }
    REQUIRE(get(balancer, "/readyz").status == 200);
}

namespace {

/// The endpoint with a socket, on a thread whose calls can be made to fail.
class RunningAdmin {
public:
    explicit RunningAdmin(const harbor::Balancer& balancer) {
        harbor::Descriptor listener = harbor::listen_on({asio::ip::make_address("127.0.0.1"), 0});
        endpoint_.port = harbor::local_endpoint(listener).port();
        const faults::Faults::OnThisThread registers(faults_);
        admin_ = std::make_unique<harbor::Admin>(balancer, std::move(listener));
        thread_ = std::thread([this] {
            const faults::Faults::OnThisThread subject(faults_);
            admin_->run();
        });
    }
    ~RunningAdmin() {
        faults_.set({});
        admin_->stop();
        thread_.join();
    }
    RunningAdmin(const RunningAdmin&) = delete;
    RunningAdmin& operator=(const RunningAdmin&) = delete;

    harness::Endpoint endpoint() const { return endpoint_; }
    faults::Faults& faults() { return faults_; }

private:
    faults::Faults faults_;
    harness::Endpoint endpoint_;
    std::unique_ptr<harbor::Admin> admin_;
    std::thread thread_;
};

} // namespace

TEST_CASE("the endpoint answers over a socket and closes cleanly") {
    harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    REQUIRE(harness::scrape(admin.endpoint()).value("harbor_accepts_total") == 0);
    REQUIRE(harness::scrape_json(admin.endpoint()).number("accepts_total") == 0);
    const HttpReply reply = harness::http_get(admin.endpoint(), "/healthz");
    REQUIRE(reply.status == 200);
    REQUIRE(reply.ending == harness::Ending::end_of_stream);
    balancer.draining = true;
    REQUIRE(harness::http_get(admin.endpoint(), "/readyz").status == 503);
}

TEST_CASE("a request that comes byte by byte is answered") {
    const harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    harness::Client client(admin.endpoint());
    client.send_byte_by_byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    const harness::Received received = client.receive_until_end();
    REQUIRE(harness::parse_http_reply(received.bytes).status == 200);
}

TEST_CASE("a head that is too large is refused and the next request is answered") {
    const harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    harness::Client client(admin.endpoint());
    client.try_send("GET /healthz HTTP/1.1\r\nX: " + std::string(8 * 1024 - 26, 'x'));
    const harness::Received received = client.receive_until_end();
    REQUIRE(harness::parse_http_reply(received.bytes).status == 431);
    REQUIRE(harness::http_get(admin.endpoint(), "/healthz").status == 200);
}

TEST_CASE("a head that is too large is refused without a body when the method is HEAD") {
    const harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    harness::Client client(admin.endpoint());
    client.try_send("HEAD /healthz HTTP/1.1\r\nX: " + std::string(8 * 1024 - 27, 'x'));
    const std::string reply = client.receive_until_end().bytes;
    REQUIRE(reply.starts_with("HTTP/1.1 431 "));
    REQUIRE(reply.ends_with("\r\n\r\n"));
}

TEST_CASE("those who connect and say nothing do not keep others from being answered") {
    const harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    std::vector<harness::Client> silent;
    for (int i = 0; i < 50; ++i) {
        silent.emplace_back(admin.endpoint());
    }
    silent.front().send("GET /he");
    REQUIRE(harness::http_get(admin.endpoint(), "/healthz").status == 200);
    // And they are not kept for ever, but told why.
    for (harness::Client* client : {&silent.front(), &silent.back()}) {
        const harness::Received received = client->receive_until_end();
        REQUIRE(harness::parse_http_reply(received.bytes).status == 408);
        REQUIRE(received.ends_cleanly());
    }
}

TEST_CASE("of two hundred who ask at the same moment everybody is answered") {
    const harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    struct Gate {
        std::latch closed{1};
        void open() { closed.count_down(); }
        ~Gate() { closed.try_wait() ? void() : open(); }
    } gate;
    admin.faults().set([&gate](const faults::Attempt& attempt) {
        if (attempt.call == faults::Call::epoll_wait) {
            gate.closed.wait();
        }
        return faults::Fate{};
    });
    // The first of them wakes the endpoint, which then stands still until all are there.
    std::vector<harness::Client> clients;
    for (int i = 0; i < 200; ++i) {
        clients.emplace_back(admin.endpoint()).send("GET /healthz HTTP/1.1\r\n\r\n");
    }
    gate.open();
    for (harness::Client& client : clients) {
        REQUIRE(harness::parse_http_reply(client.receive_until_end().bytes).status == 200);
    }
}

TEST_CASE("who sends without end after the request does not keep others from being answered") {
    const harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    harness::Client flood(admin.endpoint());
    flood.send("GET /healthz HTTP/1.1\r\n\r\n");
    std::jthread sender([&flood](const std::stop_token& stop) {
        try {
            while (!stop.stop_requested()) {
                flood.send(std::string(64 * 1024, 'x'));
            }
        } catch (const harness::Failure&) { // NOLINT(bugprone-empty-catch): hung up on, as it should be
        }
    });
    REQUIRE(harness::http_get(admin.endpoint(), "/healthz").status == 200);
    sender.join();
}

namespace {

struct Mishap {
    faults::Call call;
    int error;
};

const std::vector<Mishap> mishaps{{faults::Call::accept4, EMFILE},   {faults::Call::accept4, ECONNABORTED},
                                  {faults::Call::allocate, ENOMEM},  {faults::Call::epoll_ctl, ENOSPC},
                                  {faults::Call::recv, ECONNRESET},  {faults::Call::send, EPIPE},
                                  {faults::Call::shutdown, ENOTCONN}};

// Those that are nobody's fault, and that nobody may notice.
const std::vector<Mishap> delays{{faults::Call::accept4, EAGAIN}, {faults::Call::accept4, EINTR},
                                 {faults::Call::recv, EAGAIN},    {faults::Call::recv, EINTR},
                                 {faults::Call::send, EAGAIN},    {faults::Call::send, EINTR}};

/// Whether there is a whole reply, or none at all, and then an end.
harness::Verdict all_or_nothing(const harness::Endpoint& endpoint) {
    harness::Client client(endpoint);
    client.try_send("GET /metrics HTTP/1.1\r\n\r\n");
    const auto [bytes, ending] = client.receive_until_end();
    if (ending == harness::Ending::silence) {
        return harness::Verdict::no("no end");
    }
    if (!bytes.empty()) {
        const HttpReply reply = harness::parse_http_reply(bytes);
        if (reply.status != 200 || reply.header("Content-Length") != std::to_string(reply.body.size())) {
            return harness::Verdict::no("half a reply:\n" + bytes);
        }
    }
    return harness::Verdict::yes(bytes.empty() ? "nothing" : "a whole reply");
}

/// Lets the first such call of a scrape go wrong, then the second, and so on, until a scrape needs no more of
/// them.
template<typename Scrape>
void in_turn(const Mishap& mishap, Scrape scrape) {
    const harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    const std::size_t before = open_descriptors();
    for (unsigned number = 0, seen = 1; number < seen; ++number) {
        INFO(faults::to_text(mishap.call) << " number " << number << ", errno " << mishap.error);
        admin.faults().set([=](const faults::Attempt& attempt) {
            const bool now = attempt.call == mishap.call && attempt.number == number;
            return faults::Fate{now ? mishap.error : 0};
        });
        CHECK(scrape(admin.endpoint()));
        // Done with this scraper, or its last call would count as the first of the next.
        REQUIRE(descriptors_return_to(before));
        seen = admin.faults().count(mishap.call);
        REQUIRE(seen > 0);
        admin.faults().set({});
        REQUIRE(harness::http_get(admin.endpoint(), "/healthz").status == 200);
        REQUIRE(descriptors_return_to(before));
    }
}

} // namespace

TEST_CASE("whatever goes wrong for one scraper the next one is answered") {
    for (const Mishap& mishap : mishaps) {
        in_turn(mishap, all_or_nothing);
    }
}

TEST_CASE("a call that a signal interrupts or that comes too early is made again and nobody notices") {
    for (const Mishap& mishap : delays) {
        in_turn(mishap, [](const harness::Endpoint& endpoint) {
            return harness::http_get(endpoint, "/metrics").status == 200;
        });
    }
}

TEST_CASE("a time without any memory costs only the scrapers of that time") {
    const harbor::Balancer balancer(two_backends());
    RunningAdmin admin(balancer);
    admin.faults().set(
        [](const faults::Attempt& attempt) { return faults::Fate{attempt.call == faults::Call::allocate}; });
    for (int i = 0; i < 5; ++i) {
        harness::Client client(admin.endpoint());
        client.try_send("GET /healthz HTTP/1.1\r\n\r\n");
        const harness::Received received = client.receive_until_end();
        CHECK(received.bytes.empty());
        CHECK(received.ending != harness::Ending::silence);
    }
    admin.faults().set({});
    REQUIRE(harness::http_get(admin.endpoint(), "/healthz").status == 200);
}

TEST_CASE("who has not been answered when the endpoint ends is hung up on") {
    const harbor::Balancer balancer(two_backends());
    std::vector<harness::Client> waiting;
    {
        RunningAdmin admin(balancer);
        for (int i = 0; i < 3; ++i) {
            waiting.emplace_back(admin.endpoint());
        }
        REQUIRE(harness::http_get(admin.endpoint(), "/healthz").status ==
                200); // so the three have been let in
    }
    for (harness::Client& client : waiting) {
        REQUIRE(client.receive_until_end().is_exactly(""));
    }
}

TEST_CASE("an address that is in use is named in the complaint") {
    const harbor::Descriptor first = harbor::listen_on({asio::ip::make_address("127.0.0.1"), 0});
    const auto port = harbor::local_endpoint(first).port();
    std::string complaint;
    try {
        harbor::listen_on({asio::ip::make_address("127.0.0.1"), port});
    } catch (const std::system_error& failure) {
        complaint = failure.what();
    }
    REQUIRE(harness::contains(complaint, "cannot listen on 127.0.0.1:" + std::to_string(port)));
    REQUIRE(harness::contains(complaint, "in use"));
}
