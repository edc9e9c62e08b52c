"""The demo: three echo servers, harbor in front of them, steady traffic, and a live view of who gets how much.

The story is told by what happens, not by the clock: each step waits until its effect is there to be seen (B's share has
gone, B's share is back, new connections are refused) and fails if it does not come. Everything shown is measured from
outside, by the clients, except for the two gauges that come from harbor's own /metrics and say so.

Three kinds of threads: the clients, each making one request after the other; a poller of /metrics; and the main thread,
which tells the story and draws. They meet in Traffic, behind one lock.
"""
import argparse
import collections
import contextlib
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import project

LOOPBACK = "127.0.0.1"
NAMES = ("A", "B", "C")
CLIENTS = 6
REQUESTS_PER_SECOND = 240  # enough for smooth bars; a few percent of one core
COOLDOWN_MS = 2000  # shorter than harbor's own default, since people are watching
PATIENCE = 20.0  # seconds for anything that should happen at once
TRANSFER_LINES, TRANSFER_PAUSE = 40, 0.1  # a transfer takes about 4 s


class Broken(project.Stop):
    """Something that the demo is there to show did not happen."""


# --- the cast: processes -------------------------------------------------------------------------------------------


class Process:
    """A child process and what it says on standard error, which is where the programs report that they are ready."""

    def __init__(self, stage, name, command, environment=None):
        self.name = name
        self.lines = []
        self.ports = queue.Queue()
        # A session of its own: Ctrl-C in the terminal is for the demo, which then ends the others in the right order.
        self.process = subprocess.Popen([str(part) for part in command], env=dict(os.environ, **(environment or {})),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, errors="replace", start_new_session=True)
        stage.callback(self.end)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            found = re.search(r"(metrics|listening) on \S*:(\d+)\s*$", line)
            if found:
                self.ports.put((found.group(1), int(found.group(2))))
        self.ports.put((None, None))

    def port(self, kind="listening"):
        """The port of its next line `listening on ADDR:PORT` or `metrics on ADDR:PORT`."""
        with contextlib.suppress(queue.Empty):
            found, port = self.ports.get(timeout=PATIENCE)
            if found == kind:
                return port
        raise Broken(f"{self.name} did not say '{kind} on ADDR:PORT' but:\n" + "\n".join(self.lines))

    def running(self):
        return self.process.poll() is None

    def end(self, with_signal=signal.SIGKILL):
        if self.running():
            self.process.send_signal(with_signal)
        return self.process.wait()


class Backend:
    """An echo server that greets with its name; it can be killed and started again on the same port."""

    def __init__(self, stage, name):
        self.stage, self.name, self.port = stage, name, 0
        self.process = self.reservation = None
        self.start()

    def start(self):
        # Held until now so that no other program was given the port in the meantime.
        if self.reservation:
            self.reservation.close()
            self.reservation = None
        self.process = Process(self.stage, f"backend {self.name}",
                               [project.program_of("01"), "--id", self.name, self.port])
        self.port = self.process.port()

    def kill(self):
        self.process.end()
        self.reserve()

    def reserve(self):
        # Bound but not listening: connections to it are refused, as to a port with nobody behind it.
        self.reservation = socket.socket()
        self.reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.reservation.bind((LOOPBACK, self.port))

    def up(self):
        return self.process.running()


# --- the traffic ---------------------------------------------------------------------------------------------------


def exchange(connection, text):
    """Sends a line and returns the line that comes back."""
    connection.sendall(text)
    return read_line(connection)


def read_line(connection):
    line = b""
    while not line.endswith(b"\n"):
        # One byte more than a line is never on its way, so this reads no further than the line.
        part = connection.recv(4096)
        if not part:
            raise OSError("the connection ended in the middle of a line" if line else "the connection ended without a line")
        line += part
    return line


