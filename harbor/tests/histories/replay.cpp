// One thread plays all clients and all backends, so that the order of what happens outside the balancer is
// exactly that of the history. What it cannot know is when the balancer has seen what: a client that resets
// right after it has connected may have been dialled for already, or not. Where both are right the model
// below allows for both, and says why; everywhere else there is one right end for each stream.
#include "replay.hpp"

#include "wire.hpp"

#include <harness/program.hpp>
#include <harness/scrape.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

namespace histories {

namespace {

using harness::Clock;
using harness::Deadline;
using harness::Millis;

/// What differs from the contract.
class Difference : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Both ends of a connection, and what is to be allowed for.
struct Conversation {
    std::size_t number = 0;
    bool opened = false;
    bool refused = false; // nobody listened any more
    std::unique_ptr<Wire> client;
    std::unique_ptr<Wire>
        backend; // null until it is known which of the backends' connections belongs to this client

    bool late = false; // opened after SIGTERM: may be refused, or reset in the queue of a listener that is
                       // being closed
    bool disturbed =
        false; // a backend went down before the dial, or all were down: it may end without having been served
    bool left_early = false; // the client left when the dial may not have been over: that ends the dial
    bool shaken =
        false; // the backend left when the dial may not have been over: perhaps it was never connected
    bool cut = false; // the second signal found it open

    bool proven() const { return (client && client->received > 0) || (backend && backend->received > 0); }
    bool over() const {
        const auto done = [](const std::unique_ptr<Wire>& wire) {
            return !wire || wire->left != Wire::Left::no || wire->ending != Ending::not_yet;
        };
        return refused || (done(client) && done(backend));
    }
};

/// A connection that a backend has accepted, and that has not said yet whose it is.
using Incoming = std::unique_ptr<Wire>;

std::string bytes(std::uint64_t count) {
    return std::to_string(count) + (count == 1 ? " byte" : " bytes");
}

const char* name(Ending ending) {
    switch (ending) {
    case Ending::not_yet:
        return "no end";
    case Ending::end_of_stream:
        return "a clean end";
    case Ending::reset:
        return "a reset";
    }
    return "";
}

/// What is wrong with one direction of a conversation; empty if nothing is.
std::string check_stream(const Conversation& talk, const Wire& sender, const Wire& receiver) {
    const bool all = receiver.received == sender.sent;
    const std::string came = bytes(receiver.received) + " of " + std::to_string(sender.sent) +
                             " came, then " + name(receiver.ending);
    if (!receiver.wrong.empty()) {
        return receiver.wrong;
    }
    if (receiver.received > sender.sent) {
        return "more came than was sent: " + came;
    }
    if (receiver.left != Wire::Left::no) {
        return ""; // it was not there to hear the rest
    }
    const bool ended = sender.half_closed || sender.left == Wire::Left::by_close;
    if (receiver.ending == Ending::end_of_stream && !(ended && all)) {
        const bool never_connected = talk.shaken && sender.delivered == 0 && receiver.received == 0;
        return never_connected ? "" : "a stream that was cut off, or still open, ended cleanly: " + came;
    }
    if (talk.cut) {
        return receiver.ending == Ending::not_yet ? "a stream that was cut has no end: " + came : "";
    }
    if (sender.left == Wire::Left::no) {
        if (sender.write_error != 0 || receiver.ending == Ending::reset) {
            return "a reset that nobody has sent: " + came;
        }
        if (sender.sent < sender.wanted || sender.half_closed != sender.half_close_wanted) {
            return "the sender cannot get rid of its last " + bytes(sender.wanted - sender.sent) + ": " +
                   came;
        }
        if (sender.half_closed ? receiver.ending != Ending::end_of_stream : !all) {
            return sender.half_closed ? "a clean end did not arrive: " + came : "bytes are missing: " + came;
        }
        return "";
    }
    if (receiver.ending == Ending::not_yet) {
        return "the sender has left, and nobody said so: " + came;
    }
    if (receiver.ending == Ending::reset && !talk.left_early) {
        if (receiver.received < sender.delivered) {
            return "a reset overtook what had been delivered before it (" + bytes(sender.delivered) +
                   "): " + came;
        }
        // Whoever closes and is sent something all the same answers with a reset.
        const bool answered = sender.left == Wire::Left::by_close && receiver.sent > sender.received;
        if (!answered && (sender.end_delivered || sender.left == Wire::Left::by_close)) {
            return "a clean end was turned into a reset: " + came;
        }
    }
    return "";
}

class World {
public:
    World(const Settings& settings, const Replay& how)
        : settings_(settings), patience_(how.patience), host_(next_host()) {
        std::string list;
        for (std::size_t i = 0; i < settings.backends; ++i) {
            backends_.push_back(std::make_unique<Listener>(host_, settings.backend_buffer));
            list += (list.empty() ? "" : ",") + backends_.back()->address();
        }
        talks_.resize(most_connections);
        for (std::size_t i = 0; i < talks_.size(); ++i) {
            talks_[i].number = i;
        }
        harness::Program::Options options;
        options.path = how.program;
        program_ = std::make_unique<harness::Program>(
            harness::Environment{{"LB_ADDR", host_ + ":0"},
                                 {"LB_METRICS_ADDR", host_ + ":0"},
                                 {"LB_THREADS", std::to_string(settings.threads)},
                                 {"BACKENDS", list},
                                 {"STRATEGY", std::string(settings.strategy)},
                                 {"LB_DIAL_RETRIES", "5"},
                                 {"LB_DIAL_TIMEOUT_MS", "60000"},
                                 {"LB_BACKEND_COOLDOWN_MS", "20"},
                                 {"LB_IO_TIMEOUT_MS", "60000"},
                                 {"LB_SHUTDOWN_GRACE_MS", std::to_string(settings.grace)}},
            options);
        metrics_ = program_->metrics_endpoint();
        descriptors_ = program_->process().open_descriptors();
    }

