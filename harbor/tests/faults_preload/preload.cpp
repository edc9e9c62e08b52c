// Makes system calls of any program go wrong, from outside: LD_PRELOAD puts the functions of this file in the
// place of the C library's, and they ask chance before, or instead of, asking the kernel.
//
//     LD_PRELOAD=libharbor_faults.so HARBOR_FAULTS=seed=1,rate=0.05,kind=all,calls=recv+send harbor
//
//   seed=N     which of them go wrong: the n-th call of a kind is spoilt or not by a hash of seed, kind and n
//   rate=R     how many of them, from 0 to 1
//   kind=K     `unnoticed` (the default): only what a correct program hides from everybody, so that what is
//              said about it without faults must still hold; or `all`
//   calls=A+B  only these kinds; see board.hpp for the names
//   board=PATH a file with a Board: nothing goes wrong until its switch is on, and what does is counted there
//
// The alternative that this project has as well, calls that the linker wraps (tests/faults.hpp), hits one
// chosen call of one thread and shows what exactly follows from it. This here hits all of the program as it
// is shipped, the control plane and Asio included, and all of it at once.
//
// Only what a kernel could answer is worth a test, for against other answers there is no defence. Where a lie
// is told, the rest of the story is made to fit it:
//
//   EAGAIN, and what is cut short   say that a socket is dry or full. With edge-triggered epoll a program
//       that was told so waits for the next event, and a kernel would send one when that changes. So the
//       socket is registered again (EPOLL_CTL_MOD), which announces its true state as if it were news: as
//       though the bytes, the end of stream or the room had come just after the call.
//   ECONNABORTED, EPROTO   say that whoever was first in the queue has left it. The listener too is
//       announced anew: whoever is really there has come just after.
//   ECONNRESET, EPIPE, ETIMEDOUT   say that a peer is gone which is still there. What the program then does
//       to it is real enough: it has to see a reset.
//   connect does not happen at all when it is said to fail, and neither does any other call that has failed.
//
// Left alone, because a kernel that says no there says so only when it has no consequences, or never:
// shutdown and close (ENOTCONN is for a peer that is gone, and then nobody waits for the end of stream),
// getsockopt, ioctl, EINTR of a non-blocking connect, and reads and writes on descriptors of the program's
// own making, such as eventfds. And EPOLL_CTL_ADD fails for sockets only: what comes of registering its own
// eventfd, timerfd and pipe of signals Asio 1.22 does not look at
// (epoll_reactor::register_internal_descriptor), and a program on top of it cannot either.
#include "board.hpp"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <mutex>
#include <string_view>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <unistd.h>

namespace faults_preload {

namespace {

/// The function that the program would have got without this library.
template<typename Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

[[noreturn]] void refuse(std::string_view text) {
    const auto real = next<decltype(::write)>("write");
    for (const std::string_view part : {std::string_view("HARBOR_FAULTS: '"), text,
                                        std::string_view("' is not seed=N, rate=0…1, kind=unnoticed|all, "
                                                         "calls=NAME[+NAME…] or board=PATH\n")}) {
        if (real(STDERR_FILENO, part.data(), part.size()) < 0) {
            break;
        }
    }
    ::_exit(2);
}

// ------------------------------------------------------------------------------------------------- what to
// do

class Settings {
public:
    Settings() {
        const char* text = std::getenv("HARBOR_FAULTS"); // NOLINT(concurrency-mt-unsafe): nobody calls setenv
        if (text == nullptr) {
            return;
        }
        board_ = &own_board_;
        board_->on = 1;
        for (std::string_view rest = text; !rest.empty();) {
            const std::string_view part = rest.substr(0, rest.find(','));
            rest.remove_prefix(part.size() < rest.size() ? part.size() + 1 : rest.size());
            const std::size_t equals = part.find('=');
            if (equals == std::string_view::npos || !take(part.substr(0, equals), part.substr(equals + 1))) {
                refuse(part);
            }
        }
    }

    bool on() const { return board_ != nullptr && board_->on.load(std::memory_order_relaxed) != 0; }
    bool unnoticed() const { return unnoticed_; }

