// --check: everything that can be known about a configuration without serving with it.
#pragma once

#include "options.hpp"

#include <string>

namespace harbor {

/// The settings in force, one a line: `name = value  (from flag|environment|default)`, and below the backends
/// what their names stand for. Looks all names up, which may block while DNS is asked; binds nothing.
///
/// Throws ConfigError for a value that cannot be used or a name that does not resolve.
std::string check(const Options& options, const Environment& environment);

} // namespace harbor
