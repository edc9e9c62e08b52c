// What the examples of the pages include when they say prelude=asio.
#include <asio.hpp>

#include <utility>
