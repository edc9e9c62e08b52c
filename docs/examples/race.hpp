// What examples that race one coroutine against another include: prelude=race.
#include <asio.hpp>
#include <asio/experimental/awaitable_operators.hpp>

#include <array>
#include <chrono>

using asio::experimental::awaitable_operators::operator||;
