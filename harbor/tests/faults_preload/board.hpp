// What the preloaded library and the test that has ordered it share: a switch, and counts.
//
// A page of memory in a file that both map. So a test can let the program start in peace, then make its calls
// go wrong, then stop that and look whether the program has come back to where it was; and it can see that
// something did go wrong, for a library that does nothing would pass every test.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace faults_preload {

/// The kinds of calls that can go wrong; in HARBOR_FAULTS by the names below.
enum class Call {
    accept, // accept and accept4
    connect,
    epoll_create,
    epoll_ctl, // EPOLL_CTL_ADD of a socket
    epoll_wait,
    eventfd,
    mmap,
    pipe2,
    pipe_size, // fcntl(F_SETPIPE_SZ)
    poll,
    recv, // and recvmsg
    send, // and sendmsg
    setsockopt,
    socket,
    splice_in, // from a socket into a pipe
    splice_out, // from a pipe into a socket
    thread, // pthread_create
    timerfd,
    write_log, // write to standard error
};

constexpr std::array<std::string_view, 19> call_names{
    "accept",    "connect",    "epoll_create", "epoll_ctl", "epoll_wait", "eventfd",    "mmap",
    "pipe2",     "pipe_size",  "poll",         "recv",      "send",       "setsockopt", "socket",
    "splice_in", "splice_out", "thread",       "timerfd",   "write_log"};
constexpr std::size_t number_of_calls = call_names.size();

struct Board {
    std::atomic<std::uint32_t> on{0};
    std::array<std::atomic<std::uint64_t>, number_of_calls> made{}; // while it was on
    std::array<std::atomic<std::uint64_t>, number_of_calls> spoilt{}; // of these
};
// Nothing in it may depend on which of the two programs looks at it.
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

} // namespace faults_preload
