// The one JSON object that the load generator prints: flat, numbers and texts, in the order in which they
// were added.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace harbor::load {

class Report {
public:
    void text(std::string_view name, std::string_view value);
    void count(std::string_view name, std::uint64_t value);
    void number(std::string_view name, double value);
    void counts(std::string_view name, const std::map<std::string, std::uint64_t>& values);

    /// The object, in one line.
    std::string json() const { return "{" + members_ + "}"; }

private:
    void add(std::string_view name, std::string_view value);

    std::string members_;
};

} // namespace harbor::load