    ~World() { thaw(); }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    void happen(const Event& event);
    /// Everybody reads again, and what has to come is waited for. Then everything is ended, and the books are
    /// checked.
    void conclude();
    std::string log() const { return program_->process().log(); }
    /// How the program has ended, if nobody had asked it to.
    std::string premature_end();

private:
    // What can happen.
    void open(Conversation& talk, bool wait_for_dial);
    void leave(Conversation& talk, Side side, void (Wire::*how)());
    void backend_down(Listener& backend);
    void terminate();
    void freeze();
    void thaw();

    // Moving bytes.
    void pump(Millis period);
    void take_in(int fd);
    bool identify(Incoming& incoming);
    void match(Conversation& talk, Incoming incoming) const;
    template<typename Done>
    bool pump_until(Done done);

    // What has to be so at the end.
    std::string difference() const;
    void wait_for_agreement(const char* when);
    void check_gauge();
    void check_books();

    bool any_backend_listens() const;
    Conversation* wire_of(const Event& event, Wire*& wire);

    static std::string next_host() {
        // A loopback address for each history: the ports that the one before has left in TIME_WAIT are then
        // no matter.
        static std::atomic<unsigned> turn = 0;
        const unsigned n = turn++;
        return "127." + std::to_string(10 + n / 62'500 % 200) + '.' + std::to_string(1 + n / 250 % 250) +
               '.' + std::to_string(1 + n % 250);
    }

    const Settings settings_;
    const Millis patience_;
    const std::string host_;
    std::vector<std::unique_ptr<Listener>> backends_;
    std::vector<Conversation> talks_;
    std::vector<Incoming> incoming_;
    Conversation* awaited_ = nullptr; // the only one who can be meant by a connection that says nothing
    bool strangers_ =
        false; // connections may come whose client has left: who says nothing may be one of them
    bool frozen_ = false;
    bool terminated_ = false;
    bool cut_ = false;
    bool ending_ = false; // whoever comes now only ends
    std::uint64_t connected_ = 0;
    std::unique_ptr<harness::Program> program_;
    harness::Endpoint metrics_;
    std::size_t descriptors_ = 0;
};

// ---- what can happen

Conversation* World::wire_of(const Event& event, Wire*& wire) {
    Conversation& talk = talks_.at(event.who);
    wire = (event.side == Side::client ? talk.client : talk.backend).get();
    return wire != nullptr && wire->open() ? &talk : nullptr;
}

void World::happen(const Event& event) {
    Wire* wire = nullptr;
    switch (event.what) {
    case What::open:
    case What::rush:
        open(talks_.at(event.who), event.what == What::open);
        return;
    case What::wait:
        pump(Millis(event.amount));
        return;
    case What::freeze:
        freeze();
        return;
    case What::thaw:
        thaw();
        return;
    case What::backend_down:
        backend_down(*backends_.at(event.who % backends_.size()));
        return;
    case What::backend_up:
        backends_.at(event.who % backends_.size())->start();
        return;
    case What::terminate:
        terminate();
        return;
    default:
        break;
    }
    Conversation* talk = wire_of(event, wire);
    if (talk == nullptr) {
        return;
    }
    switch (event.what) {
    case What::send:
        wire->send(event.amount);
        wire->write();
        return;
    case What::half_close:
        wire->half_close();
        wire->write();
        return;
    case What::pause:
        wire->paused = true;
        return;
    case What::resume:
        wire->paused = false;
        return;
    case What::reset:
        leave(*talk, event.side, &Wire::reset);
        return;
    case What::close:
        leave(*talk, event.side, &Wire::close);
        return;
    default:
        return;
    }
}

void World::open(Conversation& talk, bool wait_for_dial) {
    if (talk.opened) {
        return;
    }
    talk.opened = true;
    talk.late = terminated_;
    talk.cut = cut_;
    talk.disturbed = !any_backend_listens();
    wait_for_dial = wait_for_dial && !frozen_ && !talk.late && !talk.disturbed;
    const int fd = connect_to(host_, program_->endpoint().port, settings_.client_buffer);
    if (fd < 0) {
        talk.refused = true;
        if (!talk.late) {
            throw Difference("a client was refused although nobody had asked the program to end");
        }
        return;
    }
    connected_ += 1;
    talk.client = std::make_unique<Wire>(fd);
    talk.client->is(talk.number, Side::client);
    if (!wait_for_dial || strangers_) {
        strangers_ = true;
        talk.client->send(1);
        talk.client->write();
    } else {
        awaited_ = &talk;
    }
    if (wait_for_dial && !pump_until([&] { return talk.backend != nullptr; })) {
        throw Difference("connection " + std::to_string(talk.number) + " reached no backend");
    }
    awaited_ = nullptr;
}

void World::leave(Conversation& talk, Side side, void (Wire::*how)()) {
    if (!talk.proven()) {
        // The balancer may not have noticed yet that the dial has succeeded.
        (side == Side::client ? talk.left_early : talk.shaken) = true;
        strangers_ = true;
        if (side == Side::backend && talk.client->wanted == 0) {
            talk.client->send(1); // by which another backend, should there be one, knows whose it is
        }
    }
    ((side == Side::client ? *talk.client : *talk.backend).*how)();
}

void World::backend_down(Listener& backend) {
    if (!backend.listening()) {
        return;
    }
    for (int fd = backend.accept(); fd >= 0; fd = backend.accept()) {
        take_in(fd);
    }
    // A connection that is made between the last accept and now is reset by the kernel.
    backend.stop();
    for (Conversation& talk : talks_) {
        if (talk.opened && !talk.backend) {
            talk.disturbed = true;
        }
    }
}

void World::terminate() {
    if (cut_) {
        return;
    }
    // Another signal the second time: of two SIGTERM that are both still waiting only one is delivered.
    const int signal = terminated_ ? SIGINT : SIGTERM;
    cut_ = terminated_ || settings_.grace == 0;
    terminated_ = true;
    for (Conversation& talk : talks_) {
        if (talk.opened && cut_ && !talk.over()) {
            talk.cut = true;
        }
    }
    program_->process().send_signal(signal);
}

void World::freeze() {
    if (!frozen_) {
        program_->process().send_signal(SIGSTOP);
        frozen_ = true;
    }
}

void World::thaw() {
    if (frozen_) {
        program_->process().send_signal(SIGCONT);
        frozen_ = false;
    }
}

bool World::any_backend_listens() const {
    return std::any_of(backends_.begin(), backends_.end(),
                       [](const auto& backend) { return backend->listening(); });
}

// ---- moving bytes

void World::take_in(int fd) {
    auto incoming = std::make_unique<Wire>(fd);
    if (awaited_ != nullptr && !awaited_->backend) {
        match(*awaited_, std::move(incoming));
    } else {
        incoming_.push_back(std::move(incoming));
    }
}

/// True when it is known whose it is, or when it has ended without a byte, and in either case is done with.
bool World::identify(Incoming& incoming) {
    char first = 0;
    const ssize_t count = ::recv(incoming->fd(), &first, 1, MSG_PEEK);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (count == 1) {
        const auto number = static_cast<unsigned char>(first);
        if (number >= talks_.size() || !talks_[number].client) {
            throw Difference("a backend was sent bytes that nobody had sent: they begin with " +
                             std::to_string(number));
        }
        match(talks_[number], std::move(incoming));
    }
    return true; // otherwise its client left during the dial, and with it goes the connection
}

void World::match(Conversation& talk, Incoming incoming) const {
    if (talk.backend) {
        const std::string who = "connection " + std::to_string(talk.number);
        if (!talk.shaken || talk.backend->arrived > 0 || talk.backend->open()) {
            throw Difference("the bytes of " + who + " went to a second backend");
        }
        if (talk.backend->delivered > 0) {
            throw Difference(who + " was dialled again, and what the first backend had sent is lost: " +
                             bytes(talk.backend->delivered));
        }
        talk.shaken =
            false; // never connected, as far as the balancer knows; another backend serves the client
    }
    incoming->is(talk.number, Side::backend);
    talk.backend = std::move(incoming);
    if (ending_) {
        talk.backend->half_close();
    }
}

void World::pump(Millis period) {
    const Deadline deadline(period);
    do {
        std::vector<pollfd> polled;
        std::vector<Wire*> wires;
        for (const auto& backend : backends_) {
            polled.push_back({backend->fd(), POLLIN, 0}); // poll overlooks a negative descriptor
        }
        for (const Incoming& incoming : incoming_) {
            polled.push_back({incoming->fd(), POLLIN, 0});
        }
        for (const Conversation& talk : talks_) {
            for (Wire* wire : {talk.client.get(), talk.backend.get()}) {
                const auto events = wire == nullptr ? 0
                                                    : (wire->wants_to_read() ? POLLIN : 0) |
                                                          (wire->wants_to_write() ? POLLOUT : 0);
                if (events != 0) {
                    polled.push_back({wire->fd(), static_cast<short>(events), 0});
                    wires.push_back(wire);
                }
            }
        }
        if (::poll(polled.data(), polled.size(), deadline.for_poll()) <= 0) {
            break;
        }
        for (std::size_t i = 0; i < wires.size(); ++i) {
            const short events = polled[polled.size() - wires.size() + i].revents;
            if ((events & (POLLOUT | POLLERR | POLLHUP)) != 0) {
                wires[i]->write();
            }
            if ((events & (POLLIN | POLLERR | POLLHUP)) != 0) {
                wires[i]->read();
            }
        }
        for (std::size_t i = incoming_.size(); i-- > 0;) {
            if (identify(incoming_[i])) {
                incoming_.erase(incoming_.begin() + static_cast<std::ptrdiff_t>(i));
            }
        }
        for (const auto& backend : backends_) {
            for (int fd = backend->accept(); fd >= 0; fd = backend->accept()) {
                take_in(fd);
            }
        }
    } while (!deadline.passed() && awaited_ == nullptr);
}

template<typename Done>
bool World::pump_until(Done done) {
    const Deadline deadline(patience_);
    while (!done()) {
        if (deadline.passed()) {
            return false;
        }
        pump(Millis{5});
    }
    return true;
}

// ---- what has to be so at the end

std::string World::difference() const {
    for (const Conversation& talk : talks_) {
        if (!talk.opened || talk.refused) {
            continue;
        }
        const std::string who = "connection " + std::to_string(talk.number) + ", ";
        const Wire& client = *talk.client;
        if (!talk.backend) {
            if (client.left != Wire::Left::no) {
                continue;
            }
            if (client.received > 0) {
                return who + "without a backend, was sent " + bytes(client.received);
            }
            if (client.ending == Ending::not_yet) {
                return who + "reached no backend, and was not told";
            }
            if (!talk.late && !talk.disturbed && !talk.cut) {
                return who + "was sent away although a backend was there";
            }
            continue;
        }
        for (const auto& [direction, sender, receiver] :
             {std::tuple("client to backend: ", talk.client.get(), talk.backend.get()),
              std::tuple("backend to client: ", talk.backend.get(), talk.client.get())}) {
            if (const std::string wrong = check_stream(talk, *sender, *receiver); !wrong.empty()) {
                return who + direction + wrong;
            }
        }
    }
    return "";
}

void World::wait_for_agreement(const char* when) {
    std::string different;
    const auto agreed = [&] {
        different = difference();
        return different.empty();
    };
    if (!pump_until(agreed)) {
        throw Difference(std::string(when) + different);
    }
}

void World::check_gauge() {
    double least = 0;
    double most = 0;
    for (const Conversation& talk : talks_) {
        if (!talk.opened || talk.refused) {
            continue;
        }
        const auto left = [](const Wire* wire, Wire::Left how) {
            return wire != nullptr && wire->left == how;
        };
        const auto ended = [](const Wire& wire) { return wire.half_closed || wire.left != Wire::Left::no; };
        const Wire& client = *talk.client;
        const Wire* backend = talk.backend.get();
        if (left(&client, Wire::Left::by_reset) || left(backend, Wire::Left::by_reset)) {
            continue; // a reset ends both directions
        }
        if (backend == nullptr) { // sent away, or its dial goes on although the client has closed
            most += client.left == Wire::Left::by_close ? 1 : 0;
            continue;
        }
        if (ended(client) && ended(*backend)) {
            continue;
        }
        most += 1;
        // Who has closed answers what still comes with a reset, which ends the connection.
        const bool certain = client.left == Wire::Left::no && backend->left == Wire::Left::no;
        least += certain ? 1 : 0;
    }
    double open = 0;
    const bool right = pump_until([&] {
        open = harness::scrape(metrics_).value("harbor_active_conns");
        return least <= open && open <= most;
    });
    if (!right) {
        throw Difference("open are " + std::to_string(static_cast<int>(least)) + " to " +
                         std::to_string(static_cast<int>(most)) + " connections, and the gauge says " +
                         std::to_string(static_cast<int>(open)));
    }
}

void World::check_books() {
    std::uint64_t to_backends_at_least = 0;
    std::uint64_t to_backends_at_most = 0;
    std::uint64_t to_clients_at_least = 0;
    std::uint64_t to_clients_at_most = 0;
    for (const Conversation& talk : talks_) {
        if (talk.client) {
            to_backends_at_most += talk.client->sent;
            to_clients_at_least += talk.client->received;
        }
        if (talk.backend) {
            to_backends_at_least += talk.backend->received;
            to_clients_at_most += talk.backend->sent;
        }
    }
    std::string wrong;
    std::size_t pipes = 0;
    const bool right = pump_until([&] {
        const harness::Metrics page = harness::scrape(metrics_);
        const auto says = [&](const std::string& metric, const harness::Labels& labels, double least,
                              double most) {
            const double value = page.value(metric, labels);
            if (wrong.empty() && (value < least || value > most)) {
                wrong = metric + " is " + std::to_string(value) + ", to be " + std::to_string(least) +
                        (most > least ? " to " + std::to_string(most) : "");
            }
        };
        wrong.clear();
        const auto connected = static_cast<double>(connected_);
        says("harbor_active_conns", {}, 0, 0);
        says("harbor_accepts_total", {}, connected, connected);
        for (const auto& [labels, value] : page.samples("harbor_backend_connections")) {
            says("harbor_backend_connections", labels, 0, 0);
        }
        double ended = 0;
        for (const auto& [labels, value] : page.samples("harbor_connections_ended_total")) {
            ended += value;
        }
        if (wrong.empty() && ended != connected) {
            wrong = std::to_string(ended) + " connections have an end by the counters, of " +
                    std::to_string(connected_);
        }
        says("harbor_bytes_total", {{"direction", "to_backend"}}, static_cast<double>(to_backends_at_least),
             static_cast<double>(to_backends_at_most));
        says("harbor_bytes_total", {{"direction", "to_client"}}, static_cast<double>(to_clients_at_least),
             static_cast<double>(to_clients_at_most));
        // Pipes are kept for the next large transfer.
        pipes = 2 * static_cast<std::size_t>(page.value("harbor_pipes_free"));
        return wrong.empty();
    });
    if (!right) {
        throw Difference("at the end: " + wrong);
    }
    std::size_t open = 0;
    // The connection of the last scrape may still be among them.
    if (!pump_until(
            [&] { return (open = program_->process().open_descriptors()) <= descriptors_ + pipes; })) {
        throw Difference("at the end " + std::to_string(open) + " descriptors are open, to be " +
                         std::to_string(descriptors_) + " and " + std::to_string(pipes) + " of pipes");
    }
}

void World::conclude() {
    thaw();
    for (Conversation& talk : talks_) {
        for (Wire* wire : {talk.client.get(), talk.backend.get()}) {
            if (wire != nullptr) {
                wire->paused = false;
            }
        }
    }
    wait_for_agreement("");
    if (!terminated_) {
        check_gauge();
    }
    ending_ = true;
    for (Conversation& talk : talks_) {
        for (Wire* wire : {talk.client.get(), talk.backend.get()}) {
            if (wire != nullptr) {
                wire->half_close();
                wire->write();
            }
        }
    }
    wait_for_agreement("after both sides have ended: ");
    if (!terminated_) {
        check_books();
        program_->process().send_signal(SIGTERM);
    }
    std::optional<harness::Exit> exit;
    if (!pump_until([&] { return (exit = program_->process().try_wait_for_exit(Millis{0})).has_value(); })) {
        throw Difference("nothing is open any more, and the program does not end after SIGTERM");
    }
    if (const auto report = program_->process().sanitizer_report()) {
        throw Difference("a sanitizer reported:\n" + *report);
    }
    if (const harness::Verdict right = exit->exited_with(0); !right) {
        throw Difference(right.explanation);
    }
}

std::string World::premature_end() {
    thaw();
    const auto exit = terminated_ ? std::nullopt : program_->process().try_wait_for_exit(Millis{0});
    if (!exit) {
        return "";
    }
    std::ostringstream text;
    text << "\nand the program has ended: " << *exit;
    return text.str();
}

} // namespace

std::optional<std::string> replay(const History& history, const Replay& how) {
    std::unique_ptr<World> world;
    try {
        world = std::make_unique<World>(history.settings, how);
        for (const Event& event : history.events) {
            world->happen(event);
        }
        world->conclude();
        return std::nullopt;
    } catch (const std::exception& difference) {
        std::string text = difference.what();
        text += world ? world->premature_end() : "";
        if (how.keep_log && world) {
            text += "\nits log:\n" + world->log();
        }
        return text;
    }
}

harness::Verdict agrees(const History& history) {
    Replay how;
    how.program = harness::program_under_test();
    how.keep_log = true;
    constexpr int times = 3;
    for (int i = 0; i < times; ++i) {
        if (const auto difference = replay(history, how)) {
            return harness::Verdict::no(*difference);
        }
    }
    return harness::Verdict::yes("no difference from the contract");
}

} // namespace histories
