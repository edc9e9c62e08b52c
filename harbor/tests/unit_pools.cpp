// Buffers and pipes: what is given back is used again, what is too much goes back to the kernel.
#include "buffer_pool.hpp"
#include "faults.hpp"
#include "pipe_pool.hpp"

#include <harness/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

using faults::Call;
using faults::Fate;
using faults::Faults;
using harbor::Buffer;
using harbor::BufferPool;
using harbor::Pipe;
using harbor::PipePool;

namespace {

bool is_mapped(const void* memory) {
    void* page = const_cast<void*>(memory); // NOLINT: msync does not write to it
    return ::msync(page, BufferPool::size, MS_ASYNC) == 0 || errno != ENOMEM;
}

std::ptrdiff_t open_descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

std::optional<Pipe> take_or_fail(PipePool& pool) {
    std::optional<Pipe> pipe = pool.take();
    REQUIRE(pipe);
    return pipe;
}

} // namespace

TEST_CASE("the buffer given back last is the next to be taken") {
    BufferPool pool;
    std::byte* first = nullptr;
    {
        const Buffer a = pool.take();
        const Buffer b = pool.take();
        REQUIRE(a.data() != b.data());
        REQUIRE(pool.taken() == 2);
        first = a.data(); // destroyed last
    }
    REQUIRE(pool.taken() == 0);
    REQUIRE(pool.kept() == 2);
    const Buffer again = pool.take();
    REQUIRE(again.data() == first);
    REQUIRE(pool.kept() == 1);
}

TEST_CASE("all of a buffer can be written to") {
    BufferPool pool;
    const Buffer buffer = pool.take();
    std::memset(buffer.data(), 0x55, BufferPool::size);
    REQUIRE(buffer.data()[BufferPool::size - 1] == std::byte{0x55});
}

TEST_CASE("a buffer that was moved is given back once") {
    BufferPool pool;
    {
        Buffer a = pool.take();
        const Buffer b = std::move(a);
        REQUIRE(pool.taken() == 1);
    }
    REQUIRE(pool.taken() == 0);
    REQUIRE(pool.kept() == 1);
}

TEST_CASE("buffers beyond those that are kept go back to the kernel") {
    std::vector<const std::byte*> addresses;
    {
        BufferPool pool;
        {
            std::vector<Buffer> burst;
            for (std::size_t i = 0; i < BufferPool::most_kept + 100; ++i) {
                burst.push_back(pool.take());
                burst.back().data()[0] = std::byte{1};
                addresses.push_back(burst.back().data());
            }
            REQUIRE(pool.taken() == BufferPool::most_kept + 100);
            REQUIRE(std::all_of(addresses.begin(), addresses.end(), is_mapped));
        }
        REQUIRE(pool.taken() == 0);
        REQUIRE(pool.kept() == BufferPool::most_kept);
        const auto mapped = std::count_if(addresses.begin(), addresses.end(), is_mapped);
        REQUIRE(static_cast<std::size_t>(mapped) == BufferPool::most_kept);
    }
    REQUIRE(std::none_of(addresses.begin(), addresses.end(), is_mapped));
}

TEST_CASE("without memory there is no buffer and the count stays right") {
    BufferPool pool;
    Faults faults;
    const Faults::OnThisThread here(faults);
    faults.set([](const faults::Attempt& attempt) {
        return attempt.call == Call::mmap ? Fate{.error = ENOMEM} : Fate{};
    });
    REQUIRE_THROWS_AS(pool.take(), std::bad_alloc);
    REQUIRE(pool.taken() == 0);
    faults.set({});
    const Buffer buffer = pool.take();
    REQUIRE(pool.taken() == 1);
}

