// A client that asks and waits for the answer: the message it sent, byte for byte.
//
// Each message continues the connection's stream where the one before ended, so an answer that belongs to an
// earlier request, or to another connection, is a wrong one. What to do next is up to the mode
// (`RequestMode`).
#pragma once

#include "event_loop.hpp"
#include "pattern.hpp"
#include "run.hpp"
#include "socket.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace harbor::load {

class RequestClient;

/// What the modes differ in. Each call is made while the client is being called by the loop.
class RequestMode {
public:
    RequestMode() = default;
    RequestMode(const RequestMode&) = delete;
    RequestMode& operator=(const RequestMode&) = delete;
    virtual ~RequestMode() = default;

    virtual void connected(RequestClient& client) = 0;
    /// The whole answer is there, and right.
    virtual void answered(RequestClient& client, Clock::time_point now) = 0;
    /// The connection is gone; why has been counted.
    virtual void failed(RequestClient& client) = 0;
};

class RequestClient final : public EventHandler {
public:
    RequestClient(Run& run, RequestMode& mode, std::uint32_t number)
        : run_(run), mode_(mode), number_(number) {}

    /// Starts a connection; how it went is told to the mode later, never within the call.
    void connect();

    /// Sends a message of the size in the options.
    void ask(Clock::time_point now);

    void close() { socket_.close(); }

    bool is_open() const { return static_cast<bool>(socket_); }
    bool waits_for_answer() const { return asking_; }
    Clock::time_point connect_started() const { return connect_started_; }
    Clock::time_point ask_started() const { return ask_started_; }

    void on_events(std::uint32_t events) override;

private:
    bool send_rest();
    bool receive(bool ending);
    bool fail(const std::string& what);

    Run& run_;
    RequestMode& mode_;
    const std::uint32_t number_;
    Socket socket_;
    bool connecting_ = false;
    int connect_error_ = 0;
    bool asking_ = false;
    std::uint64_t asked_ = 0; // how many bytes of the stream have been asked for in all
    Stream sent_;
    Stream received_;
    Clock::time_point connect_started_;
    Clock::time_point ask_started_;
};

} // namespace harbor::load
