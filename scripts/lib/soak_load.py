"""The soak's own load: both ends of thousands of exchanges in one thread, with every byte accounted for.

An exchange is one connection. The client says in 16 bytes what is going to happen: who it is, how many bytes it sends, how
many it wants. Both sides then send at the same time, each at its own pace, and end their streams. The bytes of a stream
follow from the exchange's number, so each end checks what comes without being told.

Backends die (their port is closed, all their connections are reset) and return. So an exchange ends in one of these ways,
and everything else is an error:

    whole     both sides have received all that the other sent, and a clean end
    cut       one side reset, and so the other was reset: what it had received is a beginning of what was sent
    unserved  no backend could be reached; the client was closed without a byte
"""
import collections
import heapq
import itertools
import random
import selectors
import socket
import struct
import time

HEADER = struct.Struct("!IIII")  # number, bytes up, bytes down, pause of the backend in milliseconds
PERIOD = 1_000_003  # prime, so that no block of any relay comes out even
_BYTES = random.Random(1).randbytes(PERIOD)
PATTERN = memoryview(_BYTES + _BYTES)
PIECE = 256 * 1024
NEVER = float("inf")


def stream(number, side, offset, size):
    """So many bytes of a stream, from `offset` on (at most PERIOD at a time)."""
    start = (number * 7919 + side * 31337 + offset) % PERIOD
    return PATTERN[start:start + size]


class End:
    """One end of a connection: what it sends, what it gets, and how that ended."""

    def __init__(self, load, sock, number, side):
        self.load, self.sock, self.number, self.side = load, sock, number, side
        self.sent = self.received = 0
        self.to_send = 0
        self.pause = 0.0  # seconds between two small pieces; 0 = as fast as it goes
        self.piece = PIECE
        self.next_piece = 0.0
        self.half_closed = False
        self.ending = None  # of what comes in: "end" or "reset"
        self.write_failed = False
        self.reset_at = NEVER  # of its own accord, once it has received so much

    def interest(self, now):
        if self.sock is None:
            return 0
        wanted = 0 if self.ending else selectors.EVENT_READ
        if not self.half_closed and not self.write_failed and now >= self.next_piece:
            wanted |= selectors.EVENT_WRITE
        return wanted

    def header(self):
        return b""

    def write(self, now):
        try:
            if self.header_left():
                self.sent += self.sock.send(self.header()[self.sent:])
                return
            left = self.to_send - self.sent
            if left > 0:
                taken = self.sock.send(stream(self.number, self.side, self.sent, min(left, self.piece)))
                self.sent += taken
                if self.pause:
                    self.load.sleep(self, now + self.pause)
            if self.sent == self.to_send and self.may_end():
                self.sock.shutdown(socket.SHUT_WR)
                self.half_closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.write_failed = True  # reading tells how it ended

    def header_left(self):
        return False

    def may_end(self):
        return True

    def read(self):
        try:
            piece = self.sock.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            self.ending = "reset"
            return
        if not piece:
            # A write that has met the reset has taken the news of it.
            self.ending = "reset" if self.write_failed else "end"
            return
        self.take(piece)
        if self.received >= self.reset_at:
            self.break_off()

    def take(self, piece):
        other = 1 - self.side
        for start in range(0, len(piece), PIECE):
            part = piece[start:start + PIECE]
            if part != stream(self.number, other, self.received, len(part)):
                self.load.error(f"exchange {self.number}: wrong bytes after byte {self.received}, at the "
                                f"{'backend' if self.side else 'client'}")
            self.received += len(part)

    def over(self):
        return self.sock is None or (self.ending is not None and (self.half_closed or self.write_failed))

    def close(self):
        if self.sock is not None:
            self.load.forget(self)
            self.sock.close()
            self.sock = None

    def break_off(self):
        """Resets: what is not sent yet is dropped."""
        if self.sock is not None:
            self.load.forget(self)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
            self.sock = None
            self.ending = self.ending or "left"


class Client(End):
    def __init__(self, load, sock, number, up, down, backend_pause):
        super().__init__(load, sock, number, 0)
        self.up, self.down, self.backend_pause = up, down, backend_pause
        self.to_send = HEADER.size + up
        self.started = time.monotonic()

    def header(self):
        return HEADER.pack(self.number, self.up, self.down, self.backend_pause)

    def header_left(self):
        return self.sent < HEADER.size


