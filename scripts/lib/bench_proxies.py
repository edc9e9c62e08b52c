"""Starting the proxies: each in the foreground, on a port of its own, in front of the same four backend addresses.

The peers are set up as their users would for this job, and so that they do what harbor does by default: TCP keep-alive and
no-delay on both sides, timeouts, half-closed connections kept open, a second backend tried when the first does not
answer, no log line a connection. Nothing else is tuned, with one exception, which is a proxy of its own:
haproxy-splice is HAProxy told to splice(2) all the time.
"""
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import bench_machine
import project

DESCRIPTIONS = {
    "direct": "no proxy: the load generator talks to its own backend",
    "harbor": "harbor, with everything it does by default",
    "haproxy": "HAProxy, mode tcp",
    "haproxy-splice": "HAProxy with option splice-request and splice-response (bulk only)",
    "nginx": "nginx, stream module",
    "ch06": "the program of chapter 06",
}
PEERS = {"haproxy": "apt-get install haproxy", "nginx": "apt-get install nginx libnginx-mod-stream"}
BACKENDS = [f"127.0.2.{number}" for number in range(1, 5)]
PATIENCE = 10.0  # seconds for a proxy to start, and to end
LIMIT = 20000  # connections, where the descriptors allow for it


def program_of(name):
    """The program behind a proxy's name."""
    return "haproxy" if name == "haproxy-splice" else name


def which(program):
    # Debian keeps servers where only root's PATH leads.
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")


def output_of(*command):
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return result.stdout


def nginx_stream_module(program):
    """The line that loads the stream module, empty if it is built in, None if there is none."""
    facts = output_of(program, "-V")
    if re.search(r"--with-stream(?!=dynamic)\b(?!_)", facts):
        return ""
    folder = re.search(r"--modules-path=(\S+)", facts)
    module = Path(folder.group(1) if folder else "/usr/lib/nginx/modules") / "ngx_stream_module.so"
    return f"load_module {module};\n" if module.exists() else None


def nginx_has_stream(program):
    return nginx_stream_module(program) is not None


def versions(programs, names, given):
    """What is measured, by name: a version, or the path of a program that was given."""
    found = {}
    for name in names:
        program = programs.get(program_of(name))
        if program_of(name) in given:
            found[name] = f"({program})"
        elif name == "haproxy":
            found[name] = re.search(r"version (\S+)", output_of(program, "-v")).group(1)
        elif name == "nginx":
            found[name] = re.search(r"nginx/(\S+)", output_of(program, "-v")).group(1)
        elif name in ("harbor", "ch06"):
            found[name] = output_of("git", "-C", project.ROOT, "describe", "--always", "--dirty").strip()
    return found


def below_ephemeral():
    """Ports that the kernel does not give to outgoing connections, of which there will be very many."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return range(10000, first) if first > 11000 else range(1024, 65536)


def free_port(addresses):
    """A port that nobody listens on at any of the addresses. A new one each time: the traces that the connections of the
    run before have left in the kernel (TIME_WAIT) are not in the way of this one."""
    for _ in range(1000):
        port = random.choice(below_ephemeral())
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for address in addresses:
                stack.enter_context(socket.socket()).bind((address, port))
            return port
    raise project.Stop("cannot find a free port")


def listens(port):
    """Whether somebody listens on 127.0.0.1:port. To connect would be a simpler question, but the proxy would ask the
    backend, which is not there yet, and put it aside for its first seconds."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[3] == "0A":
            return True
    return False


def children(pid):
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, tasks.read_text().split())
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                total += int(file.read_text().split()[0])
    return total / 1e9


