// One client and its backend, while they are connected.
#pragma once

#include "lease.hpp"
#include "metrics.hpp"
#include "ready_set.hpp"
#include "timer_wheel.hpp"

#include "inflight_limit.hpp"

#include <asio/ip/tcp.hpp>

#include <cstdint>
#include <optional>

namespace harbor {

class Worker;

/// The state of one connection. Lives in the frame of serve(), is known to its worker, and never leaves its
/// thread.
///
/// The two relays, the dial, the idle deadline and the shutdown all meet here, and the rule that keeps them
/// apart is that each only leaves a note: the first to end the connection writes down why (`end`), cancels
/// the waits, and serve() alone closes the sockets, when both relays have come home.
class Connection : private TimerWheel::Entry {
public:
    Connection(Worker& worker, asio::ip::tcp::endpoint client_address, Slot slot);
    ~Connection() override;

    /// Writes down why, unless it is known already, and ends all waits.
    void cancel(End why);

    /// Bytes have moved: the idle deadline slides.
    void touch();

    /// From now on the connection ends when nothing has moved for LB_IO_TIMEOUT_MS.
    void watch_idleness();

    /// Until then a dial may take; afterwards `dial_timed_out` is set and the dialler resumed.
    void watch_dial(Clock::time_point until);

    Worker& worker;
    const asio::ip::tcp::endpoint client_address;
    const Slot slot;
    Lease lease;

    Socket client;
    Socket backend;

    std::optional<End> end; // why it was broken off
    std::optional<End> first_end; // whose stream ended first, cleanly
    bool dial_timed_out = false;
    // A clean end of that side's stream has been seen, and passed on to the other as a half-close.
    bool client_has_ended = false;
    bool backend_has_ended = false;

    const Clock::time_point accepted_at;
    Clock::duration dial_time{};
    unsigned attempts = 0;
    std::uint64_t bytes_to_backend = 0;
    std::uint64_t bytes_to_client = 0;

private:
    friend Worker;
    void expired(Clock::time_point now) override;
    void wake(std::coroutine_handle<>& parked);

    Clock::time_point last_active_;
    Clock::time_point dial_until_{};

    // The worker's list of connections.
    Connection* next_ = nullptr;
    Connection** link_ = nullptr;
};

} // namespace harbor
