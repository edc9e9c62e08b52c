// One io_context a thread, and a connection stays on the thread it was given to.
//
// Two coroutines of a connection can therefore never run at the same time, and their sockets need no lock:
// sessions are written as if there were a single thread. The alternative, many threads in run() of one
// io_context, spreads the load more evenly, but any thread may resume any coroutine, and every connection
// needs a strand to be safe again.
#include "workers.hpp"

#include <asio/post.hpp>

namespace harbor {

//! [ch06:workers_start]
Workers::Workers(std::size_t count, const asio::any_io_executor& accepting)
    : workers_(count), running_(count), drained_(accepting) {
    for (Worker& worker : workers_) {
        worker.thread = std::thread([this, &worker, accepting] {
            worker.context.run();
            asio::post(accepting, [this] {
                if (--running_ == 0) {
                    drained_.set();
                }
            });
        });
    }
}
//! [ch06:workers_start]

Workers::Worker::~Worker() {
    context.stop();
    if (thread.joinable()) { // not if the system refused to start it
        thread.join();
    }
}

//! [ch06:workers_next]
Workers::Worker& Workers::next() {
    return workers_[turns_++ % workers_.size()];
}
//! [ch06:workers_next]

//! [ch06:workers_end]
void Workers::drain() {
    for (Worker& worker : workers_) {
        worker.work.reset(); // run() returns when there is nothing left to wait for
    }
}

void Workers::cut() {
    for (Worker& worker : workers_) {
        asio::post(worker.context,
                   [&worker] { worker.cut.set(); }); // its connections are its own thread's business
    }
}

} // namespace harbor
//! [ch06:workers_end]
