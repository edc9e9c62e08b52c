#!/usr/bin/env python3
"""What a gigabyte costs whoever copies it from one TCP socket to another, by the size of the buffer.

    docs/performance/buffer_sizes.py [ROUNDS]

Three processes on the loopback device: one sends without end, one copies, one reads. Measured is the CPU time of the one
in the middle, which does nothing but recv and send, with its share of the kernel's. The sizes take turns, round by round,
so that a machine that is slower for a minute is slower for all of them; printed are medians with their quartiles.
"""
import os
import resource
import socket
import statistics
import sys
import time
from pathlib import Path

SIZES = [4, 8, 16, 32, 64, 128, 256, 512, 1024]  # KiB
BYTES = 1 << 28


def connected():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def child(work, keep, close):
    """A process that does `work` with one socket and has the others closed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for other in close:
                other.close()
            work(keep)
            status = 0
        finally:
            os._exit(status)
    return pid


def send_all(to):
    block = memoryview(bytes(1 << 20))
    for _ in range(BYTES // len(block)):
        to.sendall(block)


def read_all(source):
    buffer = bytearray(1 << 20)
    while source.recv_into(buffer):
        pass


def copy(source, to, size):
    """Returns seconds of CPU, seconds, and how many reads it took."""
    buffer = memoryview(bytearray(size))
    reads, start, before = 0, time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    while count := source.recv_into(buffer):
        to.sendall(buffer[:count])
        reads += 1
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - start, reads


def measure(size):
    sender, source = connected()
    to, receiver = connected()
    pids = [child(send_all, sender, (source, to, receiver)), child(read_all, receiver, (sender, source, to))]
    sender.close()
    receiver.close()
    cpu, seconds, reads = copy(source, to, size)
    source.close()
    to.close()
    for pid in pids:
        if os.waitpid(pid, 0)[1] != 0:
            sys.exit("the sender or the receiver has failed")
    return cpu * 1e9 / BYTES, BYTES / 1e9 / seconds, BYTES / reads / 1024


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    if rounds < 3:
        sys.exit("at least 3 rounds, for the sake of the quartiles")
    samples = {size: [] for size in SIZES}
    for number in range(rounds):
        for size in SIZES[number % len(SIZES):] + SIZES[:number % len(SIZES)]:
            samples[size].append(measure(size * 1024))
    processor = next(line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                     if line.startswith("model name"))
    print(f"{processor}, {os.cpu_count()} cores, Linux {os.uname().release}, {time.strftime('%Y-%m-%d')}; {rounds} rounds")
    print("  buffer, KiB   KiB a read   s CPU a gigabyte   GB/s")
    for size, found in samples.items():
        low, median, high = statistics.quantiles([cpu for cpu, _, _ in found], n=4, method="inclusive")
        print(f"  {size:>11}   {statistics.median(kib for _, _, kib in found):>10.1f}   {median:.2f} [{low:.2f}–{high:.2f}]"
              f"   {statistics.median(rate for _, rate, _ in found):.2f}")


if __name__ == "__main__":
    main()
