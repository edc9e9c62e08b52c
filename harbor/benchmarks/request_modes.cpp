// The modes whose clients ask and wait: ping-pong, churn and idle.
#include "modes.hpp"
#include "request_client.hpp"

#include <memory>
#include <string>
#include <vector>

namespace harbor::load {

namespace {

using Clients = std::vector<std::unique_ptr<RequestClient>>;

/// Each client asks again as soon as it is answered.
class PingPong final : public RequestMode {
public:
    explicit PingPong(Run& run) : run_(run) {}

    void connected(RequestClient&) override { ++connected_; }

    void answered(RequestClient& client, Clock::time_point now) override {
        --waiting_;
        if (measuring) {
            run_.tally.latency.add(now - client.ask_started());
        }
        if (asking) {
            ask(client, now);
        }
    }

    void failed(RequestClient& client) override {
        ++failed_;
        if (client.waits_for_answer()) {
            --waiting_;
        }
    }

    void ask(RequestClient& client, Clock::time_point now) {
        ++waiting_;
        client.ask(now);
    }

    bool all_known() const { return connected_ + failed_ >= run_.options.connections; }
    std::uint64_t connected_count() const { return connected_; }
    std::uint64_t waiting() const { return waiting_; }

    bool asking = true;
    bool measuring = false;

private:
    Run& run_;
    std::uint64_t connected_ = 0;
    std::uint64_t failed_ = 0;
    std::uint64_t waiting_ = 0;
};

/// Each client connects, asks once, closes, and connects again.
class Churn final : public RequestMode {
public:
    explicit Churn(Run& run) : run_(run) {}

    void connected(RequestClient& client) override { client.ask(client.connect_started()); }

    void answered(RequestClient& client, Clock::time_point now) override {
        // From the first packet on: what the one who clicks has to wait for.
        if (measuring) {
            run_.tally.latency.add(now - client.connect_started());
        }
        client.close();
        next(client);
    }

    void failed(RequestClient& client) override { next(client); }

    std::uint64_t finished() const { return finished_; }
    std::uint64_t idle() const { return idle_; }

    bool connecting = true;
    bool measuring = false;

private:
    void next(RequestClient& client) {
        ++finished_;
        if (connecting) {
            client.connect();
        } else {
            ++idle_;
        }
    }

    Run& run_;
    std::uint64_t finished_ = 0;
    std::uint64_t idle_ = 0;
};

/// Opens connections, a few at a time, and then sends one message on each, a few at a time.
class Idle final : public RequestMode {
public:
    explicit Idle(Clients& clients) : clients_(clients) {}

    void connected(RequestClient&) override {
        ++connected_;
        connect_next();
    }

    void answered(RequestClient&, Clock::time_point now) override {
        ++answered_;
        ask_next(now);
    }

    void failed(RequestClient& client) override {
        ++failed_;
        if (client.waits_for_answer()) {
            ask_next(Clock::now());
        } else if (asked_ == 0) {
            connect_next();
        }
    }

    void start_connecting() {
        for (std::uint64_t i = 0; i < at_a_time; ++i) {
            connect_next();
        }
    }

    void start_asking() {
        for (std::uint64_t i = 0; i < at_a_time; ++i) {
            ask_next(Clock::now());
        }
    }

    bool all_known() const { return connected_ + failed_ >= clients_.size(); }
    bool all_answered() const { return answered_ + failed_ >= clients_.size(); }
    std::uint64_t connected_count() const { return connected_; }

private:
    /// More would overflow the queue of connections that the proxy has not accepted, and measure
    /// retransmissions.
    static constexpr std::uint64_t at_a_time = 32;

    void connect_next() {
        if (opened_ < clients_.size()) {
            clients_[opened_++]->connect();
        }
    }

    void ask_next(Clock::time_point now) {
        while (asked_ < clients_.size()) {
            RequestClient& client = *clients_[asked_++];
            if (client.is_open()) {
                client.ask(now);
                return;
            }
        }
    }

