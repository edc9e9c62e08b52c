// The ways to put load, one function each. They open everything, warm up, measure one window, and end in
// order: what was asked is answered, what was sent is received, and every connection has ended at the backend
// too. Each of these steps has a deadline, and missing it is an error like any other in the report.
#pragma once

#include "backend.hpp"
#include "report.hpp"
#include "run.hpp"

#include <chrono>
#include <functional>

namespace harbor::load {

/// Called with "ready" when everything is connected, and with "done" when all is answered and nothing closed
/// yet.
using Hold = std::function<void(const char*)>;

Report run_ping_pong(Run& run, Backend& backend, const Hold& hold);
Report run_churn(Run& run, Backend& backend);
Report run_idle(Run& run, Backend& backend, const Hold& hold);

/// Bulk, one way or both.
Report run_streams(Run& run, Backend& backend);

/// Long enough for anything that happens at all, even with the cores shared: nothing here waits without an
/// end.
inline constexpr std::chrono::seconds patience{20};

/// Waits until the proxy has closed all its connections to the backend, once the clients have closed theirs.
void await_end(Run& run, Backend& backend);

} // namespace harbor::load
