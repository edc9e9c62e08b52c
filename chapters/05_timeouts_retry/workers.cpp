// One io_context a thread, and a connection stays on the thread it was given to.
//
// Two coroutines of a connection can therefore never run at the same time, and their sockets need no lock:
// sessions are written as if there were a single thread. The alternative, many threads in run() of one
// io_context, spreads the load more evenly, but any thread may resume any coroutine, and every connection
// needs a strand to be safe again.
#include "workers.hpp"

namespace harbor {

Workers::Workers(std::size_t count) : workers_(count) {
    for (Worker& worker : workers_) {
        worker.thread = std::thread([&worker] { worker.context.run(); });
    }
}

Workers::Worker::~Worker() {
    context.stop();
    if (thread.joinable()) { // not if the system refused to start it
        thread.join();
    }
}

asio::any_io_executor Workers::next() {
    return workers_[turns_++ % workers_.size()].context.get_executor();
}

} // namespace harbor
