// Asio's implementation, compiled once for the whole project (see project.cmake).
#include <asio/impl/src.hpp>

#if defined(__SANITIZE_THREAD__)
#include <unistd.h>

namespace {

// ThreadSanitizer holds a signal back until the thread it came to makes its next call. What it needs for that
// it allocates at the thread's first call that may block, and GCC 12's runtime loses a signal that comes in
// the middle of it (SigCtx() in tsan_interceptors_posix.cpp; later ones exchange the pointer atomically). A
// test that sends SIGTERM as soon as it reads "listening on" then waits for ever. So the first such call is
// made here, before there is anybody to send a signal.
const int first_blocking_call = ::usleep(0);

} // namespace
#endif
