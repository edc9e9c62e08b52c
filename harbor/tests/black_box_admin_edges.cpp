// The edges that strangers can touch: the port for monitoring, the log, and what the process may do at all.
//
// Whoever reaches the port for monitoring can ask anything, in any number, and as slowly as he likes. What is
// asked wrongly gets a status that says so; who is slow is not waited for; and none of it costs the clients
// anything. What a stranger sends never gets into the log as it is, for there it could forge a line, or
// rewrite the terminal of whoever reads it.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/deadline.hpp>
#include <harness/process.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

using namespace harness;

namespace {

Environment in_front_of(const Backend& backend) {
    return {{"BACKENDS", backend.address()}};
}

/// A client gets through.
void expect_service(const Program& harbor) {
    Client client = harbor.connect();
    client.send("hello");
    REQUIRE(client.receive(5) == "hello");
    client.half_close();
    REQUIRE(client.ends_cleanly());
}

/// Everything that comes back, as a reply.
HttpReply reply_to(Client& scraper) {
    const Received received = scraper.receive_until_end(2 * patience());
    REQUIRE(received.ends_cleanly());
    return parse_http_reply(received.bytes);
}

constexpr std::string_view request = "GET /metrics HTTP/1.1\r\nHost: harbor\r\n\r\n";

} // namespace

TEST_CASE("monitoring is on the loopback address unless told otherwise") {
    // With the default port: another program may have it just now, and --check binds nothing.
    Process::Options options;
    options.environment = {{"BACKENDS", "127.0.0.1:1"}};
    const Exit check = Process({program_under_test(), "--check"}, options).wait_for_exit();
    REQUIRE(check.exited_with(0));
    REQUIRE(contains(check.log, "metrics          = 127.0.0.1:9100  (from default)\n"));

    // And where it says that it is, it is, and nowhere else.
    const Backend backend(behave::echo());
    const Program harbor(in_front_of(backend));
    REQUIRE(connect_accepted(harbor.metrics_endpoint()));
    REQUIRE(connect_refused({"127.0.0.2", harbor.metrics_endpoint().port}));
}

