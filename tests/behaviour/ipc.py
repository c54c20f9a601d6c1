"""Records between purser's roles, from Python: the encoding of src/base/wire.h and src/ipc/, for tests that drive one
role by itself."""

import array
import enum
import os
import pathlib
import re
import socket
import struct

HEADER = struct.Struct("=HHI")
VERSION = 1
CONTROL_FD = 3


def _types():
    """The table of record types, from the header that the roles themselves are built from."""
    header = pathlib.Path(__file__).parents[2] / "src/ipc/record.h"
    body = re.search(r"typedef enum IpcType \{(.*?)\} IpcType;", header.read_text(), re.S).group(1)
    types, value = {}, 0
    for name, given in re.findall(r"\bIPC_([A-Z_]+)(?: = (\d+))?,", body):
        value = int(given) if given else value + 1
        types[name] = value
    return types


Type = enum.IntEnum("Type", _types())
Kinds = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i", "i64": "q"}


def pack(*values):
    """('u8', 1), ('text', 'x'), ... as bytes."""
    out = b""
    for kind, value in values:
        if kind == "text":
            raw = value.encode() if isinstance(value, str) else value
            out += struct.pack("=I", len(raw)) + raw
        else:
            out += struct.pack("=" + Kinds[kind], value)
    return out


def unpack(data, *kinds):
    values, at = [], 0
    for kind in kinds:
        if kind == "text":
            (n,) = struct.unpack_from("=I", data, at)
            values.append(data[at + 4:at + 4 + n].decode(errors="surrogateescape"))  # of hostile roles too
            at += 4 + n
        else:
            fmt = "=" + Kinds[kind]
            values.append(struct.unpack_from(fmt, data, at)[0])
            at += struct.calcsize(fmt)
    assert at == len(data), "bytes are left over"
    return values


GRAPHQL, RULE, ARTIFACT = 1, 2, 3  # HostUse


def hosts(source):
    """What stands of a source's other hosts in its record."""
    return [("u32", len(source.others)),
            *[part for use, host, port in source.others
              for part in (("u8", use), ("u8", 1), ("text", host), ("u16", port), ("text", ""))],
            ("text", source.graphql), ("u32", source.graphql_host), ("u8", 0)]


def pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock, type_, payload=b"", fds=()):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([HEADER.pack(VERSION, type_, len(payload)), payload], control)


def receive(sock):
    """(type, payload), or None at the other's end. Descriptors are closed."""
    try:
        data, control, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(8 * 4))
    except ConnectionResetError:
        return None
    for _, _, fds in control:
        for fd in array.array("i", fds[:len(fds) - len(fds) % 4]):
            os.close(fd)
    if not data:
        return None
    version, type_, length = HEADER.unpack_from(data)
    assert version == VERSION and length == len(data) - HEADER.size
    return Type(type_), data[HEADER.size:]


class Reader:
    """Reads a payload field by field."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, size):
        self.at += size
        return int.from_bytes(self.data[self.at - size:self.at], "little")

    def text(self):
        size = self.number(4)
        self.at += size
        return self.data[self.at - size:self.at]
