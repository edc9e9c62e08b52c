// One connection that the backend has accepted.
//
// Two kinds, depending on the mode: one sends back what it gets and leaves the checking to the client; the
// other checks what it gets, and may send a stream of its own.
#pragma once

#include "backend.hpp"
#include "event_loop.hpp"
#include "run.hpp"
#include "socket.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace harbor::load {

/// Kept and used again after it has ended: the loop's invariant asks for it.
class BackendConnection : public EventHandler {
public:
    BackendConnection(Backend& backend, Run& run) : run_(run), backend_(backend) {}

    void begin(Socket socket);
    void on_events(std::uint32_t events) final;

protected:
    enum class Flow : std::uint8_t { waiting, more_to_do, ended };

    bool backend_sends() const;

    /// Forgets the connection before.
    virtual void reset() = 0;

    /// Sends and receives what it can within one turn.
    virtual Flow proceed(std::uint32_t events) = 0;

    /// Ends it, and says why.
    Flow failed(const std::string& what);

    Run& run_;
    Socket socket_;

private:
    Backend& backend_;
};

std::unique_ptr<BackendConnection> make_backend_connection(Backend& backend, Run& run);

} // namespace harbor::load
