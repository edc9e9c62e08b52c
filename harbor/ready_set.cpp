// One edge-triggered epoll descriptor a thread; every socket is added once, for reading and writing, and
// never touched again until it is closed.
//
// Stock Asio spends one more system call for each direction and message: async_read_some first tries to read
// and mostly gets EAGAIN, async_wait re-arms the descriptor with epoll_ctl. Here the flags of a Socket
// remember what the kernel has said, so a coroutine tries only when there is something to get, and a short
// read parks without trying again.
//
// Edge-triggered (man 7 epoll): an event says that something has changed, once. Forget it, and nobody repeats
// it. So flags are set by events only, and cleared only by a call that came back short or with EAGAIN.
//
// The invariant of dispatch(): an event that has not been looked at belongs to a socket that is alive. A
// coroutine that is resumed may close sockets, its own or others', whose events wait further down in the same
// batch; forget() takes them out. The alternatives, a graveyard emptied after the batch or a generation
// number in each event, cost every connection something; this costs a look at the rest of the batch when one
// ends.
#include "ready_set.hpp"

#include <cerrno>
#include <system_error>

namespace harbor {

void Socket::open(Descriptor descriptor, ReadySet& set) {
    close();
    set.add(*this, descriptor.get());
    descriptor_ = std::move(descriptor);
    set_ = &set;
}

void Socket::close() {
    if (set_ != nullptr) {
        set_->forget(*this);
        set_ = nullptr;
    }
    descriptor_ = Descriptor(); // the last reference to the socket: the kernel takes it out of the epoll set
    readable = writable = hangup = broken = urgent = false;
    write_error = 0;
}

ReadySet::ReadySet() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) {
        throw std::system_error(errno, std::system_category(), "epoll_create1");
    }
}

//! [harbor:ready_add]
void ReadySet::add(Socket& socket, int fd) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &socket;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) {
        throw std::system_error(errno, std::system_category(), "epoll_ctl");
    }
}
//! [harbor:ready_add]

//! [harbor:ready_forget]
void ReadySet::forget(const Socket& socket) {
    for (int i = next_ == 0 ? 0 : next_ - 1; i < count_; ++i) { // from the one that is being looked at
        if (events_[static_cast<std::size_t>(i)].data.ptr == &socket) {
            events_[static_cast<std::size_t>(i)].data.ptr = nullptr;
        }
    }
}
//! [harbor:ready_forget]

void ReadySet::wait(std::optional<std::chrono::milliseconds> timeout) {
    const int limit = timeout ? static_cast<int>(timeout->count()) : -1;
    const int count = ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), limit);
    next_ = 0;
    count_ = count > 0 ? count : 0; // EINTR: a signal, and no news
}

//! [harbor:ready_dispatch]
void ReadySet::dispatch() {
    while (next_ < count_) {
        const epoll_event& event = events_[static_cast<std::size_t>(next_++)];
        auto* socket = static_cast<Socket*>(event.data.ptr);
        if (socket == nullptr) {
            continue;
        }
        const bool broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
        const bool hangup = broken || (event.events & EPOLLRDHUP) != 0;
        socket->broken |= broken;
        socket->hangup |= hangup;
        socket->urgent |= (event.events & EPOLLPRI) != 0;
        // An error ends both directions: whoever waits for either has to come and see. The first of them may
        // close the socket, and the event then has no owner any more.
        if (broken || (event.events & EPOLLOUT) != 0) {
            socket->writable = true;
            if (socket->writer) {
                std::exchange(socket->writer, {}).resume();
            }
        }
        if (event.data.ptr != nullptr && (hangup || (event.events & EPOLLIN) != 0)) {
            socket->readable = true;
            if (socket->reader) {
                std::exchange(socket->reader, {}).resume();
            }
        }
    }
    next_ = count_ = 0;
}
//! [harbor:ready_dispatch]

} // namespace harbor
