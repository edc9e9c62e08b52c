// The thread wakes for the first line, then lingers for others before it writes them all together: some
// twenty times a second, where line by line a busy balancer would make tens of thousands of system calls,
// half of them to wake the thread. That is why spdlog's own asynchronous logger is not used: it wakes its
// thread for every line, and its queue of ready-made messages is memory that is touched even when nothing is
// ever logged. (Its formatting and its patterns are: see log.cpp.)
//
// The descriptor may be a pipe that nobody reads any more. Nothing here may then wait for ever, the end of
// the program least of all: so every write is preceded by a poll, of a pipe only as much is written as a
// writable one takes without blocking (PIPE_BUF, man 7 pipe), and at the end there is a second and no more.
#include "log_writer.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <new>
#include <utility>

#include <poll.h>
#include <unistd.h>

namespace harbor {

namespace {

constexpr std::chrono::milliseconds linger{50};
constexpr std::chrono::milliseconds between_looks{100}; // at whether it is time to give up

/// A thread takes its signal mask from the one that starts it. With everything blocked no signal handler runs
/// on the log's thread, and a pipe that has lost its reader gives EPIPE there instead of SIGPIPE.
class AllSignalsBlocked {
public:
    AllSignalsBlocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

private:
    sigset_t before_{};
};

/// The beginning of `text` that is to be written at once: whole lines where that is possible.
std::string_view portion(std::string_view text) {
    if (text.size() <= PIPE_BUF) {
        return text;
    }
    const std::size_t line_end = text.rfind('\n', PIPE_BUF - 1);
    return text.substr(0, line_end == std::string_view::npos ? PIPE_BUF : line_end + 1);
}

} // namespace

LogWriter::LogWriter(int descriptor, DroppedLine dropped_line)
    : descriptor_(descriptor), dropped_line_(std::move(dropped_line)) {
    const AllSignalsBlocked blocked;
    thread_ = std::thread(&LogWriter::run, this);
}

LogWriter::~LogWriter() {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
        give_up_ = std::chrono::steady_clock::now() + patience;
    }
    added_.notify_one();
    thread_.join();
}

//! [harbor:log_add]
void LogWriter::add(std::string_view line) {
    bool wake = false;
    {
        const std::lock_guard lock(mutex_);
        if (waiting_.size() + line.size() > capacity) {
            ++dropped_;
            return;
        }
        const std::size_t before = waiting_.size();
        try {
            waiting_ += line;
        } catch (const std::bad_alloc&) {
            ++dropped_;
            return;
        }
        added_bytes_ += line.size();
        // Once when there is something, and once when lingering any longer could lose lines.
        wake = before == 0 || (before < capacity / 2 && waiting_.size() >= capacity / 2);
    }
    if (wake) {
        added_.notify_one();
    }
}
//! [harbor:log_add]

void LogWriter::drop() {
    const std::lock_guard lock(mutex_);
    ++dropped_;
}

void LogWriter::flush() {
    std::unique_lock lock(mutex_);
    const std::uint64_t target = added_bytes_;
    if (written_bytes_ < target) {
        hurry_ = true;
        added_.notify_one();
    }
    written_.wait_for(lock, patience, [&] { return written_bytes_ >= target; });
}

std::uint64_t LogWriter::dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

//! [harbor:log_run]
void LogWriter::run() {
    std::string batch;
    std::uint64_t dropped_told = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
        added_.wait(lock, [&] { return closing_ || !waiting_.empty(); });
        if (waiting_.empty()) {
            return;
        }
        added_.wait_for(lock, linger, [&] { return closing_ || hurry_ || waiting_.size() >= capacity / 2; });
        hurry_ = false;
        batch.swap(waiting_);
        const std::uint64_t bytes = batch.size();
        const std::uint64_t dropped = dropped_ - dropped_told;
        lock.unlock();
        if (dropped > 0) {
            try {
                batch += dropped_line_(dropped); // in its place: the lines before it had filled the buffer
                dropped_told += dropped;
            } catch (const std::bad_alloc&) { // NOLINT(bugprone-empty-catch): then with the next lines
            }
        }
        write(batch);
        batch.clear();
        lock.lock();
        written_bytes_ += bytes;
        written_.notify_all();
    }
}
//! [harbor:log_run]

void LogWriter::write(std::string_view text) {
    while (!text.empty() && !out_of_time()) {
        pollfd entry{descriptor_, POLLOUT, 0};
        if (::poll(&entry, 1, static_cast<int>(between_looks.count())) <= 0) {
            continue;
        }
        const std::string_view next = portion(text);
        const ssize_t count = ::write(descriptor_, next.data(), next.size());
        if (count > 0) {
            text.remove_prefix(static_cast<std::size_t>(count));
        } else if (errno != EAGAIN && errno != EINTR) {
            return; // nobody is there to be told: closed, or a pipe without a reader
        }
    }
}

bool LogWriter::out_of_time() {
    const std::lock_guard lock(mutex_);
    return closing_ && std::chrono::steady_clock::now() >= give_up_;
}

} // namespace harbor
