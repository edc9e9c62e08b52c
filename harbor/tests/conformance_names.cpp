// Host names: what a name stands for, and what may change behind it. Each program sees a hosts file of its
// own.
#include "conformance.hpp"

#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/program.hpp>

#include <string>

using namespace harness;
using conformance::HostNames;
using conformance::measured;

namespace {

Backend at(const std::string& host) {
    Backend::Options options;
    options.host = host;
    return Backend(behave::echo_with_greeting("served"), options);
}

Program start(const HostNames& names, const std::string& backend) {
    Program::Options options;
    options.path = names.program();
    return Program({{"BACKENDS", backend}}, options);
}

int served_of_ten(const Program& program) {
    int served = 0;
    for (int i = 0; i < 10; ++i) {
        Client client = program.connect();
        try {
            served += client.receive_line() == "served" ? 1 : 0;
        } catch (const Failure&) { // NOLINT(bugprone-empty-catch): who is not served is not counted
        }
    }
    measured(std::to_string(served) + " of 10 served");
    return served;
}

} // namespace

TEST_CASE("a name with two addresses is reached at the one that answers", "[namespace]") {
    INFO(lesson("the backend's name stood for two addresses; nobody listened at the first",
                "only the first address is tried", "chapter 02, Dialling"));
    const Backend backend = at("127.0.0.3");
    const HostNames names("127.0.0.2 both.test\n127.0.0.3 both.test\n");
    const Program harbor = start(names, "both.test:" + std::to_string(backend.endpoint().port));

    REQUIRE(served_of_ten(harbor) == 10);
}

TEST_CASE("a name with addresses of both kinds is reached at the one that answers", "[namespace]") {
    INFO(lesson("the backend's name stood for ::1 and for 127.0.0.3; it listened at the latter",
                "only one kind of address is looked up or tried", "chapter 02, Dialling"));
    const Backend backend = at("127.0.0.3");
    const HostNames names("::1 both.test\n127.0.0.3 both.test\n");
    const Program harbor = start(names, "both.test:" + std::to_string(backend.endpoint().port));

    REQUIRE(served_of_ten(harbor) == 10);
}

TEST_CASE("a name that resolves no more is served as before", "[namespace]") {
    INFO(lesson("the backend's name was looked up at the start, and then it was gone from the hosts file",
                "each dial looks the name up again, and fails or waits with it", "chapter 02, Dialling"));
    const Backend backend = at("127.0.0.3");
    const HostNames names("127.0.0.3 gone.test\n");
    const Program harbor = start(names, "gone.test:" + std::to_string(backend.endpoint().port));

    names.change("127.0.0.1 localhost\n");

    REQUIRE(served_of_ten(harbor) == 10);
}
