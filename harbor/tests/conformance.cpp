#include "conformance.hpp"
#include "loopback.hpp"

#include <harness/program.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <system_error>

namespace conformance {

using harness::Ending;
using harness::Failure;

namespace {

namespace fs = std::filesystem;

void write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file) {
        throw Failure("cannot write " + path);
    }
}

} // namespace

void refused(const std::string& what) {
    throw Failure("this test needs " + what +
                  ", and the system refuses: " + std::generic_category().message(errno) +
                  ". Run it as root, or leave it out with ctest -LE namespace");
}

void measured(std::string_view what) {
    std::cout << "measured: " << what << '\n' << std::flush;
}

std::string in_short(Ending ending) {
    switch (ending) {
    case Ending::end_of_stream:
        return "FIN";
    case Ending::reset:
        return "RST";
    case Ending::silence:
        break;
    }
    return "no end";
}

std::string in_short(const harness::Received& received, std::size_t of) {
    return std::to_string(received.bytes.size()) + " of " + std::to_string(of) + " bytes, then " +
           in_short(received.ending);
}

OwnNetwork::OwnNetwork() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    if (before_ < 0 || ::unshare(CLONE_NEWNET) < 0) {
        refused("a network namespace of its own");
    }
    if (!bring_loopback_up()) {
        refused("a loopback interface");
    }
}

OwnNetwork::~OwnNetwork() {
    ::setns(before_, CLONE_NEWNET);
    ::close(before_);
}

void OwnNetwork::set(const std::string& name, const std::string& value) {
    write_file("/proc/sys/net/" + name, value);
}

std::uint64_t OwnNetwork::queue_overflows() {
    // Two lines, names and values: `TcpExt: SyncookiesSent … ListenOverflows …`
    std::ifstream file("/proc/thread-self/net/netstat");
    std::string names;
    std::string values;
    while (std::getline(file, names) && std::getline(file, values)) {
        std::istringstream name_of(names);
        std::istringstream value_of(values);
        std::string name;
        std::string value;
        while (name_of >> name && value_of >> value) {
            if (name == "ListenOverflows") {
                return std::stoull(value);
            }
        }
    }
    throw Failure("/proc/net/netstat says nothing of ListenOverflows");
}

HostNames::HostNames(const std::string& lines) {
    std::string folder = (fs::temp_directory_path() / "harbor-names-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) {
        refused("a folder for temporary files");
    }
    folder_ = folder;
    change(lines);
    // A mount namespace of the program's own, in which another file lies over /etc/hosts.
    write_file(program(),
               "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind \"$1\" /etc/hosts && exec \"$2\"' sh \"" +
                   folder_ + "/hosts\" \"" + fs::absolute(harness::program_under_test()).string() + "\"\n");
    ::chmod(program().c_str(), 0700);
    if (std::system("unshare --mount true") != 0) { // NOLINT: a fixed command
        refused("a mount namespace for the program");
    }
}

HostNames::~HostNames() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

std::string HostNames::program() const {
    return folder_ + "/program";
}

void HostNames::change(const std::string& lines) const {
    write_file(folder_ + "/hosts", lines);
}

} // namespace conformance
