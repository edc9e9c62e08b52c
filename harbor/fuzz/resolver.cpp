#include "resolver.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

namespace fuzz {

namespace {

bool is_host_name(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view(".-_:%").find(c) != std::string_view::npos;
    });
}

bool (*resolves)(std::string_view) = is_host_name;

struct Result {
    addrinfo info;
    sockaddr_in address;
};

} // namespace

void let_resolve(bool (*name)(std::string_view)) {
    resolves = name;
}

extern "C" {
int wrapped_getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) __asm__("__wrap_getaddrinfo");
void wrapped_freeaddrinfo(addrinfo*) __asm__("__wrap_freeaddrinfo");
}

int wrapped_getaddrinfo(const char* name, const char* port, const addrinfo*, addrinfo** results) {
    if (name == nullptr || !resolves(name)) {
        return EAI_NONAME;
    }
    auto* result = new Result{};
    result->address.sin_family = AF_INET;
    result->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    result->address.sin_port = htons(static_cast<std::uint16_t>(std::strtoul(port, nullptr, 10)));
    result->info.ai_family = AF_INET;
    result->info.ai_socktype = SOCK_STREAM;
    result->info.ai_addr = reinterpret_cast<sockaddr*>(&result->address);
    result->info.ai_addrlen = sizeof result->address;
    *results = &result->info;
    return 0;
}

void wrapped_freeaddrinfo(addrinfo* results) {
    delete reinterpret_cast<Result*>(results); // its first member
}

} // namespace fuzz
