// What the program is told by its environment.
//
// All of it is read and judged before anything is bound: a balancer that starts with a setting it
// misunderstood fails later, under traffic, and far from the cause. So there are no silent defaults for bad
// values, only for absent ones.
#pragma once

//! [ch03:config_struct]
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace harbor {

/// A host and a port as they were written. An empty host means every address of this machine.
struct Address {
    std::string host;
    std::string port;
};

/// `host:port`, with brackets around an IPv6 host.
std::string to_text(const Address& address);

struct Config {
    Address listen{"", "9090"}; // LB_ADDR
    std::vector<Address> backends; // BACKENDS; never empty
    bool dev_seed = false; // BACKENDS was not set, and LB_ALLOW_DEV_SEED=1 filled it in
    unsigned threads = 1; // LB_THREADS; one a core unless set
};
//! [ch03:config_struct]

/// A setting that cannot be used. The text names the variable, its value and the form expected.
struct ConfigError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Finds a variable's value, or a null pointer; std::getenv in the program, anything else in a test.
using Environment = std::function<const char*(const char* name)>;

/// Reads the whole configuration, or throws ConfigError.
Config read_config(const Environment& environment);

} // namespace harbor