    /// A number for this call of its kind, always the same for a seed; nothing (0) if it is to go well.
    std::uint64_t draw(Call call) {
        const auto kind = static_cast<std::size_t>(call);
        if (!on() || (calls_ >> kind & 1) == 0) {
            return 0;
        }
        const std::uint64_t number = board_->made[kind].fetch_add(1, std::memory_order_relaxed);
        const std::uint64_t drawn = hash(hash(seed_ + kind) + number);
        // The upper half decides whether, the lower half what.
        if (static_cast<double>(drawn >> 32) >= rate_ * 4294967296.0) {
            return 0;
        }
        return (drawn & 0xffffffff) | 1ULL << 32;
    }
    void count(Call call) {
        board_->spoilt[static_cast<std::size_t>(call)].fetch_add(1, std::memory_order_relaxed);
    }

private:
    bool take(std::string_view name, std::string_view value) {
        if (name == "seed") {
            return number(value, seed_);
        }
        if (name == "rate") {
            return number(value, rate_) && rate_ >= 0 && rate_ <= 1;
        }
        if (name == "kind") {
            unnoticed_ = value == "unnoticed";
            return unnoticed_ || value == "all";
        }
        if (name == "calls") {
            return take_calls(value);
        }
        return name == "board" && map_board(value);
    }

    template<typename Number>
    static bool number(std::string_view text, Number& value) {
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        return error == std::errc{} && end == text.data() + text.size();
    }

    bool take_calls(std::string_view list) {
        calls_ = 0;
        while (!list.empty()) {
            const std::string_view name = list.substr(0, list.find('+'));
            list.remove_prefix(name.size() < list.size() ? name.size() + 1 : list.size());
            std::size_t kind = 0;
            while (kind < number_of_calls && call_names[kind] != name) {
                ++kind;
            }
            if (kind == number_of_calls) {
                return false;
            }
            calls_ |= 1U << kind;
        }
        return calls_ != 0;
    }

