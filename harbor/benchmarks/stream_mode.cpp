// Bulk transfer, one way and both.
#include "modes.hpp"
#include "stream_client.hpp"

#include <algorithm>
#include <memory>
#include <vector>

namespace harbor::load {

namespace {

using Clients = std::vector<std::unique_ptr<StreamClient>>;

bool all_of(const Clients& clients, bool (StreamClient::*is)() const) {
    return std::all_of(clients.begin(), clients.end(),
                       [is](const auto& client) { return (client.get()->*is)(); });
}

/// Bytes that were sent in one direction and neither came nor were counted as wrong.
std::uint64_t missing(std::uint64_t sent, std::uint64_t received) {
    return sent - std::min(sent, received);
}

} // namespace

Report run_streams(Run& run, Backend& backend) {
    Clients clients;
    for (std::uint32_t number = 0; number < run.options.connections; ++number) {
        clients.push_back(std::make_unique<StreamClient>(run, number));
        clients.back()->connect();
    }
    const auto connected = [&] { return all_of(clients, &StreamClient::is_connected); };
    if (!run.loop.run_until(connected, Clock::now() + patience)) {
        run.tally.error("client: not connected in time");
    }
    run.loop.run_for(run.options.warm_up);

    const Snapshot begin(run);
    run.loop.run_for(run.options.duration);
    const Snapshot end(run);
    const std::uint64_t resident_kib = run.meter.resident_kib();

    for (const auto& client : clients) {
        client->stop();
    }
    backend.stop_sending();
    const auto over = [&] { return all_of(clients, &StreamClient::is_over); };
    if (!run.loop.run_until(over, Clock::now() + patience)) {
        run.tally.error("client: no end of the stream in time");
    }
    await_end(run, backend);
    for (const Account& account : run.accounts) {
        run.tally.missing_bytes +=
            missing(account.sent_up, account.received_up) + missing(account.sent_down, account.received_down);
    }
    return measured(run, begin, end, resident_kib);
}

} // namespace harbor::load
