"""Records between roles as no role sends them: random, mutated, at the wrong time, with too many descriptors; the same for
the same seed."""

import array
import os
import random
import socket
import struct
from pathlib import Path

import ipc
from ipc import Type

SEEDS = [int(word) for word in os.environ.get("PURSER_SEEDS", "1 2 3").split()]


class Garbage:
    def __init__(self, seed, valid=()):
        """valid: (type, payload) that the peer would take at some time; these are also mutated."""
        self.random, self.valid = random.Random(seed), list(valid)

    def payload(self):
        length = self.random.choice([0, 1, 3, 4, 8, 40, 300, 4096, 5000, 16385, 65000, 65528])
        kind = self.random.randrange(3)
        if kind == 0:
            return self.random.randbytes(length)
        if kind == 1:  # counts and lengths that promise much
            return struct.pack("=I", self.random.choice([0, 1, length, 2**31, 2**32 - 1])) + b"\xff" * max(0, length - 4)
        return bytes(length)

    def mutated(self, payload):
        data = bytearray(payload)
        for _ in range(self.random.randrange(1, 5)):
            at = self.random.randrange(len(data) + 1)
            way = self.random.randrange(4)
            if way == 0 and data:
                data[at % len(data)] ^= 1 << self.random.randrange(8)
            elif way == 1:
                data[at:at] = self.random.randbytes(self.random.randrange(1, 9))
            elif way == 2:
                del data[at:at + self.random.randrange(1, 9)]
            elif data:
                at %= len(data)
                data[at:at + 4] = self.random.choice([b"\xff" * 4, b"\0" * 4, struct.pack("=I", len(data))])
        return bytes(data[:65528])

    def record(self):
        """(bytes of a packet, number of descriptors beside it)"""
        way = self.random.randrange(8)
        type_ = self.random.choice([*Type, self.random.randrange(65536)])
        payload = self.payload()
        if way == 0:
            return self.random.randbytes(self.random.randrange(1, 200)), 0
        if way == 1:
            return ipc.HEADER.pack(self.random.choice([0, 2, 65535]), type_, len(payload)) + payload, 0
        if way == 2:
            return ipc.HEADER.pack(ipc.VERSION, type_, self.random.choice([0, len(payload) + 1, 2**32 - 1])) + payload, 0
        if way in (3, 4) and self.valid:
            type_, payload = self.random.choice(self.valid)
            payload = self.mutated(payload) if way == 3 else payload
        fds = self.random.choice([0, 0, 0, 1, 2, 8, 9, 30])
        return ipc.HEADER.pack(ipc.VERSION, type_, len(payload)) + payload, fds

    def send(self, sock):
        """False: the other end is gone, or takes no more."""
        packet, fds = self.record()
        ends = [os.open("/dev/null", os.O_RDONLY) for _ in range(fds)]
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", ends))] if ends else []
        try:
            sock.sendmsg([packet], control, socket.MSG_NOSIGNAL)
            return True
        except (BrokenPipeError, ConnectionError, TimeoutError, BlockingIOError):
            return False
        finally:
            for fd in ends:
                os.close(fd)

    def pour(self, sock, most=40):
        """Until the other end has had enough."""
        for _ in range(most):
            if not self.send(sock):
                return True
        return False


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
