"""Pods that listen, and probes of what a container reaches: by a process of its own in it, beside what it runs."""
import json

IMAGE = "localhost/tests/python:1"

# TCP: a connection is taken and closed. UDP: what comes goes back.
LISTEN = """
import select, socket, sys
tcp = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
udp = [socket.socket(type=socket.SOCK_DGRAM) for port in sys.argv[1:]]
for sock, port in zip(udp, sys.argv[1:]):
    sock.bind(("", int(port)))
while True:
    for sock in select.select(tcp + udp, [], [])[0]:
        if sock in tcp:
            sock.accept()[0].close()
        else:
            sock.sendto(*sock.recvfrom(100))
"""

# The enforcer answers by ICMP "administratively prohibited", so that what is kept out is told from what is slow or not there.
PROBE = """
import errno, json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def tried(kind, host, port):
    try:
        if kind == "name":
            socket.getaddrinfo(host, port)
        elif kind == "udp":
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.settimeout(20)
                sock.connect((host, port))
                sock.send(b"?")
                sock.recv(100)
        else:
            socket.create_connection((host, port), 20).close()
        return "reached"
    except ConnectionRefusedError:
        return "reached, but nobody listens"
    except OSError as fault:
        # the second: no name server could be asked
        return "kept out" if fault.errno in (errno.EHOSTUNREACH, socket.EAI_AGAIN) else repr(fault)
places = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(places)) as pool:
    print(json.dumps(dict(zip(places, pool.map(lambda place: tried(*place), places.values())))))
"""


# An egress gateway: connects to the names that it is told, says so, and to no other.
EGRESS_GATEWAY = """
import socket, socketserver, sys, threading
def copy(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass
class Asked(socketserver.StreamRequestHandler):
    def handle(self):
        if not (line := self.rfile.readline().decode()):
            return
        method, name, _ = line.split(" ", 2)
        while self.rfile.readline().strip():
            pass
        print(method, name, flush=True)
        if method != "CONNECT" or name not in sys.argv[2:]:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\\r\\nContent-Length: 0\\r\\n\\r\\n")
            return
        with socket.create_connection(name.split(":")) as other:
            self.wfile.write(b"HTTP/1.1 200 Connected\\r\\n\\r\\n")
            back = threading.Thread(target=copy, args=(other, self.connection))
            back.start()
            copy(self.connection, other)
            back.join()
socketserver.ThreadingTCPServer(("", int(sys.argv[1])), Asked).serve_forever()
"""


def listening(space, name, *ports, labels=None, named=None, image=IMAGE, program=LISTEN, words=()):
    """The address of a new pod that listens at these ports; named: {name: port} of them. `words`: more for its program."""
    space.world.apply({"kind": "Pod", "metadata": {"name": name, "namespace": space.name, "labels": labels or {}}, "spec": {
        "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
                            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
        "containers": [{"name": "listens", "image": image, "imagePullPolicy": "Never", "command": [
            "python3", "-uc", program, *map(str, ports), *words],
                        "ports": [{"name": each, "containerPort": port} for each, port in (named or {}).items()],
                        "readinessProbe": {"tcpSocket": {"port": ports[0]}, "periodSeconds": 1},
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}]}})
    space.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")
    return space.get(f"pod/{name}")["status"]["podIP"]


def probe(space, pod, places, container="listens"):
    """{name: what became of it} of {name: ("tcp" or "udp", host, port)}, or ("name", host, port) of one that is to be resolved."""
    return json.loads(space.kubectl("exec", pod, "-c", container, "--", "python3", "-c", PROBE, json.dumps(places)))
