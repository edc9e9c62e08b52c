#include "listener.hpp"

#include "socket_options.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <sstream>
#include <system_error>
#include <utility>

namespace harbor {

using asio::ip::tcp;

namespace {

[[noreturn]] void cannot_listen(const tcp::endpoint& endpoint, int error) {
    std::ostringstream text;
    text << "cannot listen on " << endpoint;
    throw std::system_error(error, std::system_category(), text.str());
}

/// A bound socket, not listening yet. With `shared`, others of this user's may bind the same port.
Descriptor bind_to(const tcp::endpoint& endpoint, bool shared) {
    Descriptor socket(
        ::socket(endpoint.data()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!socket) {
        cannot_listen(endpoint, errno);
    }
    const int on = 1;
    // Without this a restarted server could not bind its port while connections of its predecessor sit in
    // TIME_WAIT (man 7 socket, SO_REUSEADDR).
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) {
        cannot_listen(endpoint, errno);
    }
    if (::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) < 0) {
        cannot_listen(endpoint, errno);
    }
    return socket;
}

void start_listening(const Descriptor& socket, const tcp::endpoint& endpoint) {
    if (::listen(socket.get(), SOMAXCONN) < 0) {
        cannot_listen(endpoint, errno);
    }
}

} // namespace

Descriptor listen_on(const tcp::endpoint& endpoint) {
    Descriptor listener = bind_to(endpoint, false);
    start_listening(listener, endpoint);
    return listener;
}

tcp::endpoint local_endpoint(const Descriptor& socket) {
    tcp::endpoint endpoint;
    auto length = static_cast<socklen_t>(endpoint.capacity());
    ::getsockname(socket.get(), endpoint.data(), &length);
    endpoint.resize(length);
    return endpoint;
}

//! [harbor:listeners]
std::vector<Descriptor> listen_for_workers(tcp::endpoint endpoint, const Config& config) {
    const bool shared = config.threads > 1;
    if (shared && endpoint.port() != 0) {
        // Sharing a port would let a second balancer start beside this one and take half of its clients,
        // without a word. So ask first for the port alone.
        bind_to(endpoint, false);
    }
    std::vector<Descriptor> listeners;
    for (unsigned i = 0; i < config.threads; ++i) {
        Descriptor listener = bind_to(endpoint, shared);
        // Sockets inherit these from the listener that accepts them: three calls less for every client.
        set_socket_options(listener.get(), config);
        start_listening(listener, endpoint);
        endpoint = local_endpoint(listener); // the port, if any would do
        listeners.push_back(std::move(listener));
    }
    return listeners;
}
//! [harbor:listeners]

} // namespace harbor
