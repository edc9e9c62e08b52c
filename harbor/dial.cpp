// Dialling is the only moment when a failure can be hidden from the client: not one byte has been passed on
// yet, so another backend can take over. Once a byte has been sent, nobody can know whether the backend has
// acted on it, and to send it to a second one could buy the book twice.
//
// It belongs to the data plane, and not to Asio, because a socket that is dialled here is in the ready set
// already when the relay starts: a short connection is registered once, not twice.
#include "dial.hpp"

#include "balancer.hpp"
#include "socket_options.hpp"
#include "worker.hpp"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

namespace harbor {

namespace {

/// Waits at both sockets: for the backend to answer, or for the client to go.
struct NewsOfEither {
    Connection& connection;

    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const {
        connection.backend.writer = waiter;
        connection.client.reader = waiter;
    }
    void await_resume() const {
        connection.backend.writer = {};
        connection.client.reader = {};
    }
};

/// Bytes have come that nobody has read yet.
bool has_unread_bytes(int fd) {
    int bytes = 0;
    return ::ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/// Connects to one address. The result is 0, or the errno of the failure; ECANCELED when there is no client
/// any more.
Task<int> connect(Connection& connection, const asio::ip::tcp::endpoint& endpoint) {
    Descriptor descriptor(
        ::socket(endpoint.data()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!descriptor) {
        co_return errno;
    }
    set_socket_options(descriptor.get(), connection.worker.balancer().config);
    const int fd = descriptor.get();
    if (::connect(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) < 0 && errno != EINPROGRESS) {
        co_return errno;
    }
    Socket& backend = connection.backend;
    backend.open(std::move(descriptor), connection.worker.ready());
    // A host that drops our packets answers nothing at all, and the kernel would go on for two minutes.
    while (!backend.writable && !connection.dial_timed_out && !backend.cancelled) {
        if (connection.client.broken) {
            connection.end = End::client_reset; // nobody is left to be served
            break;
        }
        co_await NewsOfEither{connection};
    }
    int error = 0;
    if (connection.end || backend.cancelled) {
        error = ECANCELED;
    } else if (!backend.writable) {
        error = ETIMEDOUT;
    } else if (backend.broken) {
        socklen_t length = sizeof error;
        ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if ((error == ECONNRESET || error == EPIPE) && has_unread_bytes(fd)) {
            // It had accepted us, said something, and was gone before we looked. What it said belongs to the
            // client, and then the reset, of which the socket has just told for the only time.
            backend.write_error = std::exchange(error, 0);
        }
    }
    if (error != 0 && error != ECANCELED) { // with nobody left to serve, serve() resets it
        backend.close();
    }
    co_return error;
}

/// It was this machine that had nothing left: the backend is not to blame, and must not be punished for it.
bool out_of_resources(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
           error == EADDRNOTAVAIL;
}

} // namespace

Task<bool> dial(Connection& connection) {
    Worker& worker = connection.worker;
    Balancer& balancer = worker.balancer();
    WorkerMetrics& metrics = worker.metrics();
    std::vector<const Backend*> tried;
    for (unsigned attempt = 0; attempt <= balancer.config.dial_retries; ++attempt) {
        Lease lease = balancer.pool.pick(tried, worker.now());
        if (!lease) {
            break; // every backend has had its chance
        }
        ++connection.attempts;
        metrics.dials.add();
        metrics.retries.add(attempt > 0 ? 1 : 0);
        metrics.backends[lease->index].picks.add();

        const Clock::time_point begun = Clock::now();
        connection.watch_dial(worker.now() + balancer.config.dial_timeout);
        int error = ECONNREFUSED;
        for (const auto& endpoint : lease->endpoints) {
            error = co_await connect(connection, endpoint);
            if (error == 0 || error == ECANCELED || error == ETIMEDOUT) {
                break;
            }
        }
        if (error == 0) {
            connection.dial_time = Clock::now() - begun;
            metrics.dial_seconds.observe(connection.dial_time);
            balancer.pool.dial_succeeded(*lease);
            connection.lease = std::move(lease);
            co_return true;
        }
        if (error == ECANCELED) {
            co_return false;
        }
        metrics.dial_failures.add();
        metrics.backends[lease->index].dial_failures.add();
        if (out_of_resources(error)) {
            worker.pipes().clear(); // perhaps this is where the descriptors are
        } else {
            balancer.pool.dial_failed(*lease, worker.now());
        }
        tried.push_back(&*lease);
    }
    connection.end = End::dial_failed;
    co_return false;
}

} // namespace harbor