TEST_CASE("a pipe from the pool is empty and passes bytes on without blocking") {
    PipePool pool;
    const std::optional<Pipe> pipe = take_or_fail(pool);
    REQUIRE(pipe->capacity > 0);
    std::array<char, 8> bytes{};
    REQUIRE(::read(pipe->read_end.get(), bytes.data(), bytes.size()) == -1);
    REQUIRE(errno == EAGAIN);
    const std::vector<char> all(pipe->capacity, 'x');
    REQUIRE(::write(pipe->write_end.get(), all.data(), all.size()) == static_cast<ssize_t>(all.size()));
    REQUIRE(::write(pipe->write_end.get(), all.data(), 1) == -1); // full, and it says so
    REQUIRE(errno == EAGAIN);
    REQUIRE((::fcntl(pipe->read_end.get(), F_GETFD) & FD_CLOEXEC) != 0);
    REQUIRE((::fcntl(pipe->write_end.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a pipe has the capacity that was wanted or the one the system grants") {
    PipePool pool;
    const std::optional<Pipe> pipe = take_or_fail(pool);
    REQUIRE(pipe->capacity == static_cast<std::size_t>(::fcntl(pipe->write_end.get(), F_GETPIPE_SZ)));
    // The limits of man 7 pipe are generous enough for one pipe, unless somebody has set them low; then it is
    // at least a page.
    REQUIRE(pipe->capacity >= 4096);
}

TEST_CASE("a pipe that was given back is used again") {
    PipePool pool;
    std::optional<Pipe> pipe = take_or_fail(pool);
    const int fd = pipe->read_end.get();
    pool.give_back(std::move(*pipe));
    REQUIRE(pool.kept() == 1);
    const std::optional<Pipe> again = take_or_fail(pool);
    REQUIRE(again->read_end.get() == fd);
    REQUIRE(pool.kept() == 0);
}

TEST_CASE("only so many pipes are kept and clear closes those") {
    const auto before = open_descriptors();
    {
        PipePool pool;
        std::vector<Pipe> pipes;
        for (std::size_t i = 0; i < PipePool::most_kept + 10; ++i) {
            pipes.push_back(std::move(*take_or_fail(pool)));
        }
        REQUIRE(open_descriptors() == before + 2 * static_cast<std::ptrdiff_t>(pipes.size()));
        for (Pipe& pipe : pipes) {
            pool.give_back(std::move(pipe));
        }
        pipes.clear();
        REQUIRE(pool.kept() == PipePool::most_kept);
        REQUIRE(open_descriptors() == before + 2 * static_cast<std::ptrdiff_t>(PipePool::most_kept));
        pool.clear();
        REQUIRE(pool.kept() == 0);
        REQUIRE(open_descriptors() == before);
        std::optional<Pipe> after = take_or_fail(pool);
        pool.give_back(std::move(*after));
    }
    REQUIRE(open_descriptors() == before);
}

TEST_CASE("a pipe that is not given back is closed") {
    const auto before = open_descriptors();
    PipePool pool;
    {
        const std::optional<Pipe> pipe = take_or_fail(pool);
    }
    REQUIRE(open_descriptors() == before);
}

TEST_CASE("without descriptors there is no pipe and nothing is lost") {
    const auto before = open_descriptors();
    PipePool pool;
    Faults faults;
    const Faults::OnThisThread here(faults);
    for (const int error : {EMFILE, ENFILE, ENOMEM}) {
        faults.set([error](const faults::Attempt& attempt) {
            return attempt.call == Call::pipe2 ? Fate{.error = error} : Fate{};
        });
        REQUIRE_FALSE(pool.take());
        REQUIRE(open_descriptors() == before);
    }
    faults.set({});
    REQUIRE(pool.take());
}

TEST_CASE("a pipe can be given back when there is no memory at all") {
    // To give back is what happens in the middle of a transfer, which must not end because of that.
    PipePool pool;
    std::vector<Pipe> pipes;
    for (std::size_t i = 0; i < PipePool::most_kept; ++i) {
        pipes.push_back(std::move(*take_or_fail(pool)));
    }
    Faults faults;
    const Faults::OnThisThread here(faults);
    bool thrown = false;
    faults.set([](const faults::Attempt& attempt) {
        return attempt.call == Call::allocate ? Fate{.error = ENOMEM} : Fate{};
    });
    try {
        for (Pipe& pipe : pipes) {
            pool.give_back(std::move(pipe));
        }
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    faults.set({});
    REQUIRE_FALSE(thrown);
    REQUIRE(pool.kept() == PipePool::most_kept);
}
