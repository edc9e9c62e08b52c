// Harbor on a machine where nothing can be relied on: a preloaded library makes its system calls go wrong, by
// the hundred and anywhere (faults_preload/preload.cpp), while many clients and backends talk through it.
//
// What may come of that is little. A fault may end a connection, and then nobody may take what has arrived
// for the whole: who has got less than was sent sees a reset. It may not end the process, deliver a wrong
// byte, leave anybody waiting, or leave anything behind. And of the faults that a program can hide
// (interrupted calls, short ones, pipes that are not to be had) nobody may notice anything.
//
// Everybody says first who he is and how long he is going to talk, so whoever listens knows what should have
// come. How a connection ended is also in the access log, and the two are compared.
//
// HARBOR_FAULT_SEEDS=FIRST+COUNT in the environment chooses the seeds; a few fresh ones otherwise.
#include "faults_preload/board.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/deadline.hpp>
#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

using namespace harness;
using faults_preload::Board;
using faults_preload::call_names;
using faults_preload::number_of_calls;

namespace {

// --------------------------------------------------------------------------------- what is said, and heard

constexpr std::size_t header = 8;
constexpr std::size_t piece = 1000; // of those who talk in turns

/// `size` bytes that begin with a name and that size.
std::string speech(std::uint32_t name, std::uint32_t size) {
    std::string text(header, '\0');
    std::memcpy(text.data(), &name, sizeof name);
    std::memcpy(text.data() + sizeof name, &size, sizeof size);
    return text + make_bytes(size - header, name);
}

enum class Heard { nothing, part, all, wrong };

Heard judge(const std::string& bytes) {
    if (bytes.size() < header) {
        return bytes.empty() ? Heard::nothing : Heard::part;
    }
    std::uint32_t name = 0;
    std::uint32_t size = 0;
    std::memcpy(&name, bytes.data(), sizeof name);
    std::memcpy(&size, bytes.data() + sizeof name, sizeof size);
    constexpr std::uint32_t longest = 4 << 20; // of what is said here; a wrong header may ask for anything
    if (size < header || size > longest || bytes.size() > size || !speech(name, size).starts_with(bytes)) {
        return Heard::wrong;
    }
    return bytes.size() == size ? Heard::all : Heard::part;
}

enum class Order { client_first, backend_first, together, in_turns };
constexpr std::array<std::string_view, 4> order_names{"client first", "backend first", "together",
                                                      "in turns"};

/// Says all and ends. Does not mind being cut off.
void say(Peer& peer, const std::string& text) {
    try {
        if (peer.try_send(text)) {
            peer.half_close();
        }
    } catch (const Failure&) { // NOLINT(bugprone-empty-catch): reset meanwhile
    }
}

Received say_and_listen(Peer& peer, const std::string& text) {
    const std::jthread speaker([&] { say(peer, text); });
    return peer.receive_until_end();
}

/// Piece by piece, each side one; who has no more to say ends, and the other says the rest alone.
Received take_turns(Peer& peer, const std::string& text, bool begins) {
    Received heard;
    bool listens = true;
    const auto listen = [&] {
        for (std::size_t got = 0; got < piece && listens;) {
            const std::string some = peer.receive_some(piece - got);
            heard.bytes += some;
            got += some.size();
            if (some.empty()) {
                heard.ending = Ending::end_of_stream;
                listens = false;
            }
        }
    };
    try {
        for (std::size_t at = 0; at < text.size(); at += piece) {
            if (!begins) {
                listen();
            }
            peer.send(text.substr(at, piece));
            if (begins) {
                listen();
            }
        }
        peer.half_close();
    } catch (const Failure&) { // NOLINT(bugprone-empty-catch): the rest tells what it was
    }
    if (listens) {
        Received rest = peer.receive_until_end();
        heard.bytes += rest.bytes;
        heard.ending = rest.ending;
    }
    return heard;
}

Received talk(Peer& peer, Order order, bool is_client, const std::string& text) {
    switch (order) {
    case Order::together:
        return say_and_listen(peer, text);
    case Order::in_turns:
        return take_turns(peer, text, is_client);
    default:
        if (is_client == (order == Order::client_first)) {
            return say_and_listen(peer, text); // what comes is late, unless something goes wrong
        }
        Received heard = peer.receive_until_end();
        if (heard.ending == Ending::end_of_stream) {
            say(peer, text);
        }
        return heard;
    }
}

// -------------------------------------------------------------------------------- what goes wrong, and when

/// All that a seed decides.
struct Plan {
    explicit Plan(std::uint64_t its_seed) : seed(its_seed) {
        std::mt19937_64 random(seed);
        const auto below = [&random](std::uint64_t n) { return random() % n; };
        unnoticed = below(3) == 0;
        order = static_cast<Order>(below(4));
        threads = 1 + static_cast<unsigned>(below(2));
        backends = 1 + static_cast<unsigned>(below(3));
        retries = static_cast<unsigned>(below(3));
        largest = below(2) == 0 ? 5'000 : 600'000; // copied only, or spliced as well
        if (below(3) == 0) {
            rate = 0.01 + static_cast<double>(below(40)) / 1000; // everything, but seldom
        } else {
            rate = std::array{0.02, 0.1, 0.3, 0.5}[below(4)];
            for (const std::uint64_t more = 1 + below(3); calls.size() < more;) {
                calls.emplace_back(faults_that_connections_meet[below(faults_that_connections_meet.size())]);
            }
        }
        ends_early = below(4) == 0;
        grace_ms = std::array{0, 100, 10'000}[below(3)];
    }

    std::string faults() const {
        std::ostringstream text;
        text << "seed=" << seed << ",rate=" << rate << ",kind=" << (unnoticed ? "unnoticed" : "all");
        for (std::size_t i = 0; i < calls.size(); ++i) {
            text << (i == 0 ? ",calls=" : "+") << calls[i];
        }
        return text.str();
    }

    std::string text() const {
        std::ostringstream text;
        text << "HARBOR_FAULTS=" << faults() << "; " << order_names[static_cast<std::size_t>(order)]
             << ", up to " << largest << " bytes, " << backends << " backends, " << retries << " retries, "
             << threads << " threads";
        if (ends_early) {
            text << ", SIGTERM in the middle, grace " << grace_ms << " ms";
        }
        return text.str();
    }

    std::uint64_t seed;
    bool unnoticed = false;
    Order order = Order::together;
    unsigned threads = 1;
    unsigned backends = 1;
    unsigned retries = 0;
    std::uint32_t largest = 0;
    double rate = 0;
    std::vector<std::string_view> calls; // all if empty
    bool ends_early = false;
    int grace_ms = 0;

private:
    static constexpr std::array<std::string_view, 13> faults_that_connections_meet{
        "accept", "connect", "epoll_ctl",  "epoll_wait", "mmap",      "pipe2",     "pipe_size",
        "recv",   "send",    "setsockopt", "socket",     "splice_in", "splice_out"};
};

/// A Board in a file of memory, whose name the program under test gets.
class SharedBoard {
public:
    SharedBoard() : fd_(::memfd_create("board", MFD_CLOEXEC)) {
        void* memory = MAP_FAILED;
        if (fd_ >= 0 && ::ftruncate(fd_, sizeof(Board)) == 0) {
            memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
        }
        if (memory == MAP_FAILED) {
            throw Failure("the test has no memory to share");
        }
        board_ = std::construct_at(static_cast<Board*>(memory));
    }
    ~SharedBoard() {
        ::munmap(board_, sizeof(Board));
        ::close(fd_);
    }
    SharedBoard(const SharedBoard&) = delete;
    SharedBoard& operator=(const SharedBoard&) = delete;

