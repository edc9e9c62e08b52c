// Text from elsewhere, made fit for one line of text.
//
// Names and values come from users, from DNS and from peers. Printed as they are, a line end in one of them
// forges a line of the log, and an escape sequence rewrites the terminal of whoever reads it. So whatever did
// not come from this program's own source goes through here before it is printed.
#pragma once

#include <string>
#include <string_view>

namespace harbor {

/// `text` with everything but printable ASCII escaped, as `\n`, `\r`, `\t` or `\x1b`; a backslash is doubled,
/// so that the escaped form stands for one text only.
std::string printable(std::string_view text);

} // namespace harbor
