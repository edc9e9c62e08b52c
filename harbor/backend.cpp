// Names become addresses here, once, before the first client: a name that does not resolve is a mistake in
// the configuration, and the best moment to say so is the start. The price: a record that changes later goes
// unnoticed until a restart.
#include "backend.hpp"

#include <asio/io_context.hpp>

#include <system_error>

namespace harbor {

using asio::ip::tcp;

Endpoints resolve(const Address& address) {
    asio::io_context context;
    tcp::resolver resolver(context);
    asio::error_code error;
    const auto results =
        resolver.resolve(address.host.empty() ? "0.0.0.0" : address.host, address.port, error);
    if (error) {
        throw std::system_error(error, "'" + to_text(address) + "' does not resolve");
    }
    return {results.begin(), results.end()};
}

namespace {

Endpoints resolve_backend(const Address& address) {
    try {
        return resolve(address);
    } catch (const std::system_error& failure) {
        throw ConfigError(std::string("BACKENDS: ") + failure.what());
    }
}

} // namespace

Backend::Backend(const Address& address) : name(to_text(address)), endpoints(resolve_backend(address)) {}

} // namespace harbor
