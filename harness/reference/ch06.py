#!/usr/bin/env python3
"""Chapter 06 in Python: the whole balancer, which ends as carefully as it works, and tells what it does.

It is ch05.py, a drain and `/metrics`. The cut is a cancellation: a session that is cancelled, dialling or relaying, resets
its sockets on the way out.

    HARBOR_UNDER_TEST=harness/reference/ch06.py build/release/chapters/06_shutdown_metrics/ch06_tests

Exits with 2 when its environment makes no sense, and with 1 when it cannot listen.
"""
import asyncio
import contextlib
import errno
import json
import math
import os
import random
import signal
import socket
import struct
import sys
import time
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


DEV_SEED = "127.0.0.1:9001,127.0.0.1:9002"


class Config(NamedTuple):
    listen: Address
    backends: list[Address]
    dev_seed: bool  # BACKENDS was not set, and LB_ALLOW_DEV_SEED=1 filled it in
    threads: int  # judged, and otherwise not used: Python runs one thread at a time
    strategy: str
    dial_timeout: float  # durations are in seconds here, as asyncio wants them
    dial_retries: int
    backend_cooldown: float
    io_timeout: float  # 0 = never
    max_inflight: int
    tcp_keepalive: float  # 0 = off
    tcp_nodelay: bool
    shutdown_grace: float  # 0 = cut at once
    metrics_listen: Address


def read_backends(text):
    backends = []
    for entry in text.split(","):
        address = parse_address(entry, 1)
        if address is None or not address.host:
            reject("BACKENDS", text, "host:port[,host:port...], each with a port from 1 to 65535; "
                                     f"the entry '{entry}' is not one")
        if address in backends:
            reject("BACKENDS", text, f"each backend once; '{entry}' is there twice")
        backends.append(address)
    return backends


def read_number(environment, name, fallback, lowest, highest):
    text = environment.get(name)
    if text is None:
        return fallback
    value = number(text, lowest, highest)
    if value is None:
        reject(name, text, f"a whole number from {lowest} to {highest}")
    return value


def read_duration(environment, name, fallback_ms, lowest=0):
    """Milliseconds, up to a day, as seconds."""
    return read_number(environment, name, fallback_ms, lowest, 86_400_000) / 1000


def read_flag(environment, name, fallback):
    text = environment.get(name)
    if text is None:
        return fallback
    if text not in ("1", "0", "true", "false"):
        reject(name, text, "1, 0, true or false")
    return text in ("1", "true")


def read_listen_address(environment, name, fallback):
    text = environment.get(name, fallback)
    address = parse_address(text, 0)
    if address is None:
        reject(name, text, "host:port or :port, with a port from 0 to 65535 (0 takes any free one)")
    return address


def read_config(environment):
    """Reads and judges everything before anything is bound. There are defaults for absent values, never for bad ones."""
    dev_seed = read_flag(environment, "LB_ALLOW_DEV_SEED", False)
    backends_text = environment.get("BACKENDS")
    if backends_text is None and not dev_seed:
        raise ConfigError("BACKENDS is not set: expected host:port[,host:port...], "
                          f"or LB_ALLOW_DEV_SEED=1 to try the balancer out with {DEV_SEED}")
    strategy = environment.get("STRATEGY", "round-robin")
    if strategy not in STRATEGIES:
        reject("STRATEGY", strategy, "round-robin, least-connections or power-of-two")
    return Config(
        listen=read_listen_address(environment, "LB_ADDR", ":9090"),
        backends=read_backends(DEV_SEED if backends_text is None else backends_text),
        dev_seed=backends_text is None,
        threads=read_number(environment, "LB_THREADS", os.cpu_count() or 1, 1, 1024),
        strategy=strategy,
        dial_timeout=read_duration(environment, "LB_DIAL_TIMEOUT_MS", 1500, lowest=1),
        dial_retries=read_number(environment, "LB_DIAL_RETRIES", 1, 0, 100),
        backend_cooldown=read_duration(environment, "LB_BACKEND_COOLDOWN_MS", 5000),
        io_timeout=read_duration(environment, "LB_IO_TIMEOUT_MS", 10_000),
        max_inflight=read_number(environment, "LB_MAX_INFLIGHT", 1024, 1, 1_000_000),
        tcp_keepalive=read_duration(environment, "LB_TCP_KEEPALIVE_MS", 30_000),
        tcp_nodelay=read_flag(environment, "LB_TCP_NODELAY", True),
        shutdown_grace=read_duration(environment, "LB_SHUTDOWN_GRACE_MS", 5000),
        metrics_listen=read_listen_address(environment, "LB_METRICS_ADDR", "127.0.0.1:9100"),
    )


