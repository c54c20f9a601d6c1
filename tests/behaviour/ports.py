"""Ports of servers that are told theirs, and are stopped and started: none that the kernel gives to whoever asks for any one, which
would be taken meanwhile by the server of another test."""
import random
import socket
from pathlib import Path

FIRST_OF_ANY = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def free_port():
    for _ in range(100):
        port = random.SystemRandom().randrange(10_000, min(FIRST_OF_ANY, 30_000))  # those of Kubernetes' Services are above
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            continue
    raise AssertionError("no port is free")
