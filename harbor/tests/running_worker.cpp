#include "running_worker.hpp"

#include <harness/deadline.hpp>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <functional>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace {

harbor::Config read(RunningWorker::Settings settings) {
    settings.emplace("LB_IO_TIMEOUT_MS", "0");
    settings["LB_THREADS"] = "1";
    return harbor::read_config([&settings](const char* name) -> const char* {
        const auto found = settings.find(name);
        return found == settings.end() ? nullptr : found->second.c_str();
    });
}

harbor::Descriptor listen_somewhere(harness::Endpoint& endpoint) {
    harbor::Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* where = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address;
    const int on = 1;
    ::setsockopt(listener.get(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &on,
                 sizeof on); // inherited, as in listener.cpp
    if (::bind(listener.get(), where, length) < 0 || ::listen(listener.get(), 1024) < 0 ||
        ::getsockname(listener.get(), where, &length) < 0) {
        throw std::runtime_error("the test cannot listen");
    }
    endpoint.port = ntohs(address.sin_port);
    return listener;
}

/// Looks more often than harness::eventually does: this is done after each of thousands of connections.
bool soon(const std::function<bool()>& condition) {
    const harness::Deadline deadline;
    while (!condition()) {
        if (deadline.passed()) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return true;
}

} // namespace

RunningWorker::RunningWorker(Settings settings) : balancer_(read(std::move(settings))) {
    std::signal(SIGPIPE, SIG_IGN); // as server.cpp does
    harbor::Descriptor listener = listen_somewhere(endpoint_);
    {
        const faults::Faults::OnThisThread registers(faults_);
        worker_ = std::make_unique<harbor::Worker>(balancer_, metrics(), std::move(listener));
    }
    thread_ = std::thread([this] {
        const faults::Faults::OnThisThread subject(faults_);
        worker_->run();
        finished_ = true;
    });
}

RunningWorker::~RunningWorker() {
    faults_.set({});
    worker_->drain();
    worker_->cut();
    thread_.join();
}

std::string RunningWorker::endings() {
    std::string text;
    for (std::size_t i = 0; i < harbor::number_of_ends; ++i) {
        const auto end = static_cast<harbor::End>(i);
        if (ended(end) > 0) {
            text += (text.empty() ? "" : ", ") + std::string(to_text(end)) + ' ' + std::to_string(ended(end));
        }
    }
    return text.empty() ? "no connection has ended" : text;
}

harness::Verdict RunningWorker::becomes_idle() {
    const bool idle = soon([this] { return balancer_.inflight.taken() == 0; });
    return {idle,
            idle ? "nobody is being served"
                 : std::to_string(balancer_.inflight.taken()) + " connections are still open; " + endings()};
}

harness::Verdict RunningWorker::has_ended(harbor::End end, std::uint64_t times) {
    const harness::Verdict idle = becomes_idle();
    std::uint64_t others = 0;
    for (std::size_t i = 0; i < harbor::number_of_ends; ++i) {
        others += i == static_cast<std::size_t>(end) ? 0 : ended(static_cast<harbor::End>(i));
    }
    return {idle.ok && ended(end) == times && others == 0, "expected was " + std::string(to_text(end)) + ' ' +
                                                               std::to_string(times) + "; it is " +
                                                               endings() + "; " + idle.explanation};
}

harness::Verdict RunningWorker::finishes() {
    const bool finished = soon([this] { return finished_.load(); });
    return {finished, finished ? "the worker has finished" : "the worker has not finished; " + endings()};
}

struct RunningWorker::Pause::State {
    std::mutex mutex;
    std::condition_variable changed;
    bool standing = false;
    bool over = false;
};

RunningWorker::Pause::Pause(RunningWorker& running, faults::Script next) : state_(std::make_shared<State>()) {
    running.faults_.set([state = state_, next = std::move(next)](const faults::Attempt& attempt) {
        if (attempt.call == faults::Call::epoll_wait) {
            std::unique_lock lock(state->mutex);
            state->standing = true;
            state->changed.notify_all();
            state->changed.wait(lock, [&] { return state->over; });
        }
        return next ? next(attempt) : faults::Fate{};
    });
    running.faults_.wake();
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [this] { return state_->standing; });
}

RunningWorker::Pause::~Pause() {
    const std::lock_guard lock(state_->mutex);
    state_->over = true;
    state_->changed.notify_all();
}

std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

harness::Verdict descriptors_return_to(std::size_t before) {
    const bool returned = soon([before] { return open_descriptors() == before; });
    return {returned, std::to_string(open_descriptors()) + " descriptors are open; before there were " +
                          std::to_string(before)};
}
