// Whose turn it is: clients go to the backends one after the other, in the order of the list, and round
// again.
//
// Round-robin is the one strategy whose outcome can be predicted to the last client, so these tests ask for
// exact numbers. "About a third each" would also be met by chance, and a turn that is lost now and then,
// which is how a careless counter fails, would never be noticed. Which backend comes first is nobody's
// business: after a restart it may be any, so the order is checked as a circle.
#include <harness/backend.hpp>
#include <harness/catch.hpp>
#include <harness/echo_servers.hpp>
#include <harness/program.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

using namespace harness;

namespace {

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) {
        text += (text.empty() ? "" : " ") + name;
    }
    return text;
}

/// Each in `came` is followed by the next of `order`, and the last of `order` by its first.
Verdict in_turn(const std::vector<std::string>& came, const std::vector<std::string>& order) {
    for (std::size_t i = 0; i + 1 < came.size(); ++i) {
        const auto place = std::find(order.begin(), order.end(), came[i]);
        if (place == order.end()) {
            return Verdict::no("'" + came[i] + "' is not one of " + joined(order));
        }
        const std::string& next = place + 1 == order.end() ? order.front() : *(place + 1);
        if (came[i + 1] != next) {
            return Verdict::no("after " + came[i] + " came " + came[i + 1] + ", to be " + next +
                               "; all of them: " + joined(came));
        }
    }
    return Verdict::yes("they came in turn: " + joined(came));
}

/// Whom `count` clients were sent to, one after the other.
std::vector<std::string> who_greets(const Endpoint& endpoint, std::size_t count) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) {
        names.push_back(greeting(endpoint));
    }
    return names;
}

/// An odd number of names in an order that a pool which sorts its backends does not keep, whatever ports the
/// system has given them: every second one, going round twice. Two are always in order.
std::vector<std::string> unsorted(std::vector<std::string> names, const EchoServers& servers) {
    std::sort(names.begin(), names.end(),
              [&](const auto& a, const auto& b) { return servers.address(a) < servers.address(b); });
    std::vector<std::string> order;
    for (std::size_t i = 0; i < names.size(); ++i) {
        order.push_back(names[names.size() == 2 ? i : 2 * i % names.size()]);
    }
    return order;
}

/// Ten rounds over echo servers of these names.
void require_exact_turns(const std::vector<std::string>& names) {
    constexpr int rounds = 10;
    EchoServers servers(names);
    const std::vector<std::string> order = unsorted(names, servers);
    std::string list;
    for (const std::string& name : order) {
        list += (list.empty() ? "" : ",") + servers.address(name);
    }
    INFO("BACKENDS was " << list << ", with the names " << joined(order));
    Program harbor({{"BACKENDS", list}});

    const std::vector<std::string> came = who_greets(harbor.endpoint(), rounds * order.size());

    std::map<std::string, int> counted;
    for (const std::string& name : came) {
        ++counted[name];
    }
    REQUIRE(equal_shares(counted, rounds, order.size()));
    REQUIRE(in_turn(came, order));
}

constexpr std::string_view did =
    "clients came one after the other, ten for each backend, and were told by whom "
    "they were served";
constexpr std::string_view cause =
    "the choice is random, or the turn is taken modulo the wrong number, or counted "
    "separately by each thread, or the pool keeps the backends in another order than the list";

} // namespace

TEST_CASE("two backends are taken in turn and share exactly") {
    INFO(lesson(did, cause, "chapter 03, Taking turns"));
    require_exact_turns({"A", "B"});
}

TEST_CASE("three backends are taken in turn and share exactly") {
    INFO(lesson(did, cause, "chapter 03, Taking turns"));
    require_exact_turns({"A", "B", "C"});
}

TEST_CASE("five backends are taken in turn and share exactly") {
    INFO(lesson(did, cause, "chapter 03, Taking turns"));
    require_exact_turns({"A", "B", "C", "D", "E"});
}