class Traffic:
    """Clients that connect, read the greeting, have a line echoed and close, steadily; and what came of it."""

    def __init__(self, port):
        self.port = port
        self.lock = threading.Condition()
        self.paused = self.stopped = False
        self.under_way = 0
        self.recent = collections.deque()  # (when it ended, backend, seconds) of the last second
        self.totals = collections.Counter()
        self.latencies = []
        self.failures = []
        self.threads = [threading.Thread(target=self.client, args=(number,), daemon=True) for number in range(CLIENTS)]
        self.start_time = time.monotonic()
        for thread in self.threads:
            thread.start()

    def client(self, number):
        pace = CLIENTS / REQUESTS_PER_SECOND
        due = time.monotonic() + pace * number / CLIENTS
        serial = 0
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pace, time.monotonic() - pace)
            with self.lock:
                while self.paused and not self.stopped:
                    self.lock.wait()
                if self.stopped:
                    return
                self.under_way += 1
            serial += 1
            backend, failure = None, None
            start = time.perf_counter()
            try:
                backend = self.request(b"client %d, request %d\n" % (number, serial))
            except OSError as error:
                failure = str(error)
            seconds = time.perf_counter() - start
            with self.lock:
                self.under_way -= 1
                self.lock.notify_all()
                if failure is None:
                    self.recent.append((time.monotonic(), backend, seconds))
                    self.totals[backend] += 1
                    self.latencies.append(seconds)
                else:
                    self.failures.append(failure)

    def request(self, line):
        with socket.create_connection((LOOPBACK, self.port), timeout=PATIENCE) as connection:
            backend = read_line(connection).decode().strip()
            echoed = exchange(connection, line)
        if echoed != line:
            raise OSError(f"sent {line!r}, {echoed!r} came back")
        return backend

    @contextlib.contextmanager
    def between_requests(self):
        """Holds the clients back for a moment in which no request is under way."""
        with self.lock:
            self.paused = True
            self.lock.wait_for(lambda: self.under_way == 0, PATIENCE)
        try:
            yield
        finally:
            with self.lock:
                self.paused = False
                self.lock.notify_all()

    def stop(self):
        with self.lock:
            self.stopped = True
            self.lock.notify_all()
        for thread in self.threads:
            thread.join()
        self.seconds = time.monotonic() - self.start_time

    def last_second(self):
        """Requests by backend and their latencies, sorted, of the last second."""
        with self.lock:
            horizon = time.monotonic() - 1.0
            while self.recent and self.recent[0][0] < horizon:
                self.recent.popleft()
            counts = collections.Counter(backend for _, backend, _ in self.recent)
            return counts, sorted(seconds for _, _, seconds in self.recent)

    def snapshot(self):
        with self.lock:
            return collections.Counter(self.totals)


def percentile(values, part):
    """Of sorted values; 0 if there are none."""
    return values[min(len(values) - 1, int(part * len(values)))] if values else 0.0


class Metrics:
    """Asks harbor's /metrics a few times a second, as long as there is one to ask."""

    def __init__(self, port):
        self.url = f"http://{LOOPBACK}:{port}/metrics"
        self.values = {}
        threading.Thread(target=self.poll, daemon=True).start()

    def poll(self):
        request = urllib.request.Request(self.url, headers={"Accept": "application/json"})
        while True:
            with contextlib.suppress(OSError, ValueError):
                with urllib.request.urlopen(request, timeout=2) as answer:
                    self.values = json.load(answer)
            time.sleep(0.2)


class Transfer:
    """A connection that lasts: a line every tenth of a second, each of which must come back."""

    def __init__(self, port):
        self.done = 0
        self.failure = None
        self.thread = threading.Thread(target=self.run, args=(port,), daemon=True)
        self.thread.start()

    def run(self, port):
        try:
            with socket.create_connection((LOOPBACK, port), timeout=PATIENCE) as connection:
                read_line(connection)
                for number in range(TRANSFER_LINES):
                    line = b"line %d of a transfer\n" % number
                    if exchange(connection, line) != line:
                        raise OSError("another line came back")
                    self.done += 1
                    time.sleep(TRANSFER_PAUSE)
        except OSError as error:
            self.failure = str(error)

    def completed(self):
        return self.done == TRANSFER_LINES and self.failure is None


# --- the view ------------------------------------------------------------------------------------------------------

BOLD, DIM, RED, GREEN, CYAN = "1", "2", "31", "32", "36"
EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(part, width, blocks):
    """A bar of `width` columns, filled to `part`; in eighths of a column where the blocks for that can be shown."""
    part = max(0.0, min(1.0, part))
    if not blocks:
        return ("#" * round(part * width)).ljust(width, ".")
    whole, eighth = divmod(round(part * width * 8), 8)
    return ("█" * whole + (EIGHTHS[eighth] if eighth else "")).ljust(width)


