/// The inside of a Peer. Not for tests: included by socket.cpp and backend.cpp only.
///
/// It is shared, because a Backend looks at (and interrupts) connections whose Peers belong to their own
/// threads. Invariant: `fd` changes only under `mutex`, so that interrupt() never shuts down a descriptor
/// that has been closed and handed out again meanwhile.
#pragma once

#include "socket.hpp"
#include "trace.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

namespace harness::detail {

class PeerState {
public:
    PeerState(int fd, std::string name, Millis limit, std::size_t keep);
    ~PeerState();
    PeerState(const PeerState&) = delete;
    PeerState& operator=(const PeerState&) = delete;

    enum class Step { bytes, end, reset, silence, interrupted };
    struct Moved {
        Step step = Step::silence;
        std::size_t count = 0;
    };

    Moved receive(char* into, std::size_t size, Millis limit);
    Moved send(const char* from, std::size_t size, Millis limit);
    void half_close();
    void close(bool with_reset);
    void interrupt();

    /// The descriptor; throws Failure if it is closed.
    int descriptor() const;
    /// What is known about the connection so far.
    struct Story {
        std::uint64_t received_count = 0;
        std::uint64_t sent_count = 0;
        bool end_of_stream = false;
        bool was_reset = false;
        bool open = true;
    };
    Story story() const;
    /// The first `keep` bytes received.
    std::string kept() const;
    void saw_reset();

    const std::string name;
    std::atomic<Millis::rep> limit;
    std::uint16_t local_port = 0;
    std::uint16_t remote_port = 0;
    std::atomic<bool> interrupted = false;
    mutable std::mutex mutex;
    std::condition_variable woken;

private:
    void note_reset(); // the lock must be held

    const std::size_t keep_;
    int fd_;
    bool fin_sent_ = false;
    Story story_;
    std::string kept_;
};

/// Makes a socket that is non-blocking, closed on exec, and never raises SIGPIPE. Throws Failure.
int make_socket(int family);
/// Marks a descriptor so; for those that accept(2) made.
void make_well_behaved(int fd);
/// accept(2) with both; -1 and errno as accept.
int accept_connection(int listener);

/// An address as the system wants it.
struct Address {
    explicit Address(const Endpoint& endpoint);
    /// A sockaddr_storage' worth of bytes, so that this header needs no system headers.
    alignas(16) unsigned char bytes[128] = {};
    unsigned size = 0;
    int family = 0;
};

std::uint16_t local_port_of(int fd);
std::uint16_t remote_port_of(int fd);

/// `Connection refused`
std::string error_text(int error);

/// The endless pattern behind make_bytes(): word i depends on the seed and i only, so any part can be made by
/// itself.
void fill_pattern(char* into, std::size_t size, std::uint64_t offset, std::uint64_t seed);

} // namespace harness::detail