class Server(End):
    """A backend's end: it learns from the first bytes which exchange this is."""

    def __init__(self, load, sock, backend):
        super().__init__(load, sock, None, 1)
        self.backend = backend
        self.head = b""
        self.up = None

    def interest(self, now):
        return selectors.EVENT_READ if self.number is None and self.sock is not None and not self.ending else (
            super().interest(now) if self.number is not None else 0)

    def take(self, piece):
        if self.number is None:
            self.head += piece
            if len(self.head) < HEADER.size:
                return
            number, self.up, down, pause = HEADER.unpack(self.head[:HEADER.size])
            rest = self.head[HEADER.size:]
            self.load.identify(self, number)
            self.to_send = down
            self.pause = pause / 1000
            self.piece = 200 if pause else PIECE
            self.received = HEADER.size
            piece = rest
        if piece:
            super().take(piece)

    def over(self):
        return super().over() or (self.number is None and self.ending is not None)


class Backend:
    def __init__(self, load, host, port):
        self.load, self.host, self.port = load, host, port
        self.listener = None
        self.servers = set()
        self.deaths = 0
        self.rise()

    def rise(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port))
        self.listener.listen(1024)
        self.listener.setblocking(False)
        self.load.selector.register(self.listener, selectors.EVENT_READ, self)

    def accept(self):
        for _ in range(64):
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            server = Server(self.load, sock, self)
            self.servers.add(server)
            self.load.watch(server)

    def die(self):
        self.deaths += 1
        self.load.selector.unregister(self.listener)
        self.listener.close()
        self.listener = None
        for server in list(self.servers):
            self.load.killed.add(server.number)
            server.break_off()
            self.servers.discard(server)


