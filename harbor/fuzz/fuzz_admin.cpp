// The admin endpoint, through a socket: two bytes decide where the request is cut in three, the rest is what
// a scraper sends; it then ends its stream.
//
// The reply has to be that of a second opinion on what was asked, well formed and whole, however the request
// was cut; and there has to be none, only the end, for what is no whole request.
#include "input.hpp"
#include "own_network.hpp"

#include "admin.hpp"
#include "balancer.hpp"
#include "listener.hpp"

#include <harness/scrape.hpp>
#include <harness/verdict.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>
#include <vector>

namespace {

using asio::ip::tcp;
using fuzz::expect;

constexpr std::size_t longest_head = 8192;

harbor::Config one_backend() {
    harbor::Config config;
    config.backends = {{"127.0.0.1", "1"}};
    return config;
}

/// One endpoint for all inputs, on this thread: it goes on whenever a scraper waits.
class Endpoint {
public:
    /// All that comes back for these pieces.
    std::string ask(const std::vector<std::string_view>& pieces) {
        tcp::socket scraper(context_);
        scraper.open(tcp::v4());
        expect(
            fuzz::connect_to(scraper.native_handle(), where_.data(), static_cast<socklen_t>(where_.size())),
            "it does not listen");
        scraper.non_blocking(true);
        // To be closed with a reset, so that no port is kept busy by a connection that is over.
        scraper.set_option(asio::socket_base::linger(true, 0));
        for (const std::string_view piece : pieces) {
            admin_.turn(std::chrono::milliseconds(0));
            asio::error_code ignored; // whoever is refused early need not hear the rest
            asio::write(scraper, asio::buffer(piece), ignored);
        }
        scraper.shutdown(tcp::socket::shutdown_send);
        std::string reply;
        int rounds = 0; // and not a time: a machine that is busy is no finding
        for (asio::error_code error; !error || error == asio::error::would_block;) {
            expect(++rounds < 4000, "it neither answers nor closes");
            admin_.turn(std::chrono::milliseconds(1));
            std::array<char, 16384> buffer{};
            const std::size_t count = scraper.read_some(asio::buffer(buffer), error);
            reply.append(buffer.data(), count);
            expect(!error || error == asio::error::would_block || error == asio::error::eof,
                   "it was closed with a reset");
        }
        return reply;
    }

    const harbor::Balancer& balancer() const { return balancer_; }

private:
    harbor::Balancer balancer_{one_backend()};
    harbor::Descriptor listener_ = harbor::listen_on({asio::ip::make_address("127.0.0.1"), 0});
    tcp::endpoint where_ = harbor::local_endpoint(listener_);
    harbor::Admin admin_{balancer_, std::move(listener_)};
    asio::io_context context_{1};
};

// ---------------------------------------------------------------------------------------- the second opinion

/// method SP target SP version, of exactly three words.
int status_for(const std::string& line) {
    std::vector<std::string> words{""};
    for (const char c : line) {
        if (c == ' ' && words.size() < 3) {
            words.emplace_back();
        } else {
            words.back() += c;
        }
    }
    if (words.size() != 3 || words[0].empty() || (words[2] != "HTTP/1.0" && words[2] != "HTTP/1.1")) {
        return 400;
    }
    const std::string path = words[1].substr(0, words[1].find('?'));
    if (path != "/metrics" && path != "/healthz" && path != "/readyz") {
        return 404;
    }
    return words[0] == "GET" ? 200 : 405;
}

int expected_status(const std::string& request) {
    const std::size_t end = request.find("\r\n\r\n");
    if (end != std::string::npos && end + 4 <= longest_head) {
        return status_for(request.substr(0, request.find("\r\n")));
    }
    return request.size() >= longest_head ? 431 : 0; // 0: no reply
}

void judge(const std::string& request, const std::string& text) {
    const int expected = expected_status(request);
    if (expected == 0) {
        expect(text.empty(), "an answer to what is no whole request");
        return;
    }
    harness::HttpReply reply;
    try {
        reply = harness::parse_http_reply(text);
        if (reply.status == 200 && reply.header("Content-Type") == "application/json") {
            harness::parse_json(reply.body);
        } else if (reply.status == 200 && reply.header("Content-Type").ends_with("version=0.0.4")) {
            harness::Metrics::parse(reply.body);
        }
    } catch (const harness::Failure& failure) {
        fuzz::fail(failure.what());
    }
    expect(reply.status == expected,
           "status " + std::to_string(reply.status) + " instead of " + std::to_string(expected));
    if (request.starts_with("HEAD ") && expected != 400) {
        expect(reply.body.empty(), "a body behind the head that was asked for");
    } else {
        expect(reply.header("Content-Length") == std::to_string(reply.body.size()), "a wrong Content-Length");
    }
    expect(reply.header("Connection") == "close", "it does not say that it closes");
    expect((reply.header("Allow") == "GET") == (expected == 405), "Allow belongs to 405");
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    fuzz::use_own_network();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Endpoint endpoint;
    fuzz::Input input(data, size);
    const std::size_t first = input.byte();
    const std::size_t second = input.byte();
    const std::string request(input.rest());
    const std::string_view all(request);
    const std::size_t from = std::min(first, all.size());
    const std::size_t to = std::min(from + second, all.size());
    const std::string reply =
        endpoint.ask({all.substr(0, from), all.substr(from, to - from), all.substr(to)});
    judge(request, reply);
    if (expected_status(request) != 0 && expected_status(request) != 431) {
        expect(reply ==
                   harbor::admin_reply(request.substr(0, request.find("\r\n\r\n") + 4), endpoint.balancer()),
               "through the socket it is another answer");
    }
    return 0;
}
