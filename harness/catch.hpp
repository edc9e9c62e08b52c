/// Catch2, version 2 or 3, under one name: Debian 12 ships version 2, most other systems ship version 3.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
