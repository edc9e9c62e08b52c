// Names, without asking anybody: the linker puts this in the place of getaddrinfo (ld --wrap), so that a fuzz
// target never goes to the network.
#pragma once

#include <string_view>

namespace fuzz {

/// From now on only names for which this is true resolve, all to 127.0.0.1. At first: what a host can be
/// called, that is letters, digits, and `.-_:%`.
void let_resolve(bool (*name)(std::string_view));

} // namespace fuzz
