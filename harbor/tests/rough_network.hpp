/// A network on which packets are late, lost and out of order, for tests.
#pragma once

#include "conformance.hpp"

#include <harness/socket.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

namespace conformance {

/// A network of the test's own in which one way leads through a pipe of ours, packet by packet.
///
/// Linux can make a network rough by itself (man 8 tc-netem), where its kernel is built with that; many are
/// not. This needs a TUN device only: what is sent to `far` comes out of a descriptor, and what is written
/// there arrives as if from the network. The thread here lets a packet wait, or drops it, and then sends it
/// back with its two addresses exchanged. So whoever connects to a port of `far` reaches the listener on that
/// port of `near`, and both sides take the other for a far one. The checksums stay right, since they are
/// sums.
class RoughNetwork {
public:
    struct Weather {
        std::uint32_t seed = 1; ///< decides over every packet, by its number
        double loss = 0; ///< of all packets, from 0 to 1
        std::chrono::microseconds least_delay{0};
        std::chrono::microseconds most_delay{
            0}; ///< where it is more than the least, packets overtake each other
    };

    /// Throws Failure where the system does not allow it.
    explicit RoughNetwork(const Weather& weather);
    ~RoughNetwork();
    RoughNetwork(const RoughNetwork&) = delete;
    RoughNetwork& operator=(const RoughNetwork&) = delete;

    /// Where to listen.
    static constexpr const char* near = "10.9.0.1";
    /// Where to connect to, on the same port.
    static constexpr const char* far = "10.9.0.2";
    static harness::Endpoint far_of(const harness::Endpoint& listener) { return {far, listener.port}; }

    // So far.
    unsigned carried() const { return carried_; }
    unsigned lost() const { return lost_; }
    unsigned overtaken() const { return overtaken_; }

private:
    void carry();

    const OwnNetwork network_;
    const Weather weather_;
    int device_ = -1;
    int bell_ = -1;
    std::atomic<unsigned> carried_{0};
    std::atomic<unsigned> lost_{0};
    std::atomic<unsigned> overtaken_{0}; // by one that was sent later
    std::thread thread_;
};

} // namespace conformance
