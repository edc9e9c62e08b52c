// Comparing bytes and saying what is wrong with them.
//
// The diagnosis tries the mistakes that balancers really make, cheapest first, and stays silent rather than
// guess: a wrong diagnosis costs a learner more time than none. Everything is linear in the length except the
// search for a moved block, which looks only for where the unexpected bytes occur in the expected ones, once.
#include "verdict.hpp"

#include <algorithm>
#include <cstdio>
#include <ostream>

namespace harness {
namespace {

std::string escaped(unsigned char byte) {
    switch (byte) {
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\\':
        return "\\\\";
    default:
        break;
    }
    if (byte >= 0x20 && byte < 0x7f)
        return std::string(1, static_cast<char>(byte));
    char text[8];
    std::snprintf(text, sizeof text, "\\x%02x", static_cast<unsigned>(byte));
    return text;
}

std::string bytes_of(std::size_t n) {
    return std::to_string(n) + (n == 1 ? " byte" : " bytes");
}

// A few bytes around `at`, and the column at which the byte `at` is printed.
struct Excerpt {
    std::string text;
    std::size_t caret = 0;
};

Excerpt excerpt(std::string_view bytes, std::size_t at) {
    constexpr std::size_t before = 16;
    constexpr std::size_t after = 24;
    const std::size_t from = at > before ? at - before : 0;
    const std::size_t to = std::min(bytes.size(), at + after);
    Excerpt result;
    result.text = from > 0 ? "…" : "";
    std::size_t column = from > 0 ? 1 : 0; // the ellipsis is three bytes but one column
    for (std::size_t i = from; i < to; ++i) {
        const std::string part = escaped(static_cast<unsigned char>(bytes[i]));
        if (i == at)
            result.caret = column;
        result.text += part;
        column += part.size();
    }
    if (at >= to)
        result.caret = column;
    result.text += to < bytes.size() ? "…" : "  (end)";
    return result;
}

std::string diagnosis(std::string_view expected, std::string_view got, std::size_t at) {
    if (got.empty())
        return "nothing came at all";
    if (at == got.size())
        return "what came is right but the last " + bytes_of(expected.size() - at) +
               " are missing: was the connection closed before everything was written?";
    if (at == expected.size()) {
        const std::string_view extra = got.substr(at);
        if (expected.size() >= extra.size() && expected.substr(expected.size() - extra.size()) == extra)
            return "everything is there, and then the last " + bytes_of(extra.size()) +
                   " came once more: was a part written twice?";
        if (!expected.empty() && extra.substr(0, expected.size()) == expected)
            return "everything came, and then again from the beginning";
        return "everything is there, followed by " + bytes_of(extra.size()) + " too many";
    }

    // Too few distinct bytes to tell where something came from (a run of 'x') would make every guess a lie.
    constexpr std::size_t telling = 12;
    const std::string_view here = got.substr(at, telling);
    if (here.size() < telling || std::all_of(here.begin(), here.end(), [&](char c) { return c == here[0]; }))
        return {};
    const std::size_t home = expected.find(here);
    if (home == std::string_view::npos)
        return "the bytes at the difference occur nowhere in what was expected";
    if (home < at) {
        const std::size_t length = at - home;
        const bool whole_block = got.substr(at, length) == expected.substr(home, length);
        return (whole_block ? "a block came twice: the " + bytes_of(length) + " from offset "
                            : "a part came again: the bytes from offset ") +
               std::to_string(home) + " stand once more at offset " + std::to_string(at) +
               "; was a short write repeated from its beginning?";
    }
    const std::size_t skipped = home - at;
    if (got.size() == expected.size()) {
        const std::string_view missing = expected.substr(at, skipped);
        const std::size_t later = got.find(missing, at);
        if (later != std::string_view::npos)
            return "two blocks changed places: the " + bytes_of(skipped) + " expected at offset " +
                   std::to_string(at) + " came at offset " + std::to_string(later) +
                   "; do two writers share one socket?";
    }
    return bytes_of(skipped) + " are missing at offset " + std::to_string(at) +
           ", after which it goes on: was the rest of a short write dropped?";
}

std::string number_text(double value) {
    char text[64];
    std::snprintf(text, sizeof text, "%.6g", value);
    return text;
}

} // namespace

std::ostream& operator<<(std::ostream& out, const Verdict& verdict) {
    return out << verdict.explanation;
}

std::string printable(std::string_view bytes, std::size_t limit) {
    std::string text = "\"";
    for (const char byte : bytes.substr(0, limit))
        text += byte == '"' ? "\\\"" : escaped(static_cast<unsigned char>(byte));
    text += '"';
    if (bytes.size() > limit)
        text += "… (" + bytes_of(bytes.size()) + " in all)";
    return text;
}

Verdict same_bytes(std::string_view expected, std::string_view got) {
    if (expected == got)
        return Verdict::yes("the same " + bytes_of(expected.size()));
    const auto differ = std::mismatch(expected.begin(), expected.end(), got.begin(), got.end());
    const auto at = static_cast<std::size_t>(differ.first - expected.begin());
    const Excerpt wanted = excerpt(expected, at);
    const Excerpt came = excerpt(got, at);

    std::string text = "the bytes differ from offset " + std::to_string(at) + " on: expected " +
                       bytes_of(expected.size()) + ", got " + bytes_of(got.size()) + "\n" +
                       "  expected: " + wanted.text + "\n" + //
                       "  got:      " + came.text + "\n" + //
                       "            " + std::string(came.caret, ' ') + "^";
    if (const std::string cause = diagnosis(expected, got, at); !cause.empty())
        text += "\n  " + cause;
    return Verdict::no(std::move(text));
}

Verdict is_between(std::string_view what, double value, double low, double high) {
    return {value >= low && value <= high, std::string(what) + " is " + number_text(value) +
                                               ", to be between " + number_text(low) + " and " +
                                               number_text(high)};
}

Verdict is_between(std::string_view what, std::chrono::milliseconds value, std::chrono::milliseconds low,
                   std::chrono::milliseconds high) {
    return {value >= low && value <= high, std::string(what) + " is " + std::to_string(value.count()) +
                                               " ms, to be between " + std::to_string(low.count()) +
                                               " ms and " + std::to_string(high.count()) + " ms"};
}

Verdict contains(std::string_view text, std::string_view part) {
    const bool found = text.find(part) != std::string_view::npos;
    return {found, printable(part) + (found ? " is in " : " is not in ") + printable(text, 2000)};
}

std::string describe(const std::map<std::string, int>& shares) {
    std::string text;
    for (const auto& [name, share] : shares)
        text += (text.empty() ? "" : ", ") + std::to_string(share) + " x " + name;
    return text.empty() ? "none" : text;
}

Verdict equal_shares(const std::map<std::string, int>& shares, int each, std::size_t expected_names) {
    const bool equal =
        std::all_of(shares.begin(), shares.end(), [&](const auto& s) { return s.second == each; });
    const bool complete = expected_names == 0 ? !shares.empty() : shares.size() == expected_names;
    std::string wanted = std::to_string(each) + " each";
    if (expected_names != 0)
        wanted += " for " + std::to_string(expected_names) + " backends";
    return {equal && complete, "shares are " + describe(shares) + "; to be " + wanted};
}

std::string lesson(std::string_view did, std::string_view likely_cause, std::string_view book_section) {
    return "What the test did:  " + std::string(did) + "\n" + //
           "Likely cause:       " + std::string(likely_cause) + "\n" +
           "Read:               " + std::string(book_section);
}

} // namespace harness
