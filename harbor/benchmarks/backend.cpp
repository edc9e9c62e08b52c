#include "backend.hpp"

#include "backend_connection.hpp"

#include <sys/socket.h>

#include <utility>

namespace harbor::load {

class Backend::Listener final : public EventHandler {
public:
    Listener(Backend& backend, std::uint32_t address)
        : backend_(backend), socket_(listen_on(endpoint(address, backend.run_.options.backend_port))) {
        // Level-triggered: what one turn leaves in the queue is reported again.
        backend_.run_.loop.add(socket_, *this, EPOLLIN);
    }

    void on_events(std::uint32_t) override {
        for (int i = 0; i < 64; ++i) {
            Socket accepted(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!accepted) {
                if (!would_block()) {
                    backend_.run_.tally.error("backend: accept: " + errno_text());
                }
                return;
            }
            backend_.adopt(std::move(accepted));
        }
    }

private:
    Backend& backend_;
    Socket socket_;
};

Backend::Backend(Run& run) : run_(run) {
    for (const std::uint32_t address : backend_addresses) {
        listeners_.push_back(std::make_unique<Listener>(*this, address));
    }
}

Backend::~Backend() = default;

void Backend::adopt(Socket socket) {
    if (unused_.empty()) {
        connections_.push_back(make_backend_connection(*this, run_));
        unused_.push_back(connections_.back().get());
    }
    BackendConnection& connection = *unused_.back();
    unused_.pop_back();
    ++accepted_;
    ++open_;
    connection.begin(std::move(socket));
}

void Backend::ended(BackendConnection& connection) {
    --open_;
    unused_.push_back(&connection);
}

} // namespace harbor::load
