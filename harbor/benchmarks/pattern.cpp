#include "pattern.hpp"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cstring>

namespace harbor::load {

namespace {

constexpr std::size_t text_size = 2 * Pattern::period;
constexpr std::size_t line = 64; // starts are multiples of a cache line: comparing is faster so
constexpr std::size_t starts = Pattern::period / line;

/// The finaliser of splitmix64: cheap, and no eight bytes of its output look like any other eight.
std::uint64_t scrambled(std::uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111eb;
    return value ^ (value >> 31U);
}

} // namespace

Stream::Stream(std::uint32_t connection, Direction direction) {
    // 1009 has no divisor in common with the number of starts, so they are all used before one is used again.
    const std::uint64_t other_way = direction == Direction::backend_to_client ? starts / 2 : 0;
    start_ = (std::uint64_t{connection} * 1009 + other_way) % starts * line;
}

Pattern::Pattern() : file_(::memfd_create("harbor_load pattern", MFD_CLOEXEC)) {
    if (!file_ || ::ftruncate(file_.get(), text_size) != 0) {
        throw_errno("memfd for the pattern");
    }
    void* const memory = ::mmap(nullptr, text_size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (memory == MAP_FAILED) {
        throw_errno("mmap of the pattern");
    }
    bytes_ = static_cast<std::byte*>(memory);
    for (std::size_t at = 0; at < period; at += sizeof(std::uint64_t)) {
        const std::uint64_t word = scrambled(at);
        std::memcpy(bytes_ + at, &word, sizeof word);
    }
    std::memcpy(bytes_ + period, bytes_, period);
}

Pattern::~Pattern() {
    ::munmap(bytes_, text_size);
}

ssize_t Pattern::send(const Socket& socket, Stream& stream, bool copy) const {
    auto offset = static_cast<off_t>(stream.position() % period);
    const ssize_t sent = copy ? send_some(socket, next(stream, period))
                              : ::sendfile(socket.get(), file_.get(), &offset, period);
    if (sent > 0) {
        stream.advance(static_cast<std::size_t>(sent));
    }
    return sent;
}

std::size_t Pattern::check(Stream& stream, std::span<const std::byte> came) const {
    const auto expected = next(stream, came.size());
    stream.advance(came.size());
    if (std::memcmp(expected.data(), came.data(), came.size()) == 0) {
        return 0;
    }
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < came.size(); ++i) {
        wrong += expected[i] != came[i] ? 1 : 0;
    }
    return wrong;
}

} // namespace harbor::load
