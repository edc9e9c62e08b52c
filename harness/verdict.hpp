/// Verdicts: the answer to "is it as it should be?" together with an explanation a learner can use.
///
/// A bare `REQUIRE(expected == got)` prints both values, which says nothing when they are 64 KiB each. A
/// Verdict carries its own explanation and prints it, so `REQUIRE(same_bytes(expected, got))` shows where the
/// first wrong byte is and what probably happened to it. The alternative, matchers of the test framework,
/// differ between its versions and would tie the whole harness to it.
///
/// Everything here is free of shared state and may be used from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

namespace harness {

/// Thrown when the exchange itself breaks down: a deadline passed, a connection was refused, a program would
/// not start. The text is written for whoever reads the failing test.
class Failure : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Yes or no, and why. Converts to bool only where a condition is asked for.
struct Verdict {
    bool ok = false;
    std::string explanation;

    explicit operator bool() const { return ok; }

    static Verdict yes(std::string explanation) { return {true, std::move(explanation)}; }
    static Verdict no(std::string explanation) { return {false, std::move(explanation)}; }
};

std::ostream& operator<<(std::ostream& out, const Verdict& verdict);

/// The first `limit` bytes with everything that is not printable ASCII escaped (`\n`, `\x00`), in quotes,
/// with a note of how much was left out.
std::string printable(std::string_view bytes, std::size_t limit = 200);

/// Are these the same bytes? If not, the explanation gives both lengths, the offset of the first difference,
/// both excerpts with a caret under it, and the typical mistake where it can be recognised: the end is
/// missing, something came twice, two blocks changed places.
Verdict same_bytes(std::string_view expected, std::string_view got);

/// low <= value <= high.
Verdict is_between(std::string_view what, double value, double low, double high);
/// The same for durations; prints milliseconds.
Verdict is_between(std::string_view what, std::chrono::milliseconds value, std::chrono::milliseconds low,
                   std::chrono::milliseconds high);

/// Does `text` contain `part`? The explanation shows the text.
Verdict contains(std::string_view text, std::string_view part);

/// Does every entry of `shares` equal `each`, and are there `expected_names` of them (0 = do not care)?
Verdict equal_shares(const std::map<std::string, int>& shares, int each, std::size_t expected_names = 0);

/// `3 x A, 3 x B`: for messages.
std::string describe(const std::map<std::string, int>& shares);

/// Three lines for Catch's INFO: what the test did, the likely cause when it fails, and where to read about
/// it.
///
///     INFO(lesson("the client half-closed, then waited for the answer",
///                 "the proxy closed both directions at the first end of stream",
///                 "chapter 02, Half-close by half-close"));
std::string lesson(std::string_view did, std::string_view likely_cause, std::string_view book_section);

} // namespace harness
