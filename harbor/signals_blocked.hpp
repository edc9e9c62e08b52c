// Threads that no signal interrupts.
#pragma once

#include <csignal>

namespace harbor {

/// While it lives the calling thread takes no signal, and a thread that is started meanwhile takes none for
/// all of its life: a thread gets its signal mask from the one that starts it (man 7 signal). So SIGTERM is
/// always the control thread's business, no system call of the others ends early with EINTR, and a pipe that
/// has lost its reader gives them EPIPE instead of SIGPIPE.
class SignalsBlocked {
public:
    SignalsBlocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    sigset_t before_{};
};

} // namespace harbor
