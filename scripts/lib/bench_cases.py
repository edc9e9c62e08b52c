"""The cases that are measured, and the measuring: one proxy under one load, again and again in turns."""
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass

import bench_machine
import bench_proxies
import project


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    mode: str  # the load generator's
    connections: int
    unit: str  # of the main figure
    per: str  # what the main figure is counted by
    once: bool = False  # its figures do not wander: one round is enough


CASES = [
    Case("pingpong-64", "64 connections, 64 bytes there and back", "pingpong", 64, "µs CPU", "request"),
    Case("pingpong-1", "one connection, 64 bytes there and back", "pingpong", 1, "µs CPU", "request"),
    Case("churn-32", "32 at a time: connect, one request, close", "churn", 32, "µs CPU", "connection"),
    Case("bulk-1", "one connection uploads", "bulk", 1, "s CPU", "gigabyte"),
    Case("bulk-8", "8 connections upload", "bulk", 8, "s CPU", "gigabyte"),
    Case("bulk-both-8", "8 connections, both ways at once", "bulk-both", 8, "s CPU", "gigabyte"),
    Case("idle", "idle connections after 32 KiB there and back on each", "idle", 9000, "KiB", "pair", once=True),
    Case("syscalls", "64 connections, 64 bytes, counted by strace -c", "pingpong", 64, "system calls", "request", once=True),
]


SCRAPES = 21  # of which the median counts


def takes_part(case, name):
    if name == "direct":
        return not case.once
    return name != "haproxy-splice" or case.mode.startswith("bulk")


