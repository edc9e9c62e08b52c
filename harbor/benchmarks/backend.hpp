// The servers behind the proxy: four addresses, one port, in the same process and on the same loop as the
// clients.
//
// Embedded because the load is one thing then: one core, one clock, one place that knows what was sent and
// what came. Four addresses because each connection that the proxy has made keeps a port for a while after it
// has ended, and there are only 28,000 of them to one destination; it also gives the proxy something to
// balance.
#pragma once

#include "run.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace harbor::load {

inline constexpr std::array<std::uint32_t, 4> backend_addresses{0x7f000201, 0x7f000202, 0x7f000203,
                                                                0x7f000204}; // 127.0.2.1 to 127.0.2.4

class BackendConnection;

class Backend {
public:
    /// Listens; throws std::system_error when the port is taken. The run must outlive it.
    explicit Backend(Run& run);
    ~Backend();
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    std::uint64_t accepted() const { return accepted_; }
    std::uint64_t open() const { return open_; }

    /// Makes connections that send on their own finish what they are sending.
    void stop_sending() { sending_ = false; }
    bool sending() const { return sending_; }

    /// Called by a connection that has ended, to be used for another.
    void ended(BackendConnection& connection);

private:
    class Listener;

    void adopt(Socket socket);

    Run& run_;
    bool sending_ = true;
    std::uint64_t accepted_ = 0;
    std::uint64_t open_ = 0;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::vector<std::unique_ptr<BackendConnection>> connections_; // open or not
    std::vector<BackendConnection*> unused_; // those that have ended, for the next clients
};

} // namespace harbor::load
