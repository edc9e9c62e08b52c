//! [ch04:strategy_interface]
// How the next backend is chosen.
#pragma once

#include "backend.hpp"

#include <memory>
#include <span>
#include <string_view>

namespace harbor {

/// Chooses among backends. To add a strategy, derive from this and give it a name in strategy.cpp; the pool
/// takes any.
class Strategy {
public:
    Strategy() = default;
    virtual ~Strategy() = default;
    Strategy(const Strategy&) = delete;
    Strategy& operator=(const Strategy&) = delete;

    /// One of `candidates`, of which there is at least one; they come in the order of the configuration.
    /// Called by all threads at once: whatever it remembers between calls must be atomic or locked.
    virtual Backend& pick(std::span<Backend* const> candidates) = 0;
};

/// The strategy of that name or alias (see STRATEGY in the contract), or a null pointer when there is none.
std::unique_ptr<Strategy> make_strategy(std::string_view name);

} // namespace harbor
//! [ch04:strategy_interface]