def resolve(address, variable):
    """What an address stands for: (family, socket address) pairs in the order to try them. Blocks while DNS is asked."""
    try:
        found = socket.getaddrinfo(address.host or "0.0.0.0", address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that Python itself refuses, such as `no..such`
        raise ConfigError(f"{variable}: '{address}' does not resolve: {error}") from error
    return [(family, socket_address) for family, _, _, _, socket_address in found]


# ---------------------------------------------------------------------------------------------------------- the pool


UP = -math.inf  # the end of a cooldown, for a backend that has none


class Backend:
    """A server that clients are sent to."""

    def __init__(self, address):
        self.name = str(address)
        self.endpoints = resolve(address, "BACKENDS")
        self.in_flight = 0  # connections to this backend that are dialling or open
        self.cooling_until = UP
        self.picks = 0
        self.dial_failures = 0

    @contextlib.contextmanager
    def lease(self):
        """Counts one connection for as long as the `with` block lasts."""
        self.in_flight += 1
        self.picks += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def cooling(self):
        return self.cooling_until > time.monotonic()

    def claim(self, cooldown):
        """The backend has been picked. If it is due after a cooldown, this client alone tries it: it cools down again for
        the others until the dial has told."""
        if self.cooling_until != UP:
            self.cooling_until = time.monotonic() + cooldown


class RoundRobin:
    """Every candidate in turn. No lock: between two awaits nothing else runs."""

    def __init__(self):
        self.turn = -1

    def pick(self, candidates):
        self.turn += 1
        return candidates[self.turn % len(candidates)]


class LeastConnections:
    """One of those with the fewest connections; ties, which are the normal case in light traffic, are shared in turn."""

    def __init__(self):
        self.ties = RoundRobin()

    def pick(self, candidates):
        fewest = min(backend.in_flight for backend in candidates)
        return self.ties.pick([backend for backend in candidates if backend.in_flight == fewest])


class PowerOfTwo:
    """Of two different ones, drawn at random, the one with fewer connections."""

    def pick(self, candidates):
        drawn = random.sample(candidates, min(2, len(candidates)))
        return min(drawn, key=lambda backend: backend.in_flight)


STRATEGIES = {
    **dict.fromkeys(["round-robin", "rr", "roundrobin"], RoundRobin),
    **dict.fromkeys(["least-connections", "least", "leastconn", "least-requests", "leastrequests", "lc"], LeastConnections),
    **dict.fromkeys(["power-of-two", "p2c"], PowerOfTwo),
}


class Pool:
    """A fixed set of backends that hands them out as its strategy decides."""

    def __init__(self, addresses, strategy, cooldown):
        self.backends = [Backend(address) for address in addresses]
        self.strategy = strategy
        self.cooldown = cooldown

    def pick(self, tried):
        """One that this client has not tried, or None. Those that cool down are left out, unless there is nobody else."""
        untried = [backend for backend in self.backends if backend not in tried]
        candidates = [backend for backend in untried if not backend.cooling()]
        if candidates:
            chosen = self.strategy.pick(candidates)
            chosen.claim(self.cooldown)
            return chosen
        # To refuse the client would be certain failure; a backend that failed a moment ago may be back.
        return min(untried, key=lambda backend: backend.cooling_until, default=None)

    def dial_succeeded(self, backend):
        backend.cooling_until = UP

    def dial_failed(self, backend):
        backend.cooling_until = time.monotonic() + self.cooldown


class Balancer:
    """What all connections share."""

    def __init__(self, config, pool):
        self.config = config
        self.pool = pool
        # The event loop itself keeps only weak references: a task that nobody holds may vanish half-way. One task a client,
        # so this is also the number of clients.
        self.sessions = set()
        self.accepts = 0
        self.accept_errors = 0
        self.capacity_dropped = 0
        self.dials = 0
        self.dial_failures = 0
        self.retries = 0


# -------------------------------------------------------------------------------------------------- one connection

BUFFER_SIZE = 64 * 1024


def reset(connection):
    """Closes the socket so that its peer sees a reset, and drops what was not sent yet."""
    with contextlib.suppress(OSError):
        # To linger for zero seconds means: do not send what is left, do not say goodbye (man 7 socket, SO_LINGER).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def set_options(connection, config):
    """No-delay, and keep-alive with the configured time of silence before the first probe."""
    with contextlib.suppress(OSError):  # the peer may be gone already: the next read will tell
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, config.tcp_nodelay)
        if config.tcp_keepalive > 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            keep_idle = getattr(socket, "TCP_KEEPIDLE", None) or socket.TCP_KEEPALIVE  # the latter on macOS
            connection.setsockopt(socket.IPPROTO_TCP, keep_idle, math.ceil(config.tcp_keepalive))


