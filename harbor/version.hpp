// Which program this is: for --version, and for the metric that tells a fleet's versions apart.
//
// The version is the one that CMake's project() states, and not what git says at build time: the same sources
// give the same program, from a checkout, a tarball, or a copy.
#pragma once

#include <string>
#include <string_view>

namespace harbor {

/// `0.1.0`
std::string_view version();

/// `GCC 12.2.0`
std::string compiler();

/// `1.22.1`
std::string asio_version();

/// Everything above, as --version prints it: several lines, the first of them `harbor VERSION`.
std::string version_text();

} // namespace harbor
