/// What the conformance suite has besides the harness: a line for the table, and worlds of its own for what
/// cannot be arranged on the machine that everybody shares.
///
/// The suite judges any program that keeps the contract, HAProxy and nginx among them (harness/adapters). So
/// nothing here asks a program for more than its sockets, its signals and its exit status; what only harbor
/// has to show is asked for where it is the subject.
#pragma once

#include <harness/socket.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace conformance {

/// Says in a few words what came, for the table's cell of a program that does not do as the test asks. Call
/// it before the assertion.
void measured(std::string_view what);

/// Throws a Failure: this test needs `what`, and the system has just refused it, for the reason in errno.
[[noreturn]] void refused(const std::string& what);

/// `1000 of 8192 bytes, then FIN`
std::string in_short(const harness::Received& received, std::size_t of);
std::string in_short(harness::Ending ending);

/// A network that belongs to the calling thread, and to the threads and processes that it starts from now on:
/// loopback only, and all its limits as the system sets them at the start. Ends with the object. Linux, and
/// root, or the right to make namespaces; throws Failure where that is missing.
class OwnNetwork {
public:
    OwnNetwork();
    ~OwnNetwork();
    OwnNetwork(const OwnNetwork&) = delete;
    OwnNetwork& operator=(const OwnNetwork&) = delete;

    /// Writes `/proc/sys/net/NAME`. Throws Failure.
    static void set(const std::string& name, const std::string& value);
    /// How many connections have found a listener's queue full.
    static std::uint64_t queue_overflows();

private:
    int before_ = -1;
};

/// A file of names that only one program takes for /etc/hosts.
class HostNames {
public:
    /// Lines as in /etc/hosts: an address and a name. Throws Failure.
    explicit HostNames(const std::string& lines);
    ~HostNames();
    HostNames(const HostNames&) = delete;
    HostNames& operator=(const HostNames&) = delete;

    /// The program under test, seeing these names: for Program::Options::path.
    std::string program() const;
    /// From now on these.
    void change(const std::string& lines) const;

private:
    std::string folder_;
};

} // namespace conformance