TEST_CASE("monitoring refuses what it does not know with the status for it") {
    const Backend backend(behave::echo());
    const Program harbor(in_front_of(backend));
    const Endpoint metrics = harbor.metrics_endpoint();

    REQUIRE(http(metrics, "GET / HTTP/1.1\r\n\r\n").status == 404);
    REQUIRE(http(metrics, "GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n").status == 404);
    for (const std::string method : {"POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get"}) {
        INFO(method);
        const HttpReply reply = http(metrics, method + " /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
        REQUIRE(reply.status == 405);
        REQUIRE(reply.header("Allow") == "GET");
    }
    for (const std::string wrong :
         {"\r\n\r\n", "GET /metrics\r\n\r\n", "GET /metrics HTTP/2.0\r\n\r\n", "\x16\x03\x01\r\n\r\n",
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET  /metrics HTTP/1.1\r\n\r\n"}) {
        INFO(printable(wrong));
        REQUIRE(http(metrics, wrong).status == 400);
    }
    REQUIRE(http(metrics, "GET /metrics HTTP/1.1\r\nX: " + std::string(9000, 'x')).status == 431);
}

TEST_CASE("a refusal of HEAD has no body that would pass for the next reply") {
    const Backend backend(behave::echo());
    const Program harbor(in_front_of(backend));
    for (const std::string path : {"/metrics", "/nowhere"}) {
        INFO(path);
        Client scraper(harbor.metrics_endpoint());
        scraper.send("HEAD " + path + " HTTP/1.1\r\n\r\n");
        const HttpReply reply = reply_to(scraper);
        REQUIRE(reply.status == (path == "/metrics" ? 405 : 404));
        REQUIRE(reply.body.empty());
    }
}

TEST_CASE("a head without an end is cut off and takes no memory") {
    const Backend backend(behave::echo());
    const Program harbor(in_front_of(backend));
    expect_service(harbor);
    scrape(harbor.metrics_endpoint());
    const std::uint64_t before = harbor.process().resident_bytes();

    // Made before the connection: under a sanitizer that alone takes seconds, and a scraper has five.
    const std::string endless = "GET /metrics HTTP/1.1\r\nX: " + std::string(32 << 20, 'x');
    Client scraper(harbor.metrics_endpoint());
    scraper.try_send(endless); // it may stop to listen before the end
    const Received received = scraper.receive_until_end();
    REQUIRE(parse_http_reply(received.bytes).status == 431);

    REQUIRE(harbor.process().resident_bytes() < before + (8 << 20));
    scrape(harbor.metrics_endpoint());
}

TEST_CASE("who sends no whole request in time is told so") {
    const Backend backend(behave::echo());
    const Program harbor(in_front_of(backend));
    const Stopwatch watch;
    Client silent(harbor.metrics_endpoint());
    Client stopped(harbor.metrics_endpoint());
    stopped.send("GET /metrics HTTP/1.1\r\nHost: har");

    for (Client* scraper : {&silent, &stopped}) {
        const HttpReply reply = reply_to(*scraper);
        REQUIRE(reply.status == 408);
        REQUIRE(reply.reason == "Request Timeout");
        REQUIRE(reply.header("Connection") == "close");
    }
    REQUIRE(watch.elapsed() >= Millis(4900)); // and not before
}

TEST_CASE("a thousand stuck scrapers keep nobody from being answered") {
    const Backend backend(behave::echo());
    const Program harbor(in_front_of(backend));
    const std::size_t before = harbor.process().open_descriptors();
    std::vector<Client> stuck;
    for (int i = 0; i < 1000; ++i) {
        stuck.emplace_back(harbor.metrics_endpoint());
        const std::string_view said[] = {"", "GET /metr", request}; // the last ones do not read the answer
        stuck.back().try_send(said[i % 3]);
        if (i % 100 == 99) {
            REQUIRE(scrape(harbor.metrics_endpoint()).has("harbor_accepts_total"));
            expect_service(harbor);
        }
    }
    REQUIRE(http_get(harbor.metrics_endpoint(), "/readyz").status == 200);
    // Nor are they kept for ever, although they do nothing about it.
    REQUIRE(eventually([&] { return harbor.process().open_descriptors() <= before; },
                       "all of them to be closed", 2 * patience()));
}

TEST_CASE("stuck scrapers do not use up the descriptors of the clients") {
    const Backend backend(behave::echo());
    Program::Options options;
    options.descriptor_limit = 400;
    const Program harbor(in_front_of(backend), options);
    std::vector<Client> stuck;
    for (int i = 0; i < 600; ++i) {
        stuck.emplace_back(harbor.metrics_endpoint());
    }
    std::vector<Client> clients;
    for (int i = 0; i < 50; ++i) {
        clients.push_back(harbor.connect());
        clients.back().send("hello");
        REQUIRE(clients.back().receive(5) == "hello");
    }
    const Metrics page = scrape(harbor.metrics_endpoint());
    REQUIRE(page.value("harbor_accept_errors_total") == 0);
    REQUIRE(page.value("harbor_dial_failures_total") == 0);
}

TEST_CASE("nothing from the network gets into the log as it is") {
    const Backend backend(behave::echo());
    Environment environment = in_front_of(backend);
    environment.set("LB_LOG_LEVEL", "trace");
    environment.set("LB_ACCESS_LOG", "1");
    Program harbor(environment);

    const std::string nasty = std::string("\x1b]0;owned\x07\x1b[31m\r\n") +
                              "2026-01-01T00:00:00.000Z critical forged\n" + "\xff\x80%s%n\\" +
                              std::string(1, '\0');
    Client client = harbor.connect();
    client.send(nasty);
    REQUIRE(client.receive(nasty.size()) == nasty);
    client.half_close();
    REQUIRE(client.ends_cleanly());
    for (const std::string& asked : {nasty + "\r\n\r\n", "GET /" + nasty + " HTTP/1.1\r\n\r\n",
                                     "GET /metrics HTTP/1.1\r\nHost: " + nasty + "\r\n\r\n"}) {
        Client scraper(harbor.metrics_endpoint());
        scraper.send(asked);
        scraper.receive_until_end();
    }
    REQUIRE(harbor.stop()); // by then everything that was to be logged has been

    const std::string log = harbor.process().log();
    REQUIRE(contains(log, " access client="));
    REQUIRE(log.find("forged") == std::string::npos);
    REQUIRE(log.find("owned") == std::string::npos);
    REQUIRE(std::all_of(log.begin(), log.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
}

namespace {

/// A line of /proc/PID/status, without its name.
std::string status_of(const Process& process, const std::string& name) {
    std::ifstream status("/proc/" + std::to_string(process.pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(name + ":\t")) {
            return line.substr(name.size() + 2);
        }
    }
    throw Failure("there is no " + name + " in the status of the process");
}

/// A copy of the program under test in a place that everybody may enter.
class PublicCopy {
public:
    PublicCopy() {
        std::string name = (std::filesystem::temp_directory_path() / "harbor-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) {
            throw Failure("the test cannot make a folder in " + name);
        }
        folder_ = name;
        std::filesystem::permissions(folder_, std::filesystem::perms(0755));
        std::filesystem::copy_file(program_under_test(), path());
    }
    ~PublicCopy() { std::filesystem::remove_all(folder_); }
    PublicCopy(const PublicCopy&) = delete;
    PublicCopy& operator=(const PublicCopy&) = delete;

    std::string path() const { return folder_ / "harbor"; }

private:
    std::filesystem::path folder_;
};

} // namespace

TEST_CASE("it runs as nobody and without a single capability") {
    const Backend backend(behave::echo());
    const PublicCopy program;
    std::vector<std::string> command{program.path()};
    if (::geteuid() == 0) { // else whoever runs this test is nobody special already
        command = {"setpriv",         "--reuid=65534",  "--regid=65534",       "--clear-groups",
                   "--inh-caps=-all", "--no-new-privs", "--bounding-set=-all", program.path()};
    }
    Process::Options options;
    options.environment = in_front_of(backend);
    options.environment.set("LB_ADDR", "127.0.0.1:0");
    options.environment.set("LB_METRICS_ADDR", "127.0.0.1:0");
    Process harbor(command, options);
    const std::string line = harbor.wait_for_line("listening on ");
    const Endpoint endpoint = Endpoint::parse(line.substr(line.find("on ") + 3));

    REQUIRE(status_of(harbor, "Uid").find("0\t") != 0);
    REQUIRE(status_of(harbor, "CapEff") == "0000000000000000");
    REQUIRE(status_of(harbor, "CapPrm") == "0000000000000000");
    Client client(endpoint);
    client.send("hello");
    REQUIRE(client.receive(5) == "hello");
    harbor.send_signal(SIGTERM);
    client.close();
    REQUIRE(harbor.wait_for_exit().exited_with(0));
}
