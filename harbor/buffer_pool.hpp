// Memory for bytes that are on their way, shared by all connections of a thread.
//
// A connection holds a buffer from the moment it has read until the moment it has written, which is nearly
// always the same moment. Ten thousand idle connections therefore own none, where a buffer each way for each
// of them would be 1.3 GB. And as the last buffer given back is the first to be taken, the hot one stays in
// the processor's cache.
//
// Buffers come from mmap and not from malloc: those beyond the few that are kept go back to the kernel at
// once, whatever has been allocated around them, so a burst leaves no trace in the resident memory.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace harbor {

class BufferPool;

/// A buffer of BufferPool::size bytes, given back when it goes.
class Buffer {
public:
    Buffer(Buffer&& other) noexcept : pool_(other.pool_), data_(std::exchange(other.data_, nullptr)) {}
    Buffer& operator=(Buffer&&) = delete;
    inline ~Buffer();

    std::byte* data() const { return data_; }

private:
    friend BufferPool;
    Buffer(BufferPool& pool, std::byte* data) : pool_(&pool), data_(data) {}

    BufferPool* pool_;
    std::byte* data_;
};

/// For one thread; must outlive its buffers.
class BufferPool {
public:
    static constexpr std::size_t size = 64 * 1024;
    static constexpr std::size_t most_kept = 32;

    BufferPool() { free_.reserve(most_kept); }
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;
    ~BufferPool() {
        for (std::byte* data : free_) {
            ::munmap(data, size);
        }
    }

    //! [harbor:buffer_take]
    /// Throws std::bad_alloc when there is no memory.
    Buffer take() {
        ++taken_;
        if (!free_.empty()) {
            std::byte* data = free_.back();
            free_.pop_back();
            return {*this, data};
        }
        void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED) {
            --taken_;
            throw std::bad_alloc();
        }
        return {*this, static_cast<std::byte*>(data)};
    }
    //! [harbor:buffer_take]

    std::size_t taken() const { return taken_; }
    std::size_t kept() const { return free_.size(); }

private:
    friend Buffer;
    //! [harbor:buffer_back]
    void give_back(std::byte* data) {
        --taken_;
        if (free_.size() < most_kept) {
            free_.push_back(data);
        } else {
            ::munmap(data, size);
        }
    }
    //! [harbor:buffer_back]

    std::vector<std::byte*> free_;
    std::size_t taken_ = 0;
};

Buffer::~Buffer() {
    if (data_ != nullptr) {
        pool_->give_back(data_);
    }
}

} // namespace harbor
