#include "pipe_pool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace harbor {

//! [harbor:pipe_take]
std::optional<Pipe> PipePool::take() {
    if (!free_.empty()) {
        Pipe pipe = std::move(free_.back());
        free_.pop_back();
        return pipe;
    }
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) < 0) {
        return std::nullopt;
    }
    Pipe pipe{Descriptor(ends[0]), Descriptor(ends[1]), 0};
    // More room means fewer calls a gigabyte. A user's pipes together may not exceed a limit (man 7 pipe,
    // pipe-user-pages-soft), beyond which this fails, and the pipe stays as it is.
    ::fcntl(ends[1], F_SETPIPE_SZ, wanted_capacity);
    const int capacity = ::fcntl(ends[1], F_GETPIPE_SZ);
    if (capacity <= 0) {
        return std::nullopt;
    }
    pipe.capacity = static_cast<std::size_t>(capacity);
    return pipe;
}
//! [harbor:pipe_take]

void PipePool::give_back(Pipe pipe) {
    if (free_.size() < most_kept) {
        free_.push_back(std::move(pipe));
    }
}

} // namespace harbor
