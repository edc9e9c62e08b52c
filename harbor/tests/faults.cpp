// The functions that the linker puts in the place of the system's: for each, `__wrap_NAME` is what callers
// get and `__real_NAME` what they asked for (man 1 ld, --wrap). Both names are reserved for such use by
// compilers, so they are given here as the symbols of functions with ordinary names.
#include "faults.hpp"

#include <cerrno>
#include <utility>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

namespace faults {

namespace {

thread_local Faults* current = nullptr;
thread_local bool inside = false; // in a script: what it does itself is not subject to it

/// The script in force, or null; keeps the script's own calls out while it lives.
class Guard {
public:
    Guard() : faults_(inside ? nullptr : current), was_inside_(std::exchange(inside, true)) {}
    ~Guard() { inside = was_inside_; }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    Faults* operator->() const { return faults_; }
    explicit operator bool() const { return faults_ != nullptr; }

private:
    Faults* faults_;
    bool was_inside_;
};

} // namespace

extern "C" {
int real_accept4(int, sockaddr*, socklen_t*, int) __asm__("__real_accept4");
int real_connect(int, const sockaddr*, socklen_t) __asm__("__real_connect");
int real_epoll_ctl(int, int, int, epoll_event*) __asm__("__real_epoll_ctl");
int real_epoll_wait(int, epoll_event*, int, int) __asm__("__real_epoll_wait");
void* real_mmap(void*, std::size_t, int, int, int, off_t) __asm__("__real_mmap");
int real_pipe2(int*, int) __asm__("__real_pipe2");
ssize_t real_recv(int, void*, std::size_t, int) __asm__("__real_recv");
ssize_t real_send(int, const void*, std::size_t, int) __asm__("__real_send");
int real_setsockopt(int, int, int, const void*, socklen_t) __asm__("__real_setsockopt");
int real_shutdown(int, int) __asm__("__real_shutdown");
int real_socket(int, int, int) __asm__("__real_socket");
ssize_t real_splice(int, off_t*, int, off_t*, std::size_t, unsigned) __asm__("__real_splice");

int wrapped_accept4(int, sockaddr*, socklen_t*, int) __asm__("__wrap_accept4");
int wrapped_connect(int, const sockaddr*, socklen_t) __asm__("__wrap_connect");
int wrapped_epoll_ctl(int, int, int, epoll_event*) __asm__("__wrap_epoll_ctl");
int wrapped_epoll_wait(int, epoll_event*, int, int) __asm__("__wrap_epoll_wait");
void* wrapped_mmap(void*, std::size_t, int, int, int, off_t) __asm__("__wrap_mmap");
int wrapped_pipe2(int*, int) __asm__("__wrap_pipe2");
ssize_t wrapped_recv(int, void*, std::size_t, int) __asm__("__wrap_recv");
ssize_t wrapped_send(int, const void*, std::size_t, int) __asm__("__wrap_send");
int wrapped_setsockopt(int, int, int, const void*, socklen_t) __asm__("__wrap_setsockopt");
int wrapped_shutdown(int, int) __asm__("__wrap_shutdown");
int wrapped_socket(int, int, int) __asm__("__wrap_socket");
ssize_t wrapped_splice(int, off_t*, int, off_t*, std::size_t, unsigned) __asm__("__wrap_splice");
}

std::string_view to_text(Call call) {
    switch (call) {
    case Call::accept4:
        return "accept4";
    case Call::allocate:
        return "allocate";
    case Call::connect:
        return "connect";
    case Call::epoll_ctl:
        return "epoll_ctl";
    case Call::epoll_wait:
        return "epoll_wait";
    case Call::mmap:
        return "mmap";
    case Call::pipe2:
        return "pipe2";
    case Call::recv:
        return "recv";
    case Call::send:
        return "send";
    case Call::setsockopt:
        return "setsockopt";
    case Call::shutdown:
        return "shutdown";
    case Call::socket:
        return "socket";
    case Call::splice_in:
        return "splice in";
    case Call::splice_out:
        return "splice out";
    }
    return "?";
}

void Faults::set(Script script) {
    const std::lock_guard lock(mutex_);
    script_ = std::move(script);
    counts_.clear();
}

unsigned Faults::count(Call call) const {
    const std::lock_guard lock(mutex_);
    const auto found = counts_.find(call);
    return found == counts_.end() ? 0 : found->second;
}

Faults::~Faults() {
    if (bell_ >= 0) {
        ::close(bell_);
    }
}

void Faults::wake() {
    const std::lock_guard lock(mutex_);
    ::eventfd_write(bell_, 1);
}

Faults::OnThisThread::OnThisThread(Faults& faults) {
    current = &faults;
}

Faults::OnThisThread::~OnThisThread() {
    current = nullptr;
}

Fate Faults::ask(Call call, int fd, std::size_t size) {
    const std::lock_guard lock(mutex_);
    const unsigned number = counts_[call]++;
    return script_ ? script_({call, number, fd, size}) : Fate{};
}

void Faults::registered(int epoll, int fd, const epoll_event& event) {
    const std::lock_guard lock(mutex_);
    sockets_[fd] = {epoll, event};
    if (bell_ < 0) {
        // With no owner: to the ready set that is an event whose socket has been closed since.
        bell_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        epoll_event rung{};
        rung.events = EPOLLIN | EPOLLET;
        real_epoll_ctl(epoll, EPOLL_CTL_ADD, bell_, &rung);
    }
}

unsigned Faults::connects() const {
    const std::lock_guard lock(mutex_);
    return connects_;
}

void Faults::connecting() {
    const std::lock_guard lock(mutex_);
    ++connects_;
}

void Faults::is_a_pipe(int fd) {
    const std::lock_guard lock(mutex_);
    sockets_.erase(fd);
}

bool Faults::is_socket(int fd) const {
    const std::lock_guard lock(mutex_);
    return sockets_.find(fd) != sockets_.end();
}

void Faults::announce_again(int fd) {
    const std::lock_guard lock(mutex_);
    const auto found = sockets_.find(fd);
    if (found != sockets_.end()) {
        // To modify a registration is to have it looked at anew (man 2 epoll_ctl).
        real_epoll_ctl(found->second.epoll, EPOLL_CTL_MOD, fd, &found->second.event);
    }
}

namespace {

/// For calls that either happen or do not: fails as the script says, or does `real`.
template<typename Real>
auto all_or_nothing(Call call, int fd, Real real) -> decltype(real()) {
    const Guard faults;
    if (faults) {
        const Fate fate = faults->ask(call, fd, 0);
        if (fate.error != 0) {
            if (fate.error == EAGAIN) {
                faults->announce_again(fd);
            }
            errno = fate.error;
            return -1;
        }
    }
    return real();
}

/// For calls that move bytes: `real` is told how many at most.
template<typename Real>
ssize_t moving(Call call, int socket, std::size_t size, bool short_means_dry, Real real) {
    const Guard faults;
    if (!faults) {
        return real(size);
    }
    const Fate fate = faults->ask(call, socket, size);
    if (fate.error != 0) {
        if (fate.error == EAGAIN) {
            faults->announce_again(socket);
        }
        errno = fate.error;
        return -1;
    }
    if (fate.at_most >= size) {
        return real(size);
    }
    const ssize_t moved = real(fate.at_most);
    const int error = errno;
    if (short_means_dry && moved > 0) {
        faults->announce_again(socket);
    }
    errno = error;
    return moved;
}

} // namespace

int wrapped_accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
    return all_or_nothing(Call::accept4, fd, [=] { return real_accept4(fd, address, length, flags); });
}

