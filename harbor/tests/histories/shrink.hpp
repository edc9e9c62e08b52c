/// Makes a failing history short.
#pragma once

#include "history.hpp"

#include <chrono>
#include <functional>

namespace histories {

/// True when a history still differs from the contract.
using Fails = std::function<bool(const History&)>;

/// The shortest failing history found until `limit` is over: by leaving out events, in ever smaller groups,
/// then by sending less and by plainer settings. (Delta debugging: A. Zeller and R. Hildebrandt, "Simplifying
/// and Isolating Failure-Inducing Input", IEEE Transactions on Software Engineering 28(2), 2002.)
History shrink(History history, const Fails& fails, std::chrono::milliseconds limit);

} // namespace histories
