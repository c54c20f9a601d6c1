"""Looks into a process at each of its system calls: what of a secret lies in its ordinary memory just then. As root."""

import ctypes
import os
import re
import signal
import threading

from hunt import Memory

SINGLESTEP, ATTACH, DETACH, SYSCALL, SETOPTIONS, TRACESYSGOOD = 9, 16, 17, 24, 0x4200, 1
libc = ctypes.CDLL(None, use_errno=True)


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, ctypes.c_void_p(data)) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def kind(mapping):
    name = mapping.split(" ", 2)[2] if mapping.count(" ") > 1 else ""
    return re.sub(r"\W", "", name) if name.startswith("[") else "program" if "/" in name else "anonymous"


class Watch:
    """While it lasts, `seen` is every (where, form) of a copy that lay in the process at a system call, with the most at a
    time; `stops` is at how many calls was looked."""

    def __init__(self, pid, wanted, note=lambda: None):
        self.pid, self.wanted, self.note = pid, wanted, note
        self.seen, self.stops, self.most = {}, 0, 0
        self._end, self._error = threading.Event(), None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._end.set()
        os.kill(self.pid, signal.SIGSTOP)  # so that it stops once more
        self._thread.join(20)
        os.kill(self.pid, signal.SIGCONT)
        assert self._error is None, self._error

    def _run(self):
        try:
            ptrace(ATTACH, self.pid)
            os.waitpid(self.pid, 0)
            ptrace(SETOPTIONS, self.pid, TRACESYSGOOD)
            ptrace(SYSCALL, self.pid)
            self._ready.set()
            while True:
                _, status = os.waitpid(self.pid, 0)
                if not os.WIFSTOPPED(status):
                    raise OSError(f"the process ended with {status}")
                number = os.WSTOPSIG(status)
                if number == signal.SIGTRAP | 0x80:
                    self._look()
                elif self._end.is_set():
                    ptrace(DETACH, self.pid)
                    return
                ptrace(SYSCALL, self.pid, 0 if number in (signal.SIGTRAP | 0x80, signal.SIGSTOP) else number)
        except OSError as fault:
            self._error = fault
            self._ready.set()

    def _look(self):
        self.stops += 1
        here = {}
        for words, name, data in Memory().mappings(self.pid):
            if "w" not in words[1]:
                continue
            where = kind(" ".join(words[:2]) + " " + name)
            for needle, form in self.wanted.items():
                if n := data.count(needle):
                    here[where, form] = here.get((where, form), 0) + n
        for key, n in here.items():
            self.seen[key] = max(self.seen.get(key, 0), n)
        self.most = max(self.most, sum(here.values()))


class Steps:
    """Steps a process through one request, instruction by instruction, and looks every so many: `most` copies at a time, `where`
    they lay, for how many `instructions` there was any, of `all` of them."""

    def __init__(self, pid, wanted, request, every=300):
        self.pid, self.wanted, self.every = pid, wanted, every
        self.all = self.instructions = self.most = 0
        self.where = set()
        self._done, self._request = threading.Event(), request
        thread = threading.Thread(target=self._run)
        thread.start()
        thread.join()

    def _ask(self):
        self._request()
        self._done.set()

    def _run(self):
        ptrace(ATTACH, self.pid)
        os.waitpid(self.pid, 0)
        threading.Thread(target=self._ask, daemon=True).start()
        with open(f"/proc/{self.pid}/mem", "rb", 0) as memory:
            while not self._done.is_set():
                ptrace(SINGLESTEP, self.pid)
                os.waitpid(self.pid, 0)
                self.all += 1
                if self.all % self.every == 0:
                    self._look(memory)
        ptrace(DETACH, self.pid)

    def _writable(self):
        with open(f"/proc/{self.pid}/maps") as maps:
            for line in maps:
                words = line.split(maxsplit=5)
                if "w" in words[1] and "secretmem" not in line:
                    low, high = (int(end, 16) for end in words[0].split("-"))
                    yield low, high, kind(line.strip().split(" ", 2)[0] + " x " + (words[5].strip() if len(words) > 5 else ""))

    def _look(self, memory):
        copies = 0
        for low, high, name in self._writable():
            memory.seek(low)
            data = memory.read(high - low)
            for needle in self.wanted:
                if n := data.count(needle):
                    copies += n
                    self.where.add(name)
        self.most = max(self.most, copies)
        self.instructions += self.every if copies else 0
