// Load made to measure: clients that stay connected, so that a test can say how busy each backend is.
//
// Which backend a client gets is decided by the strategy under test, so load cannot be put where one wants
// it. It can be taken away: clients connect until every backend has at least what it is to have, and the
// surplus leaves.
//
// Leaving is where such tests go wrong. A client that closes its socket is gone at once for the test, but the
// balancer learns it later, the backend later still, and only when the backend has closed as well does the
// connection stop counting. So clients leave politely: they send FIN and wait for the FIN that has gone the
// whole way round. What is left then is a moment, the few instructions between the last FIN and the end of
// the lease; the loads in the tests differ by more than that moment can hide. Where a count has to be exact
// the balancer gets a single thread, and exchange() sees to it that this thread has done everything that came
// before.
#pragma once

#include <harness/program.hpp>
#include <harness/socket.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

/// Sends FIN and waits until the FIN of the other side is there; throws harness::Failure if something else
/// comes.
inline void leave(harness::Client& client) {
    client.half_close();
    if (const harness::Verdict ended = client.ends_cleanly(); !ended) {
        throw harness::Failure(client.name() + " wanted to leave: " + ended.explanation);
    }
    client.close();
}

/// A client that connects, learns by whom it is served, and leaves.
inline std::string visit(const harness::Endpoint& endpoint) {
    harness::Client client(endpoint);
    std::string name = client.receive_line();
    leave(client);
    return name;
}

/// Whom `count` visits, one after the other, have led to.
inline std::map<std::string, int> visits(const harness::Endpoint& endpoint, int count) {
    std::map<std::string, int> shares;
    for (int i = 0; i < count; ++i) {
        ++shares[visit(endpoint)];
    }
    return shares;
}

/// The settings of a balancer whose connections may be held for as long as a test takes on a slow machine.
inline harness::Environment held_environment(const std::string& backends, const std::string& strategy,
                                             const std::string& threads = "2") {
    return {
        {"BACKENDS", backends}, {"STRATEGY", strategy}, {"LB_THREADS", threads}, {"LB_IO_TIMEOUT_MS", "0"}};
}

/// Clients that stay, by the name of the backend that has greeted them.
class Held {
public:
    explicit Held(const harness::Program& program) : endpoint_(program.endpoint()) {}

    /// One more client; returns the name of its backend.
    std::string connect() {
        harness::Client client(endpoint_);
        std::string name = client.receive_line();
        clients_[name].push_back(std::move(client));
        return name;
    }

    /// `count` more clients; returns who got how many of them.
    std::map<std::string, int> connect(int count) {
        std::map<std::string, int> shares;
        for (int i = 0; i < count; ++i) {
            ++shares[connect()];
        }
        return shares;
    }

    /// Makes the load of each backend exactly this: connects until all have enough, and lets the others
    /// leave.
    void make_load(const std::map<std::string, std::size_t>& wanted) {
        constexpr int limit = 1000;
        for (int tries = 0; !enough(wanted); ++tries) {
            if (tries == limit) {
                throw harness::Failure("after " + std::to_string(limit) +
                                       " clients some backend still had too few of them: it is never picked");
            }
            connect();
        }
        for (const auto& [name, load] : wanted) {
            std::vector<harness::Client>& its_clients = clients_[name];
            while (its_clients.size() > load) {
                leave(its_clients.back());
                its_clients.pop_back();
            }
        }
        exchange();
    }

    /// A byte there and back on every connection. A thread of the balancer that has served one of them after
    /// the end of another has also finished with that other one.
    void exchange() {
        for (auto& [name, its_clients] : clients_) {
            for (harness::Client& client : its_clients) {
                client.send(".");
                client.receive(1);
            }
        }
    }

    std::vector<harness::Client>& clients_of(const std::string& name) { return clients_[name]; }

    /// How many each backend has.
    std::map<std::string, int> loads() const {
        std::map<std::string, int> loads;
        for (const auto& [name, its_clients] : clients_) {
            loads[name] = static_cast<int>(its_clients.size());
        }
        return loads;
    }

private:
    bool enough(const std::map<std::string, std::size_t>& wanted) {
        for (const auto& [name, load] : wanted) {
            if (clients_[name].size() < load) {
                return false;
            }
        }
        return true;
    }

    harness::Endpoint endpoint_;
    std::map<std::string, std::vector<harness::Client>> clients_;
};