    Board* operator->() const { return board_; }
    std::string path() const { return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_); }

private:
    int fd_;
    Board* board_ = nullptr;
};

/// What has gone wrong, over all seeds.
class Totals {
public:
    void add(const SharedBoard& board) {
        for (std::size_t i = 0; i < number_of_calls; ++i) {
            made_[i] += board->made[i];
            spoilt_[i] += board->spoilt[i];
        }
    }
    std::uint64_t spoilt() const {
        std::uint64_t sum = 0;
        for (const std::uint64_t count : spoilt_) {
            sum += count;
        }
        return sum;
    }
    /// A line for each kind of call, for scripts/check faults to add up.
    ~Totals() {
        for (std::size_t i = 0; i < number_of_calls; ++i) {
            if (made_[i] > 0) {
                std::cout << "faults: " << call_names[i] << ' ' << spoilt_[i] << " of " << made_[i] << '\n';
            }
        }
        std::cout << std::flush;
    }
    Totals() = default;
    Totals(const Totals&) = delete;
    Totals& operator=(const Totals&) = delete;

private:
    std::array<std::uint64_t, number_of_calls> made_{};
    std::array<std::uint64_t, number_of_calls> spoilt_{};
};

struct Seeds {
    std::uint64_t first = 0;
    std::uint64_t count = 6;
};

Seeds seeds_to_try() {
    Seeds seeds{std::random_device{}(), 6};
    if (const char* text = std::getenv("HARBOR_FAULT_SEEDS")) { // NOLINT(concurrency-mt-unsafe)
        const char* end = text + std::strlen(text);
        const auto first = std::from_chars(text, end, seeds.first);
        const auto count = first.ptr < end && *first.ptr == '+'
                               ? std::from_chars(first.ptr + 1, end, seeds.count)
                               : std::from_chars_result{text, std::errc::invalid_argument};
        if (count.ec != std::errc{} || count.ptr != end) {
            FAIL("HARBOR_FAULT_SEEDS='" << text << "' is not FIRST+COUNT");
        }
    }
    return seeds;
}

// ------------------------------------------------------------------------------------- what the program says

/// A line of the access log.
struct Line {
    std::string backend;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::string end;