class View:
    """The live picture on a terminal; elsewhere one plain line every two seconds."""

    def __init__(self, title):
        self.title = title
        columns, rows = shutil.get_terminal_size()
        self.live = (sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
                     and columns >= 72 and rows >= 24)
        self.blocks = "utf" in (sys.stdout.encoding or "").lower()
        self.width = min(80, columns) - 1
        self.start = time.monotonic()
        self.story = []
        self.drawn = 0
        self.last_plain = 0.0
        self.note = None  # a function that returns lines to show at the foot
        if self.live:
            sys.stdout.write("\x1b[?25l\x1b[?7l")  # no cursor, it would jump about; no wrapping, it would break the frame
        else:
            project.say(title)

    def close(self):
        if self.live:
            sys.stdout.write("\x1b[?25h\x1b[?7h")
            sys.stdout.flush()

    def paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.live else text

    def tell(self, text):
        """A line of the story."""
        moment = time.monotonic() - self.start
        self.story.append((moment, text))
        if not self.live:
            project.say(f"t={moment:4.1f} s  {text}")

    def draw(self, backends, traffic, metrics, transfers=()):
        if self.live:
            lines = self.frame(backends, traffic, metrics, transfers)
            up = f"\x1b[{self.drawn}A" if self.drawn else ""
            sys.stdout.write(up + "".join(f"\r\x1b[K{line}\n" for line in lines) + "\x1b[J")
            sys.stdout.flush()
            self.drawn = len(lines)
        elif time.monotonic() - self.last_plain >= 2.0:
            self.last_plain = time.monotonic()
            counts, latencies = traffic.last_second()
            total = sum(counts.values())
            if traffic.stopped or not total:
                return
            shares = "  ".join(f"{name} {share(counts[name], total):3.0f} %" for name in NAMES)
            project.say(f"t={time.monotonic() - self.start:4.1f} s  {shares}  {total} requests/s"
                        f"  p50 {percentile(latencies, 0.5) * 1e3:.1f} ms  p99 {percentile(latencies, 0.99) * 1e3:.1f} ms"
                        f"  {len(traffic.failures)} failed")

    def frame(self, backends, traffic, metrics, transfers):
        counts, latencies = traffic.last_second()
        rate, totals = sum(counts.values()), traffic.snapshot()
        moment = f"{time.monotonic() - self.start:.0f} s"
        lines = [f" {self.paint(BOLD, self.title)}{moment:>{self.width - len(self.title) - 2}}", ""]

        width = self.width - 40
        # The whole bar is two thirds of the traffic: a fair third fills half of it, and there is room to move.
        for backend in backends:
            part = counts[backend.name] / rate if rate else 0.0
            figures = f"{part:4.0%} {counts[backend.name]:>5}/s {totals[backend.name]:>8,} in all"
            if backend.up():
                shown, state = self.paint(CYAN, bar(part * 1.5, width, self.blocks)), self.paint(GREEN, "up  ")
            else:
                shown, state = " " * width, self.paint(RED, "down")
            lines.append(f"   {self.paint(BOLD, backend.name)} {state} {shown} {figures}")

        failed = len(traffic.failures)
        if traffic.stopped:
            figures = f"{sum(totals.values()):,} requests made, no more to come"
        else:
            figures = (f"{self.paint(BOLD, f'{rate:>3}')} requests/s"
                       f"   latency p50 {self.paint(BOLD, f'{percentile(latencies, 0.5) * 1e3:.1f} ms')}"
                       f"  p99 {self.paint(BOLD, f'{percentile(latencies, 0.99) * 1e3:.1f} ms')}")
        lines += [
            "",
            f"   {figures}   {self.paint(RED if failed else GREEN, f'{failed} failed')}",
            self.paint(DIM, "   from /metrics: open connections {}, backends cooling down {}, dials retried {}".format(
                *(metrics.values.get(name, "-") for name in ("active_conns", "cooldown_backends", "retries_total")))),
            "",
        ]
        for moment, text in self.story[-9:]:
            newest = (moment, text) == self.story[-1]
            line = f"   t={moment:4.1f} s  {text}"
            lines.append(line if newest else self.paint(DIM, line))
        if transfers:
            lines.append("")
        for number, transfer in enumerate(transfers, 1):
            done = transfer.done / TRANSFER_LINES
            state = self.paint(RED, "cut") if transfer.failure else (self.paint(GREEN, "complete") if done >= 1 else "running")
            lines.append(f"   transfer {number} {self.paint(CYAN, bar(done, width, self.blocks))} {done:4.0%} {state}")
        if self.note:
            lines += ["", *(self.paint(DIM, "   " + line) for line in self.note())]
        return lines


