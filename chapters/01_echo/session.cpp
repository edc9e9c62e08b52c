//! [ch01:session_head]
// One coroutine a connection.
//
// The code below reads like a program with a single client: read, write, read again. Each `co_await` is the
// place where it steps aside, and the thread serves somebody else until the kernel has news. The classic
// alternative, one thread a connection, reads the same but pays a stack and a trip through the scheduler for
// each client; callbacks pay neither, but tear the loop into pieces.
#include "session.hpp"

#include <asio/buffer.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>

namespace harbor {

using asio::ip::tcp;
//! [ch01:session_head]

//! [ch01:serve_greeting]
asio::awaitable<void> serve(tcp::socket client, std::string greeting) {
    // An error of the network is not exceptional: clients leave. It arrives as a value, and is looked at
    // where it comes.
    asio::error_code error;

    if (!greeting.empty()) {
        co_await asio::async_write(client, asio::buffer(greeting),
                                   asio::redirect_error(asio::use_awaitable, error));
    }
    //! [ch01:serve_greeting]

    //! [ch01:serve_read]
    std::array<char, 64 * 1024> buffer; // lives in the coroutine's frame, on the heap
    while (!error) {
        // TCP is a stream: `received` is whatever has come, anything from one byte to the whole buffer. Where
        // the client's messages begin and end is not ours to know.
        const std::size_t received = co_await client.async_read_some(
            asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
        //! [ch01:serve_read]

        //! [ch01:serve_write]
        // A single write may take only part of what it is given, when the send buffer is nearly full.
        // async_write goes on until all of it is taken. While it waits nothing is read, so a client that
        // sends and never reads is slowed down by TCP itself: that is backpressure, and it costs us one
        // buffer at most.
        if (!error) {
            co_await asio::async_write(client, asio::buffer(buffer, received),
                                       asio::redirect_error(asio::use_awaitable, error));
        }
    }
    //! [ch01:serve_write]

    //! [ch01:serve_end]
    // End of stream means that the client has sent its last byte (a FIN), not that it has stopped listening:
    // say that our last byte is out as well. After any other error (a reset: the client is gone) nobody is
    // left to be told.
    if (error == asio::error::eof) {
        client.shutdown(tcp::socket::shutdown_send, error);
    }
}

} // namespace harbor
//! [ch01:serve_end]