class Load:
    """Runs exchanges, so many at a time, until it is told to stop, and keeps the books."""

    def __init__(self, target, hosts, port, seed):
        self.target = target
        self.random = random.Random(seed)
        self.selector = selectors.EpollSelector()
        self.watched = {}
        self.sleepers = []  # a heap of those who only pause
        self.order = itertools.count()  # of those who wake up at the same time
        self.exchanges = {}  # number: [client, server]
        self.next_number = 1
        self.killed = set()
        self.books = collections.Counter()
        self.errors = []
        self.backends = [Backend(self, host, port) for host in hosts]
        self.returns = {}
        self.hosts = [f"127.0.4.{number}" for number in range(1, 200)]

    def error(self, text):
        self.books["errors"] += 1
        if len(self.errors) < 20:
            self.errors.append(text)

    # --- the sockets -----------------------------------------------------------------------------------------------

    def watch(self, end):
        self.watched[end] = 0
        self.renew(end, time.monotonic())

    def forget(self, end):
        if self.watched.pop(end, 0):
            self.selector.unregister(end.sock)

    def renew(self, end, now):
        if end not in self.watched:
            return
        wanted, had = end.interest(now), self.watched[end]
        if wanted != had:
            if not had:
                self.selector.register(end.sock, wanted, end)
            elif wanted:
                self.selector.modify(end.sock, wanted, end)
            else:
                self.selector.unregister(end.sock)
            self.watched[end] = wanted

    def sleep(self, end, until):
        end.next_piece = until
        heapq.heappush(self.sleepers, (until, next(self.order), end))

    def step(self, timeout):
        now = time.monotonic()
        while self.sleepers and self.sleepers[0][0] <= now:
            self.renew(heapq.heappop(self.sleepers)[2], now)
        for key, events in self.selector.select(timeout):
            thing = key.data
            if isinstance(thing, Backend):
                thing.accept()
                continue
            if thing.sock is None:
                continue
            if events & selectors.EVENT_WRITE:
                thing.write(now)
            if events & selectors.EVENT_READ:
                thing.read()
            self.renew(thing, now)
            self.settle(thing)

    # --- the exchanges ---------------------------------------------------------------------------------------------

    def begin_slow(self, count):
        """An exchange whose client sends so many bytes, one a second."""
        client = self.open(count, count, 0)
        client.pause, client.piece = 1.0, 1

    def begin(self):
        dice = self.random
        kind = dice.random()
        small, large = dice.randrange(1, 2000), dice.randrange(100_000, 4_000_000)
        up, down, pause, backend_pause = small, small, 0.0, 0
        if kind < 0.10:
            up = large
        elif kind < 0.20:
            down = large
        elif kind < 0.25:
            up = down = large // 2
        elif kind < 0.30:
            pause, backend_pause = 0.05, 20  # they chat for a while
        client = self.open(up, down, backend_pause)
        client.pause, client.piece = pause, 200 if pause else PIECE
        if dice.random() < 0.05:
            client.reset_at = dice.randrange(0, down + 1)

    def open(self, up, down, backend_pause):
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((self.random.choice(self.hosts), 0))
        try:
            sock.connect(self.target)
        except BlockingIOError:
            pass
        client = Client(self, sock, self.next_number, up, down, backend_pause)
        self.exchanges[self.next_number] = [client, None]
        self.next_number += 1
        self.books["begun"] += 1
        self.watch(client)
        return client

    def identify(self, server, number):
        exchange = self.exchanges.get(number)
        if exchange is None:
            # Its client has reset, and is accounted for; what it had sent comes all the same.
            if number in self.killed or 0 < number < self.next_number:
                server.number = number
                self.books["late"] += 1
                return
            self.error(f"a backend was sent bytes of exchange {number}, which there is not")
            server.number = 0
            return
        if exchange[1] is not None:
            self.error(f"exchange {number} went to two backends")
        exchange[1] = server
        server.number = number

    def settle(self, end):
        """Closes an end that is over; with both over the exchange goes into the books."""
        if not end.over():
            return
        end.close()
        if isinstance(end, Server):
            end.backend.servers.discard(end)
        exchange = self.exchanges.get(end.number)
        if exchange is None:
            if isinstance(end, Server):
                self.books["received by backends"] += end.received
                self.books["sent by backends"] += end.sent
            return
        client, server = exchange
        if client.over() and (server is None or server.over()) and (server is not None or client.ending):
            del self.exchanges[end.number]
            self.enter(client, server)

    def enter(self, client, server):
        number = client.number
        books = self.books
        books["sent by clients"] += client.sent
        books["received by clients"] += client.received
        if server is not None:
            books["received by backends"] += server.received
            books["sent by backends"] += server.sent
        if client.received > (server.sent if server else 0):
            self.error(f"exchange {number}: the client received more than was sent")
        if server is not None and server.received > client.sent:
            self.error(f"exchange {number}: the backend received more than was sent")
        left = client.ending == "left"
        cut = left or number in self.killed or client.ending == "reset" or (server is not None and server.ending != "end")
        if not cut and server is not None:
            books["whole"] += 1
            if client.received != client.down or server.received != HEADER.size + client.up:
                self.error(f"exchange {number}: ended cleanly with {client.received} of {client.down} bytes down, "
                           f"{server.received - HEADER.size} of {client.up} up")
        elif left or number in self.killed:
            books["cut"] += 1
            if not left and client.ending == "end" and client.received < client.down:
                self.error(f"exchange {number}: a dead backend's answer ended cleanly after {client.received} of "
                           f"{client.down} bytes")
        elif server is None and client.received == 0:
            books["unserved"] += 1
        else:
            self.error(f"exchange {number}: reset though nobody had reset it")

    # --- the run ---------------------------------------------------------------------------------------------------

    def deaths(self, now):
        for backend, when in list(self.returns.items()):
            if now >= when:
                backend.rise()
                del self.returns[backend]
        if now >= self.next_death:
            self.next_death = now + self.random.uniform(0.5, 3)
            alive = [backend for backend in self.backends if backend.listener]
            if len(alive) > 1:
                victim = self.random.choice(alive)
                victim.die()
                self.returns[victim] = now + self.random.uniform(0.2, 2)
                # Whoever was in its queue, or had been dialled and not accepted, was cut as well.
                for number, (client, server) in self.exchanges.items():
                    if server is None:
                        self.killed.add(number)
                for number in [number for number, (_, server) in self.exchanges.items() if server and server.sock is None]:
                    self.settle(self.exchanges[number][1])

    def run(self, seconds, at_a_time, progress, backends_die=True):
        start = now = time.monotonic()
        self.next_death = start + 1 if backends_die else NEVER
        while now < start + seconds:
            while len(self.exchanges) < at_a_time:
                self.begin()
            self.step(0.01)
            now = time.monotonic()
            self.deaths(now)
            progress(f"{now - start:.0f} of {seconds:.0f} s, {self.books['whole']} whole, {self.books['cut']} cut")
        # Everybody may finish.
        limit = time.monotonic() + 60
        while self.exchanges and time.monotonic() < limit:
            self.step(0.05)
        for number in list(self.exchanges)[:10]:
            client, server = self.exchanges[number]
            self.error(f"exchange {number} has no end: the client has {client.received} of {client.down} bytes, "
                       f"{client.ending}; the backend "
                       f"{f'{server.received} bytes, {server.ending}' if server else 'does not know of it'}")
        self.books["seconds"] = round(now - start)
        self.books["deaths"] = sum(backend.deaths for backend in self.backends)

    def close(self):
        for backend in self.backends:
            if backend.listener:
                backend.listener.close()
        for end in list(self.watched):
            end.break_off()
        self.selector.close()