int wrapped_connect(int fd, const sockaddr* address, socklen_t length) {
    return all_or_nothing(Call::connect, fd, [=] {
        if (current != nullptr) {
            current->connecting();
        }
        return real_connect(fd, address, length);
    });
}

int wrapped_epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
    const int result =
        all_or_nothing(Call::epoll_ctl, fd, [=] { return real_epoll_ctl(epoll, operation, fd, event); });
    const Guard faults;
    if (faults && result == 0 && operation == EPOLL_CTL_ADD) {
        faults->registered(epoll, fd, *event);
    }
    return result;
}

int wrapped_epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
    return all_or_nothing(Call::epoll_wait, epoll,
                          [=] { return real_epoll_wait(epoll, events, most, timeout); });
}

void* wrapped_mmap(void* where, std::size_t size, int protection, int flags, int fd, off_t offset) {
    {
        const Guard faults;
        if (faults) {
            const Fate fate = faults->ask(Call::mmap, -1, size);
            if (fate.error != 0) {
                errno = fate.error;
                return MAP_FAILED;
            }
        }
    }
    return real_mmap(where, size, protection, flags, fd, offset);
}

int wrapped_pipe2(int* ends, int flags) {
    const int result = all_or_nothing(Call::pipe2, -1, [=] { return real_pipe2(ends, flags); });
    if (const Guard faults; faults && result == 0) {
        faults->is_a_pipe(ends[0]);
        faults->is_a_pipe(ends[1]);
    }
    return result;
}

ssize_t wrapped_recv(int fd, void* into, std::size_t size, int flags) {
    return moving(Call::recv, fd, size, true, [=](std::size_t n) { return real_recv(fd, into, n, flags); });
}

ssize_t wrapped_send(int fd, const void* from, std::size_t size, int flags) {
    return moving(Call::send, fd, size, false, [=](std::size_t n) { return real_send(fd, from, n, flags); });
}

int wrapped_setsockopt(int fd, int level, int name, const void* value, socklen_t length) {
    return all_or_nothing(Call::setsockopt, fd,
                          [=] { return real_setsockopt(fd, level, name, value, length); });
}

int wrapped_shutdown(int fd, int how) {
    return all_or_nothing(Call::shutdown, fd, [=] { return real_shutdown(fd, how); });
}

int wrapped_socket(int family, int type, int protocol) {
    return all_or_nothing(Call::socket, -1, [=] { return real_socket(family, type, protocol); });
}

ssize_t wrapped_splice(int from, off_t* from_at, int to, off_t* to_at, std::size_t size, unsigned flags) {
    bool in = false;
    if (const Guard faults; faults) {
        in = faults->is_socket(from);
    }
    return moving(in ? Call::splice_in : Call::splice_out, in ? from : to, size, false,
                  [=](std::size_t n) { return real_splice(from, from_at, to, to_at, n, flags); });
}

bool allocation_fails(std::size_t size) {
    const Guard faults;
    return faults && faults->ask(Call::allocate, -1, size).error != 0;
}

} // namespace faults
