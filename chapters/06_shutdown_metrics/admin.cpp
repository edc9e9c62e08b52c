//! [ch06:admin_head]
// As much of HTTP/1.1 (RFC 9112) as a scraper needs: one request, one reply, and the connection is closed.
//
// Whoever can reach this port can ask, so size and time of a request are bounded, and what is not understood
// is refused. It is on the loopback address unless told otherwise, and it shares no thread with the clients'
// connections.
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
#include <cctype>
#include <chrono>

namespace harbor {

using asio::experimental::awaitable_operators::operator||;
using asio::ip::tcp;

namespace {

constexpr std::size_t longest_head = 8 * 1024;
constexpr std::chrono::seconds patience{5};
//! [ch06:admin_head]

//! [ch06:http_reply]
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
//! [ch06:http_reply]

//! [ch06:wants_json]
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
//! [ch06:wants_json]

//! [ch06:converse_read]
asio::awaitable<void> converse(tcp::socket& scraper, const Balancer& balancer) {
    std::string request;
    asio::error_code error;
    const std::size_t length =
        co_await asio::async_read_until(scraper, asio::dynamic_buffer(request, longest_head), "\r\n\r\n",
                                        asio::redirect_error(asio::use_awaitable, error));
    std::string reply;
    if (error == asio::error::not_found) {
        reply = refusal("431 Request Header Fields Too Large");
    } else if (error) {
        co_return;
    } else {
        reply = admin_reply(std::string_view(request).substr(0, length), balancer);
    }
    co_await asio::async_write(scraper, asio::buffer(reply),
                               asio::redirect_error(asio::use_awaitable, error));
    //! [ch06:converse_read]

    //! [ch06:converse_end]
    // To close a socket with unread bytes sends a reset, which may overtake the reply (RFC 9112,
    // section 9.6). So our end of the stream goes first, and what still comes is read and thrown away.
    scraper.shutdown(tcp::socket::shutdown_send, error);
    request.resize(longest_head);
    while (!error) {
        co_await scraper.async_read_some(asio::buffer(request),
                                         asio::redirect_error(asio::use_awaitable, error));
    }
}
//! [ch06:converse_end]

//! [ch06:serve_scraper]
asio::awaitable<void> serve_scraper(tcp::socket scraper, const Balancer& balancer) {
    asio::steady_timer timer(scraper.get_executor(), patience);
    co_await (converse(scraper, balancer) || timer.async_wait(asio::use_awaitable));
}

} // namespace
//! [ch06:serve_scraper]

//! [ch06:admin_reply]
std::string admin_reply(std::string_view head, const Balancer& balancer) {
    // method SP target SP version (RFC 9112, section 3)
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const std::size_t first = line.find(' ');
    const std::size_t second = line.find(' ', first + 1);
    const std::string_view version = second == std::string_view::npos ? "" : line.substr(second + 1);
    if (first == 0 || (version != "HTTP/1.0" && version != "HTTP/1.1")) {
        return refusal("400 Bad Request");
    }
    const std::string_view target = line.substr(first + 1, second - first - 1);
    if (target.substr(0, target.find('?')) != "/metrics") {
        return refusal("404 Not Found");
    }
    if (line.substr(0, first) != "GET") {
        return refusal("405 Method Not Allowed");
    }
    return wants_json(head) ? http_reply("200 OK", "application/json", metrics_as_json(balancer))
                            : http_reply("200 OK", "text/plain; version=0.0.4", metrics_as_text(balancer));
}
//! [ch06:admin_reply]

//! [ch06:answer_admin]
asio::awaitable<void> answer_admin_requests(tcp::acceptor acceptor, const Balancer& balancer) {
    asio::steady_timer timer(acceptor.get_executor());
    Backoff backoff;
    for (;;) {
        asio::error_code error;
        tcp::socket scraper =
            co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
        if (error) {
            timer.expires_after(backoff.next());
            co_await timer.async_wait(asio::use_awaitable);
            continue;
        }
        backoff.reset();
        asio::co_spawn(acceptor.get_executor(), serve_scraper(std::move(scraper), balancer), asio::detached);
    }
}

} // namespace harbor
//! [ch06:answer_admin]
