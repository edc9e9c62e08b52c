// Pipes for splice(2), shared by all connections of a thread.
#pragma once

#include "descriptor.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace harbor {

/// A pipe of the kernel's, both ends non-blocking.
struct Pipe {
    Descriptor read_end;
    Descriptor write_end;
    std::size_t capacity; // in bytes
};

/// For one thread. splice moves pages between a socket and a pipe, never between two sockets, so a transfer
/// needs a pipe in between. A pipe costs two descriptors, so transfers hold one only while it has bytes in it
/// or is about to.
class PipePool {
public:
    static constexpr std::size_t most_kept = 16;
    static constexpr int wanted_capacity = 512 * 1024;

    PipePool() { free_.reserve(most_kept); } // so that to give back never fails

    /// A pipe that is empty, or nothing when the system has none to give: the caller goes on copying.
    std::optional<Pipe> take();

    /// Takes a pipe back, which must be empty: what is left in it would reach another connection. One that is
    /// not empty is just destroyed.
    void give_back(Pipe pipe);

    /// Closes those that are kept: descriptors are scarce.
    void clear() { free_.clear(); }

    std::size_t kept() const { return free_.size(); }

private:
    std::vector<Pipe> free_;
};

} // namespace harbor
