// What every fuzz target needs: taking the input apart, and saying what is wrong.
//
// A fuzz target is a function of some bytes that must do nothing wrong, whatever they are. libFuzzer makes up
// the bytes, and keeps those that have reached new code (corpus/NAME holds a small set of them). That nothing
// crashes is the least; each target here also knows what has to come out, by a way of its own: fail() ends
// it, and the fuzzer keeps the input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

namespace fuzz {

[[noreturn]] inline void fail(std::string_view what) {
    std::cerr << "FOUND: " << what << std::endl;
    std::abort();
}

inline void expect(bool holds, std::string_view what) {
    if (!holds) {
        fail(what);
    }
}

/// The bytes, taken from the front. Beyond their end everything is zero.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

    bool empty() const { return rest_.empty(); }
    std::string_view rest() const { return rest_; }

    std::uint8_t byte() {
        if (rest_.empty()) {
            return 0;
        }
        const auto first = static_cast<std::uint8_t>(rest_.front());
        rest_.remove_prefix(1);
        return first;
    }
    /// Up to the next zero byte, which goes too, or to the end.
    std::string text() {
        const std::string result(rest_.substr(0, rest_.find('\0')));
        rest_.remove_prefix(std::min(result.size() + 1, rest_.size()));
        return result;
    }

private:
    std::string_view rest_;
};

/// A complaint is one line, and shows nothing but printable ASCII, whatever was in the value.
inline void expect_one_printable_line(std::string_view text) {
    expect(!text.empty(), "the complaint is empty");
    for (const char c : text) {
        expect(c >= ' ' && c <= '~', "a complaint holds what is not printable");
    }
}

} // namespace fuzz
