// What a timeout costs: the processor time that an echo server takes for each message, without a timeout,
// with chapter 05's deadline, and with a timer raced against every read and write.
//
// The client is a thread of its own, and only the server's thread is measured.
#include "../../chapters/05_timeouts_retry/idle_deadline.hpp"

#include <asio.hpp>
#include <asio/experimental/awaitable_operators.hpp>

#include <sys/resource.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

using asio::ip::tcp;
using asio::experimental::awaitable_operators::operator||;

constexpr std::chrono::seconds timeout{10};
constexpr int messages = 100'000;

asio::awaitable<void> without_timeout(tcp::socket socket) {
    std::array<char, 1024> buffer;
    for (int i = 0; i < messages; ++i) {
        const std::size_t size = co_await socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
        co_await asio::async_write(socket, asio::buffer(buffer, size), asio::use_awaitable);
    }
}

// As in chapter 05: each message is a note of the time, and one timer looks at the note every ten seconds.
asio::awaitable<void> echo(tcp::socket& socket, harbor::IdleDeadline& deadline) {
    std::array<char, 1024> buffer;
    for (int i = 0; i < messages; ++i) {
        const std::size_t size = co_await socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
        deadline.touch();
        co_await asio::async_write(socket, asio::buffer(buffer, size), asio::use_awaitable);
        deadline.touch();
    }
}

asio::awaitable<void> with_a_note(tcp::socket socket) {
    harbor::IdleDeadline deadline(socket.get_executor(), timeout);
    co_await (echo(socket, deadline) || deadline.passed());
}

asio::awaitable<void> with_a_race(tcp::socket socket) {
    std::array<char, 1024> buffer;
    asio::steady_timer timer(socket.get_executor());
    for (int i = 0; i < messages; ++i) {
        timer.expires_after(timeout);
        const auto first = co_await (socket.async_read_some(asio::buffer(buffer), asio::use_awaitable) ||
                                     timer.async_wait(asio::use_awaitable));
        timer.expires_after(timeout);
        co_await (asio::async_write(socket, asio::buffer(buffer, std::get<0>(first)), asio::use_awaitable) ||
                  timer.async_wait(asio::use_awaitable));
    }
}

double thread_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double microseconds_a_message(asio::awaitable<void> (*server)(tcp::socket)) {
    asio::io_context context(1);
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), asio::ip::port_type{0}});
    std::thread client([endpoint = acceptor.local_endpoint()] {
        asio::io_context own;
        tcp::socket socket(own);
        socket.connect(endpoint);
        socket.set_option(tcp::no_delay(true));
        char byte = 'x';
        for (int i = 0; i < messages; ++i) {
            asio::write(socket, asio::buffer(&byte, 1));
            asio::read(socket, asio::buffer(&byte, 1));
        }
    });
    asio::co_spawn(context, server(acceptor.accept()), asio::detached);
    const double before = thread_seconds();
    context.run();
    const double seconds = thread_seconds() - before;
    client.join();
    return seconds / messages * 1e6;
}

int main() {
    std::puts("microseconds a message:  no timeout   a note   a race");
    for (int round = 1; round <= 5; ++round) {
        std::printf("%35.1f %8.1f %8.1f\n", microseconds_a_message(without_timeout),
                    microseconds_a_message(with_a_note), microseconds_a_message(with_a_race));
    }
}
