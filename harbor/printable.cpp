// Only ASCII passes as it is. UTF-8 would need a decoder to tell letters from control characters (U+0085 and
// U+2028 end lines too), and host names are ASCII on the wire in any case.
#include "printable.hpp"

namespace harbor {

std::string printable(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string result;
    result.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\\') {
            result += "\\\\";
        } else if (byte >= 0x20 && byte < 0x7f) {
            result += c;
        } else if (c == '\n') {
            result += "\\n";
        } else if (c == '\r') {
            result += "\\r";
        } else if (c == '\t') {
            result += "\\t";
        } else {
            result.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
        }
    }
    return result;
}

} // namespace harbor
