// Chapter 01's program as a backend, and as the thing under test behind whatever balancer is being judged.
#include "echo_servers.hpp"
#include "recorder.hpp"

#include <cstdlib>
#include <filesystem>
#include <utility>

namespace harness {
namespace {

constexpr std::string_view ready_words = "listening on ";

// The addresses an echo server prints, one a port, in the order of its arguments.
std::vector<Endpoint> wait_for_endpoints(Process& process, std::size_t ports) {
    const Verdict listens = eventually(
        [&] { return process.count_lines(ready_words) >= ports || !process.running(); }, "the echo server");
    if (!listens || process.count_lines(ready_words) < ports)
        throw Failure(process.name() + " did not say `listening on` for " + std::to_string(ports) +
                      " port(s); its log:\n" + process.log_tail());
    std::vector<Endpoint> endpoints; // those lines are whole, as count_lines() counts no others
    const std::string log = process.log();
    for (std::size_t at = log.find(ready_words); at != std::string::npos && endpoints.size() < ports;
         at = log.find(ready_words, at + 1)) {
        const std::size_t from = at + ready_words.size();
        endpoints.push_back(Endpoint::parse(log.substr(from, log.find_first_of(" \r\n", from) - from)));
        record(process.name(), "listens", {{"pid", process.pid()}, {"on", endpoints.back().text()}});
    }
    return endpoints;
}

} // namespace

std::string echo_program() {
    if (const char* named = std::getenv("HARBOR_ECHO"); named != nullptr && *named != '\0')
        return named;
    return HARNESS_ECHO_PROGRAM;
}

struct EchoServers::Server {
    std::string name;
    Endpoint endpoint;
    std::unique_ptr<Process> process;
    // While it is down a Backend that does not listen keeps the port, so that nobody else is given it.
    std::unique_ptr<Backend> reservation;

    void start() {
        Process::Options options;
        options.name = "echo " + name;
        process = std::make_unique<Process>(
            std::vector<std::string>{echo_program(), "--id", name, std::to_string(endpoint.port)}, options);
        endpoint = wait_for_endpoints(*process, 1).front();
        reservation.reset();
    }
};

EchoServers::EchoServers(std::vector<std::string> names) {
    for (std::string& name : names) {
        auto server = std::make_unique<Server>();
        server->name = std::move(name);
        server->start();
        servers_.push_back(std::move(server));
    }
}

EchoServers::~EchoServers() = default;

EchoServers::Server& EchoServers::find(const std::string& name) const {
    for (const auto& server : servers_)
        if (server->name == name)
            return *server;
    throw Failure("there is no echo server called " + name);
}

std::string EchoServers::addresses() const {
    std::string text;
    for (const auto& server : servers_)
        text += (text.empty() ? "" : ",") + server->endpoint.text();
    return text;
}

std::string EchoServers::address(const std::string& name) const {
    return find(name).endpoint.text();
}
Endpoint EchoServers::endpoint(const std::string& name) const {
    return find(name).endpoint;
}

void EchoServers::kill(const std::string& name) {
    Server& server = find(name);
    server.process.reset();
    if (server.reservation)
        return;
    Backend::Options options;
    options.name = name;
    options.port = server.endpoint.port;
    options.listening = false;
    server.reservation = std::make_unique<Backend>(behave::echo(), options);
}

void EchoServers::restart(const std::string& name) {
    kill(name);
    find(name).start();
}

std::string greeting(const Endpoint& endpoint) {
    Client client(endpoint);
    return client.receive_line();
}

std::map<std::string, int> shares(const Endpoint& endpoint, int connections) {
    std::map<std::string, int> result;
    for (int i = 0; i < connections; ++i)
        ++result[greeting(endpoint)];
    return result;
}

bool echo_is_under_test() {
    return std::filesystem::path(program_under_test()).stem() == "echo";
}

EchoUnderTest::EchoUnderTest() : EchoUnderTest(Options{}) {}

EchoUnderTest::EchoUnderTest(const Options& options) {
    const bool itself = echo_is_under_test();
    std::vector<std::string> argv = {itself ? program_under_test() : echo_program()};
    if (!options.id.empty())
        argv.insert(argv.end(), {"--id", options.id});
    argv.insert(argv.end(), static_cast<std::size_t>(options.ports), "0");
    echo_ = std::make_unique<Process>(argv);
    endpoints_ = wait_for_endpoints(*echo_, static_cast<std::size_t>(options.ports));
    if (itself)
        return;
    for (Endpoint& endpoint : endpoints_) {
        balancers_.push_back(std::make_unique<Program>(Environment{{"BACKENDS", endpoint.text()}}));
        endpoint = balancers_.back()->endpoint();
    }
}

EchoUnderTest::~EchoUnderTest() = default;

std::vector<Process*> EchoUnderTest::processes() const {
    std::vector<Process*> all;
    for (const auto& balancer : balancers_)
        all.push_back(&balancer->process());
    if (all.empty())
        all.push_back(echo_.get());
    return all;
}

Verdict EchoUnderTest::running() const {
    for (const Process* process : processes())
        if (!process->running())
            return Verdict::no(process->name() + " has ended; its log:\n" + process->log_tail());
    return Verdict::yes("it still runs");
}

Refusal run_with_bad_port(const std::string& port) {
    if (echo_is_under_test())
        return run_arguments_expecting_refusal({port});
    return run_expecting_refusal({{"BACKENDS", "127.0.0.1:" + port}});
}

} // namespace harness