    bool map_board(std::string_view path) {
        std::array<char, 256> name{};
        if (path.size() >= name.size()) {
            return false;
        }
        path.copy(name.data(), path.size());
        const int fd = ::open(name.data(), O_RDWR | O_CLOEXEC);
        if (fd < 0) {
            return false;
        }
        static const auto real = next<decltype(::mmap)>("mmap");
        void* memory = real(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ::close(fd);
        if (memory == MAP_FAILED) {
            return false;
        }
        board_ = static_cast<Board*>(memory);
        return true;
    }

    static std::uint64_t hash(std::uint64_t x) { // splitmix64 (S. Vigna, public domain)
        x += 0x9e3779b97f4a7c15;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x = (x ^ x >> 27) * 0x94d049bb133111eb;
        return x ^ x >> 31;
    }

    std::uint64_t seed_ = 0;
    double rate_ = 0.05;
    bool unnoticed_ = true;
    std::uint32_t calls_ = std::numeric_limits<std::uint32_t>::max();
    Board own_board_;
    Board* board_ = nullptr; // null: nothing ever goes wrong
};

Settings& settings() {
    static Settings only;
    return only;
}

/// A list of errors that fits into a register.
class Errors {
public:
    Errors(std::initializer_list<int> unnoticed, std::initializer_list<int> noticed = {}) {
        for (const int error : unnoticed) {
            list_[size_++] = error;
        }
        for (const int error : noticed) {
            if (environ != nullptr && !settings().unnoticed()) {
                list_[size_++] = error;
            }
        }
    }
    std::size_t size() const { return size_; }
    int operator[](std::size_t i) const { return list_[i]; }

private:
    std::array<int, 16> list_{};
    std::size_t size_ = 0;
};

struct Fate {
    int error = 0;
    std::size_t at_most = std::numeric_limits<std::size_t>::max();
};

/// What becomes of the next call of this kind: one of the errors or, with `size`, fewer bytes than that.
Fate decide(Call call, const Errors& errors, std::size_t size = 0) {
    if (environ == nullptr) {
        return {}; // the runtime of a sanitizer calls us before the C library knows its environment
    }
    const std::uint64_t drawn = settings().draw(call);
    const std::size_t choices = errors.size() + (size > 1 ? 2 : 0); // two kinds of short: few bytes, and many
    if (drawn == 0 || choices == 0) {
        return {};
    }
    settings().count(call);
    const std::size_t choice = drawn % choices;
    if (choice < errors.size()) {
        return {.error = errors[choice]};
    }
    const std::uint64_t amount = (drawn & 0xffffffff) / choices;
    const std::size_t most = choice == errors.size() && size > 16 ? 16 : size - 1;
    return {.at_most = 1 + static_cast<std::size_t>(amount % most)};
}

// ---------------------------------------------------------------------------- who waits for events of what

/// The epoll registrations, by descriptor, to announce their state anew.
class Registrations {
public:
    int control(int epoll, int operation, int fd, epoll_event* event) {
        static const auto real = next<decltype(::epoll_ctl)>("epoll_ctl");
        // Held across the call: what is remembered here is what the kernel has.
        const std::lock_guard lock(mutex_);
        const int result = real(epoll, operation, fd, event);
        if (result == 0 && fd >= 0 && static_cast<std::size_t>(fd) < places_.size()) {
            places_[static_cast<std::size_t>(fd)] =
                operation == EPOLL_CTL_DEL ? Place{} : Place{true, epoll, *event};
        }
        return result;
    }
    void forget(int fd) {
        const std::lock_guard lock(mutex_);
        if (fd >= 0 && static_cast<std::size_t>(fd) < places_.size()) {
            places_[static_cast<std::size_t>(fd)] = Place{};
        }
    }
    bool has(int fd) {
        const std::lock_guard lock(mutex_);
        return fd >= 0 && static_cast<std::size_t>(fd) < places_.size() &&
               places_[static_cast<std::size_t>(fd)].taken;
    }
    void announce_again(int fd) {
        static const auto real = next<decltype(::epoll_ctl)>("epoll_ctl");
        const int error = errno;
        const std::lock_guard lock(mutex_);
        if (fd >= 0 && static_cast<std::size_t>(fd) < places_.size()) {
            Place& place = places_[static_cast<std::size_t>(fd)];
            if (place.taken) {
                real(place.epoll, EPOLL_CTL_MOD, fd, &place.event); // looked at anew (man 2 epoll_ctl)
            }
        }
        errno = error;
    }

private:
    struct Place {
        bool taken = false;
        int epoll = -1;
        epoll_event event{};
    };
    std::mutex mutex_;
    std::array<Place, 65536> places_{};
};

Registrations& registrations() {
    static Registrations only;
    return only;
}

// ----------------------------------------------------------------------------------------- kinds of calls

int fail(int error) {
    errno = error;
    return -1;
}

/// For calls that either happen or do not.
template<typename Real>
auto all_or_nothing(Call call, const Errors& errors, Real real) -> decltype(real()) {
    const Fate fate = decide(call, errors);
    return fate.error != 0 ? fail(fate.error) : real();
}

/// For calls that move bytes from or to a socket: `real` is told how many at most.
template<typename Real>
ssize_t moving(Call call, int socket, std::size_t size, const Errors& errors, bool reads, Real real) {
    Fate fate = decide(call, errors, size);
    if (fate.error == EAGAIN && !registrations().has(socket)) {
        fate.error = EINTR; // nobody would wake it up again
    }
    if (fate.error == EAGAIN) {
        registrations().announce_again(socket);
    }
    if (fate.error != 0) {
        return fail(fate.error);
    }
    if (fate.at_most >= size || (reads && !registrations().has(socket))) {
        return real(size);
    }
    const ssize_t moved = real(fate.at_most);
    if (moved > 0) {
        // Who is told less than it asked for may wait for an event before it goes on, as Asio does: there the
        // buffer is empty, or full, and a kernel would send one when that changes.
        registrations().announce_again(socket);
    }
    return moved;
}

const Errors& reading() {
    static const Errors errors({EAGAIN, EINTR}, {ECONNRESET, ETIMEDOUT, ENOMEM, ENOBUFS});
    return errors;
}
const Errors& writing() {
    static const Errors errors({EAGAIN, EINTR}, {ECONNRESET, EPIPE, ENOMEM, ENOBUFS});
    return errors;
}

bool is_socket(int fd) {
    int type = 0;
    socklen_t length = sizeof type;
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
}

/// Of several buffers the first, and of that no more than `at_most`.
msghdr shortened(const msghdr& message, iovec& first, std::size_t at_most) {
    msghdr result = message;
    first = message.msg_iov[0];
    first.iov_len = first.iov_len < at_most ? first.iov_len : at_most;
    result.msg_iov = &first;
    result.msg_iovlen = 1;
    return result;
}

std::size_t size_of(const msghdr& message) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
        size += message.msg_iov[i].iov_len;
    }
    return size;
}

int accept_with(int listener, int (*real)(int, sockaddr*, socklen_t*, int), sockaddr* address,
                socklen_t* length, int flags) {
    // EAGAIN is noticed: who came just after the last look of a drain finds the port closed.
    static const Errors errors({EINTR},
                               {EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO});
    const Fate fate = decide(Call::accept, errors);
    if (fate.error == EAGAIN || fate.error == ECONNABORTED || fate.error == EPROTO) {
        registrations().announce_again(listener);
    }
    return fate.error != 0 ? fail(fate.error) : real(listener, address, length, flags);
}

const Errors& no_descriptors() {
    static const Errors errors({}, {EMFILE, ENFILE, ENOMEM});
    return errors;
}

} // namespace

} // namespace faults_preload

