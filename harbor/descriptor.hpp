// One open file of the kernel's, closed when its owner goes.
#pragma once

#include <unistd.h>

#include <utility>

namespace harbor {

/// Owns a file descriptor. Empty by default; moves, does not copy.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() {
        if (fd_ >= 0) {
            ::close(fd_); // errors are not for us: Linux closes it even when close(2) says EINTR or EIO
        }
    }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

} // namespace harbor