def share(count, total):
    return 100.0 * count / total if total else 0.0


# --- the story -----------------------------------------------------------------------------------------------------


class Demo:
    def __init__(self, stage):
        self.stage = stage
        self.backends = [Backend(stage, name) for name in NAMES]
        environment = {
            "LB_ADDR": f"{LOOPBACK}:0",
            "LB_METRICS_ADDR": f"{LOOPBACK}:0",
            "BACKENDS": ",".join(f"{LOOPBACK}:{backend.port}" for backend in self.backends),
            "STRATEGY": "round-robin",
            "LB_BACKEND_COOLDOWN_MS": str(COOLDOWN_MS),
            "LB_DIAL_RETRIES": "1",
            "LB_SHUTDOWN_GRACE_MS": "10000",
        }
        self.harbor = Process(stage, "harbor", [project.program_of("harbor")], environment)
        self.metrics_port = self.harbor.port("metrics")
        self.port = self.harbor.port()
        self.metrics = Metrics(self.metrics_port)
        self.view = View("Harbor: three backends, one balancer, steady traffic")
        stage.callback(self.view.close)
        self.traffic = Traffic(self.port)
        self.transfers = []
        self.phases = []  # (name, requests by backend)

    def draw(self):
        self.view.draw(self.backends, self.traffic, self.metrics, self.transfers)

    def watch(self, seconds=0.0, until=None, what=""):
        """Draws on for so many seconds, and until the condition holds."""
        start = time.monotonic()
        while time.monotonic() - start < seconds or (until and not until()):
            self.draw()
            if not self.harbor.running() and not self.transfers:
                raise Broken("harbor has ended by itself; it said:\n" + "\n".join(self.harbor.lines))
            if time.monotonic() - start > seconds + PATIENCE:
                raise Broken(f"{what}: not within {PATIENCE:.0f} s")
            time.sleep(0.1)
        self.draw()

    @contextlib.contextmanager
    def phase(self, name):
        """Counts the requests by backend of what happens inside."""
        before = self.traffic.snapshot()
        yield
        self.phases.append((name, self.traffic.snapshot() - before))

    def share_of(self, name):
        counts, _ = self.traffic.last_second()
        return share(counts[name], sum(counts.values()))

    def balance(self):
        backend = self.backends[1]
        self.view.tell("harbor gives each new connection to the next backend")
        with self.phase("all three up"):
            self.watch(4.0)

        # What a backend has in hand when it dies is lost, whoever balances: the bytes have been sent and may have had
        # their effect. So B dies between two requests, and what is shown is that not one of those to come is lost.
        with self.traffic.between_requests():
            backend.kill()
        self.view.tell("backend B is killed, between two requests")
        with self.phase("B down"):
            self.watch(1.5, lambda: self.share_of("B") == 0, "B's share going to the others")
            self.view.tell("its share has moved to A and C, and no request has failed"
                           if not self.traffic.failures else "its share has moved to A and C")
            self.watch(3.0)

        backend.start()
        self.view.tell(f"B is started again; it is tried when its cooldown of {COOLDOWN_MS / 1000:.0f} s is over")
        self.watch(0.5, lambda: self.share_of("B") > 25, "B's share coming back")
        self.view.tell("one dial succeeded: B has its share again")
        with self.phase("B back"):
            self.watch(3.0)

    def drain(self):
        """SIGTERM with three transfers running; returns harbor's exit status, how many were refused, and how long it took."""
        self.traffic.stop()
        self.transfers = [Transfer(self.port) for _ in range(3)]
        self.watch(1.0, lambda: all(transfer.done for transfer in self.transfers), "three transfers starting")
        self.harbor.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        self.view.tell("SIGTERM, with three transfers running")
        self.watch(0.0, lambda: not connects(self.port), "new connections being refused")
        refused = sum(not connects(self.port) for _ in range(5))
        self.view.tell(f"new connections are refused ({refused} of 5), the transfers go on")
        self.watch(0.0, lambda: not any(transfer.thread.is_alive() for transfer in self.transfers), "the transfers ending")
        self.watch(0.0, lambda: not self.harbor.running(), "harbor ending")
        status = self.harbor.end()
        completed = sum(transfer.completed() for transfer in self.transfers)
        self.view.tell(f"{completed} of 3 transfers completed; harbor has ended with status {status}")
        self.draw()
        return status, refused, time.monotonic() - start

    def summary(self, status, refused, seconds):
        traffic, view, say = self.traffic, self.view, project.say
        latencies = sorted(traffic.latencies)
        failed, completed = len(traffic.failures), sum(transfer.completed() for transfer in self.transfers)
        say()
        say(view.paint(BOLD, " What was measured"))
        say(f"   {len(latencies):,} requests in {traffic.seconds:.1f} s, {failed} failed;"
            f" latency p50 {percentile(latencies, 0.5) * 1e3:.1f} ms, p99 {percentile(latencies, 0.99) * 1e3:.1f} ms")
        for name, counts in self.phases:
            total = sum(counts.values())
            shares = "   ".join(f"{backend} {share(counts[backend], total):5.1f} %" for backend in NAMES)
            say(f"   {name:<13} {shares}")
        say(f"   drain: {completed} of 3 transfers completed, {refused} of 5 new connections refused,"
            f"\n          exit status {status} {seconds:.1f} s after SIGTERM")
        for failure, count in collections.Counter(traffic.failures).most_common(3):
            say(f"   failed {count} times: {failure}")
        for transfer in self.transfers:
            if not transfer.completed():
                say(f"   a transfer was cut after {transfer.done} of {TRANSFER_LINES} lines: {transfer.failure}")
        return failed == 0 and completed == 3 and refused == 5 and status == 0

    def serve(self):
        def note():
            process = self.backends[1].process.process
            return [
                f"nc {LOOPBACK} {self.port:<20}  a connection of your own",
                f"curl {LOOPBACK}:{self.metrics_port}/metrics".ljust(34) + "  harbor's counters",
                f"kill {process.pid}".ljust(34) + "  ends backend B, for 5 s",
                "Ctrl-C".ljust(34) + "  lets what is under way finish, and ends",
            ]

        self.view.note = note
        if not self.view.live:
            project.say("\n".join(note()))
        self.view.tell("harbor gives each new connection to the next backend")
        down = {}
        while True:
            self.watch(0.5)
            for backend in self.backends:
                if not backend.up() and backend.name not in down:
                    down[backend.name] = time.monotonic() + 5.0
                    backend.reserve()
                    self.view.tell(f"backend {backend.name} has ended")
                if time.monotonic() > down.get(backend.name, time.monotonic()):
                    del down[backend.name]
                    backend.start()
                    self.view.tell(f"backend {backend.name} is started again (process {backend.process.process.pid})")


