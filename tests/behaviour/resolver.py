"""A name server of a test's own, which changes its mind: each name has a list of answers, one for each time it is asked."""

import ipaddress
import socket
import struct
import threading

A, CNAME, AAAA = 1, 5, 28


def packed_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Resolver:
    """answers: {name: [[address or name, ...], ...]}, the last of which stays; a name is told as a CNAME. `asked`: the names, in
    order. Binds where the thread that makes it is (netns.Network.inside)."""

    def __init__(self, answers, address=("127.0.0.1", 53)):
        self.answers, self.asked = {name: list(sets) for name, sets in answers.items()}, []
        self.now = {}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(address)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, client = self.sock.recvfrom(4096)
                self.sock.sendto(self._answer(data), client)
            except OSError:
                return

    def _answer(self, data):
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        name, (kind, _) = ".".join(labels).lower(), struct.unpack("!HH", data[at + 1:at + 5])
        question = data[12:at + 5]
        if kind == A:  # glibc asks for both kinds, this one first
            self.asked.append(name)
            sets = self.answers.get(name, [])
            self.now[name] = (sets.pop(0) if len(sets) > 1 else sets[0]) if sets else None
        found = self.now.get(name)
        records = [self._record(one, kind) for one in found or []]
        records = [record for record in records if record]
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | (3 if found is None else 0), 1, len(records), 0, 0)
        return head + question + b"".join(records)

    @staticmethod
    def _record(one, kind):
        try:
            address = ipaddress.ip_address(one)
        except ValueError:
            body, kind = packed_name(one), CNAME
        else:
            if kind != (A if address.version == 4 else AAAA):
                return None
            body = address.packed
        return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(body)) + body  # it may be forgotten at once

    def close(self):
        self.sock.close()
