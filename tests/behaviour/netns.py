"""A network and a hosts file of a test's own: purser in it meets public addresses that are this machine.

Nothing of it is left when the test ends or dies: the namespaces live as long as one process, which ends with its pipe.
"""

import ctypes
import os
import subprocess
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def setns(fd):
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    def __init__(self, hosts, folder, more=(), resolver=None):
        """hosts: {name: address}; every address is made to be this machine, and so is each of `more`. `resolver`: the address
        of a name server, which is asked for every name that `hosts` does not have."""
        table = folder / "hosts"
        table.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in hosts.items()))
        table.chmod(0o644)
        lines = ["set -e", "ip link set lo up", f"mount --bind {table} /etc/hosts",
                 *[f"ip address add {address}/{'128 dev lo nodad' if ':' in address else '32 dev lo'}"
                   for address in {*hosts.values(), *more} - {"127.0.0.1", "::1"}]]
        if resolver:
            (folder / "resolv.conf").write_text(f"nameserver {resolver}\noptions timeout:2 attempts:1\n")
            lines.append(f"mount --bind {folder / 'resolv.conf'} /etc/resolv.conf")
        lines += ["echo ready", "exec cat"]
        self.process = subprocess.Popen(["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        self.within = ["nsenter", "--target", str(self.process.pid), "--net", "--mount"]

    @contextmanager
    def inside(self):
        """Sockets that this thread makes belong to this network, and stay in it."""
        with open("/proc/self/ns/net") as home, open(f"/proc/{self.process.pid}/ns/net") as here:
            setns(here.fileno())
            try:
                yield
            finally:
                setns(home.fileno())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
