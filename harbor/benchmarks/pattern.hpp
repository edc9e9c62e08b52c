// The bytes that are sent, such that any that come back lost, twice, swapped or from another connection are
// noticed.
//
// Every stream of every connection reads the same endless, repeating text of pseudo-random bytes, each from a
// start of its own. What should come next is therefore known from a position alone: sending needs no
// generator, and checking is one memcmp with memory that stays in the second-level cache.
//
// The text repeats every 63 pages. Losing or repeating a whole number of periods would go unseen, and 63 is
// there to make that unlikely: no power of two, the size of every buffer on the way, is a multiple of it.
//
// Rejected: filling the payload with one letter (proves only that something came back), and a checksum (says
// that something is wrong, but neither what nor where).
#pragma once

#include "socket.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace harbor::load {

enum class Direction : std::uint8_t { client_to_backend, backend_to_client };

/// How far one direction of one connection has come.
class Stream {
public:
    Stream() = default;
    /// Connections with neighbouring numbers, and the two directions of each, start at different places.
    Stream(std::uint32_t connection, Direction direction);

    std::uint64_t position() const { return start_ + moved_; }
    std::uint64_t moved() const { return moved_; }
    void advance(std::size_t bytes) { moved_ += bytes; }

private:
    std::uint64_t start_ = 0;
    std::uint64_t moved_ = 0;
};

class Pattern {
public:
    /// As many bytes as can be had, or compared, in one piece.
    static constexpr std::size_t period = std::size_t{63} * 4096;

    Pattern();
    ~Pattern();
    Pattern(const Pattern&) = delete;
    Pattern& operator=(const Pattern&) = delete;

    /// What comes next in a stream; `length` at most one period.
    std::span<const std::byte> next(const Stream& stream, std::size_t length) const {
        return {bytes_ + stream.position() % period, length};
    }

    /// Sends up to a period of what comes next and moves the stream on. Returns what sendfile(2) and send(2)
    /// return. With `copy` from memory, as most programs send, otherwise without copying anything.
    ssize_t send(const Socket& socket, Stream& stream, bool copy) const;

    /// Compares what came with what should have come, and moves the stream on. Returns how many bytes differ.
    std::size_t check(Stream& stream, std::span<const std::byte> came) const;

private:
    Socket file_; // a memfd with two periods in a row, so that a piece never has to be put together from two
    std::byte* bytes_ = nullptr; // the same memory, mapped
};

} // namespace harbor::load
