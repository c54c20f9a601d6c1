"""What the benchmarks measure with: CPU time and memory of process trees, the load generator, private servers."""
import os
import re
import signal
import socket
import statistics
import subprocess
import time
from pathlib import Path

RESULT = re.compile(r"load (\w+:\d+:\d+) seconds=(\S+) p50=(\d+) p99=(\d+) failed=(\d+) first=(\d+)")
PURSER = {"purser", "purser-gate", "purser-keeper", "purser-clerk", "purser-clerk-pg", "purser-exec"}


class BenchError(Exception):
    """What could not be measured, and why."""


def children(pid):
    """The process and everything below it."""
    parent = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                line = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            parent[int(entry)] = int(line.rpartition(")")[2].split()[1])
    below, grown = {pid}, True
    while grown:
        more = {child for child, above in parent.items() if above in below} - below
        below |= more
        grown = bool(more)
    return below


def program(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def cpu_ns(pids):
    """Time on a CPU, of all threads that there are."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total


def pss_bytes(pids):
    total = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE).group(1)) * 1024
    return total


def free_port(address="127.0.0.1"):
    with socket.create_server((address, 0)) as listener:
        return listener.getsockname()[1]


def wait_until(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


def listens(address, port):
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


class Child:
    """A process of ours, ended with the block, by its own id."""

    def __init__(self, words, log, env=None, **options):
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL,
                                            stdout=options.pop("stdout", out), stderr=options.pop("stderr", out),
                                            env={**os.environ, **(env or {})}, **options)

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Side:
    """One side of a comparison: a load generator that waits for a signal, and the servers that it drives."""

    def __init__(self, child, load_name="load"):
        self.child, self.load_name, self.out = child, load_name, child.process.stdout
        self.load_pid = None

    def ready(self):
        self.read(re.compile(r"\bready$"))
        found = [pid for pid in children(self.child.pid) if program(pid) == self.load_name]
        self.load_pid = found[0]

    def read(self, pattern):
        while True:
            line = self.out.readline().decode(errors="replace")
            if not line:
                raise BenchError(f"the load generator ended early; see {self.child.log}")
            match = pattern.search(line.rstrip())
            if match:
                return match

    def servers(self):
        raise NotImplementedError

    def round(self, requests):
        """One SPEC: (CPU in us a request, p50 in us)."""
        servers = self.servers()
        before = cpu_ns(servers)
        os.kill(self.load_pid, signal.SIGUSR1)
        match = self.read(RESULT)
        spent = cpu_ns(servers) - before
        if int(match.group(5)):
            raise BenchError(f"{match.group(5)} of {requests} requests failed; see {self.child.log}")
        return spent / 1000 / requests, float(match.group(3))

    def finish(self):
        os.kill(self.load_pid, signal.SIGUSR1)
        self.child.process.wait(30)


class PurserSide(Side):
    def servers(self):
        return [pid for pid in children(self.child.pid) if program(pid) in PURSER]


class PeerSide(Side):
    def __init__(self, child, server_pid):
        super().__init__(child)
        self.server_pid = server_pid

    def servers(self):
        return list(children(self.server_pid))


def median(values):
    return statistics.median(values)