class Bench:
    def __init__(self, programs, folder, cores, threads, quick):
        self.programs, self.folder, self.cores, self.threads, self.quick = programs, folder, cores, threads, quick
        self.progress = project.Progress()

    def run(self, cases, proxies, rounds):
        """Every sample, one dictionary each."""
        samples = []
        start = time.monotonic()
        for number in range(rounds):
            for case in cases:
                if case.once and number > 0:
                    continue
                taking_part = [name for name in proxies if takes_part(case, name)]
                # Who comes first finds the machine in another state than who comes last, so everybody is everything in turn.
                turn = number % len(taking_part) if taking_part else 0
                for name in taking_part[turn:] + taking_part[:turn]:
                    self.progress.show(f"round {number + 1} of {rounds}, {case.name}, {name}")
                    samples.append({"case": case.name, "proxy": name, "round": number + 1, **self.measure(case, name)})
            self.progress.clear()
            if not self.progress.live:
                project.say(f"round {number + 1} of {rounds} done after {time.monotonic() - start:.0f} s")
        return samples

    def measure(self, case, name):
        if name == "direct":
            backend_port = bench_proxies.free_port(bench_proxies.BACKENDS)
            return self.put_load(case, backend_port, None)
        with bench_proxies.Proxy(name, self.programs, self.folder, self.cores, self.threads) as proxy:
            if case.name == "syscalls":
                return self.count_calls(case, proxy)
            if case.mode == "idle" and proxy.metrics_port():
                return self.scrape_idle(case, proxy)
            return self.put_load(case, proxy.backend_port, proxy)

    # --- the load ----------------------------------------------------------------------------------------------------

    def load_command(self, case, backend_port, proxy):
        command = [str(self.programs["load"]), case.mode, "--backend", str(backend_port),
                   "--connections", str(self.connections(case))]
        if proxy:
            command += ["--connect", f"127.0.0.1:{proxy.port}", "--pid", ",".join(map(str, proxy.pids))]
        if case.mode == "churn":
            return [*command, "--count", "2000" if self.quick else "12000"]
        if case.mode == "idle":
            return [*command, "--seconds", "1"]
        return [*command, "--seconds", "0.4" if self.quick else "1.5", "--warm-up", "0.1" if self.quick else "0.3"]

    def connections(self, case):
        if case.mode != "idle":
            return case.connections
        # Two descriptors a pair, at the proxy and at the load generator.
        return min(1000 if self.quick else case.connections, (bench_machine.descriptors() - 200) // 2)

    def start_load(self, command, **streams):
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, self.cores.load), **streams)

    def put_load(self, case, backend_port, proxy):
        pids = proxy.pids if proxy else []
        use = bench_machine.CpuUse(self.cores.all())
        ours = self.own_seconds(pids)
        with ended(self.start_load(self.load_command(case, backend_port, proxy), stdin=subprocess.DEVNULL)) as load:
            output, complaint = load.communicate(timeout=200)
        others, stolen = use.shares(self.own_seconds(pids) - ours)
        sample = parse(output, complaint, case, proxy)
        sample.update(others_share=others, stolen_share=stolen)
        return derive(sample, case)

    def scrape_idle(self, case, proxy):
        """As put_load, and asks for the metrics while all connections are open."""
        command = [*self.load_command(case, proxy.backend_port, proxy), "--hold"]
        with ended(self.start_load(command, stdin=subprocess.PIPE)) as load:
            expect(load, "done")
            times = sorted(scrape_ms(proxy.metrics_port()) for _ in range(SCRAPES))
            output, complaint = load.communicate("go\n", timeout=200)
        sample = parse(output, complaint, case, proxy)
        sample.update(scrape_ms=times[len(times) // 2], slowest_scrape_ms=times[-1])
        return derive(sample, case)

    @staticmethod
    def own_seconds(pids):
        """CPU time of everything that is ours: the proxy, this script, and the load generators that have ended."""
        total = bench_proxies.cpu_seconds(pids)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            used = resource.getrusage(who)
            total += used.ru_utime + used.ru_stime
        return total

    # --- system calls --------------------------------------------------------------------------------------------------

    def count_calls(self, case, proxy):
        """Counts between two moments at which nothing is under way, so that the calls belong to the requests exactly. The
        proxy is several times slower than without strace, but what it calls depends on that only by how many
        connections are ready at a time."""
        command = [*self.load_command(case, proxy.backend_port, proxy), "--hold"]
        command[command.index("--warm-up") + 1] = "0"
        command[command.index("--seconds") + 1] = "1" if self.quick else "4"
        with contextlib.ExitStack() as stack:
            load = stack.enter_context(ended(self.start_load(command, stdin=subprocess.PIPE)))
            expect(load, "ready")
            counts = self.folder / "strace"
            processes = [word for pid in proxy.pids for word in ("-p", str(pid))]
            strace = stack.enter_context(ended(subprocess.Popen(
                [bench_proxies.which("strace"), "-c", "-f", "-o", counts, *processes], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)))
            for _ in proxy.pids:
                expect(strace, "attached")
            load.stdin.write("go\n")
            load.stdin.flush()
            expect(load, "done")
            strace.send_signal(signal.SIGINT)
            strace.wait(20)
            output, complaint = load.communicate("go\n", timeout=60)
        sample = parse(output, complaint, case, proxy)
        requests = max(1, sample.get("requests_total", 0))
        sample["calls"] = {name: count / requests for name, count in calls_in(counts.read_text(encoding="utf-8")).items()}
        sample["main"] = sum(sample["calls"].values())
        return sample


def scrape_ms(port):
    """How long it takes to get the metrics, from the connect to the last byte."""
    start = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
        text = page.read()
    took = time.perf_counter() - start
    if b"harbor_active_conns" not in text:
        raise project.Stop(f"the page of metrics has no harbor_active_conns:\n{text.decode(errors='replace')}")
    return took * 1e3


@contextlib.contextmanager
def ended(process):
    """Makes sure that a process does not outlive the block."""
    try:
        with process:
            yield process
    except BaseException:
        process.kill()
        raise


def expect(process, word):
    """Reads standard error up to a line that has the word in it."""
    seen = []
    for line in process.stderr:
        if word in line:
            return
        seen.append(line)
    raise project.Stop(f"{process.args[0]} did not say '{word}' but:\n{''.join(seen)}")


def calls_in(table):
    """How often each call was made, from the table of strace -c."""
    found = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 5 and re.fullmatch(r"[\d.]+", fields[0]) and fields[-1] != "total":
            found[fields[-1]] = found.get(fields[-1], 0) + int(fields[3])
    return found


def parse(output, complaint, case, proxy):
    try:
        return json.loads(output)
    except ValueError:
        said = f"\n{proxy.name} said: {proxy.said()}" if proxy else ""
        raise project.Stop(f"the load generator failed in {case.name}: {complaint.strip() or 'no report'}{said}") from None


def derive(sample, case):
    """The main figure, and how busy the proxy was."""
    cpu = sample.get("cpu_seconds")
    if case.mode == "idle":
        sample["main"] = sample.get("kib_per_pair")
    elif cpu is not None:
        if case.mode.startswith("bulk"):
            sample["main"] = cpu / (sample["bytes"] / 1e9) if sample["bytes"] else None
        else:
            sample["main"] = cpu / sample["requests"] * 1e6 if sample["requests"] else None
        sample["busy"] = cpu / sample["seconds"]
    return sample
