// As much of HTTP/1.1 (RFC 9112) as a scraper needs: one request, one reply, and the connection is closed.
//
// Whoever can reach this port can ask, so size and time of a request are bounded, as is the number of those
// who ask at once, and what is not understood is refused. It is on the loopback address unless told
// otherwise, and it shares no thread with the clients' connections.
//
// Asio could do this in half the lines; chapter 06 does it so. But it allocates for every wait, and without
// memory gives up the coroutine that was to wait, be it the one that accepts. Here a wait allocates nothing.
// What does is to let somebody in, and the reply: whoever finds no room for that is hung up on, and the next
// one is welcome.
#include "admin.hpp"

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <coroutine>
#include <exception>
#include <system_error>
#include <utility>

namespace harbor {

namespace {

constexpr std::size_t longest_head = 8 * 1024;
constexpr std::size_t longest_rest = 1024 * 1024; // of what comes behind the head, and nobody asked for
constexpr std::chrono::seconds patience{5}; // for the request, and again for the reply
// So many at once, and then the one who has waited longest has to go: each costs a descriptor, and the
// clients need those too.
constexpr std::size_t most_scrapers = 128;
constexpr unsigned most_in_a_row = 32; // let in before others have a turn; fewer than would push them out

/// After a call that failed: nothing to be had now, or, with EINTR, a signal came and nothing is known.
bool may_go_on(int error) {
    return error == EAGAIN || error == EINTR;
}

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

/// Who sends HEAD takes what comes behind the head for the next reply (RFC 9110, section 9.3.2).
std::string reply_to(std::string_view request, std::string reply) {
    if (request.starts_with("HEAD ")) {
        reply.resize(reply.find("\r\n\r\n") + 4);
    }
    return reply;
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

} // namespace

/// One of those who ask: the socket, the time that is left, and a place in the list, the first who came in
/// front. Lives in the frame of serve().
class Admin::Scraper : private TimerWheel::Entry {
public:
    Scraper(Admin& admin, Descriptor descriptor) : admin_(admin), link_(admin.last_) {
        socket.open(std::move(descriptor), admin.ready_);
        *link_ = this;
        admin.last_ = &next_;
        ++admin.scraper_count_;
        renew_patience();
    }
    ~Scraper() override {
        *link_ = next_;
        (next_ != nullptr ? next_->link_ : admin_.last_) = link_;
        --admin_.scraper_count_;
    }

    /// Ends the wait, and all further ones.
    void dismiss() {
        dismissed_ = true;
        end_wait();
    }
    bool dismissed() const { return dismissed_; }

    void renew_patience() {
        socket.cancelled = dismissed_;
        admin_.wheel_.insert(*this, Clock::now() + patience);
    }

    Socket socket;

private:
    void expired(Clock::time_point) override { end_wait(); }
    void end_wait() {
        socket.cancelled = true;
        // It waits for one thing at a time. What it does when it is resumed may destroy this object.
        std::coroutine_handle<>& parked = socket.reader ? socket.reader : socket.writer;
        if (parked) {
            std::exchange(parked, {}).resume();
        }
    }