    bool ended_cleanly() const { return end == "client_end" || end == "backend_end"; }
};

/// By the port of the client.
std::multimap<std::uint16_t, Line> access_log(const std::string& log) {
    std::multimap<std::uint16_t, Line> lines;
    std::istringstream all(log);
    for (std::string text; std::getline(all, text);) {
        std::istringstream words(text);
        std::map<std::string, std::string> fields;
        for (std::string word; words >> word;) {
            fields[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
        }
        if (fields.contains("access")) {
            // All fields, or it is no whole line.
            REQUIRE(fields.size() == 10);
            lines.emplace(Endpoint::parse(fields.at("client")).port,
                          Line{fields.at("backend"), std::stoull(fields.at("sent")),
                               std::stoull(fields.at("received")), fields.at("end")});
        }
    }
    return lines;
}

// -------------------------------------------------------------------------------------------------- the play

constexpr unsigned clients_at_once = 6;
constexpr unsigned clients_each = 5;

/// What a client or a backend has heard.
struct Outcome {
    std::uint16_t port = 0; // of the client
    Received received;
};

class Play {
public:
    explicit Play(const Plan& plan) : plan_(plan) {
        for (unsigned i = 0; i < plan.backends; ++i) {
            backends_.push_back(std::make_unique<Backend>([this](Peer& peer) {
                Received heard = talk(peer, plan_.order, false, next_speech());
                const std::lock_guard lock(mutex_);
                heard_by_backends_.push_back({0, std::move(heard)});
            }));
        }
        std::string addresses;
        for (const auto& backend : backends_) {
            addresses += (addresses.empty() ? "" : ",") + backend->address();
        }
        program_ = std::make_unique<Program>(
            Environment{{"BACKENDS", addresses},
                        {"LB_THREADS", std::to_string(plan.threads)},
                        {"LB_DIAL_RETRIES", std::to_string(plan.retries)},
                        {"LB_BACKEND_COOLDOWN_MS", "0"},
                        {"LB_DIAL_TIMEOUT_MS", "60000"},
                        {"LB_IO_TIMEOUT_MS", "0"}, // whoever is left waiting is not helped out by it
                        {"LB_SHUTDOWN_GRACE_MS", std::to_string(plan.grace_ms)},
                        {"LB_ACCESS_LOG", "1"},
                        {"LD_PRELOAD", HARBOR_FAULTS_PRELOAD},
                        {"HARBOR_FAULTS", plan.faults() + ",board=" + board_.path()}});
        descriptors_before_ = program_->process().open_descriptors();
    }

    const SharedBoard& board() const { return board_; }

    void run() {
        board_->on = 1;
        {
            std::vector<std::jthread> threads;
            for (unsigned i = 0; i < clients_at_once; ++i) {
                threads.emplace_back([this] { be_clients(); });
            }
            threads.emplace_back([this](const std::stop_token& stop) { be_a_scraper(stop); });
            if (plan_.ends_early) {
                threads.emplace_back([this] {
                    eventually([this] { return finished_ >= clients_at_once; },
                               "a few clients to have finished", patience());
                    program_->process().send_signal(SIGTERM);
                });
            }
            for (unsigned i = 0; i < clients_at_once; ++i) {
                threads[i].join();
            }
        }
        if (!plan_.ends_early) {
            look_at_what_is_left();
            program_->process().send_signal(SIGTERM);
        }
        // A cut waits for nobody, and the drain before it for no longer than the grace period.
        const Exit exit = program_->process().wait_for_exit(3 * patience());
        REQUIRE(exit.exited_with(0));
        REQUIRE_FALSE(program_->process().sanitizer_report());
        judge_all(access_log(exit.log));
    }

private:
    std::string next_speech() {
        const std::lock_guard lock(mutex_);
        const auto name = static_cast<std::uint32_t>(random_());
        if (plan_.order == Order::in_turns) {
            return speech(name, static_cast<std::uint32_t>(piece * (1 + random_() % 20)));
        }
        return speech(name, static_cast<std::uint32_t>(header + random_() % plan_.largest));
    }

    void be_clients() {
        for (unsigned i = 0; i < clients_each; ++i) {
            std::optional<Client> client = Client::try_connect(program_->endpoint());
            if (!client) {
                ++refused_;
                continue;
            }
            Outcome outcome{client->local_port(), talk(*client, plan_.order, true, next_speech())};
            client.reset();
            ++finished_;
            const std::lock_guard lock(mutex_);
            heard_by_clients_.push_back(std::move(outcome));
        }
    }

    /// Monitoring may be cut off too, but what comes whole has to be right.
    void be_a_scraper(const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            HttpReply reply;
            try {
                reply = http_get(program_->metrics_endpoint(), "/metrics");
            } catch (const Failure&) {
                continue;
            }
            try {
                Metrics::parse(reply.body);
            } catch (const Failure& failure) {
                const std::lock_guard lock(mutex_);
                wrong_pages_.emplace_back(failure.what());
            }
        }
    }

    /// Peace again: everything has to be as it was, and the books have to balance.
    void look_at_what_is_left() {
        board_->on = 0;
        const Endpoint metrics = program_->metrics_endpoint();
        REQUIRE(metric_becomes(metrics, "harbor_active_conns", 0));
        for (const auto& backend : backends_) {
            REQUIRE(backend->wait_for_open_connections_at_most(0));
            REQUIRE(
                metric_becomes(metrics, "harbor_backend_connections", 0, {{"backend", backend->address()}}));
        }
        REQUIRE(metric_becomes(metrics, "harbor_buffers_in_use", 0));
        REQUIRE(metric_becomes(metrics, "harbor_timers", 0));

        const Client last = served_in_peace();
        const std::size_t clients = heard_by_clients_.size();
        REQUIRE(metric_becomes(metrics, "harbor_accepts_total", static_cast<double>(clients)));
        Metrics page = scrape(metrics);
        const auto sum = [&page](const std::string& name) {
            double total = 0;
            for (const auto& [labels, value] : page.samples(name)) {
                total += value;
            }
            return total;
        };
        REQUIRE(eventually(
            [&] {
                page = scrape(metrics);
                return sum("harbor_connections_ended_total") == page.value("harbor_accepts_total");
            },
            "every client to be counted as ended"));
        REQUIRE(sum("harbor_dials_total") == sum("harbor_picks_by_backend_total"));

        REQUIRE(eventually([&] { return program_->process().count_lines(" access client=") == clients; },
                           "a line of the access log for each client"));
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        for (const auto& [port, line] : access_log(program_->process().log())) {
            sent += line.sent;
            received += line.received;
        }
        REQUIRE(page.value("harbor_bytes_total", {{"direction", "to_backend"}}) == static_cast<double>(sent));
        REQUIRE(page.value("harbor_bytes_total", {{"direction", "to_client"}}) ==
                static_cast<double>(received));
        const auto kept = static_cast<std::size_t>(2 * page.value("harbor_pipes_free"));
        REQUIRE(
            eventually([&] { return program_->process().open_descriptors() == descriptors_before_ + kept; },
                       "every descriptor to be closed, but those of the pipes that are kept"));
    }

    /// One more client; nothing goes wrong any more.
    Client served_in_peace() {
        Client client = program_->connect();
        Outcome outcome{client.local_port(), talk(client, plan_.order, true, next_speech())};
        REQUIRE(judge(outcome.received.bytes) == Heard::all);
        REQUIRE(outcome.received.ends_cleanly());
        client.close();
        const std::lock_guard lock(mutex_);
        heard_by_clients_.push_back(std::move(outcome));
        return client;
    }

    void judge_all(const std::multimap<std::uint16_t, Line>& lines) {
        for (const std::string& page : wrong_pages_) {
            FAIL(page);
        }
        for (const auto& backend : backends_) {
            REQUIRE(backend->wait_for_open_connections_at_most(0));
        }
        const std::lock_guard lock(mutex_);
        for (const Outcome& outcome : heard_by_backends_) {
            INFO("a backend heard " << outcome.received.bytes.size() << " bytes and then "
                                    << describe(outcome.received.ending));
            judge_one(outcome.received, false);
        }
        for (const Outcome& outcome : heard_by_clients_) {
            INFO("the client of port " << outcome.port << " heard " << outcome.received.bytes.size()
                                       << " bytes and then " << describe(outcome.received.ending));
            const bool alone =
                std::count_if(heard_by_clients_.begin(), heard_by_clients_.end(),
                              [&](const Outcome& other) { return other.port == outcome.port; }) == 1;
            if (!alone) { // the port was given out a second time, so which line is whose?
                judge_one(outcome.received, true);
            } else if (!lines.contains(outcome.port)) {
                // Still in the queue when the port was closed.
                REQUIRE(plan_.ends_early);
                REQUIRE(outcome.received.bytes.empty());
                REQUIRE(outcome.received.ends_with_reset());
            } else {
                REQUIRE(lines.count(outcome.port) == 1);
                compare(outcome.received, lines.find(outcome.port)->second);
            }
        }
        REQUIRE((plan_.ends_early || refused_ == 0));
    }

    /// Never a wrong byte, never silence, and who has heard a part has to know that it is one.
    void judge_one(const Received& received, bool may_be_closed_at_once) const {
        const Heard heard = judge(received.bytes);
        REQUIRE(heard != Heard::wrong);
        REQUIRE(received.ending != Ending::silence);
        if (heard == Heard::part || (heard == Heard::nothing && plan_.unnoticed && !may_be_closed_at_once)) {
            REQUIRE(received.ends_with_reset());
        }
        if (plan_.unnoticed && !plan_.ends_early) {
            REQUIRE(heard == Heard::all);
            REQUIRE(received.ends_cleanly());
        }
    }

    void compare(const Received& received, const Line& line) {
        INFO("its line says end=" << line.end << " received=" << line.received
                                  << " backend=" << line.backend);
        const Heard heard = judge(received.bytes);
        judge_one(received, line.backend == "-");
        REQUIRE(received.bytes.size() <= line.received);
        if (heard == Heard::nothing && line.backend != "-") {
            REQUIRE(received.ends_with_reset()); // nobody says nothing here, so this is a part as well
        }
        if (line.ended_cleanly()) {
            REQUIRE(heard == Heard::all);
            REQUIRE(received.ends_cleanly());
            REQUIRE(received.bytes.size() == line.received);
        }
        if (plan_.unnoticed) {
            REQUIRE((line.ended_cleanly() || (plan_.ends_early && line.end == "shutdown")));
        }
    }

    const Plan plan_;
    SharedBoard board_;
    std::mutex mutex_;
    std::mt19937_64 random_{plan_.seed};
    std::vector<Outcome> heard_by_clients_;
    std::vector<Outcome> heard_by_backends_;
    std::vector<std::string> wrong_pages_;
    std::atomic<unsigned> finished_{0};
    std::atomic<unsigned> refused_{0};
    std::vector<std::unique_ptr<Backend>> backends_;
    std::unique_ptr<Program> program_;
    std::size_t descriptors_before_ = 0;
};

} // namespace

