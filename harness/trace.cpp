// A list of lines with, for each actor, a note of its last lines. Merging looks at the actor's own last line
// and not at the last line of all: two ends of one transfer take turns in the trace and would never merge
// otherwise. An actor that sends and receives in turns (an echo) keeps the first turns apart, so that a
// dialogue can be read as one, and merges the rest into two lines.
#include "trace.hpp"
#include "recorder.hpp"
#include "verdict.hpp"

#include <chrono>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>

namespace harness::trace {
namespace {

constexpr std::size_t kept_at_the_start = 150;
constexpr std::size_t kept_at_the_end = 250;
constexpr int turns_kept_apart = 6;

struct Line {
    Clock::time_point first;
    Clock::time_point last;
    std::string actor;
    Event event = Event::note;
    std::size_t bytes = 0;
    std::size_t parts = 1;
    std::string detail;
};

// Where an actor may still add to a line, since its last event that was not a send or a receive.
struct Phase {
    std::size_t last_sent = 0; // number of the line, 0 = none
    std::size_t last_received = 0;
    Event last = Event::note;
    int turns = 0;
};

struct Trace {
    std::mutex mutex;
    Clock::time_point began = Clock::now();
    std::deque<Line> head;
    std::deque<Line> tail;
    std::size_t added = 0; // lines are numbered from 1; the tail ends with number `added`
    std::map<std::string, Phase, std::less<>> phases;
    int clients = 0;
    int backends = 0;

    Line* line(std::size_t number) {
        if (number == 0)
            return nullptr;
        if (number <= head.size())
            return &head[number - 1];
        const std::size_t first_of_tail = added - tail.size() + 1;
        return number >= first_of_tail ? &tail[number - first_of_tail] : nullptr;
    }

