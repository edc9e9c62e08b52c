// The endpoint that monitoring asks: GET /metrics, /healthz, /readyz.
#pragma once

#include "backoff.hpp"
#include "balancer.hpp"
#include "descriptor.hpp"
#include "ready_set.hpp"
#include "task.hpp"
#include "timer_wheel.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace harbor {

/// Answers one HTTP request on each connection, all on the thread that calls run(). Without memory it answers
/// nobody, and goes on when there is some again.
class Admin {
public:
    /// Takes the listener, which must be non-blocking. The balancer must outlive it. Throws std::system_error
    /// when the kernel has no descriptors left.
    Admin(const Balancer& balancer, Descriptor listener);
    Admin(const Admin&) = delete;
    Admin& operator=(const Admin&) = delete;
    /// Hangs up on those who have not got their reply yet.
    ~Admin();

    /// Answers until it is told to stop.
    void run();
    /// What run() does all the time, once: waits for news, for at most `longest` if given, and attends to it.
    void turn(std::optional<std::chrono::milliseconds> longest);

    /// For any thread; returns at once.
    void stop();

private:
    class Scraper;
    Task<> accept_scrapers();
    Task<std::string> listen_to(Scraper& scraper);
    Task<> answer(Scraper& scraper, std::string_view reply);
    Detached serve(Descriptor descriptor);

    const Balancer& balancer_;
    ReadySet ready_;
    TimerWheel wheel_;
    Scraper* first_ = nullptr;
    Scraper** last_ = &first_; // where the next one is put
    std::size_t scraper_count_ = 0;
    std::atomic<bool> stopped_{false};
    Socket bell_; // an eventfd: how other threads wake this one
    Socket listener_;
    Task<> acceptor_;
};

/// The whole HTTP reply to a request's head, that is all of it up to the empty line.
std::string admin_reply(std::string_view head, const Balancer& balancer);

} // namespace harbor
