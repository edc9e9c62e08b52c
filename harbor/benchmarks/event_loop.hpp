// One edge-triggered epoll descriptor on one thread: both ends of the load, clients and backend, live on it.
//
// Each socket is added once, for reading and writing, so that no request costs an epoll_ctl: whatever the
// load generator spends less, the program that is measured can be driven harder. The price is the rule of
// edge-triggered readiness: a handler goes on until the kernel says "would block" (or a short read says the
// same), or asks to be called again (`again`).
//
// The invariant: a socket is closed only while its handler is being called, or between two turns, and the
// handler stays where it is until the loop is gone. So no event can reach a handler that was destroyed
// meanwhile, and none needs to be looked up.
#pragma once

#include "socket.hpp"

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace harbor::load {

using Clock = std::chrono::steady_clock;

class EventHandler {
public:
    EventHandler() = default;
    EventHandler(const EventHandler&) = delete;
    EventHandler& operator=(const EventHandler&) = delete;
    virtual ~EventHandler() = default;

    /// The events are those of epoll_ctl(2); 0 for the call that `again` asked for.
    virtual void on_events(std::uint32_t events) = 0;

private:
    friend class EventLoop;
    bool asked_again_ = false; // is in the loop's list already
};

class EventLoop {
public:
    /// Everything a connection can tell, once for each change.
    static constexpr std::uint32_t connection = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

    EventLoop();

    /// The handler is called from now on, until the socket is closed.
    void add(const Socket& socket, EventHandler& handler, std::uint32_t events);

    /// Calls the handler once more after the others have had their turn.
    void again(EventHandler& handler) {
        if (!handler.asked_again_) {
            handler.asked_again_ = true;
            again_.push_back(&handler);
        }
    }

    /// Handles events until the condition holds; false if it does not before the deadline.
    bool run_until(const std::function<bool()>& condition, Clock::time_point deadline);

    void run_for(Clock::duration duration);

private:
    void turn(Clock::time_point deadline);

    Socket epoll_;
    std::vector<EventHandler*> again_;
    std::vector<EventHandler*> now_; // those of `again_` whose turn it is; kept for its memory
};

} // namespace harbor::load
