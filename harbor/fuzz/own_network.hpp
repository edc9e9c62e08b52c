// A network namespace with nothing in it but a loopback interface.
#pragma once

namespace fuzz {

/// Moves this process into a network of its own. Thousands of connections a second leave ports behind that
/// nobody may use for a minute (TIME_WAIT), and everybody else on this machine would miss them. Says on
/// standard error when the system does not allow it, and stays where it is.
void use_own_network();

} // namespace fuzz
