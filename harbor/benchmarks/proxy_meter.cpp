#include "proxy_meter.hpp"

#include "socket.hpp"

#include <cerrno>
#include <fstream>
#include <string>

namespace harbor::load {

namespace {

std::chrono::nanoseconds read_clock(clockid_t clock, const std::string& whose) {
    timespec time{};
    if (::clock_gettime(clock, &time) != 0) {
        throw_errno("cannot read the CPU time of " + whose);
    }
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

} // namespace

ProxyMeter::ProxyMeter(const std::vector<pid_t>& pids) : pids_(pids) {
    for (const pid_t pid : pids) {
        clockid_t clock{};
        errno = ::clock_getcpuclockid(pid, &clock); // returns the error, unlike its neighbours
        if (errno != 0) {
            throw_errno("process " + std::to_string(pid));
        }
        clocks_.push_back(clock);
    }
}

std::chrono::nanoseconds ProxyMeter::cpu() const {
    std::chrono::nanoseconds sum{0};
    for (std::size_t i = 0; i < clocks_.size(); ++i) {
        sum += read_clock(clocks_[i], "process " + std::to_string(pids_[i]));
    }
    return sum;
}

std::uint64_t ProxyMeter::resident_kib() const {
    std::uint64_t sum = 0;
    for (const pid_t pid : pids_) {
        // smaps_rollup walks the page tables. The counters behind /proc/PID/statm are cheaper and, since
        // Linux 6.2, may be off by some dozens of pages a core.
        const std::string path = "/proc/" + std::to_string(pid) + "/smaps_rollup";
        std::ifstream file(path);
        std::string word;
        std::uint64_t kib = 0;
        while (file >> word && word != "Rss:") {
        }
        if (!(file >> kib)) {
            errno = EACCES;
            throw_errno("cannot read " + path);
        }
        sum += kib;
    }
    return sum;
}

std::chrono::nanoseconds own_cpu() {
    return read_clock(CLOCK_PROCESS_CPUTIME_ID, "this process");
}

} // namespace harbor::load
