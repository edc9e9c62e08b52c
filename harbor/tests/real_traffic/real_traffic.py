#!/usr/bin/env python3
"""Real servers and their own load generators, with a balancer between them.

Our own test backends only know the mistakes we thought of. Redis, PostgreSQL and nginx bring traffic that nobody wrote
with this balancer in mind: pipelined commands, a server that refuses TLS in the middle of a handshake, keep-alive,
uploads that wait for a "100 Continue". Each subcommand starts two of one kind on loopback, puts the balancer in front,
lets the kind's usual client loose on it, and then asks the servers what they saw: every request has to have arrived
exactly once, and on both of them.

Nothing here judges speed, so it says the same under a sanitizer on a busy machine as on a fast one.

Prints one line a step with the figures found. Exit status: 0 passed, 1 failed (with the logs), 2 wrong usage, 77 the
servers are not installed (with HARBOR_REQUIRE_PEERS=1 in the environment that is a failure too).
"""
import argparse
import contextlib
import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SKIPPED = 77
DEADLINE = 60.0  # for any one thing to happen; generous because it only costs time when something is broken
TIME_LIMIT = 170  # for everything: less than ctest's, which would leave nobody to end the servers
LOOPBACK = "127.0.0.1"


class Failure(Exception):
    """What the test was there to find: something did not go through the balancer as it should."""


class Missing(Exception):
    """A server or a client is not installed."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def find_tools(package, *names):
    """The paths of commands; Debian keeps some where an ordinary user's PATH does not look."""
    folders = os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/usr/local/sbin"]
    versions = Path("/usr/lib/postgresql")
    if versions.is_dir():
        folders += sorted((str(path / "bin") for path in versions.iterdir()), reverse=True)
    found = [shutil.which(name, path=":".join(folders)) for name in names]
    missing = [name for name, path in zip(names, found) if path is None]
    if missing:
        raise Missing(f"{', '.join(missing)} not found (packages: {package})")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def accepts(port):
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(condition, what, while_running=None):
    """Polls until the condition holds. A process that is needed for it and has died ends the wait at once."""
    deadline = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        expect(while_running is None or while_running.poll() is None, f"{what}: the process ended instead")
        expect(time.monotonic() < deadline, f"{what}: not within {DEADLINE:.0f} s")
        time.sleep(0.02)