TEST_CASE("a connection stays with its backend while the turns go on") {
    INFO(lesson("one client stayed connected and spoke again after six others had come and gone",
                "the backend is picked for each piece of data instead of once for each connection",
                "chapter 03, Taking turns"));
    Backend a(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    Backend c(behave::echo_with_greeting("C"));
    Program harbor({{"BACKENDS", addresses({&a, &b, &c})}});

    Client faithful = harbor.connect();
    std::vector<std::string> came = {faithful.receive_line()};
    Backend& its_backend = came.front() == "A" ? a : came.front() == "B" ? b : c;
    std::string said;
    for (int i = 0; i < 6; ++i) {
        // Between any two of the others, so that a turn taken for a piece of data would show in the order
        // too.
        faithful.send("word ");
        said += "word ";
        REQUIRE(same_bytes("word ", faithful.receive(5)));
        came.push_back(greeting(harbor.endpoint()));
    }

    REQUIRE(in_turn(came, {"A", "B", "C"}));
    REQUIRE(its_backend.saw_bytes(1, said));
}

TEST_CASE("a busy backend keeps its turns") {
    INFO(lesson("nine clients came and all stayed connected",
                "a backend with an open connection is passed over; round-robin does not look at the load",
                "chapter 03, Taking turns"));
    Backend a(behave::echo_with_greeting("A"));
    Backend b(behave::echo_with_greeting("B"));
    Backend c(behave::echo_with_greeting("C"));
    Program harbor({{"BACKENDS", addresses({&a, &b, &c})}});

    std::vector<Client> clients;
    std::vector<std::string> came;
    for (int i = 0; i < 9; ++i) {
        clients.push_back(harbor.connect());
        came.push_back(clients.back().receive_line());
    }

    REQUIRE(in_turn(came, {"A", "B", "C"}));
    REQUIRE(a.open_connections() == 3);
    REQUIRE(b.open_connections() == 3);
    REQUIRE(c.open_connections() == 3);
}

TEST_CASE("a backend that refuses costs the others no turn") {
    INFO(lesson(
        "one of three backends refused, and nine clients came",
        "the first dial that failed ended the program or its accept loop, or the turn stayed at the backend "
        "that refuses",
        "chapter 03, Taking turns"));
    Backend a(behave::echo_with_greeting("A"));
    Backend down = Backend::refusing();
    Backend c(behave::echo_with_greeting("C"));
    Program harbor({{"BACKENDS", addresses({&a, &down, &c})}});

    std::map<std::string, int> counted;
    for (int i = 0; i < 9; ++i) {
        Client client = harbor.connect();
        client.half_close();
        const Received received = client.receive_until_end();
        REQUIRE(received.ending != Ending::silence);
        ++counted[received.bytes];
    }

    // From chapter 05 on those whose turn it was at the refusing one are served by another, so it may be
    // more.
    INFO("served by: " << describe(counted));
    REQUIRE(counted["A\n"] >= 3);
    REQUIRE(counted["C\n"] >= 3);
    REQUIRE(down.connection_count() == 0);
}

TEST_CASE("a list may mix addresses of both kinds") {
    INFO(lesson(
        "one backend was listed as 127.0.0.1:PORT and one as [::1]:PORT",
        "the list is split at the colons inside the brackets, or all backends are dialled with the kind of "
        "socket that fits the first",
        "chapter 03, A list of backends"));
    Backend::Options options;
    options.host = "::1";
    try {
        const Backend probe(behave::echo(), options);
    } catch (const Failure&) {
        options.host = "127.0.0.1"; // a machine without IPv6: the test is then one of two backends, no more
    }
    Backend v4(behave::echo_with_greeting("v4"));
    Backend v6(behave::echo_with_greeting("v6"), options);
    Program harbor({{"BACKENDS", addresses({&v4, &v6})}});

    const std::vector<std::string> came = who_greets(harbor.endpoint(), 6);

    REQUIRE(in_turn(came, {"v4", "v6"}));
}
