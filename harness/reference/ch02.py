#!/usr/bin/env python3
"""Chapter 02 in Python: a TCP proxy. Every client that connects is connected to the one backend.

It keeps docs/contract.md and passes the tests of chapters/02_tcp_proxy, which it follows function by function, so the two
can be read side by side. `async def` is what the C++ calls `awaitable<void>`, `await` is `co_await`, a task is what
`co_spawn` starts; `loop.sock_…` are the socket calls of the standard library that wait without blocking the others.

    HARBOR_UNDER_TEST=harness/reference/ch02.py build/release/chapters/02_tcp_proxy/ch02_tests

Exits with 2 when its environment makes no sense, and with 1 when it cannot listen.
"""
import asyncio
import contextlib
import os
import socket
import struct
import sys
from typing import NamedTuple


# ---------------------------------------------------------------------------------------------------- configuration


class ConfigError(Exception):
    """A setting that cannot be used. The text names the variable, its value and the form expected."""


class Address(NamedTuple):
    """A host and a port as they were written. An empty host means every address of this machine."""

    host: str
    port: int

    def __str__(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def reject(name, value, expected):
    raise ConfigError(f"{name}='{value}' is not valid: expected {expected}")


def number(text, lowest, highest):
    """All of `text` as a number from `lowest` to `highest`, or None. int() alone would take ' 1', '1_0' and '١' too."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    value = int(text)
    return value if lowest <= value <= highest else None


def parse_address(text, lowest_port):
    """Splits `host:port` or `[v6]:port`; None if it is neither.

    The last colon separates, so `::1:9001` could be meant in two ways: that is what the brackets are for.
    """
    host, colon, port_text = text.rpartition(":")
    port = number(port_text, lowest_port, 65535)
    if not colon or port is None:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    if any(character in " \t[]," for character in host):
        return None
    return Address(host, port)


class Config(NamedTuple):
    listen: Address
    backend: Address


def read_config(environment):
    """Reads and judges everything before anything is bound. There are defaults for absent values, never for bad ones."""
    listen_text = environment.get("LB_ADDR", ":9090")
    listen = parse_address(listen_text, 0)
    if listen is None:
        reject("LB_ADDR", listen_text, "host:port or :port, with a port from 0 to 65535 (0 takes any free one)")

    expected = "one host:port or [v6]:port, with a port from 1 to 65535"
    backend_text = environment.get("BACKENDS")
    if backend_text is None:
        raise ConfigError(f"BACKENDS is not set: expected {expected}")
    backend = parse_address(backend_text, 1)
    if backend is None or not backend.host:
        reject("BACKENDS", backend_text, expected)
    return Config(listen, backend)


def resolve(address, variable):
    """What an address stands for: (family, socket address) pairs in the order to try them. Blocks while DNS is asked."""
    try:
        found = socket.getaddrinfo(address.host or "0.0.0.0", address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that Python itself refuses, such as `no..such`
        raise ConfigError(f"{variable}: '{address}' does not resolve: {error}") from error
    return [(family, socket_address) for family, _, _, _, socket_address in found]


# -------------------------------------------------------------------------------------------------- one connection

BUFFER_SIZE = 64 * 1024


def reset(connection):
    """Closes the socket so that its peer sees a reset, and drops what was not sent yet."""
    with contextlib.suppress(OSError):
        # To linger for zero seconds means: do not send what is left, do not say goodbye (man 7 socket, SO_LINGER).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def relay(source, sink):
    """Passes every byte from `source` to `sink`, and then the end of the stream as a half-close. Raises OSError.

    One buffer holds everything that was read and not yet written: nothing more is read until sock_sendall() is through,
    so a slow reader slows its sender down, through TCP's own flow control.
    """
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(BUFFER_SIZE))
    while received := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(sink, buffer[:received])
        # An `await` that has nothing to wait for goes straight on: two fast peers would keep all others waiting.
        await asyncio.sleep(0)
    # The last byte is written: pass on the end, and only that. The other direction is not over. A peer that is gone
    # already (hence the suppress) shows in that direction, or does not matter any more.
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


async def dial(endpoints):
    """A connection to the first of the addresses that answers, or None."""
    for family, address in endpoints:
        with contextlib.suppress(OSError), contextlib.ExitStack() as unless_it_works:
            upstream = unless_it_works.enter_context(socket.socket(family, socket.SOCK_STREAM))
            upstream.setblocking(False)
            await asyncio.get_running_loop().sock_connect(upstream, address)
            unless_it_works.pop_all()  # it does: from here on whoever asked for it closes it
            return upstream
    return None


async def serve(client, endpoints):
    """One client, from its connection to its end. Owns both sockets: `with` closes them, whatever happens."""
    with client:
        # Dial at once, without waiting for the client's first byte: in many protocols the server speaks first. Bytes
        # that the client sends meanwhile wait in the kernel.
        upstream = await dial(endpoints)
        if upstream is None:
            return
        with upstream:
            try:
                # Ends when both directions have ended; if one fails, the other is cancelled first.
                async with asyncio.TaskGroup() as directions:
                    directions.create_task(relay(client, upstream))
                    directions.create_task(relay(upstream, client))
            except* OSError:
                # A reset, a broken pipe, a timeout of TCP itself: bytes may be missing. If we ended the streams politely
                # now, half an answer would look like a whole one.
                reset(client)
                reset(upstream)


# ------------------------------------------------------------------------------------------------------ the listener


def listen_on(family, address):
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without this a restarted server could not bind its port while connections of its predecessor sit in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {Address(*address[:2])}: {error.strerror}") from error
    return listener


async def accept_clients(listener, endpoints):
    loop = asyncio.get_running_loop()
    sessions = set()  # the event loop itself keeps only weak references: a task that nobody holds may vanish half-way
    while True:
        try:
            client, _ = await loop.sock_accept(listener)
        except OSError:
            await asyncio.sleep(0)  # one client less; that this loop can spin is the subject of chapter 05
            continue
        session = loop.create_task(serve(client, endpoints))
        sessions.add(session)
        session.add_done_callback(sessions.discard)


def main():
    try:
        config = read_config(os.environ)
        endpoints = resolve(config.backend, "BACKENDS")
        listener = listen_on(*resolve(config.listen, "LB_ADDR")[0])
    except ConfigError as error:
        print(f"harbor: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"harbor: {error.strerror}", file=sys.stderr)
        return 1
    print(f"listening on {Address(*listener.getsockname()[:2])}", file=sys.stderr, flush=True)
    # One thread runs everything, and switches from one task to another only where an `await` has to wait.
    asyncio.run(accept_clients(listener, endpoints))
    return 0


if __name__ == "__main__":
    sys.exit(main())
