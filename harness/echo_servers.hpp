/// Echo servers: chapter 01's program in front of, or behind, the program under test.
///
///     EchoServers servers({"A", "B", "C"});
///     Program harbor({{"BACKENDS", servers.addresses()}});
///     REQUIRE(equal_shares(shares(harbor.endpoint(), 30), 10));
///
/// Real processes beside the Backends of backend.hpp, because some things can only be done to a process: kill
/// it and start it again on the same port. Which executable: HARBOR_ECHO, or the one the harness was built
/// with.
///
/// Threads: one thread at a time, except for the free functions.
#pragma once

#include "backend.hpp"
#include "process.hpp"
#include "program.hpp"
#include "socket.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace harness {

/// The path of the echo server.
std::string echo_program();

/// Several `echo --id NAME` processes, each on a port of its own.
class EchoServers {
public:
    explicit EchoServers(std::vector<std::string> names);
    ~EchoServers();
    EchoServers(const EchoServers&) = delete;
    EchoServers& operator=(const EchoServers&) = delete;

    /// `127.0.0.1:p1,127.0.0.1:p2`, in the order of the names.
    std::string addresses() const;
    std::string address(const std::string& name) const;
    Endpoint endpoint(const std::string& name) const;
    /// SIGKILL; its port stays reserved, so connections are refused.
    void kill(const std::string& name);
    /// Starts it again on the same port, and waits until it listens.
    void restart(const std::string& name);

private:
    struct Server;
    Server& find(const std::string& name) const;
    std::vector<std::unique_ptr<Server>> servers_;
};

/// Connects and returns the first line: the name of the server behind. Throws Failure if none comes.
std::string greeting(const Endpoint& endpoint);

/// Connects `connections` times, one after the other, and counts whose greeting came.
std::map<std::string, int> shares(const Endpoint& endpoint, int connections);

/// An echo service that goes through the program under test, for the tests of chapter 01, which judge the
/// later chapters' programs too: if the program under test is an echo server (its file is called `echo`) it
/// is started itself; otherwise chapter 01's server is, with one balancer in front of each of its ports.
class EchoUnderTest {
public:
    struct Options {
        std::string id = {}; ///< --id; none if empty
        int ports = 1;
    };

    EchoUnderTest();
    explicit EchoUnderTest(const Options& options);
    ~EchoUnderTest();
    EchoUnderTest(const EchoUnderTest&) = delete;
    EchoUnderTest& operator=(const EchoUnderTest&) = delete;

    /// One a port, in order.
    const std::vector<Endpoint>& endpoints() const { return endpoints_; }
    /// The first.
    const Endpoint& endpoint() const { return endpoints_.front(); }
    Client connect() const { return Client(endpoint()); }
    /// The processes under test: the echo server, or the balancers.
    std::vector<Process*> processes() const;
    /// Do they all still run?
    Verdict running() const;

private:
    std::unique_ptr<Process> echo_;
    std::vector<std::unique_ptr<Program>> balancers_;
    std::vector<Endpoint> endpoints_;
};

/// True if the program under test is an echo server.
bool echo_is_under_test();

/// Gives the program under test a port it must refuse: `echo PORT`, or BACKENDS=127.0.0.1:PORT.
Refusal run_with_bad_port(const std::string& port);

} // namespace harness