// -------------------------------------------------------------------------- the functions that others call

// NOLINTBEGIN(cppcoreguidelines-*, readability-inconsistent-declaration-parameter-name)
using namespace faults_preload; // the functions below have to be global ones

extern "C" {

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
    static const auto real = next<decltype(::accept4)>("accept4");
    return accept_with(fd, real, address, length, flags);
}

int accept(int fd, sockaddr* address, socklen_t* length) {
    return accept_with(
        fd,
        [](int its_fd, sockaddr* its_address, socklen_t* its_length, int) {
            static const auto real = next<decltype(::accept)>("accept");
            return real(its_fd, its_address, its_length);
        },
        address, length, 0);
}

int close(int fd) {
    static const auto real = next<decltype(::close)>("close");
    registrations().forget(fd);
    return real(fd);
}

int connect(int fd, const sockaddr* address, socklen_t length) {
    static const auto real = next<decltype(::connect)>("connect");
    static const Errors errors({}, {ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, ENOBUFS, ENOMEM});
    // To connect to nobody is to break a connection off (man 2 connect, AF_UNSPEC): that always works.
    return address->sa_family == AF_UNSPEC
               ? real(fd, address, length)
               : all_or_nothing(Call::connect, errors, [=] { return real(fd, address, length); });
}

int epoll_create1(int flags) noexcept {
    static const auto real = next<decltype(::epoll_create1)>("epoll_create1");
    return all_or_nothing(Call::epoll_create, no_descriptors(), [=] { return real(flags); });
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
    static const Errors errors({}, {ENOMEM, ENOSPC});
    const Fate fate = operation == EPOLL_CTL_ADD && is_socket(fd) ? decide(Call::epoll_ctl, errors) : Fate{};
    return fate.error != 0 ? fail(fate.error) : registrations().control(epoll, operation, fd, event);
}

int epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
    static const auto real = next<decltype(::epoll_wait)>("epoll_wait");
    static const Errors errors({EINTR});
    return all_or_nothing(Call::epoll_wait, errors, [=] { return real(epoll, events, most, timeout); });
}

int eventfd(unsigned value, int flags) noexcept {
    static const auto real = next<decltype(::eventfd)>("eventfd");
    return all_or_nothing(Call::eventfd, no_descriptors(), [=] { return real(value, flags); });
}

int fcntl(int fd, int command, ...) {
    static const auto real = next<decltype(::fcntl)>("fcntl");
    std::va_list arguments;
    va_start(arguments, command);
    const long argument = va_arg(arguments, long); // an int or a pointer; passed on as it came
    va_end(arguments);
    static const Errors errors({EPERM, ENOMEM});
    const Fate fate = command == F_SETPIPE_SZ ? decide(Call::pipe_size, errors) : Fate{};
    return fate.error != 0 ? fail(fate.error) : real(fd, command, argument);
}

void* mmap(void* where, std::size_t size, int protection, int flags, int fd, off_t offset) noexcept {
    static const auto real = next<decltype(::mmap)>("mmap");
    static const Errors errors({}, {ENOMEM});
    const Fate fate = decide(Call::mmap, errors);
    if (fate.error != 0) {
        errno = fate.error;
        return MAP_FAILED;
    }
    return real(where, size, protection, flags, fd, offset);
}