class Stage:
    """A folder and the processes of one run; leaving it ends every process by its pid and removes the folder."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="harbor-real-traffic-"))
        self.folder.chmod(0o755)  # servers that run as another user have to get through
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for process in reversed(self.processes):
            self.end(process)
        if kind is not None and issubclass(kind, (Failure, subprocess.TimeoutExpired)):
            for log in sorted(set(self.folder.rglob("*.log")) - set(self.folder.rglob("access.log"))):
                lines = log.read_text(errors="replace").splitlines()
                print(f"--- the end of {log.relative_to(self.folder)}", *lines[-15:], sep="\n", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, command, **options):
        """Starts a process whose output goes to NAME.log."""
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        self.processes.append(process)
        return process

    def end(self, process, with_signal=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(with_signal)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.remove(process)
        return process.returncode

    def start_server(self, name, command_for):
        """Starts a server on a free port, command_for(port) being its command line; returns the port.

        Between finding a port free and the server's bind someone else can take it. The server then ends at once, and
        another port is tried.
        """
        for _ in range(5):
            port = free_port()
            process = self.start(name, command_for(port))
            wait_until(lambda: process.poll() is not None or accepts(port), f"{name} on port {port}")
            if process.poll() is None:
                return port
            self.processes.remove(process)
        raise Failure(f"{name} did not start")


class Balancer:
    """The program under test in front of the given ports, and what it logged."""

    def __init__(self, stage, program, ports):
        environment = dict(
            os.environ,
            LB_ADDR=f"{LOOPBACK}:0",
            LB_METRICS_ADDR=f"{LOOPBACK}:0",
            BACKENDS=",".join(f"{LOOPBACK}:{port}" for port in ports),
            # A busy machine may leave a connection alone for longer than the default: that is not what is tested.
            LB_IO_TIMEOUT_MS="60000",
            LB_DIAL_TIMEOUT_MS="15000",
        )
        self.stage = stage
        self.log = stage.folder / "balancer.log"
        self.process = stage.start("balancer", [program], env=environment)
        ready = wait_until(
            lambda: re.search(r"^(?!.*metrics).*listening on .*:(\d+)$", self.log.read_text(), re.MULTILINE),
            "the balancer's line 'listening on ADDR:PORT'",
            self.process,
        )
        self.port = int(ready.group(1))

    def stop(self):
        """SIGTERM with no connection open: it has nothing to wait for and must say it is content."""
        status = self.stage.end(self.process)
        expect(status == 0, f"after SIGTERM the balancer ended with status {status} instead of 0")
        print("ok  the balancer ends with status 0 upon SIGTERM")


def run(command, **options):
    """Runs a client to its end and returns what it printed; any status but 0 is a failure."""
    result = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=2 * DEADLINE,
        text=True,
        errors="replace",
        **options,
    )
    name = Path(str(command[0])).name
    expect(result.returncode == 0, f"{name} ended with status {result.returncode}:\n{result.stdout}")
    return result.stdout


def shares(counts):
    return " + ".join(f"{count:,}" for count in counts)


# --- redis -----------------------------------------------------------------------------------------------------------


def redis(stage, program):
    server, benchmark, client = find_tools("redis-server redis-tools", "redis-server", "redis-benchmark", "redis-cli")

    ports = []
    for name in ("redis-1", "redis-2"):
        folder = stage.folder / name
        folder.mkdir()
        options = ["--bind", LOOPBACK, "--dir", str(folder), "--save", "", "--appendonly", "no"]
        ports.append(stage.start_server(name, lambda port: [server, "--port", str(port), *options]))
    balancer = Balancer(stage, program, ports)

    def info(port, section):
        return run([client, "-p", port, "info", section])

    def calls(port, command):
        found = re.search(rf"^cmdstat_{command}:calls=(\d+)", info(port, "commandstats"), re.MULTILINE)
        return int(found.group(1)) if found else 0

    def counter(port):
        # redis-benchmark's INCR goes to one key, so its value is the number of increments that arrived.
        return int(run([client, "-p", port, "get", "counter:__rand_int__"]).strip() or 0)

    # Each workload: what it is, redis-benchmark's options, and how many of which command must have been processed.
    workloads = [
        ("one command at a time", ["-c", 16, "-n", 4000, "-t", "set,get,incr"], {"set": 4000, "get": 4000, "incr": 4000}),
        ("16 commands in flight", ["-c", 16, "-n", 16000, "-P", 16, "-t", "incr"], {"incr": 16000}),
        ("values of 64 KiB", ["-c", 8, "-n", 1000, "-d", 65536, "-t", "set,get"], {"set": 1000, "get": 1000}),
        ("a connection a command", ["-c", 8, "-n", 1000, "-k", 0, "-t", "incr"], {"incr": 1000}),
    ]
    for name, options, wanted in workloads:
        before = sum(counter(port) for port in ports)
        for port in ports:
            run([client, "-p", port, "config", "resetstat"])
        output = run([benchmark, "-p", balancer.port, "-q", *options])
        expect("rror" not in output, f"{name}: redis-benchmark reports an error:\n{output}")
        processed = [0] * len(ports)
        for command, count in wanted.items():
            seen = [calls(port, command) for port in ports]
            processed = [total + more for total, more in zip(processed, seen)]
            expect(all(seen), f"{name}: {command} reached only one of the servers: {shares(seen)}")
            expect(sum(seen) == count, f"{name}: {count:,} x {command} asked, {shares(seen)} processed")
        if "incr" in wanted:
            added = sum(counter(port) for port in ports) - before
            expect(added == wanted["incr"], f"{name}: {wanted['incr']:,} increments asked, the counters grew by {added:,}")
        print(f"ok  {name}: {sum(wanted.values()):,} commands asked, {shares(processed)} processed")

    connections = [
        int(re.search(r"total_connections_received:(\d+)", info(port, "stats")).group(1)) for port in ports
    ]
    print(f"ok  connections of the last workload: {shares(connections)}")
    balancer.stop()


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def postgres(stage, program):
    package = "postgresql"
    initdb, server, bench, psql = find_tools(package, "initdb", "postgres", "pgbench", "psql")

    # PostgreSQL refuses to run as root.
    user, as_user = pwd.getpwuid(os.getuid()).pw_name, []
    if os.getuid() == 0:
        user = "postgres"
        try:
            pwd.getpwnam(user)
        except KeyError:
            raise Missing(f"root cannot run PostgreSQL and there is no user 'postgres' (package: {package})") from None
        as_user = [*find_tools("util-linux", "setpriv"), "--reuid", user, "--regid", user, "--clear-groups"]
    database = "postgres"
    environment = dict(os.environ, PGUSER=user, PGDATABASE=database, PGHOST=LOOPBACK, PGCONNECT_TIMEOUT="60")

    def query(port, sql):
        return run([psql, "-p", port, "-qAtX", "-c", sql], env=environment).strip()

    ports = []
    for name in ("postgres-1", "postgres-2"):
        data = stage.folder / name
        data.mkdir()
        shutil.chown(data, user)
        data.chmod(0o700)
        run([*as_user, initdb, "-D", data, "-U", user, "-A", "trust", "--locale", "C", "--encoding", "UTF8", "--no-sync"],
            cwd=stage.folder)
        # Nothing here has to survive a power cut.
        settings = ["fsync=off", f"listen_addresses={LOOPBACK}", "unix_socket_directories=", "max_connections=50",
                    "shared_buffers=16MB"]
        options = [part for setting in settings for part in ("-c", setting)]
        port = stage.start_server(
            name, lambda port: [*as_user, server, "-D", str(data), "-p", str(port), *options]
        )
        wait_until(
            lambda: subprocess.run([psql, "-p", str(port), "-qAtX", "-c", "select 1"], env=environment,
                                   stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0,
            f"{name} answering",
        )
        run([bench, "-p", port, "-i", "-q", "-s", "1"], env=environment)
        ports.append(port)
    balancer = Balancer(stage, program, ports)

    def pgbench(name, options, transactions):
        output = run([bench, "-p", balancer.port, "-n", *options], env=environment)
        done = re.search(r"transactions actually processed: (\d+)", output)
        expect(done and int(done.group(1)) == transactions, f"{name}: {transactions} transactions asked:\n{output}")
        failed = re.search(r"failed transactions: (\d+)", output)  # pgbench before 15 does not have this line
        expect(not failed or failed.group(1) == "0", f"{name}: pgbench reports failed transactions:\n{output}")

    # What a server says it has committed: counted by each connection's process when it ends, hence the wait.
    def commits():
        return [int(query(port, f"select xact_commit from pg_stat_database where datname = '{database}'")) for port in ports]

    def history():
        return [int(query(port, "select count(*) from pgbench_history")) for port in ports]

    name = "reading, a connection a transaction"
    before = commits()

    def committed():
        return [now - then for now, then in zip(commits(), before)]

    pgbench(name, ["-S", "-C", "-c", "4", "-t", "50"], 200)
    wait_until(lambda: sum(committed()) >= 200, f"{name}: 200 commits on the two servers")
    seen = committed()
    expect(min(seen) >= 50, f"{name}: the servers committed {shares(seen)}, one of them hardly any")
    print(f"ok  {name}: 200 asked, both servers committed (their own questions included) {shares(seen)}")

    name = "reading, 8 connections that last"
    pgbench(name, ["-S", "-c", "8", "-j", "2", "-t", "250"], 2000)
    print(f"ok  {name}: 2,000 asked, 2,000 processed")

    # The standard script writes a row of history a transaction, so the tables say how often each one arrived.
    name = "writing, 8 connections that last"
    pgbench(name, ["-c", "8", "-j", "2", "-t", "50"], 400)
    seen = history()
    expect(sum(seen) == 400 and all(seen), f"{name}: 400 transactions asked, rows of history on the servers: {shares(seen)}")
    print(f"ok  {name}: 400 asked, {shares(seen)} rows of history")

    name = "a result of 8 MB"
    sql = "copy (select i, md5(i::text) from generate_series(1, 200000) as i) to stdout"
    direct, through = (hashlib.sha256(query(port, sql).encode()).hexdigest() for port in (ports[0], balancer.port))
    expect(direct == through, f"{name}: sha256 {direct} when asked directly, {through} through the balancer")
    print(f"ok  {name}: sha256 {through[:16]}… directly and through the balancer")
    balancer.stop()


# --- nginx -----------------------------------------------------------------------------------------------------------

NGINX = """
daemon off;
master_process off;  # one process, which stays the user that started it
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  sendfile on;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    location / {{ dav_methods PUT; client_max_body_size 0; }}
  }}
}}
"""


def nginx(stage, program):
    server, wrk, curl = (find_tools(name, name)[0] for name in ("nginx", "wrk", "curl"))

    root = stage.folder / "root"
    root.mkdir()
    (root / "small").write_bytes(b"small\n")
    digest = hashlib.sha256()
    with open(root / "large", "wb") as file:
        for _ in range(100):
            block = os.urandom(1_000_000)
            digest.update(block)
            file.write(block)
    expected = digest.hexdigest()

    ports = []
    for name in ("nginx-1", "nginx-2"):
        folder = stage.folder / name
        folder.mkdir()

        def command_for(port, folder=folder):
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, root=root, port=port))
            return [server, "-p", str(folder), "-c", str(folder / "nginx.conf")]

        ports.append(stage.start_server(name, command_for))
    balancer = Balancer(stage, program, ports)
    url = f"http://{LOOPBACK}:{balancer.port}"

    def requests(what):
        """How many requests for a file each server has logged."""
        return [(stage.folder / name / "access.log").read_text().count(what) for name in ("nginx-1", "nginx-2")]

    for name, options in (("keep-alive", []), ("a connection a request", ["-H", "Connection: close"])):
        before = requests("GET /small ")
        output = run([wrk, "-t", 2, "-c", 32, "-d", "2s", "--timeout", f"{DEADLINE:.0f}s", *options, f"{url}/small"])
        expect("Socket errors" not in output and "Non-2xx" not in output, f"wrk, {name}:\n{output}")
        done = int(re.search(r"(\d+) requests in", output).group(1))
        seen = [now - then for now, then in zip(requests("GET /small "), before)]
        expect(done > 0 and all(seen), f"wrk, {name}: {done:,} requests answered, logged by the servers: {shares(seen)}")
        # When its time is over wrk drops what it still waits for, so the servers may have seen more, but never fewer.
        expect(sum(seen) >= done, f"wrk, {name}: {done:,} requests answered, the servers logged only {shares(seen)}")
        print(f"ok  wrk, {name}: {done:,} requests answered, {shares(seen)} logged, no socket errors")

    def download():
        return subprocess.Popen([curl, "--silent", "--show-error", "--fail", f"{url}/large"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def finish(process):
        found = hashlib.sha256()
        for block in iter(lambda: process.stdout.read(1 << 20), b""):
            found.update(block)
        process.stdout.close()
        status = process.wait()
        expect(status == 0, f"curl ended with status {status} instead of 0")
        expect(found.hexdigest() == expected, f"downloaded sha256 {found.hexdigest()}, served {expected}")

    def downloads(count):
        """That many at once. They are read one after the other, so the later ones also wait with full buffers."""
        with contextlib.ExitStack() as started:
            running = []
            for _ in range(count):
                process = started.enter_context(download())
                started.callback(process.kill)  # does nothing to one that has ended
                running.append(process)
            for process in running:
                finish(process)

    downloads(1)
    print(f"ok  curl: 100 MB downloaded, sha256 {expected[:16]}… as served")
    downloads(4)
    seen = requests("GET /large ")
    expect(all(seen), f"all downloads came from one server: {shares(seen)}")
    print(f"ok  curl: 4 x 100 MB at once, the same sha256, {shares(seen)} downloads by server")

    run([curl, "--silent", "--show-error", "--fail", "-T", root / "large", f"{url}/uploaded"])
    uploaded = hashlib.sha256((root / "uploaded").read_bytes()).hexdigest()
    expect(uploaded == expected, f"sent sha256 {expected}, arrived {uploaded}")
    print("ok  curl: 100 MB uploaded, sha256 as sent")
    balancer.stop()


# --- prometheus --------------------------------------------------------------------------------------------------------


def prometheus(stage, program):
    """The page of metrics as Prometheus's own tool reads it, after traffic that makes every kind of sample move."""
    (promtool,) = find_tools("prometheus", "promtool")
    files = stage.folder / "files"
    files.mkdir()
    (files / "page").write_text("hello\n")
    ports = [stage.start_server("http", lambda port: [sys.executable, "-m", "http.server", str(port), "--bind", LOOPBACK,
                                                      "--directory", files]) for _ in range(2)]
    # One backend refuses, so that there are failures, retries and a cooldown to be counted.
    balancer = Balancer(stage, program, [*ports, free_port()])
    requests = 30
    for _ in range(requests):
        with urllib.request.urlopen(f"http://{LOOPBACK}:{balancer.port}/page", timeout=DEADLINE) as reply:
            expect(reply.read() == b"hello\n", "a page came back changed")
    metrics_port = int(re.search(r"^metrics on .*:(\d+)$", balancer.log.read_text(), re.MULTILINE).group(1))
    with urllib.request.urlopen(f"http://{LOOPBACK}:{metrics_port}/metrics", timeout=DEADLINE) as reply:
        page = reply.read().decode()
    expect(f"harbor_accepts_total {requests}\n" in page, f"{requests} requests are not {requests} accepts:\n{page}")
    expect("harbor_dial_failures_total 0\n" not in page, f"a backend that refuses has left no trace:\n{page}")
    checked = subprocess.run([promtool, "check", "metrics"], input=page, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=DEADLINE, text=True, check=False)
    said = checked.stdout + (f"(status {checked.returncode})" if checked.returncode else "")
    expect(not said, f"promtool has something to say about the page:\n{said}")
    print(f"ok  promtool check metrics: {len(page.splitlines())} lines without a complaint")
    balancer.stop()


