// As much of HTTP/1.1 (RFC 9112) as a scraper needs: one request, one reply, and the connection is closed.
//
// Whoever can reach this port can ask, so size and time of a request are bounded, as is the number of those
// who ask at once, and what is not understood is refused. It is on the loopback address unless told
// otherwise, and it shares no thread with the clients' connections.
#include "admin.hpp"

#include "backoff.hpp"

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <memory>
#include <sstream>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace harbor {

using asio::experimental::awaitable_operators::operator||;
using asio::ip::tcp;

namespace {

constexpr std::size_t longest_head = 8 * 1024;
constexpr std::chrono::seconds patience{5}; // for the request, and again for the reply
// So many at once, and then the one who has waited longest has to go: each costs a descriptor, and the
// clients need those too.
constexpr std::size_t most_scrapers = 128;

std::string http_reply(std::string_view status, std::string_view type, std::string_view body) {
    std::string text("HTTP/1.1 ");
    text.append(status).append("\r\nContent-Type: ").append(type);
    text.append("\r\nContent-Length: ").append(std::to_string(body.size()));
    text.append(status.starts_with("405") ? "\r\nAllow: GET" : "");
    text.append("\r\nConnection: close\r\n\r\n").append(body);
    return text;
}

std::string refusal(std::string_view status) {
    return http_reply(status, "text/plain", std::string(status) + '\n');
}

bool wants_json(std::string_view head) {
    std::string lower(head);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    const std::size_t accept = lower.find("\r\naccept:");
    if (accept == std::string::npos) {
        return false;
    }
    return lower.substr(accept, lower.find("\r\n", accept + 2) - accept).find("application/json") !=
           std::string::npos;
}

//! [harbor:not_ready]
/// Why no client should be sent here, or null.
const char* not_ready(const Balancer& balancer) {
    if (balancer.draining) {
        return "draining\n";
    }
    const auto backends = balancer.pool.backends();
    const auto now = Clock::now();
    const bool all_cooling = std::all_of(backends.begin(), backends.end(), [now](const Backend& backend) {
        return backend.cooldown.cooling(now);
    });
    return all_cooling ? "no backend in rotation\n" : nullptr;
}
//! [harbor:not_ready]

/// The reply to whatever the scraper asks; empty when it has gone without having asked.
asio::awaitable<std::string> listen_to(tcp::socket& scraper, const Balancer& balancer) {
    std::string request;
    asio::error_code error;
    const std::size_t length =
        co_await asio::async_read_until(scraper, asio::dynamic_buffer(request, longest_head), "\r\n\r\n",
                                        asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::not_found) {
        co_return refusal("431 Request Header Fields Too Large");
    }
    co_return error ? "" : admin_reply(std::string_view(request).substr(0, length), balancer);
}

asio::awaitable<void> answer(tcp::socket& scraper, const std::string& reply) {
    asio::error_code error;
    co_await asio::async_write(scraper, asio::buffer(reply),
                               asio::redirect_error(asio::use_awaitable, error));

    // To close a socket with unread bytes sends a reset, which may overtake the reply (RFC 9112,
    // section 9.6). So our end of the stream goes first, and what still comes is read and thrown away.
    scraper.shutdown(tcp::socket::shutdown_send, error);
    std::array<char, 4096> ignored{};
    while (!error) {
        co_await scraper.async_read_some(asio::buffer(ignored),
                                         asio::redirect_error(asio::use_awaitable, error));
    }
}

asio::awaitable<void> serve_scraper(std::shared_ptr<tcp::socket> scraper, const Balancer& balancer) {
    asio::steady_timer timer(scraper->get_executor(), patience);
    const auto heard = co_await (listen_to(*scraper, balancer) || timer.async_wait(asio::use_awaitable));
    const std::string reply = heard.index() == 0 ? std::get<0>(heard) : refusal("408 Request Timeout");
    if (!reply.empty()) {
        timer.expires_after(patience);
        co_await (answer(*scraper, reply) || timer.async_wait(asio::use_awaitable));
    }
}

} // namespace

tcp::acceptor listen_for_admin(const asio::any_io_executor& executor, const tcp::endpoint& endpoint) {
    try {
        return {executor, endpoint};
    } catch (const std::system_error& failure) {
        std::ostringstream text;
        text << "cannot listen on " << endpoint;
        throw std::system_error(failure.code(), text.str());
    }
}

std::string admin_reply(std::string_view head, const Balancer& balancer) {
    // method SP target SP version (RFC 9112, section 3)
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const std::size_t first = line.find(' ');
    const std::size_t second = line.find(' ', first + 1);
    const std::string_view version = second == std::string_view::npos ? "" : line.substr(second + 1);
    if (first == 0 || (version != "HTTP/1.0" && version != "HTTP/1.1")) {
        return refusal("400 Bad Request");
    }
    std::string_view path = line.substr(first + 1, second - first - 1);
    path = path.substr(0, path.find('?'));
    const bool known = path == "/metrics" || path == "/healthz" || path == "/readyz";
    if (const std::string_view method = line.substr(0, first); !known || method != "GET") {
        const std::string reply = refusal(known ? "405 Method Not Allowed" : "404 Not Found");
        // Who sends HEAD takes what comes behind the head for the next reply (RFC 9110, section 9.3.2).
        return method == "HEAD" ? reply.substr(0, reply.find("\r\n\r\n") + 4) : reply;
    }
    if (path == "/healthz") {
        return http_reply("200 OK", "text/plain", "ok\n"); // whoever can answer is up
    }
    if (path == "/readyz") {
        const char* obstacle = not_ready(balancer);
        return obstacle == nullptr ? http_reply("200 OK", "text/plain", "ready\n")
                                   : http_reply("503 Service Unavailable", "text/plain", obstacle);
    }
    return wants_json(head) ? http_reply("200 OK", "application/json", metrics_as_json(balancer))
                            : http_reply("200 OK", "text/plain; version=0.0.4", metrics_as_text(balancer));
}

asio::awaitable<void> answer_admin_requests(tcp::acceptor acceptor, const Balancer& balancer) {
    std::vector<std::weak_ptr<tcp::socket>> scrapers; // the one who came first in front
    asio::steady_timer timer(acceptor.get_executor());
    Backoff backoff;
    for (;;) {
        asio::error_code error;
        auto scraper = std::make_shared<tcp::socket>(
            co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error)));
        if (error) {
            timer.expires_after(backoff.next());
            co_await timer.async_wait(asio::use_awaitable);
            continue;
        }
        backoff.reset();
        std::erase_if(scrapers, [](const auto& other) { return other.expired(); }); // answered, or gone
        if (scrapers.size() >= most_scrapers) {
            scrapers.front().lock()->close(error); // cancels its waits, and so ends its coroutine
            scrapers.erase(scrapers.begin());
        }
        scrapers.push_back(scraper);
        asio::co_spawn(acceptor.get_executor(), serve_scraper(std::move(scraper), balancer), asio::detached);
    }
}

} // namespace harbor
