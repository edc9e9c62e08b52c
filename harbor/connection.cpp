#include "connection.hpp"

#include "balancer.hpp"
#include "worker.hpp"

#include <utility>

namespace harbor {

Connection::Connection(Worker& its_worker, asio::ip::tcp::endpoint address, Slot its_slot)
    : worker(its_worker), client_address(std::move(address)), slot(std::move(its_slot)),
      accepted_at(worker.now()), last_active_(accepted_at) {
    worker.enter(*this);
}

Connection::~Connection() {
    worker.leave(*this);
}

void Connection::wake(std::coroutine_handle<>& parked) {
    if (parked) {
        // Not resumed here and now: whoever cancels is in the middle of something, and so may its caller be.
        worker.schedule(std::exchange(parked, {}));
    }
}

void Connection::cancel(End why) {
    if (!end) {
        end = why;
    }
    client.cancelled = backend.cancelled = true;
    if (backend.writer == client.reader) {
        client.reader = {}; // the dial, which waits at both
    }
    wake(client.reader);
    wake(client.writer);
    wake(backend.reader);
    wake(backend.writer);
}

//! [harbor:touch]
void Connection::touch() {
    last_active_ = worker.now();
}
//! [harbor:touch]

void Connection::watch_dial(Clock::time_point until) {
    dial_until_ = until;
    dial_timed_out = false;
    worker.wheel().insert(*this, until);
}

void Connection::watch_idleness() {
    dial_until_ = {};
    touch();
    const auto timeout = worker.balancer().config.io_timeout;
    if (timeout == std::chrono::milliseconds::zero()) {
        worker.wheel().remove(*this);
    } else {
        worker.wheel().insert(*this, last_active_ + timeout);
    }
}

//! [harbor:lazy_deadline]
void Connection::expired(Clock::time_point now) {
    if (dial_until_ != Clock::time_point{}) {
        dial_timed_out = true;
        client.reader = {}; // the dial waits here as well
        wake(backend.writer);
        return;
    }
    // The lazy half of the sliding deadline: the entry has stayed where it was put, and the note says how
    // long ago bytes really moved.
    const Clock::time_point deadline = last_active_ + worker.balancer().config.io_timeout;
    if (deadline <= now) {
        cancel(End::idle);
    } else {
        worker.wheel().insert(*this, deadline);
    }
}
//! [harbor:lazy_deadline]

} // namespace harbor
