#include "event_loop.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace harbor::load {

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) {
        throw_errno("epoll_create1");
    }
}

void EventLoop::add(const Socket& socket, EventHandler& handler, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &handler;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) {
        throw_errno("epoll_ctl");
    }
}

bool EventLoop::run_until(const std::function<bool()>& condition, Clock::time_point deadline) {
    while (!condition()) {
        if (Clock::now() >= deadline) {
            return false;
        }
        turn(deadline);
    }
    return true;
}

void EventLoop::run_for(Clock::duration duration) {
    const Clock::time_point end = Clock::now() + duration;
    while (Clock::now() < end) {
        turn(end);
    }
}

void EventLoop::turn(Clock::time_point deadline) {
    using std::chrono::milliseconds;
    int timeout_ms = 0;
    if (again_.empty()) {
        // Rounded up: a wait of 0 ms until the last millisecond is over would be a busy loop.
        const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
        timeout_ms = static_cast<int>(std::clamp(left, milliseconds(0), milliseconds(50)).count());
    }
    std::array<epoll_event, 256>
        ready; // NOLINT(*-member-init): filled by the kernel, 3 KiB to clear each time
    const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), timeout_ms);
    if (count < 0 && errno != EINTR) {
        throw_errno("epoll_wait");
    }
    now_.swap(again_);
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = ready[static_cast<std::size_t>(i)];
        static_cast<EventHandler*>(event.data.ptr)->on_events(event.events);
    }
    for (EventHandler* const handler : now_) {
        handler->asked_again_ = false;
        handler->on_events(0);
    }
    now_.clear();
}

} // namespace harbor::load
