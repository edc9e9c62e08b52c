#include "shrink.hpp"

#include <algorithm>
#include <cstddef>

namespace histories {

namespace {

class Shrinker {
public:
    Shrinker(History history, const Fails& fails, std::chrono::milliseconds limit)
        : best_(std::move(history)), fails_(fails), until_(std::chrono::steady_clock::now() + limit) {}

    History run() {
        for (History before; !late() && !same(before, best_);) {
            before = best_;
            leave_out_events();
            plainer_settings();
            smaller_amounts();
        }
        return best_;
    }

private:
    static bool same(const History& one, const History& other) {
        return one.settings == other.settings && one.events == other.events;
    }

    bool late() const { return std::chrono::steady_clock::now() >= until_; }

    bool keep_if_it_fails(const History& candidate) {
        if (late() || same(candidate, best_) || !fails_(candidate)) {
            return false;
        }
        best_ = candidate;
        return true;
    }

    void leave_out_events() {
        for (std::size_t group = std::max<std::size_t>(best_.events.size() / 2, 1); group > 0; group /= 2) {
            // From the end: what came after the mistake is the first to be of no use.
            for (std::size_t end = best_.events.size(); end > 0 && !late();) {
                const std::size_t begin = end > group ? end - group : 0;
                History candidate = best_;
                const auto first = candidate.events.begin();
                candidate.events.erase(first + static_cast<std::ptrdiff_t>(begin),
                                       first + static_cast<std::ptrdiff_t>(end));
                keep_if_it_fails(candidate);
                end = std::min(begin, best_.events.size());
            }
        }
    }

    void plainer_settings() {
        const Settings plain;
        const auto try_with = [&](auto member) {
            History candidate = best_;
            candidate.settings.*member = plain.*member;
            keep_if_it_fails(candidate);
        };
        try_with(&Settings::backends);
        try_with(&Settings::threads);
        try_with(&Settings::strategy);
        try_with(&Settings::client_buffer);
        try_with(&Settings::backend_buffer);
        try_with(&Settings::grace);
    }

    void smaller_amounts() {
        for (std::size_t i = 0; i < best_.events.size(); ++i) {
            for (std::uint64_t amount = 1; amount < best_.events[i].amount; amount *= 16) {
                History candidate = best_;
                candidate.events[i].amount = amount;
                if (keep_if_it_fails(candidate)) {
                    break;
                }
            }
        }
    }

    History best_;
    const Fails& fails_;
    const std::chrono::steady_clock::time_point until_;
};

} // namespace

History shrink(History history, const Fails& fails, std::chrono::milliseconds limit) {
    return Shrinker(std::move(history), fails, limit).run();
}

} // namespace histories
