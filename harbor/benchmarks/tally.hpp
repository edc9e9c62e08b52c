// What happened, counted: the one place that clients, backend and modes report to.
#pragma once

#include "histogram.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace harbor::load {

struct Tally {
    std::uint64_t requests = 0; // whole and correct answers
    std::uint64_t bytes = 0; // received and correct, at either end
    std::uint64_t wrong_bytes = 0; // received, but not what was sent
    std::uint64_t missing_bytes = 0; // sent but not received when the connection had ended
    std::map<std::string, std::uint64_t> errors; // by what happened; anything but a whole, orderly connection
    std::string first_wrong; // where the first wrong byte was
    Histogram latency; // of the requests inside the measured window

    void error(const std::string& what, std::uint64_t times = 1) { errors[what] += times; }

    void wrong(std::uint32_t connection, std::uint64_t position, std::uint64_t bytes_wrong) {
        wrong_bytes += bytes_wrong;
        if (first_wrong.empty()) {
            first_wrong = "connection " + std::to_string(connection) + ", piece that ends at byte " +
                          std::to_string(position);
        }
    }

    std::uint64_t error_count() const {
        std::uint64_t sum = 0;
        for (const auto& [what, times] : errors) {
            sum += times;
        }
        return sum;
    }
};

} // namespace harbor::load