class IdleDeadline:
    """A deadline that slides. A touch only writes down the time; one timer for each connection looks at the note when it
    fires, and goes back to sleep for the rest if bytes have moved meanwhile."""

    def __init__(self, timeout):
        self.timeout = timeout or math.inf
        self.touch()

    def touch(self):
        self.last_active = time.monotonic()

    async def passed(self):
        """Raises TimeoutError, which is an OSError, once the deadline has passed."""
        while (left := self.last_active + self.timeout - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 86_400))  # no timer goes as far as infinity
        raise TimeoutError


async def send_some(sink, data):
    """Sends at least one byte and returns how many. asyncio has only sock_sendall(), which hides how far it has come."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(BlockingIOError):
            return sink.send(data)
        writable = asyncio.Event()
        loop.add_writer(sink, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(sink)


async def relay(source, sink, deadline):
    """Passes every byte from `source` to `sink`, and then the end of the stream as a half-close. Raises OSError.

    One buffer holds everything that was read and not yet written: nothing more is read until all of it is sent, so a slow
    reader slows its sender down, through TCP's own flow control.
    """
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(BUFFER_SIZE))
    while received := await loop.sock_recv_into(source, buffer):
        deadline.touch()
        sent = 0
        while sent < received:
            sent += await send_some(sink, buffer[sent:received])
            deadline.touch()  # every part that is taken shows that the peer is alive
        # An `await` that has nothing to wait for goes straight on: two fast peers would keep all others waiting.
        await asyncio.sleep(0)
    # The last byte is written: pass on the end, and only that. The other direction is not over. A peer that is gone
    # already (hence the suppress) shows in that direction, or does not matter any more.
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


async def connect(endpoints):
    """A connection to the first of the addresses that answers. Raises the OSError of the last one when none does."""
    failure = None
    for family, address in endpoints:
        try:
            with contextlib.ExitStack() as unless_it_works:
                upstream = unless_it_works.enter_context(socket.socket(family, socket.SOCK_STREAM))
                upstream.setblocking(False)
                await asyncio.get_running_loop().sock_connect(upstream, address)
                unless_it_works.pop_all()  # it does: from here on whoever asked for it closes it
                return upstream
        except OSError as error:
            failure = error
    raise failure


# It was this machine that had nothing left: the backend is not to blame, and must not be punished for it.
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)


@contextlib.asynccontextmanager
async def dialled(balancer):
    """A connection to a backend, leased for the `async with` block, or None when no dial succeeds.

    Dialling is the only moment when a failure can be hidden from the client: not one byte has been passed on yet.
    """
    tried = []
    for attempt in range(balancer.config.dial_retries + 1):
        backend = balancer.pool.pick(tried)
        if backend is None:
            break  # every backend has had its chance
        with backend.lease():
            balancer.dials += 1
            balancer.retries += 1 if attempt > 0 else 0
            try:
                async with asyncio.timeout(balancer.config.dial_timeout):
                    upstream = await connect(backend.endpoints)
            except OSError as error:  # asyncio.timeout() raises TimeoutError, which is one
                balancer.dial_failures += 1
                backend.dial_failures += 1
                if error.errno not in OUT_OF_RESOURCES:
                    balancer.pool.dial_failed(backend)
                tried.append(backend)
                continue
            balancer.pool.dial_succeeded(backend)
            with upstream:
                set_options(upstream, balancer.config)
                yield upstream
            return
    yield None


@contextlib.contextmanager
def reset_on_failure(connection):
    """A reset, a broken pipe, too long a silence, the cut: bytes may be missing. If we ended the stream politely then, half
    an answer would look like a whole one. BaseException, because that is what a cancellation is."""
    try:
        yield
    except BaseException:
        reset(connection)
        raise


async def serve(client, balancer):
    """One client, from its connection to its end. Owns both sockets: `with` closes them, whatever happens."""
    try:
        with client, reset_on_failure(client):
            set_options(client, balancer.config)
            # Dial at once, without waiting for the client's first byte: in many protocols the server speaks first. Bytes
            # that the client sends meanwhile wait in the kernel.
            async with dialled(balancer) as upstream:
                if upstream is None:
                    return
                with reset_on_failure(upstream):
                    deadline = IdleDeadline(balancer.config.io_timeout)
                    # The inner group ends when both directions have ended. If anything fails, all the rest is cancelled.
                    async with asyncio.TaskGroup() as everything:
                        watch = everything.create_task(deadline.passed())
                        async with asyncio.TaskGroup() as directions:
                            directions.create_task(relay(client, upstream, deadline))
                            directions.create_task(relay(upstream, client, deadline))
                        watch.cancel()
    except* OSError:
        pass  # the peers have been told; to this program one connection more or less is no event


# ---------------------------------------------------------------------------------------------------------- metrics


def escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def collect(balancer):
    """(name, type, help, value) of every metric; the value is a number, or a dict of numbers by backend."""
    backends = balancer.pool.backends
    return [
        ("accepts_total", "counter", "Clients accepted.", balancer.accepts),
        ("accept_errors_total", "counter", "Accepts that failed.", balancer.accept_errors),
        ("capacity_dropped_total", "counter", "Clients closed at once because LB_MAX_INFLIGHT others were open.",
         balancer.capacity_dropped),
        ("active_conns", "gauge", "Clients being served.", len(balancer.sessions)),
        ("dials_total", "counter", "Dials to backends, retries included.", balancer.dials),
        ("dial_failures_total", "counter", "Dials that failed.", balancer.dial_failures),
        ("retries_total", "counter", "Dials to another backend after a failed one.", balancer.retries),
        ("cooldown_backends", "gauge", "Backends left alone after a failed dial.",
         sum(backend.cooling() for backend in backends)),
        ("picks_by_backend", "counter", "How often each backend was picked.",
         {backend.name: backend.picks for backend in backends}),
        ("dial_failures_by_backend", "counter", "Dials to each backend that failed.",
         {backend.name: backend.dial_failures for backend in backends}),
    ]


def metrics_as_text(balancer):
    lines = []
    for name, kind, help_text, value in collect(balancer):
        name = "harbor_" + name + ("_total" if kind == "counter" and not name.endswith("_total") else "")
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
        if isinstance(value, dict):
            lines += [f'{name}{{backend="{escaped(backend)}"}} {count}' for backend, count in value.items()]
        else:
            lines.append(f"{name} {value}")
    return "\n".join(lines) + "\n"


def metrics_as_json(balancer):
    return json.dumps({name: value for name, _, _, value in collect(balancer)}) + "\n"


# --------------------------------------------------------------------------------- as much of HTTP as a scraper needs

LONGEST_HEAD = 8 * 1024
PATIENCE = 5  # seconds


def http_reply(status, kind, body):
    allow = "Allow: GET\r\n" if status.startswith("405") else ""
    return (f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n{allow}"
            f"Connection: close\r\n\r\n{body}").encode()


def refusal(status):
    return http_reply(status, "text/plain", status + "\n")


def admin_reply(head, balancer):
    """The reply to a whole request head: method SP target SP version (RFC 9112, section 3)."""
    request_line, *headers = head.decode("latin-1").split("\r\n")
    method, _, rest = request_line.partition(" ")
    target, _, version = rest.partition(" ")
    if not method or version not in ("HTTP/1.0", "HTTP/1.1"):
        return refusal("400 Bad Request")
    if target.partition("?")[0] != "/metrics":
        return refusal("404 Not Found")
    if method != "GET":
        return refusal("405 Method Not Allowed")
    if any(h.lower().startswith("accept:") and "application/json" in h.lower() for h in headers):
        return http_reply("200 OK", "application/json", metrics_as_json(balancer))
    return http_reply("200 OK", "text/plain; version=0.0.4", metrics_as_text(balancer))


async def serve_scraper(scraper, balancer):
    """One request, one reply, and the connection is closed. Size and time are bounded: whoever reaches the port can ask."""
    loop = asyncio.get_running_loop()
    with scraper, contextlib.suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(PATIENCE):
            request = b""
            while b"\r\n\r\n" not in request and len(request) <= LONGEST_HEAD:
                piece = await loop.sock_recv(scraper, LONGEST_HEAD)
                if not piece:
                    return
                request += piece
            head, whole, _ = request.partition(b"\r\n\r\n")
            too_long = not whole or len(head) > LONGEST_HEAD
            await loop.sock_sendall(scraper, refusal("431 Request Header Fields Too Large") if too_long
                                    else admin_reply(head, balancer))
            # To close a socket with unread bytes sends a reset, which may overtake the reply (RFC 9112, section 9.6). So our
            # end of the stream goes first, and what still comes is read and thrown away.
            scraper.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(scraper, LONGEST_HEAD):
                pass


async def answer_admin_requests(listener, balancer):
    scrapers = set()
    async for scraper in accepted(listener):
        task = asyncio.create_task(serve_scraper(scraper, balancer))
        scrapers.add(task)
        task.add_done_callback(scrapers.discard)


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


LOWEST_BACKOFF, HIGHEST_BACKOFF = 0.005, 1.0  # seconds


async def accepted(listener, on_error=lambda: None):
    """The connections that come to a listener, one after the other."""
    backoff = LOWEST_BACKOFF
    while True:
        try:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError:
            on_error()
            # Descriptors or memory have run out, or a client left while it waited. The queue is as full as before, so to
            # try again at once would keep a core busy until somebody closes a connection.
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, HIGHEST_BACKOFF)
            continue
        backoff = LOWEST_BACKOFF
        yield connection


async def accept_clients(listener, balancer):
    def count_error():
        balancer.accept_errors += 1

    async for client in accepted(listener, count_error):
        balancer.accepts += 1
        if len(balancer.sessions) >= balancer.config.max_inflight:
            balancer.capacity_dropped += 1
            client.close()  # left in the queue it would wait for an answer that may never come
            continue
        session = asyncio.create_task(serve(client, balancer))
        balancer.sessions.add(session)
        session.add_done_callback(balancer.sessions.discard)


async def serve_until_signalled(balancer):
    """Serves until the first signal, then lets the clients that are there finish, for the grace period at most."""
    first, second = asyncio.Event(), asyncio.Event()

    def on_signal():
        (second if first.is_set() else first).set()

    # From here on a signal is an event like any other. Before the ports are open, so that none comes too early.
    for wanted in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wanted, on_signal)

    config, sessions = balancer.config, balancer.sessions
    listen_endpoint = resolve(config.listen, "LB_ADDR")[0]
    metrics_endpoint = resolve(config.metrics_listen, "LB_METRICS_ADDR")[0]
    with listen_on(*metrics_endpoint) as admin:
        with listen_on(*listen_endpoint) as listener:
            print(f"metrics on {Address(*admin.getsockname()[:2])}", file=sys.stderr)
            print(f"listening on {Address(*listener.getsockname()[:2])}", file=sys.stderr, flush=True)
            answering = asyncio.create_task(answer_admin_requests(admin, balancer))
            accepting = asyncio.create_task(accept_clients(listener, balancer))
            await first.wait()
            # Cancels the accept, or the backoff it is waiting out; then the port is closed, and whoever connects is refused.
            accepting.cancel()
            await asyncio.wait([accepting])

        print(f"draining: connections open: {len(sessions)}, milliseconds to finish: {config.shutdown_grace * 1000:.0f}",
              file=sys.stderr, flush=True)
        if sessions:
            drained = asyncio.create_task(asyncio.wait(sessions.copy()))
            hurried = asyncio.create_task(second.wait())
            await asyncio.wait([drained, hurried], timeout=config.shutdown_grace, return_when=asyncio.FIRST_COMPLETED)
        if sessions:
            print(f"cut: connections that had not finished: {len(sessions)}", file=sys.stderr, flush=True)
            for session in sessions:
                session.cancel()
            await asyncio.wait(sessions)
        answering.cancel()  # monitoring is answered until the last connection is gone
        await asyncio.wait([answering])


def main():
    try:
        config = read_config(os.environ)
        if config.dev_seed:
            print("warning: BACKENDS is not set, and LB_ALLOW_DEV_SEED=1: using the development backends", file=sys.stderr)
        pool = Pool(config.backends, STRATEGIES[config.strategy](), config.backend_cooldown)
        # One thread runs everything, and switches from one task to another only where an `await` has to wait.
        asyncio.run(serve_until_signalled(Balancer(config, pool)))
    except ConfigError as error:
        print(f"harbor: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"harbor: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
