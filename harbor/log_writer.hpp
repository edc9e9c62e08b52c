// Lines on their way to a descriptor: a bounded buffer that any thread may add to, and the one thread that
// empties it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace harbor {

class LogWriter {
public:
    static constexpr std::size_t capacity = 512 * 1024; // what may wait; as much again may be on its way out

    /// Makes the line that says how many lines were dropped. Called by the writer's thread.
    using DroppedLine = std::function<std::string(std::uint64_t count)>;

    LogWriter(int descriptor, DroppedLine dropped_line);
    /// Writes what is left, for at most `patience`, and ends the thread.
    ~LogWriter();
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    /// Adds a line, which has its line end already. Drops and counts it when the buffer is full, or there is
    /// no memory for it. Any thread; waits for other threads that add at this moment, never for the
    /// descriptor.
    void add(std::string_view line);

    /// Counts a line that could not even be put together.
    void drop();

    /// Waits until all that was added before has been written, for at most `patience`.
    void flush();

    std::uint64_t dropped() const;

private:
    static constexpr std::chrono::seconds patience{1};

    void run();
    void write(std::string_view text);
    bool out_of_time();

    const int descriptor_;
    const DroppedLine dropped_line_;
    mutable std::mutex mutex_;
    std::condition_variable added_;
    std::condition_variable written_;
    std::string waiting_;
    std::uint64_t added_bytes_ = 0; // since the start; what is written is counted in the same way
    std::uint64_t written_bytes_ = 0;
    std::uint64_t dropped_ = 0;
    bool hurry_ = false; // somebody waits
    bool closing_ = false;
    std::chrono::steady_clock::time_point give_up_{}; // when closing
    std::thread thread_; // the last: it uses all of the above
};

} // namespace harbor