    Clients& clients_;
    std::size_t opened_ = 0;
    std::size_t asked_ = 0;
    std::uint64_t connected_ = 0;
    std::uint64_t answered_ = 0;
    std::uint64_t failed_ = 0;
};

Clients make_clients(Run& run, RequestMode& mode) {
    Clients clients;
    for (std::uint32_t number = 0; number < run.options.connections; ++number) {
        clients.push_back(std::make_unique<RequestClient>(run, mode, number));
    }
    return clients;
}

void close(Clients& clients) {
    for (const auto& client : clients) {
        client->close();
    }
}

/// Waits for the condition, and counts an error if it does not come true in time.
void await(Run& run, const std::function<bool()>& condition, const char* complaint) {
    if (!run.loop.run_until(condition, Clock::now() + patience)) {
        run.tally.error(complaint);
    }
}

/// A program that has just been started is still setting itself up: its memory before the load is what it has
/// after that.
void await_quiet(Run& run) {
    using std::chrono::milliseconds;
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(2);
    std::chrono::nanoseconds used{0};
    do {
        used = run.meter.cpu();
        run.loop.run_for(milliseconds(100));
    } while (run.meter.cpu() - used > milliseconds(1) && Clock::now() < deadline);
}

} // namespace

Report run_ping_pong(Run& run, Backend& backend, const Hold& hold) {
    PingPong mode(run);
    Clients clients = make_clients(run, mode);
    for (const auto& client : clients) {
        client->connect();
    }
    await(run, [&] { return mode.all_known(); }, "client: not connected in time");
    // All pairs are complete before the first message, or a program that dials late would be measured
    // dialling.
    await(run, [&] { return backend.accepted() >= mode.connected_count(); }, "backend: not dialled in time");
    hold("ready");
    for (const auto& client : clients) {
        if (client->is_open()) {
            mode.ask(*client, Clock::now());
        }
    }
    run.loop.run_for(run.options.warm_up);

    mode.measuring = true;
    const Snapshot begin(run);
    run.loop.run_for(run.options.duration);
    const Snapshot end(run);
    mode.measuring = false;
    const std::uint64_t resident_kib = run.meter.resident_kib();

    mode.asking = false;
    await(run, [&] { return mode.waiting() == 0; }, "client: not answered in time");
    hold("done");
    close(clients);
    await_end(run, backend);
    return measured(run, begin, end, resident_kib);
}

Report run_churn(Run& run, Backend& backend) {
    Churn mode(run);
    Clients clients = make_clients(run, mode);
    for (const auto& client : clients) {
        client->connect();
    }
    // The window opens and closes in the middle of steady traffic: connections are still being opened and
    // closed at either end.
    const std::uint64_t warm_up = run.options.count / 10;
    const auto in_time = Clock::now() + 2 * patience;
    run.loop.run_until([&] { return mode.finished() >= warm_up; }, in_time);

    mode.measuring = true;
    const Snapshot begin(run);
    const std::uint64_t enough = mode.finished() + run.options.count;
    if (!run.loop.run_until([&] { return mode.finished() >= enough; }, in_time)) {
        run.tally.error("client: the connections took longer than the time allowed");
    }
    const Snapshot end(run);
    mode.measuring = false;
    const std::uint64_t resident_kib = run.meter.resident_kib();

    mode.connecting = false;
    await(run, [&] { return mode.idle() >= clients.size(); }, "client: not answered in time");
    close(clients);
    await_end(run, backend);
    return measured(run, begin, end, resident_kib);
}

Report run_idle(Run& run, Backend& backend, const Hold& hold) {
    Clients clients;
    Idle mode(clients);
    clients = make_clients(run, mode);
    await_quiet(run);
    const std::uint64_t before_kib = run.meter.resident_kib();

    mode.start_connecting();
    await(run, [&] { return mode.all_known(); }, "client: not connected in time");
    await(run, [&] { return backend.accepted() >= mode.connected_count(); }, "backend: not dialled in time");
    await_quiet(run);
    const std::uint64_t connected_kib = run.meter.resident_kib();

    const Snapshot asked(run);
    mode.start_asking();
    await(run, [&] { return mode.all_answered(); }, "client: not answered in time");
    await_quiet(run);

    const Snapshot begin(run);
    run.loop.run_for(run.options.duration);
    const Snapshot end(run);
    const std::uint64_t after_kib = run.meter.resident_kib();

    hold("done");
    close(clients);
    await_end(run, backend);
    Report report = measured(run, asked, end, after_kib);
    if (run.meter.measures()) {
        const auto per_pair = [&](std::uint64_t kib) {
            return (static_cast<double>(kib) - static_cast<double>(before_kib)) /
                   static_cast<double>(clients.size());
        };
        const std::chrono::duration<double, std::milli> idle_cpu = end.proxy_cpu - begin.proxy_cpu;
        const std::chrono::duration<double> idle_time = end.time - begin.time;
        report.count("resident_before_kib", before_kib);
        report.number("kib_per_pair_connected", per_pair(connected_kib));
        report.number("kib_per_pair", per_pair(after_kib));
        report.number("idle_cpu_ms_per_second", idle_cpu.count() / idle_time.count());
    }
    return report;
}

void await_end(Run& run, Backend& backend) {
    if (!run.loop.run_until([&] { return backend.open() == 0; }, Clock::now() + patience)) {
        run.tally.error("backend: connections still open long after the clients had closed theirs",
                        backend.open());
    }
}

} // namespace harbor::load
