//! [ch02:backend_head]
// Names become addresses here, once, before the first client: a name that does not resolve is a mistake in
// the configuration, and the best moment to say so is the start. The price: a record that changes later goes
// unnoticed until a restart.
#include "backend.hpp"

#include <asio/io_context.hpp>

#include <string>

namespace harbor {

using asio::ip::tcp;
//! [ch02:backend_head]

//! [ch02:resolve]
Endpoints resolve(const Address& address, std::string_view variable) {
    asio::io_context context;
    tcp::resolver resolver(context);
    asio::error_code error;
    const auto results =
        resolver.resolve(address.host.empty() ? "0.0.0.0" : address.host, address.port, error);
    if (error) {
        throw ConfigError(std::string(variable) + ": '" + to_text(address) +
                          "' does not resolve: " + error.message());
    }
    return {results.begin(), results.end()};
}
//! [ch02:resolve]

//! [ch02:backend_made]
Backend::Backend(const Address& address) : name(to_text(address)), endpoints(resolve(address, "BACKENDS")) {}

} // namespace harbor
//! [ch02:backend_made]
