// Asio's implementation, compiled once for the whole project (see project.cmake).
#include <asio/impl/src.hpp>