TEST_CASE("a fault ends a connection at most and never the process") {
    const auto [first, count] = seeds_to_try();
    Totals totals;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        const Plan plan(seed);
        INFO("HARBOR_FAULT_SEEDS=" << seed << "+1 repeats this: " << plan.text());
        Play play(plan);
        play.run();
        totals.add(play.board());
    }
    REQUIRE((totals.spoilt() > 0 || count == 1)); // one alone may have been lucky
}

TEST_CASE("a fault while it starts is survived or ends it with a reason") {
    const Backend backend(behave::echo());
    const auto [first, count] = seeds_to_try();
    Totals totals;
    for (std::uint64_t seed = first; seed < first + 4 * count; ++seed) {
        const std::string faults =
            "seed=" + std::to_string(seed) + ",kind=all,rate=" + std::array{"0.01", "0.03", "0.1"}[seed % 3] +
            ",calls=epoll_create+epoll_ctl+eventfd+mmap+pipe2+setsockopt+socket+thread+timerfd";
        INFO("HARBOR_FAULTS=" << faults);
        const SharedBoard board;
        board->on = 1;
        Process::Options options;
        options.environment = {
            {"BACKENDS", backend.address()},       {"LB_ADDR", "127.0.0.1:0"},
            {"LB_METRICS_ADDR", "127.0.0.1:0"},    {"LB_THREADS", "4"},
            {"LD_PRELOAD", HARBOR_FAULTS_PRELOAD}, {"HARBOR_FAULTS", faults + ",board=" + board.path()}};
        Process harbor({program_under_test()}, options);
        REQUIRE(eventually([&] { return !harbor.running() || harbor.count_lines("listening on ") > 0; },
                           "it to start or to give up"));
        const bool started = harbor.count_lines("listening on ") > 0;
        harbor.send_signal(SIGTERM);
        const Exit exit = harbor.wait_for_exit();
        REQUIRE_FALSE(harbor.sanitizer_report());
        if (started) {
            REQUIRE(exit.exited_with(0));
        } else {
            REQUIRE(exit.exited_with(1));
            REQUIRE(exit.log.starts_with("harbor: "));
            REQUIRE(std::count(exit.log.begin(), exit.log.end(), '\n') == 1);
        }
        totals.add(board);
    }
    REQUIRE((totals.spoilt() > 0 || count == 1)); // one alone may have been lucky
}