def main():
    kinds = {"redis": redis, "postgres": postgres, "nginx": nginx, "prometheus": prometheus}
    parser = argparse.ArgumentParser(
        description="Two real servers of one kind with the balancer in front, under their usual client's load.",
        epilog="Exit status 77 means that the servers are not installed: scripts/bootstrap --all installs them.",
    )
    parser.add_argument("kind", choices=kinds, help="the servers to put behind the balancer")
    parser.add_argument("--program", required=True, help="the balancer, e.g. build/release/harbor/harbor")
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.program)
    if not os.access(program, os.X_OK):
        parser.error(f"--program {arguments.program}: no such executable; scripts/test builds it")

    sys.stdout.reconfigure(line_buffering=True)

    def time_is_up(*_):
        raise Failure(f"not done after {TIME_LIMIT} s")

    # Both unwind the stack, and so end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGALRM, time_is_up)
    signal.alarm(TIME_LIMIT)
    try:
        with Stage() as stage:
            kinds[arguments.kind](stage, program)
    except Missing as missing:
        required = os.environ.get("HARBOR_REQUIRE_PEERS") == "1"
        print(f"{'FAILED' if required else 'skipped'}: {missing}; scripts/bootstrap --all installs them", file=sys.stderr)
        return 1 if required else SKIPPED
    except subprocess.TimeoutExpired as expired:
        print(f"FAILED: {Path(expired.cmd[0]).name} had not ended after {expired.timeout:.0f} s", file=sys.stderr)
        return 1
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    print(f"passed: {arguments.kind} through {program}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
