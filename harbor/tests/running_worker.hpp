// A worker on a thread of its own, with a real listener, inside the test: its counters can be read, its
// system calls can be made to fail, and it can be stopped between two rounds.
#pragma once

#include "balancer.hpp"
#include "faults.hpp"
#include "metrics.hpp"
#include "worker.hpp"

#include <harness/socket.hpp>
#include <harness/verdict.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>

/// One worker, alone in its balancer. Whatever `settings` does not name has its default, but for the I/O
/// timeout, which is off: a connection that hangs must not be ended by it before a test has seen that.
class RunningWorker {
public:
    using Settings = std::map<std::string, std::string>;

    explicit RunningWorker(Settings settings);
    /// Cuts what is still open, and joins the thread.
    ~RunningWorker();
    RunningWorker(const RunningWorker&) = delete;
    RunningWorker& operator=(const RunningWorker&) = delete;

    harness::Endpoint endpoint() const { return endpoint_; }
    faults::Faults& faults() { return faults_; }
    harbor::Worker& worker() { return *worker_; }
    harbor::Balancer& balancer() { return balancer_; }
    harbor::WorkerMetrics& metrics() { return balancer_.metrics.front(); }

    /// How many connections have ended so.
    std::uint64_t ended(harbor::End end) { return metrics().ends[static_cast<std::size_t>(end)].value(); }
    /// For messages: `client_end 3, idle 1`.
    std::string endings();
    /// Waits until nobody is being served.
    harness::Verdict becomes_idle();
    /// Waits until exactly this many connections have ended in this way, and none in another, and nobody is
    /// being served.
    harness::Verdict has_ended(harbor::End end, std::uint64_t times = 1);
    /// run() has returned: there is nothing left to do after drain().
    harness::Verdict finishes();

    /// While it lives, the worker stands still between two rounds, and its sockets collect news. The script
    /// of faults() is then `next`, and the calls are counted from the pause on.
    class Pause {
    public:
        explicit Pause(RunningWorker& running, faults::Script next = {});
        ~Pause();
        Pause(const Pause&) = delete;
        Pause& operator=(const Pause&) = delete;

    private:
        struct State;
        std::shared_ptr<State> state_; // the script outlives the pause
    };

private:
    faults::Faults faults_;
    harbor::Balancer balancer_;
    harness::Endpoint endpoint_;
    std::unique_ptr<harbor::Worker> worker_;
    std::atomic<bool> finished_{false};
    std::thread thread_;
};

/// How many descriptors this process has open.
std::size_t open_descriptors();

/// Waits until it has as many as it had `before`.
harness::Verdict descriptors_return_to(std::size_t before);