    Admin& admin_;
    bool dismissed_ = false;
    Scraper* next_ = nullptr;
    Scraper** link_ = nullptr;
};

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
    if (!known || line.substr(0, first) != "GET") {
        return reply_to(line, refusal(known ? "405 Method Not Allowed" : "404 Not Found"));
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

Admin::Admin(const Balancer& balancer, Descriptor listener)
    : balancer_(balancer), wheel_(Clock::now()), acceptor_(accept_scrapers()) {
    Descriptor bell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!bell) {
        throw std::system_error(errno, std::system_category(), "eventfd");
    }
    bell_.open(std::move(bell), ready_);
    listener_.open(std::move(listener), ready_);
    acceptor_.start();
}

Admin::~Admin() {
    while (first_ != nullptr) {
        first_->dismiss();
    }
}

void Admin::run() {
    while (!stopped_) {
        turn(std::nullopt);
    }
}

void Admin::turn(std::optional<std::chrono::milliseconds> longest) {
    const auto timer = wheel_.until_next(Clock::now());
    ready_.wait(timer && longest ? std::min(timer, longest) : timer ? timer : longest);
    ready_.dispatch();
    wheel_.expire(Clock::now());
}

void Admin::stop() {
    stopped_ = true;
    ::eventfd_write(bell_.fd(), 1);
}

Task<> Admin::accept_scrapers() {
    Backoff backoff;
    unsigned in_a_row = 0;
    while (co_await listener_.until_readable()) {
        Descriptor scraper(::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!scraper && may_go_on(errno)) {
            listener_.readable = errno == EINTR;
            in_a_row = 0;
            continue;
        }
        bool welcome = bool(scraper);
        if (welcome) {
            if (scraper_count_ >= most_scrapers) {
                first_->dismiss();
            }
            try {
                serve(std::move(scraper));
            } catch (const std::exception&) {
                welcome = false; // no memory for its frame: the socket is closed already
            }
        }
        if (!welcome) {
            co_await TimerWheel::Sleep(wheel_, Clock::now() + backoff.next());
        } else if (backoff.reset(); ++in_a_row == most_in_a_row) {
            // Those who are in have sent their requests meanwhile, and nobody has read them.
            in_a_row = 0;
            co_await TimerWheel::Sleep(wheel_, Clock::now());
        }
    }
}

/// Reads until the empty line that ends a request's head. The result is the reply; empty if there is nothing
/// to reply to.
Task<std::string> Admin::listen_to(Scraper& scraper) {
    Socket& socket = scraper.socket;
    std::array<char, longest_head> head{};
    std::size_t size = 0;
    while (co_await socket.until_readable()) {
        const std::size_t room = head.size() - size;
        const ssize_t received = ::recv(socket.fd(), head.data() + size, room, 0);
        if (received < 0 && may_go_on(errno)) {
            socket.readable = errno == EINTR;
            continue;
        }
        if (received <= 0) {
            co_return ""; // gone
        }
        socket.has_given(static_cast<std::size_t>(received), room);
        // The empty line may have begun with what came before.
        const std::size_t from = size < 3 ? 0 : size - 3;
        size += static_cast<std::size_t>(received);
        const std::size_t end = std::string_view(head.data(), size).find("\r\n\r\n", from);
        if (end != std::string_view::npos) {
            co_return admin_reply(std::string_view(head.data(), end + 4), balancer_);
        }
        if (size == head.size()) {
            co_return reply_to({head.data(), size}, refusal("431 Request Header Fields Too Large"));
        }
    }
    co_return scraper.dismissed() ? "" : reply_to({head.data(), size}, refusal("408 Request Timeout"));
}

Task<> Admin::answer(Scraper& scraper, std::string_view reply) {
    Socket& socket = scraper.socket;
    while (!reply.empty() && co_await socket.until_writable()) {
        const ssize_t sent = ::send(socket.fd(), reply.data(), reply.size(), MSG_NOSIGNAL);
        if (sent >= 0) {
            reply.remove_prefix(static_cast<std::size_t>(sent));
        } else if (may_go_on(errno)) {
            socket.writable = errno == EINTR;
        } else {
            co_return;
        }
    }
    // To close a socket with unread bytes sends a reset, which may overtake the reply (RFC 9112,
    // section 9.6). So our end of the stream goes first, and what still comes is read and thrown away.
    ::shutdown(socket.fd(), SHUT_WR);
    std::size_t thrown_away = 0;
    while (thrown_away < longest_rest && co_await socket.until_readable()) {
        std::array<char, 4096> ignored{};
        const ssize_t received = ::recv(socket.fd(), ignored.data(), ignored.size(), 0);
        if (received > 0) {
            thrown_away += static_cast<std::size_t>(received);
        } else if (received < 0 && may_go_on(errno)) {
            socket.readable = errno == EINTR;
        } else {
            co_return;
        }
    }
}

//! [harbor:admin_serve]
Detached Admin::serve(Descriptor descriptor) {
    try {
        Scraper scraper(*this, std::move(descriptor));
        const std::string reply = co_await listen_to(scraper);
        if (!reply.empty()) {
            scraper.renew_patience();
            co_await answer(scraper, reply);
        }
    } catch (const std::exception&) { // NOLINT(bugprone-empty-catch)
        // No memory for the reply, or no room in the ready set: the connection closes, and the scraper asks
        // again.
    }
}
//! [harbor:admin_serve]

} // namespace harbor
