#include "history.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <sstream>

namespace histories {

namespace {

/// Random choices. Not the distributions of <random>: the standard leaves open how they are made, and a seed
/// has to mean the same history everywhere.
class Dice {
public:
    explicit Dice(std::uint64_t seed) : engine_(seed) {}

    std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
    bool in(std::uint64_t times) { return below(times) == 0; }
    Side side() { return in(2) ? Side::client : Side::backend; }

    /// Mostly few, sometimes many: every order of magnitude is as likely as any other.
    std::uint64_t bytes() {
        if (in(8)) {
            return 65536 * (1 + below(4)); // the relay's own buffer, exactly
        }
        const std::uint64_t bits = below(20); // up to 1 MiB
        return 1 + below(std::uint64_t{2} << bits);
    }

private:
    std::mt19937_64 engine_;
};

struct Kind {
    What what;
    unsigned weight;
};

constexpr std::array<Kind, 13> kinds{{{What::send, 36},
                                      {What::half_close, 12},
                                      {What::reset, 8},
                                      {What::close, 5},
                                      {What::pause, 6},
                                      {What::resume, 5},
                                      {What::wait, 8},
                                      {What::open, 12},
                                      {What::rush, 5},
                                      {What::freeze, 3},
                                      {What::thaw, 2},
                                      {What::backend_down, 2},
                                      {What::backend_up, 3}}};

What any_kind(Dice& dice) {
    unsigned all = 0;
    for (const Kind& kind : kinds) {
        all += kind.weight;
    }
    auto at = static_cast<unsigned>(dice.below(all));
    for (const Kind& kind : kinds) {
        if (at < kind.weight) {
            return kind.what;
        }
        at -= kind.weight;
    }
    return What::wait;
}

Settings make_settings(Dice& dice) {
    constexpr std::array<std::string_view, 3> strategies{"round-robin", "least-connections", "power-of-two"};
    constexpr std::array<int, 5> buffers{0, 0, 0, 4096, 65536};
    Settings settings;
    settings.backends = 1 + dice.below(3);
    settings.threads = 1 + static_cast<unsigned>(dice.below(2));
    settings.strategy = strategies[dice.below(strategies.size())];
    settings.client_buffer = buffers[dice.below(buffers.size())];
    settings.backend_buffer = buffers[dice.below(buffers.size())];
    settings.grace = dice.in(4) ? 0 : 60'000;
    return settings;
}

std::string to_code(Side side) {
    return side == Side::client ? "Side::client" : "Side::backend";
}

std::string to_code(const Event& event) {
    const std::string who = std::to_string(event.who);
    const std::string amount = std::to_string(event.amount);
    const std::string both = to_code(event.side) + ", " + who;
    switch (event.what) {
    case What::open:
        return "open(" + who + ")";
    case What::rush:
        return "rush(" + who + ")";
    case What::send:
        return "send(" + both + ", " + amount + ")";
    case What::half_close:
        return "half_close(" + both + ")";
    case What::reset:
        return "reset(" + both + ")";
    case What::close:
        return "close(" + both + ")";
    case What::pause:
        return "pause(" + both + ")";
    case What::resume:
        return "resume(" + both + ")";
    case What::wait:
        return "wait(" + amount + ")";
    case What::freeze:
        return "freeze()";
    case What::thaw:
        return "thaw()";
    case What::backend_down:
        return "backend_down(" + who + ")";
    case What::backend_up:
        return "backend_up(" + who + ")";
    case What::terminate:
        return "terminate()";
    }
    return "";
}

} // namespace

History make_history(std::uint64_t seed) {
    Dice dice(seed);
    History history;
    history.settings = make_settings(dice);
    const std::size_t length = 4 + dice.below(40);
    const std::size_t connections = 1 + dice.below(8);
    const bool patient = dice.in(2); // some histories leave time between their events, others none
    const std::size_t terminated_at = dice.in(2) ? length / 2 + dice.below(length) : 2 * length;
    std::size_t opened = 0;
    std::uint64_t budget = 4 << 20; // bytes: a history is to be short in time as well

    const auto add = [&](Event event) {
        history.events.push_back(event);
        if (patient || dice.in(3)) {
            history.events.push_back(wait(dice.in(4) ? dice.below(4) : 0));
        }
    };
    const auto open_one = [&](What what) { add({what, Side::client, opened++, 0}); };

    open_one(dice.in(4) ? What::rush : What::open);
    for (std::size_t i = 0; i < length; ++i) {
        if (i == terminated_at) {
            add(terminate());
        }
        if (i > terminated_at && dice.in(12)) {
            add(terminate());
        }
        const What what = any_kind(dice);
        switch (what) {
        case What::open:
        case What::rush:
            if (opened < connections) {
                open_one(what);
            }
            break;
        case What::backend_down:
        case What::backend_up:
            add({what, Side::backend, dice.below(history.settings.backends), 0});
            break;
        case What::wait:
            add(wait(dice.below(4)));
            break;
        case What::freeze:
        case What::thaw:
            add({what, Side::client, 0, 0});
            break;
        default: {
            Event event{what, dice.side(), dice.below(opened), 0};
            if (what == What::send) {
                event.amount = std::min(dice.bytes(), budget);
                budget -= event.amount;
            }
            add(event);
            break;
        }
        }
    }
    return history;
}

std::string to_code(const History& history, const std::string& name) {
    const Settings& settings = history.settings;
    std::ostringstream code;
    code << "TEST_CASE(\"" << name << "\") {\n    REQUIRE(agrees({{.backends = " << settings.backends
         << ", .threads = " << settings.threads << ", .strategy = \"" << settings.strategy
         << "\",\n                     .client_buffer = " << settings.client_buffer
         << ", .backend_buffer = " << settings.backend_buffer << ", .grace = " << settings.grace
         << "},\n                    {";
    std::string separator;
    for (const Event& event : history.events) {
        code << separator << to_code(event);
        separator = ",\n                     ";
    }
    code << "}}));\n}\n";
    return code.str();
}

} // namespace histories