class Proxy:
    """A proxy that runs from `with` to its end; pids are all of its processes."""

    def __init__(self, name, programs, folder, cores, threads):
        self.name = name
        self.program = str(programs.get(program_of(name)))
        self.folder, self.cores, self.threads = folder, cores, threads
        self.port = free_port(["127.0.0.1"])
        self.backend_port = free_port(BACKENDS)
        self.log = folder / f"{name}.log"
        self.process = None
        self.pids = []

    def __enter__(self):
        command, environment = self.command()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, self.cores.proxy))
        try:
            self.await_ready()
        except BaseException:
            self.end()
            raise
        return self

    def await_ready(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            if self.process.poll() is not None:
                raise project.Stop(f"{self.name} ended at once, with status {self.process.returncode}:\n{self.said()}")
            self.pids = [self.process.pid, *children(self.process.pid)]
            if listens(self.port) and (self.name != "nginx" or len(self.pids) > self.threads):
                return
            if time.monotonic() > deadline:
                raise project.Stop(f"{self.name} does not listen on 127.0.0.1:{self.port}:\n{self.said()}")
            time.sleep(0.005)

    def __exit__(self, kind, *_):
        self.end()
        # It was asked politely and had nothing left to do.
        if kind is None and self.process.returncode not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            raise project.Stop(f"{self.name} ended with status {self.process.returncode}:\n{self.said()}")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def metrics_port(self):
        """Where it answers GET /metrics, if it is one of ours."""
        found = re.search(r"^metrics on .*:(\d+)$", self.said(), re.MULTILINE)
        return int(found.group(1)) if found else None

    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:] or "(it said nothing)"

    def command(self):
        # Without what the user may have set for a harbor of their own.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("LB_") and name not in ("BACKENDS", "STRATEGY")}
        if program_of(self.name) == "haproxy":
            return [self.program, "-db", "-f", self.write("haproxy.cfg", self.haproxy())], environment
        if self.name == "nginx":
            # -e: where to complain before the configuration has been read.
            configuration = self.write("nginx.conf", self.nginx())
            return [self.program, "-e", "stderr", "-p", str(self.folder), "-c", configuration], environment
        environment.update(
            LB_ADDR=f"127.0.0.1:{self.port}", LB_METRICS_ADDR="127.0.0.1:0", LB_THREADS=str(self.threads),
            BACKENDS=",".join(f"{address}:{self.backend_port}" for address in BACKENDS),
            LB_MAX_INFLIGHT=str(LIMIT), LB_IO_TIMEOUT_MS="60000")
        return [self.program], environment

    def write(self, name, text):
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        return str(file)

    def haproxy(self):
        splices = self.name == "haproxy-splice"
        # HAProxy refuses to start when its descriptors could run out: two a connection, and half as many again for pipes.
        limit = min(LIMIT, (bench_machine.descriptors() - 200) // (3 if splices else 2))
        servers = "\n".join(f"    server backend{number} {address}:{self.backend_port}"
                            for number, address in enumerate(BACKENDS, 1))
        return f"""global
    nbthread {self.threads}
    maxconn {limit}

defaults
    mode tcp
    timeout connect 1500ms
    timeout client 60s
    timeout server 60s
    option clitcpka
    option srvtcpka
    retries 1
    option redispatch
{"    option splice-request" + chr(10) + "    option splice-response" + chr(10) if splices else ""}
listen bench
    bind 127.0.0.1:{self.port}
    balance roundrobin
{servers}
"""

    def nginx(self):
        limit = min(2 * LIMIT, bench_machine.descriptors() - 100)
        servers = "\n".join(f"        server {address}:{self.backend_port};" for address in BACKENDS)
        # With several workers each has a queue of its own, or the connections would gather at one of them.
        reuseport = " reuseport" if self.threads > 1 else ""
        return f"""{nginx_stream_module(self.program)}worker_processes {self.threads};
worker_rlimit_nofile {bench_machine.descriptors()};
daemon off;
pid {self.folder}/nginx.pid;
error_log stderr error;

events {{
    worker_connections {limit};
}}

stream {{
    access_log off;
    upstream backends {{
{servers}
    }}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096 so_keepalive=on{reuseport};
        proxy_pass backends;
        proxy_connect_timeout 1500ms;
        proxy_timeout 60s;
        proxy_half_close on;
        proxy_socket_keepalive on;
        proxy_next_upstream_tries 2;
    }}
}}
"""