int pipe2(int* ends, int flags) noexcept {
    static const auto real = next<decltype(::pipe2)>("pipe2");
    static const Errors errors({EMFILE, ENFILE, ENOMEM});
    return all_or_nothing(Call::pipe2, errors, [=] { return real(ends, flags); });
}

int poll(pollfd* entries, nfds_t count, int timeout) {
    static const auto real = next<decltype(::poll)>("poll");
    static const Errors errors({EINTR});
    return all_or_nothing(Call::poll, errors, [=] { return real(entries, count, timeout); });
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
    static const auto real = next<decltype(::pthread_create)>("pthread_create");
    static const Errors errors({}, {EAGAIN});
    const Fate fate = decide(Call::thread, errors);
    return fate.error != 0 ? fate.error : real(thread, attributes, start, argument);
}

ssize_t recv(int fd, void* into, std::size_t size, int flags) {
    static const auto real = next<decltype(::recv)>("recv");
    return moving(Call::recv, fd, size, reading(), true,
                  [=](std::size_t at_most) { return real(fd, into, at_most, flags); });
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
    static const auto real = next<decltype(::recvmsg)>("recvmsg");
    const std::size_t size = size_of(*message);
    return moving(Call::recv, fd, size, reading(), true, [=](std::size_t at_most) {
        if (at_most == size) {
            return real(fd, message, flags);
        }
        iovec first{};
        msghdr less = shortened(*message, first, at_most);
        return real(fd, &less, flags);
    });
}

ssize_t send(int fd, const void* from, std::size_t size, int flags) {
    static const auto real = next<decltype(::send)>("send");
    return moving(Call::send, fd, size, writing(), false,
                  [=](std::size_t at_most) { return real(fd, from, at_most, flags); });
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    static const auto real = next<decltype(::sendmsg)>("sendmsg");
    const std::size_t size = size_of(*message);
    return moving(Call::send, fd, size, writing(), false, [=](std::size_t at_most) {
        if (at_most == size) {
            return real(fd, message, flags);
        }
        iovec first{};
        const msghdr less = shortened(*message, first, at_most);
        return real(fd, &less, flags);
    });
}

int setsockopt(int fd, int level, int name, const void* value, socklen_t length) noexcept {
    static const auto real = next<decltype(::setsockopt)>("setsockopt");
    static const Errors errors({}, {ENOMEM, ENOBUFS}); // a BPF program at the cgroup needs memory
    return all_or_nothing(Call::setsockopt, errors, [=] { return real(fd, level, name, value, length); });
}

int socket(int family, int type, int protocol) noexcept {
    static const auto real = next<decltype(::socket)>("socket");
    static const Errors errors({}, {EMFILE, ENFILE, ENOBUFS, ENOMEM});
    return all_or_nothing(Call::socket, errors, [=] { return real(family, type, protocol); });
}

ssize_t splice(int from, off_t* from_at, int to, off_t* to_at, std::size_t size, unsigned flags) {
    static const auto real = next<decltype(::splice)>("splice");
    // EINVAL and ENOMEM are an answer to which copying is the right one, on the way in.
    static const Errors into_pipe({EAGAIN, EINTR, EINVAL, ENOMEM}, {ECONNRESET, ETIMEDOUT});
    const bool in = registrations().has(from);
    // How much a short splice has left behind nobody concludes from it, but the next one is due all the same.
    return moving(in ? Call::splice_in : Call::splice_out, in ? from : to, size, in ? into_pipe : writing(),
                  in, [=](std::size_t at_most) { return real(from, from_at, to, to_at, at_most, flags); });
}

int timerfd_create(int clock, int flags) noexcept {
    static const auto real = next<decltype(::timerfd_create)>("timerfd_create");
    return all_or_nothing(Call::timerfd, no_descriptors(), [=] { return real(clock, flags); });
}

ssize_t write(int fd, const void* from, std::size_t size) {
    static const auto real = next<decltype(::write)>("write");
    if (fd != STDERR_FILENO) {
        return real(fd, from, size);
    }
    static const Errors errors({EAGAIN, EINTR}); // others write to the same pipe, or a signal comes
    const Fate fate = decide(Call::write_log, errors, size);
    return fate.error != 0 ? fail(fate.error) : real(fd, from, fate.at_most < size ? fate.at_most : size);
}

} // extern "C"
// NOLINTEND(cppcoreguidelines-*, readability-inconsistent-declaration-parameter-name)
