// JSON is written by hand: a line has at most ten members, and a library would be the harness's only one.
//
// One write(2) a line, without a buffer of ours: when the test is killed, what has been recorded is in the
// file.
#include "recorder.hpp"
#include "verdict.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace harness {
namespace {

// `The late answer (of B)` → `the-late-answer-of-b`
std::string as_file_name(std::string_view text) {
    constexpr std::size_t longest = 160; // most file systems allow 255 bytes for all of the name
    std::string name;
    for (const char c : text.substr(0, longest)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80 && std::isalnum(byte) != 0)
            name += static_cast<char>(std::tolower(byte));
        else if (c == '_')
            name += c;
        else if (!name.empty() && name.back() != '-')
            name += '-';
    }
    while (!name.empty() && name.back() == '-')
        name.pop_back();
    return name.empty() ? "unnamed" : name;
}

// How many bytes the UTF-8 character at the beginning of `text` has; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xc2 && lead < 0xe0 ? 2
                               : lead >= 0xe0 && lead < 0xf0 ? 3
                               : lead >= 0xf0 && lead < 0xf5 ? 4
                                                             : 0;
    if (length > text.size())
        return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80)
            return 0;
    return length;
}

// What a program prints may be anything; what is not UTF-8 becomes the replacement character.
void add_json_string(std::string& line, std::string_view text) {
    line += '"';
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) {
            line += "\\ufffd";
        } else if (text[0] == '"' || text[0] == '\\') {
            line += '\\';
            line += text[0];
        } else if (static_cast<unsigned char>(text[0]) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(text[0]));
            line += escape;
        } else {
            line += text.substr(0, length);
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    line += '"';
}

// `STEM.PID.jsonl` or `STEM.PID-RUN.svg` of a process that is gone: nobody else would ever remove it, and it
// tells of a test as it was before it was run again.
bool is_left_over(const std::string& file, const std::string& stem) {
    if (!file.starts_with(stem + '.'))
        return false;
    const char* const from = file.data() + stem.size() + 1;
    int pid = 0;
    const auto [end, error] = std::from_chars(from, file.data() + file.size(), pid);
    if (error != std::errc{} || end == file.data() + file.size() || (*end != '.' && *end != '-'))
        return false;
    return pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
}

} // namespace

Recorder::Recorder(std::string folder, bool keep_passed)
    : folder_(std::move(folder)), keep_passed_(keep_passed) {}

Recorder::~Recorder() {
    if (fd_ >= 0)
        ::close(fd_);
}

void Recorder::begin(std::string_view executable, std::string_view test) {
    {
        const std::lock_guard lock(mutex_);
        const std::string stem = as_file_name(executable) + '.' + as_file_name(test);
        run_ = stem == stem_ ? run_ + 1 : 1;
        stem_ = stem;

        std::error_code error;
        std::filesystem::create_directories(folder_, error);
        if (run_ == 1)
            for (const auto& entry : std::filesystem::directory_iterator(folder_, error))
                if (is_left_over(entry.path().filename().string(), stem))
                    std::filesystem::remove(entry.path(), error);

        path_ = folder_ + '/' + stem + '.' + std::to_string(::getpid()) +
                (run_ > 1 ? '-' + std::to_string(run_) : "") + ".jsonl";
        if (fd_ >= 0)
            ::close(fd_);
        fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
        if (fd_ < 0)
            throw Failure("HARBOR_TRACE=" + folder_ + " is to be a folder for the records of tests, but " +
                          path_ + " cannot be written: " + std::generic_category().message(errno));
        began_ = Clock::now();
    }
    write("the test", "begins",
          {{"version", 1}, {"executable", executable}, {"test", test}, {"pid", ::getpid()}});
}

void Recorder::write(std::string_view who, std::string_view what, std::initializer_list<Fact> facts,
                     Clock::time_point at) {
    std::string line = ",\"who\":";
    add_json_string(line, who);
    line += ",\"what\":";
    add_json_string(line, what);
    for (const Fact& fact : facts) {
        line += ',';
        add_json_string(line, fact.name);
        line += ':';
        if (fact.is_number)
            line += std::to_string(fact.number);
        else
            add_json_string(line, fact.text);
    }
    // While an exception is on its way, what happens is not the test any more but the end of its objects.
    if (std::uncaught_exceptions() > 0)
        line += ",\"unwinding\":1";
    line += "}\n";

    const std::lock_guard lock(mutex_);
    if (fd_ < 0)
        return;
    // Never before the beginning: a thread may have taken its stamp just before the test began.
    const Clock::time_point when = std::max(at == Clock::time_point{} ? Clock::now() : at, began_);
    char time[48];
    std::snprintf(time, sizeof time, "{\"t\":%.6f", std::chrono::duration<double>(when - began_).count());
    line.insert(0, time);
    // In one piece or, on a full disk, not at all: a record must not make a test fail.
    [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
}

void Recorder::end(bool failed) {
    write("the test", "ends", {{"outcome", failed ? "failed" : "passed"}});
    const std::lock_guard lock(mutex_);
    if (fd_ < 0)
        return;
    ::close(fd_);
    fd_ = -1;
    if (!failed && !keep_passed_) {
        std::error_code error;
        std::filesystem::remove(path_, error);
    }
}

std::string Recorder::path() const {
    const std::lock_guard lock(mutex_);
    return path_;
}

Recorder* recorder() {
    static const std::unique_ptr<Recorder> instance = []() -> std::unique_ptr<Recorder> {
        const char* const folder = std::getenv("HARBOR_TRACE");
        if (folder == nullptr || *folder == '\0')
            return nullptr;
        const char* const keep = std::getenv("HARBOR_TRACE_KEEP");
        return std::make_unique<Recorder>(folder, keep != nullptr && std::string_view(keep) == "1");
    }();
    return instance.get();
}

} // namespace harness
