// The only file that is compiled anew when the version changes: HARBOR_VERSION is defined for it alone.
#include "version.hpp"

#include <CLI/Version.hpp>
#include <asio/version.hpp>
#include <spdlog/version.h>

#ifndef HARBOR_VERSION
#error "HARBOR_VERSION is to be defined by the build, from CMake's PROJECT_VERSION"
#endif

namespace harbor {

namespace {

std::string dotted(int major, int minor, int patch) {
    return std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(patch);
}

} // namespace

std::string_view version() {
    return HARBOR_VERSION;
}

std::string compiler() {
#if defined(__clang__)
    return "clang " + dotted(__clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    return "GCC " + dotted(__GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

std::string asio_version() {
    // Asio packs its version as major * 100000 + minor * 100 + patch.
    return dotted(ASIO_VERSION / 100000, ASIO_VERSION / 100 % 1000, ASIO_VERSION % 100);
}

std::string version_text() {
    return "harbor " + std::string(version()) + "\ncompiled with " + compiler() + ", Asio " + asio_version() +
           ", spdlog " + dotted(SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH) + ", CLI11 " +
           CLI11_VERSION + '\n';
}

} // namespace harbor
