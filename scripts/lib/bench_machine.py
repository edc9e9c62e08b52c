"""The machine that is measured on: its cores and who else uses them, its limits, its name."""
import os
import platform
import resource
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def raise_descriptor_limit():
    """For this process and, inherited, for every proxy."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptors():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class Cores:
    """Which cores the proxy has, and which the load: never the same ones if there are enough."""

    def __init__(self, threads):
        usable = sorted(os.sched_getaffinity(0))
        # Two hardware threads of one core take the time from each other: use one of each core as long as there are some.
        chosen, rest, seen = [], [], set()
        for core in usable:
            siblings = self.siblings(core)
            (rest if siblings in seen else chosen).append(core)
            seen.add(siblings)
        usable = chosen + rest
        self.proxy = set(usable[:threads])
        self.load = {usable[threads]} if threads < len(usable) else set(usable)

    @staticmethod
    def siblings(core):
        try:
            return Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text().strip()
        except OSError:
            return str(core)

    def all(self):
        return self.proxy | self.load

    def text(self):
        def named(cores):
            return ("cores " if len(cores) > 1 else "core ") + ", ".join(map(str, sorted(cores)))

        return f"proxy on {named(self.proxy)}, load on {named(self.load)}"


class CpuUse:
    """How much of the cores has been used by anybody, between start and stop: what is not ours disturbs us."""

    def __init__(self, cores):
        self.cores = cores
        self.busy, self.stolen = self.read()
        self.start = time.monotonic()

    def read(self):
        busy = stolen = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in self.cores:
                user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
                busy += user + nice + system + irq + softirq
                stolen += steal
        return busy / TICKS, stolen / TICKS

    def shares(self, ours):
        """The share of the cores' time that went to other processes (all but `ours`, in seconds), and to other machines."""
        busy, stolen = self.read()
        whole = (time.monotonic() - self.start) * len(self.cores)
        return max(0.0, busy - self.busy - ours) / whole, (stolen - self.stolen) / whole


def describe():
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"
