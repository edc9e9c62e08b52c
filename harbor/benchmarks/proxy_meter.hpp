// What the measured program has used: CPU time and resident memory of all its processes together.
//
// CPU time comes from each process's own clock (clock_getcpuclockid(3)): the scheduler's nanoseconds of all
// its threads, those that have ended too, in one system call. Summing /proc/PID/task/*/schedstat gives the
// same number from many files, and the ticks of /proc/PID/stat are 10 ms wide. A thread that is running may
// be up to one scheduler tick (4 ms at 250 Hz) behind.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <vector>

namespace harbor::load {

class ProxyMeter {
public:
    /// Several processes for a program such as nginx, none when there is nothing to measure. Throws if one is
    /// not there.
    explicit ProxyMeter(const std::vector<pid_t>& pids);

    bool measures() const { return !pids_.empty(); }

    /// CPU time since they started, user and system. Throws when one has ended.
    std::chrono::nanoseconds cpu() const;

    /// Resident memory in KiB. The kernel's buffers, those of sockets and pipes, are not in it.
    std::uint64_t resident_kib() const;

private:
    std::vector<pid_t> pids_;
    std::vector<clockid_t> clocks_;
};

/// CPU time that this process has used.
std::chrono::nanoseconds own_cpu();

} // namespace harbor::load
