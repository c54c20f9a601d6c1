"""What a script of these tests uses inside its run: raw requests by every way in. Copied beside the script."""

import base64
import functools
import json
import os
import socket
import ssl
from urllib.parse import urlsplit

PROXY = urlsplit(os.environ["HTTPS_PROXY"])
KEY = "Basic " + base64.b64encode(f"{PROXY.username}:{PROXY.password}".encode()).decode()
LEASE = os.environ.get("API_TOKEN", "")
HOST = "api.test"
LEASED = f"Authorization: Bearer {LEASE}\r\n"


def say(**what):
    """One line that the test reads with said()."""
    print("SAID " + json.dumps(what), flush=True)


class Reply:
    def __init__(self, stream, method="GET"):
        line = stream.readline().decode("latin-1")
        if not line:
            raise EOFError("closed without an answer")
        _, status, self.reason = (line.rstrip("\r\n") + "  ").split(" ", 2)
        self.status, self.headers, self.body, self.whole = int(status), [], b"", True
        while (text := stream.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = text.partition(":")
            self.headers.append((name.lower(), value.strip()))
        if self.status == 100:
            self.__init__(stream, method)
            return
        if method == "HEAD" or self.status in (204, 304):
            return
        if self.get("transfer-encoding") == "chunked":
            while (size := int((line := stream.readline()).split(b";")[0] or b"0", 16)):
                self.body += stream.read(size)
                stream.readline()
            self.whole = line != b"" and stream.readline() == b"\r\n"
        elif self.get("content-length"):
            self.body = stream.read(int(self.get("content-length")))
            self.whole = len(self.body) == int(self.get("content-length"))
        elif method != "CONNECT":
            self.body = stream.read()

    def get(self, name):
        return next((value for key, value in self.headers if key == name), None)

    @property
    def code(self):
        return self.get("x-purser-error")

    @property
    def short(self):
        return {"status": self.status, "code": self.code, "reason": self.reason.strip()}


def connect(authority=HOST + ":443", key=KEY):
    """A CONNECT: the socket and what the gate said."""
    sock = socket.create_connection((PROXY.hostname, PROXY.port), 30)
    sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n".encode()
                 + (f"Proxy-Authorization: {key}\r\n\r\n" if key else "\r\n").encode())
    stream = sock.makefile("rb", buffering=0)  # not a byte more than the answer's head
    return sock, Reply(stream, "CONNECT")


@functools.cache
def trust(check_hostname=True):
    """Reading the bundle takes longer than a request: once."""
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    context.check_hostname = check_hostname
    return context


class Client:
    """One connection to a host: through CONNECT and TLS, or, as `plain`, to the gate's port, or its unix socket."""

    def __init__(self, host=HOST, way="proxy", sni=None):
        if way == "proxy":
            sock, reply = connect(host + ":443")
            assert reply.status == 200, reply.short
            self.sock = trust(sni is None).wrap_socket(sock, server_hostname=sni or host)
        elif way == "base":
            self.sock = socket.create_connection((PROXY.hostname, PROXY.port), 30)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(30)
            self.sock.connect(os.environ["PURSER_SOCKET"])
        self.host, self.stream = host, self.sock.makefile("rb")

    def raw(self, data, method="GET"):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return Reply(self.stream, method)

    def ask(self, target="/x", method="GET", headers=LEASED, body=b"", host=None):
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: {host or self.host}\r\n{headers}{length}\r\n"
        return self.raw(head.encode("latin-1") + body, method)

    def is_closed(self):
        try:
            return self.stream.read(1) == b""
        except OSError:
            return True


def once(*args, **words):
    """One request on a connection of its own; what became of it, also when that is a closed connection."""
    try:
        return Client().ask(*args, **words).short
    except (OSError, EOFError) as fault:
        return {"status": 0, "code": type(fault).__name__, "reason": str(fault)}
