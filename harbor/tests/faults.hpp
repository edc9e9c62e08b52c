// Makes system calls go wrong, on one thread and at a chosen moment.
//
// What a kernel may answer and hardly ever does is what data planes get wrong. Here a test decides: the
// linker sends the data plane's calls through functions of ours (ld --wrap; see the list in faults.cpp and in
// CMakeLists.txt), and those ask a script before, or instead of, asking the kernel. The alternative, an
// interface between the data plane and the kernel that a test implements, would be paid for by every call of
// every user, and what it hides could be wrong as well.
//
// The harness's sockets go through the same functions, so a script is in force only on the threads that ask
// for it: everybody else's calls go straight to the kernel.
//
// Edge-triggered readiness makes demands on a liar. A socket that is said to be dry or full gets no further
// event if it is not, and the program under test waits for ever, rightly so. So after every faked EAGAIN, and
// after every read cut short, the socket is armed again, and its true state is announced as if it were news.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <string_view>

#include <sys/epoll.h>

namespace faults {

enum class Call {
    accept4,
    allocate, // operator new; only where faults_memory.cpp is linked in
    connect,
    epoll_ctl,
    epoll_wait,
    mmap,
    pipe2,
    recv,
    send,
    setsockopt,
    shutdown,
    socket,
    splice_in, // from a socket into a pipe
    splice_out, // from a pipe into a socket
};
constexpr std::size_t number_of_calls = 14;

std::string_view to_text(Call call);

/// A call that is about to be made.
struct Attempt {
    Call call;
    unsigned number; // of this kind since the script was set, from 0
    int fd; // the socket, or the epoll descriptor that is waited at; -1 where there is neither
    std::size_t size; // bytes asked for; 0 where that means nothing
};

/// What is to become of it.
struct Fate {
    int error = 0; // fail with this errno; the kernel is not asked
    std::size_t at_most = std::numeric_limits<std::size_t>::max(); // move no more bytes than this
};

/// Called on the thread that makes the call, one at a time. May take its time, the thread waits; but must not
/// ask its own Faults for anything.
using Script = std::function<Fate(const Attempt&)>;

/// The script of one thread, which another may change while that one runs.
class Faults {
public:
    Faults() = default;
    ~Faults();
    Faults(const Faults&) = delete;
    Faults& operator=(const Faults&) = delete;

    /// From now on, counted anew. An empty script lets everything pass.
    void set(Script script);
    /// The calls of a kind since then.
    unsigned count(Call call) const;
    /// The connects that the kernel has been asked for, ever since.
    unsigned connects() const;
    /// Brings a thread that waits in epoll_wait out of it, with an event that belongs to nobody.
    void wake();

    /// While it lives, the calls of this thread are subject to the script.
    class OnThisThread {
    public:
        explicit OnThisThread(Faults& faults);
        ~OnThisThread();
        OnThisThread(const OnThisThread&) = delete;
        OnThisThread& operator=(const OnThisThread&) = delete;
    };

    // For the wrapped calls only.
    Fate ask(Call call, int fd, std::size_t size);
    void registered(int epoll, int fd, const epoll_event& event);
    void connecting();
    void is_a_pipe(int fd); // a number that may have been a socket's
    bool is_socket(int fd) const;
    void announce_again(int fd);

private:
    mutable std::mutex mutex_;
    Script script_;
    std::map<Call, unsigned> counts_;
    struct Registration {
        int epoll;
        epoll_event event;
    };
    std::map<int, Registration> sockets_;
    unsigned connects_ = 0;
    int bell_ = -1;
};

/// For operator new only: asks the script of this thread, if there is one.
bool allocation_fails(std::size_t size);

} // namespace faults
