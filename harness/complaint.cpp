// Two lists under one lock. They are function-local statics, so that a Process with static storage duration
// in a test can still file something while the program ends.
#include "complaint.hpp"

#include <mutex>
#include <utility>

namespace harness {
namespace {

struct Office {
    std::mutex mutex;
    std::vector<std::string> complaints;
    std::vector<std::string> papers;
    bool taken = false;
};

Office& office() {
    static Office instance;
    return instance;
}

} // namespace

void complain(std::string text) {
    const std::lock_guard lock(office().mutex);
    office().complaints.push_back(std::move(text));
}

std::vector<std::string> take_complaints() {
    const std::lock_guard lock(office().mutex);
    return std::exchange(office().complaints, {});
}

void file_paper(std::string text) {
    const std::lock_guard lock(office().mutex);
    office().papers.push_back(std::move(text));
}

std::vector<std::string> take_papers() {
    const std::lock_guard lock(office().mutex);
    return std::exchange(office().papers, {});
}

void papers_will_be_taken(bool taken) {
    const std::lock_guard lock(office().mutex);
    office().taken = taken;
}

bool papers_are_taken() {
    const std::lock_guard lock(office().mutex);
    return office().taken;
}

} // namespace harness
