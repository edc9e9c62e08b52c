// A client that uploads without a pause until it is told to stop, and checks whatever the backend sends.
//
// It says first which connection it is, because the backend cannot know which of the streams it is to expect:
// the proxy may put connections through in any order. It writes with sendfile(2) from the pattern, so that
// the bytes are copied neither here nor on the way into the kernel: with a copy the load, and not the proxy,
// would be what is measured.
#pragma once

#include "event_loop.hpp"
#include "pattern.hpp"
#include "run.hpp"
#include "socket.hpp"

#include <cstdint>
#include <string>

namespace harbor::load {

class StreamClient final : public EventHandler {
public:
    StreamClient(Run& run, std::uint32_t number);

    /// Starts the connection and, once it is there, the upload.
    void connect();

    /// Ends the upload with a half-close. The connection goes on until the backend has ended it too.
    void stop();

    bool is_connected() const { return !connecting_; }
    bool is_over() const { return !socket_; }

    void on_events(std::uint32_t events) override;

private:
    void proceed();
    void announce();
    bool send();
    bool receive();
    void fail(const std::string& what);

    Run& run_;
    const std::uint32_t number_;
    Socket socket_;
    Stream up_;
    Stream down_;
    bool connecting_ = true;
    bool sending_ = true;
    bool readable_ = false;
    bool writable_ = false;
    bool ending_ = false; // the proxy has finished: a short read does not mean that there is no more
};

} // namespace harbor::load