    std::size_t append(Line line) {
        ++added;
        if (head.size() < kept_at_the_start) {
            head.push_back(std::move(line));
        } else {
            tail.push_back(std::move(line));
            if (tail.size() > kept_at_the_end)
                tail.pop_front();
        }
        return added;
    }
};

Trace& the_trace() {
    static Trace instance;
    return instance;
}

std::string_view words(Event event) {
    switch (event) {
    case Event::connects:
        return "connects";
    case Event::refused:
        return "refused";
    case Event::accepted:
        return "accepted";
    case Event::sent:
        return "sent";
    case Event::received:
        return "received";
    case Event::fin_sent:
        return "FIN sent";
    case Event::fin_received:
        return "FIN received";
    case Event::rst_sent:
        return "RST sent";
    case Event::rst_received:
        return "RST received";
    case Event::closed:
        return "closed";
    case Event::note:
        break;
    }
    return "--";
}

// What a line says after the event.
std::string detail_of(Event event, const Facts& facts) {
    switch (event) {
    case Event::connects:
        return "to " + std::string(facts.address) + " from port " + std::to_string(facts.port);
    case Event::refused:
        return "by " + std::string(facts.address) + (facts.text.empty() ? "" : ": ") +
               std::string(facts.text);
    case Event::accepted:
        return "from port " + std::to_string(facts.port);
    case Event::note:
        return std::string(facts.text);
    default:
        return {};
    }
}

// The beginning of what moved, to recognise it by: `GET / HTTP/1.1\r\n`.
std::string beginning(std::string_view bytes) {
    constexpr std::size_t enough = 32;
    const std::string text = printable(bytes.substr(0, enough));
    return text.substr(1, text.size() - 2);
}

void put_on_record(std::string_view actor, Event event, const Facts& facts) {
    switch (event) {
    case Event::connects:
        record(actor, words(event), {{"to", facts.address}, {"from", facts.port}}, facts.at);
        break;
    case Event::refused:
        record(actor, words(event), {{"by", facts.address}, {"why", facts.text}}, facts.at);
        break;
    case Event::accepted:
        record(actor, words(event), {{"from", facts.port}}, facts.at);
        break;
    case Event::sent:
    case Event::received:
        record(actor, words(event), {{"bytes", facts.bytes.size()}, {"first", beginning(facts.bytes)}},
               facts.at);
        break;
    case Event::note: // on record if it is the test's own, by note(): the harness's have lines of their own
        break;
    default:
        record(actor, words(event), {}, facts.at);
    }
}

std::string seconds(Clock::time_point at, Clock::time_point began) {
    char text[32];
    std::snprintf(text, sizeof text, "%8.3f s", std::chrono::duration<double>(at - began).count());
    return text;
}

std::string print(const Line& line, Clock::time_point began) {
    std::string text = seconds(line.first, began) + "  " + line.actor;
    text.append(line.actor.size() < 16 ? 16 - line.actor.size() : 1, ' ');
    text += words(line.event);
    if (line.event == Event::sent || line.event == Event::received) {
        text += ' ' + std::to_string(line.bytes) + (line.bytes == 1 ? " byte" : " bytes");
        if (line.parts > 1) {
            std::string until = seconds(line.last, began);
            until.erase(0, until.find_first_not_of(' '));
            text += " (in " + std::to_string(line.parts) + " parts, until " + until + ")";
        }
    }
    if (!line.detail.empty())
        text += (line.event == Event::note ? " " : ", ") + line.detail;
    return text + '\n';
}

} // namespace

void begin() {
    Trace& trace = the_trace();
    const std::lock_guard lock(trace.mutex);
    trace.began = Clock::now();
    trace.head.clear();
    trace.tail.clear();
    trace.phases.clear();
    trace.added = 0;
    trace.clients = 0;
    trace.backends = 0;
}

void add(std::string_view actor, Event event, const Facts& facts) {
    if (recorder() != nullptr)
        put_on_record(actor, event, facts);

    Trace& trace = the_trace();
    const std::lock_guard lock(trace.mutex);
    const auto now = Clock::now();
    auto found = trace.phases.find(actor);
    if (found == trace.phases.end())
        found = trace.phases.emplace(std::string(actor), Phase{}).first;
    Phase& phase = found->second;

    if (event == Event::sent || event == Event::received) {
        std::size_t& mine = event == Event::sent ? phase.last_sent : phase.last_received;
        if (phase.last != event)
            ++phase.turns;
        const bool may_merge = phase.last == event || phase.turns > turns_kept_apart;
        phase.last = event;
        Line* line = may_merge ? trace.line(mine) : nullptr;
        if (line != nullptr) {
            line->bytes += facts.bytes.size();
            line->last = now;
            ++line->parts;
        } else {
            mine = trace.append({now, now, std::string(actor), event, facts.bytes.size(), 1, {}});
        }
        return;
    }
    phase = Phase{};
    trace.append({now, now, std::string(actor), event, 0, 1, detail_of(event, facts)});
}

void note(std::string_view text) {
    record("the test", "note", {{"text", text}});
    add("the test", Event::note, {.text = text});
}

std::string text() {
    Trace& trace = the_trace();
    const std::lock_guard lock(trace.mutex);
    std::string text;
    for (const Line& line : trace.head)
        text += print(line, trace.began);
    const std::size_t left_out = trace.added - trace.head.size() - trace.tail.size();
    if (left_out > 0)
        text += "     …       " + std::to_string(left_out) + " lines left out\n";
    for (const Line& line : trace.tail)
        text += print(line, trace.began);
    return text;
}

std::string next_client_name() {
    Trace& trace = the_trace();
    const std::lock_guard lock(trace.mutex);
    return "client " + std::to_string(++trace.clients);
}

std::string next_backend_name() {
    Trace& trace = the_trace();
    const std::lock_guard lock(trace.mutex);
    const int number = trace.backends++;
    std::string name(1, static_cast<char>('A' + number % 26));
    if (number >= 26)
        name += std::to_string(number / 26 + 1);
    return name;
}

} // namespace harness::trace
