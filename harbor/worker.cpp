// One thread, one world: a listener, a ready set, a wheel, pools, counters and connections, of which no other
// thread knows more than the counters. What threads have to share is asked for once a connection, not once a
// message: the pool of backends and the in-flight limit.
//
// Every worker has a listener of its own on the same port (SO_REUSEPORT, man 7 socket), and the kernel
// spreads the clients over them. The alternative, one accepting thread that hands sockets over, wakes a
// second thread for each connection.
//
// The worker runs the ready set as its own loop. It could be one more descriptor in an Asio io_context, which
// would then wait for it, and for timers and the listener as well; that was measured, and at one connection
// it costs 7.4 system calls a request against 6.0, because Asio's epoll wakes up first only to say that ours
// has something. So Asio has the control thread to itself (signals, names), and the loop here is twenty
// lines.
#include "worker.hpp"

#include "log.hpp"
#include "session.hpp"

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

namespace harbor {

Worker::Worker(Balancer& balancer, WorkerMetrics& metrics, Descriptor listener)
    : balancer_(balancer), metrics_(metrics), now_(Clock::now()), wheel_(now_), acceptor_(accept_clients()),
      obedience_(obey()) {
    Descriptor bell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!bell) {
        throw std::system_error(errno, std::system_category(), "eventfd");
    }
    bell_.open(std::move(bell), ready_);
    listener_.open(std::move(listener), ready_);
}

Worker::~Worker() = default;

//! [harbor:worker_run]
void Worker::run() {
    acceptor_.start();
    obedience_.start();
    while (!draining_ || connections_ != nullptr) {
        ready_.wait(scheduled_.empty() ? wheel_.until_next(now_)
                                       : std::optional(std::chrono::milliseconds::zero()));
        now_ = Clock::now();
        ready_.dispatch();
        wheel_.expire(now_);
        run_scheduled();
        metrics_.show(buffers_.taken(), buffers_.kept(), pipes_.kept(), wheel_.size());
    }
}
//! [harbor:worker_run]

//! [harbor:worker_scheduled]
void Worker::run_scheduled() {
    const std::size_t round = scheduled_.size(); // those that are scheduled meanwhile wait for the next round
    for (std::size_t i = 0; i < round; ++i) {
        scheduled_[i].resume();
    }
    scheduled_.erase(scheduled_.begin(), scheduled_.begin() + static_cast<std::ptrdiff_t>(round));
}
//! [harbor:worker_scheduled]

void Worker::make_room_to_schedule() {
    // A connection has two coroutines at most, and besides there are the acceptor and obey(); during a round
    // those that have had their turn may stand in the list twice.
    const std::size_t enough = 4 * (connection_count_ + 2);
    if (scheduled_.capacity() < enough) {
        scheduled_.reserve(2 * enough);
    }
}

//! [harbor:worker_drain]
void Worker::drain() {
    drain_wanted_ = true;
    ::eventfd_write(bell_.fd(), 1);
}
//! [harbor:worker_drain]

void Worker::cut() {
    cut_wanted_ = true;
    ::eventfd_write(bell_.fd(), 1);
}

//! [harbor:worker_obey]
Task<> Worker::obey() {
    for (;;) {
        co_await bell_.until_readable();
        bell_.readable = false;
        eventfd_t rings = 0;
        ::eventfd_read(bell_.fd(), &rings);
        if (drain_wanted_ && !draining_) {
            draining_ = true;
            // The kernel has already completed these connections, so their clients think that they are
            // served: closing the listener would reset them.
            while (accept_one() == Accepted::somebody) {
            }
            listener_.close();
        }
        if (cut_wanted_ && !cutting_) {
            cutting_ = true;
            for (Connection* connection = connections_; connection != nullptr;
                 connection = connection->next_) {
                connection->cancel(End::shutdown);
            }
        }
    }
}
//! [harbor:worker_obey]

//! [harbor:worker_accept]
Task<> Worker::accept_clients() {
    constexpr int clients_in_a_row = 32;
    Backoff backoff;
    while (co_await listener_.until_readable() && !draining_) {
        Accepted last = Accepted::somebody;
        for (int i = 0; i < clients_in_a_row && last == Accepted::somebody; ++i) {
            last = accept_one();
            if (last == Accepted::somebody) {
                backoff.reset();
            }
        }
        if (last == Accepted::failed) {
            // Descriptors or memory have run out, or a client left while it waited. The queue is as full as
            // before, so to try again at once would keep a core busy until somebody closes a connection.
            co_await sleep(backoff.next());
        } else if (last == Accepted::somebody) {
            co_await yield(); // there may be more, but the others have waited long enough
        }
    }
}
//! [harbor:worker_accept]

Worker::Accepted Worker::accept_one() {
    asio::ip::tcp::endpoint address;
    auto length = static_cast<socklen_t>(address.capacity());
    Descriptor client;
    do { // a signal says nothing about the queue
        client = Descriptor(::accept4(listener_.fd(), address.data(), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    } while (!client && errno == EINTR);
    if (!client) {
        if (errno == EAGAIN) {
            listener_.readable = false;
            return Accepted::nobody;
        }
        metrics_.accept_errors.add();
        pipes_.clear(); // perhaps this is where the descriptors are
        return Accepted::failed;
    }
    address.resize(length);
    metrics_.accepts.add();
    Slot slot = balancer_.inflight.take();
    if (!slot) {
        // Closed at once: left in the queue it would wait for an answer that may never come.
        metrics_.capacity_dropped.add();
        metrics_.ended(End::capacity);
        return Accepted::somebody;
    }
    try {
        make_room_to_schedule();
        serve(*this, std::move(client), std::move(address), std::move(slot));
    } catch (const std::bad_alloc&) {
        metrics_.ended(End::out_of_resources); // not even room for the session's frame
        return Accepted::failed;
    }
    return Accepted::somebody;
}

void Worker::enter(Connection& connection) {
    connection.next_ = connections_;
    connection.link_ = &connections_;
    if (connections_ != nullptr) {
        connections_->link_ = &connection.next_;
    }
    connections_ = &connection;
    ++connection_count_;
    if (cutting_) {
        connection.cancel(End::shutdown);
    }
}

void Worker::leave(Connection& connection) {
    *connection.link_ = connection.next_;
    if (connection.next_ != nullptr) {
        connection.next_->link_ = connection.link_;
    }
    --connection_count_;
}

void Worker::account_for(const Connection& connection) {
    const End end = connection.end ? *connection.end : *connection.first_end;
    metrics_.ended(end);
    metrics_.connection_seconds.observe(now_ - connection.accepted_at);
    if (access_log_enabled()) {
        const std::string_view backend = connection.lease ? std::string_view(connection.lease->name) : "";
        log_access({connection.client_address.data(), backend, connection.bytes_to_backend,
                    connection.bytes_to_client, connection.dial_time, now_ - connection.accepted_at,
                    connection.attempts, to_text(end)});
    }
}

} // namespace harbor
