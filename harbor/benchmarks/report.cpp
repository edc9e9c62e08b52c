#include "report.hpp"

#include <array>
#include <charconv>

namespace harbor::load {

namespace {

/// What is quoted here, names and the texts of errno, has no control characters: quotes and backslashes are
/// all to escape.
std::string quoted(std::string_view text) {
    std::string result = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') {
            result += '\\';
        }
        result += letter;
    }
    return result + '"';
}

} // namespace

void Report::add(std::string_view name, std::string_view value) {
    if (!members_.empty()) {
        members_ += ", ";
    }
    members_ += quoted(name);
    members_ += ": ";
    members_ += value;
}

void Report::text(std::string_view name, std::string_view value) {
    add(name, quoted(value));
}

void Report::count(std::string_view name, std::uint64_t value) {
    add(name, std::to_string(value));
}

void Report::number(std::string_view name, double value) {
    // Not printf: it would write the decimal point of the user's locale.
    std::array<char, 64> digits{};
    const auto [end, error] =
        std::to_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed, 6);
    add(name, error == std::errc{} ? std::string_view(digits.data(), end) : std::string_view("null"));
}

void Report::counts(std::string_view name, const std::map<std::string, std::uint64_t>& values) {
    Report inner;
    for (const auto& [what, times] : values) {
        inner.count(what, times);
    }
    add(name, inner.json());
}

} // namespace harbor::load