def connects(port):
    try:
        with socket.create_connection((LOOPBACK, port), timeout=PATIENCE):
            return True
    except ConnectionRefusedError:
        return False


NEXT = """
   chapters/01_echo/README.md   write this yourself, one idea at a time
   README.md                    how to run harbor in front of your own servers
   scripts/demo --serve         the same view until Ctrl-C, with things to try
"""


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Three echo servers, harbor in front of them, steady traffic, and a live view of who gets how much."
                    " One backend is killed and comes back; then harbor drains upon SIGTERM. Installs what is missing,"
                    " builds, and takes under half a minute after that. Exit status 1 if any request failed.",
    )
    parser.add_argument("--serve", action="store_true", help="no story: keep running until Ctrl-C, then drain")
    arguments = parser.parse_args()

    project.bootstrap()
    if not project.program_of("harbor").exists():
        project.say("building harbor and the echo server (the first time this takes a minute or two)")
    project.build("harbor_program", "ch01_program")

    # While one thread draws, the clients wait for the interpreter several times a request, each time for up to this long:
    # with the usual 5 ms the latency shown would be our own.
    sys.setswitchinterval(0.00005)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))

    with contextlib.ExitStack() as stage:
        demo = Demo(stage)
        if arguments.serve:
            try:
                demo.serve()
            except KeyboardInterrupt:
                demo.view.tell("Ctrl-C")
                demo.view.note = None
        else:
            demo.balance()
        good = demo.summary(*demo.drain())
        if not arguments.serve:
            project.say("\n" + demo.view.paint(BOLD, " Where to go next") + NEXT.rstrip())
        # A backend that was killed by hand in the middle of a request has lost it, and that is no fault of harbor's.
        if not good and not (arguments.serve and demo.harbor.end() == 0):
            raise Broken("not everything went as it should, see above")
    return 0


if __name__ == "__main__":
    project.run_main(main)
