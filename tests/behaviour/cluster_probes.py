"""Pods that listen, and probes of what a container reaches: by a process of its own in it, beside what it runs."""
import json

IMAGE = "localhost/tests/python:1"

# TCP: the kernel takes the connections. UDP: what comes goes back.
LISTEN = """
import select, socket, sys
tcp = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
udp = [socket.socket(type=socket.SOCK_DGRAM) for port in sys.argv[1:]]
for sock, port in zip(udp, sys.argv[1:]):
    sock.bind(("", int(port)))
while True:
    for sock in select.select(udp, [], [])[0]:
        sock.sendto(*sock.recvfrom(100))
"""

# The enforcer answers by ICMP "administratively prohibited", so that what is kept out is told from what is slow or not there.
PROBE = """
import errno, json, socket, sys
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
        return "kept out" if fault.errno == errno.EHOSTUNREACH or kind == "name" and fault.errno == socket.EAI_AGAIN else repr(fault)
print(json.dumps({name: tried(*place) for name, place in json.loads(sys.argv[1]).items()}))
"""


def listening(space, name, *ports, labels=None, named=None, image=IMAGE):
    """The address of a new pod that listens at these ports; named: {name: port} of them."""
    space.world.apply({"kind": "Pod", "metadata": {"name": name, "namespace": space.name, "labels": labels or {}}, "spec": {
        "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
                            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
        "containers": [{"name": "listens", "image": image, "imagePullPolicy": "Never", "command": ["python3", "-c", LISTEN, *map(str, ports)],
                        "ports": [{"name": each, "containerPort": port} for each, port in (named or {}).items()],
                        "readinessProbe": {"tcpSocket": {"port": ports[0]}, "periodSeconds": 1},
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}]}})
    space.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")
    return space.get(f"pod/{name}")["status"]["podIP"]


def probe(space, pod, places, container="listens"):
    """{name: what became of it} of {name: ("tcp" or "udp", host, port)}, or ("name", host, port) of one that is to be resolved."""
    return json.loads(space.kubectl("exec", pod, "-c", container, "--", "python3", "-c", PROBE, json.dumps(places)))
