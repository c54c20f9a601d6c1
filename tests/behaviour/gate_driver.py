"""Plays supervisor, keeper, runner and clerk to the real purser-gate."""

import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import ipc
from ipc import Type, pack

# A sanitized gate cannot look for leaks at its end: its sandbox hides /proc.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0"}
UNKNOWN = 2**64 - 1
LEASE = "psl_1" + "A" * 64


@dataclass
class Source:
    host: str
    port: int = 443
    name: str = "github"
    tls: bool = True
    base: str = ""
    others: tuple = ()    # hosts beside it: (use, host, port)
    graphql: str = ""     # path of the endpoint
    graphql_host: int = 0
    reach: int = 0xffffffff
    header: str = ""
    token_env: tuple = ("GITHUB_TOKEN",)
    token_file: str = ""


class Request:
    """A StreamRequest as the keeper sees it; `body` grows until `end`."""

    def __init__(self, payload):
        reader = ipc.Reader(payload)
        self.source, self.host, self.host_name = reader.number(4), reader.number(4), reader.text().decode()
        self.method_bit = reader.number(4)
        self.method, self.target = reader.text().decode(), reader.text().decode()
        self.path = self.target[:reader.number(4)]
        self.expect, self.has_body, self.end = (bool(reader.number(1)) for _ in range(3))
        self.length, self.credential = reader.number(8), reader.text().decode("latin-1")
        self.headers = [(reader.text().decode("latin-1").lower(), reader.text().decode("latin-1"))
                        for _ in range(reader.number(4))]
        self.body = reader.text()
        assert reader.at == len(payload)


class Stream:
    """The keeper's end of one client connection."""

    def __init__(self, sock):
        self.sock = sock
        sock.setblocking(True)  # the gate made it otherwise

    def request(self, whole=True):
        """The next request, None at the end."""
        got = ipc.receive(self.sock)
        if got is None:
            return None
        assert got[0] == Type.REQUEST, got[0]
        request = Request(got[1])
        while whole and not request.end:
            if not self.more(request):
                return None
        return request

    def more(self, request):
        got = ipc.receive(self.sock)
        if got is None:
            return False
        assert got[0] in (Type.BODY, Type.BODY_END), got[0]
        request.body += got[1]
        request.end = got[0] == Type.BODY_END
        return True

    def respond(self, body=b"", status=200, reason="OK", length=None, end=True, headers=(), no_body=False):
        length = len(body) if length is None else length
        ipc.send(self.sock, Type.RESPONSE, pack(
            ("u16", status), ("text", reason), ("u64", length), ("u8", no_body), ("u8", end), ("u32", len(headers)),
            *[("text", part) for header in headers for part in header], ("text", body)))

    def data(self, piece=b"", end=False):
        ipc.send(self.sock, Type.DATA_END if end else Type.DATA, piece)

    def refuse(self, status, code, sentence, retry_after=0, close=False):
        ipc.send(self.sock, Type.REFUSE, pack(("u16", status), ("text", code), ("text", sentence), ("u32", retry_after),
                                              ("u8", close), ("u8", 0)))

    def abort(self):
        ipc.send(self.sock, Type.ABORT)


def echo(stream):
    """Answers each request with what the keeper saw of it."""
    while request := stream.request():
        text = f"{request.method} {request.target} source={request.source} credential={request.credential}\n"
        text += "".join(f"{name}: {value}\n" for name, value in request.headers)
        no_body = request.method == "HEAD"
        whole = text.encode() + request.body
        stream.respond(b"" if no_body else whole, length=len(whole), no_body=no_body)


class Gate:
    """`keeper`: a script called with each Stream in a thread of its own, or the gate's end of a real keeper's channel."""

    def __init__(self, sources, egress=(), env=(), keeper=echo, uid=None, output_bytes=1 << 20, output_files=100,
                 send_buffer=0):
        prefix = os.environ.get("PURSER_PREFIX")
        assert prefix, "PURSER_PREFIX must name the installed tree"
        self.folder = Path(tempfile.mkdtemp(prefix="purser-gate-"))
        self.sources, self.script = sources, keeper
        self.requests, self.refusals, self.tunnels, self.streams = [], [], [], []
        self.dial = None
        self.control, theirs = ipc.pair()
        self.process = subprocess.Popen([Path(prefix) / "libexec/purser/purser-gate"], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, pass_fds=[ipc.CONTROL_FD],
                                        preexec_fn=lambda: os.dup2(theirs.fileno(), ipc.CONTROL_FD))
        theirs.close()
        self.control.settimeout(30)
        self._set_up(egress, env, os.getuid() if uid is None else uid, output_bytes, output_files, send_buffer)

    def _set_up(self, egress, env, uid, output_bytes, output_files, send_buffer):
        tcp = socket.create_server(("127.0.0.1", 0), backlog=1024)
        if send_buffer:  # of the kernel, for each client; else as much as it thinks fit
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port = tcp.getsockname()[1]
        self.http_path, self.runner_path = self.folder / "http", self.folder / "runner"
        listeners = []
        for path, kind in ((self.http_path, socket.SOCK_STREAM), (self.runner_path, socket.SOCK_SEQPACKET)):
            listener = socket.socket(socket.AF_UNIX, kind)
            listener.bind(str(path))
            listener.listen(64)
            listeners.append(listener)
        if callable(self.script):
            self.keeper, keeper_end = ipc.pair()
        else:
            self.keeper, keeper_end = None, self.script
        self.clerk, clerk_end = ipc.pair()
        self.clerk.settimeout(20)
        roots = os.open("/etc/ssl/certs/ca-certificates.crt", os.O_RDONLY)
        ipc.send(self.control, Type.GATE_SETUP, pack(
            ("text", "run-1"), ("text", "retriever"), ("u32", uid), ("u16", self.port), ("text", str(self.http_path)),
            ("text", "2020-01-01T00:00:00Z"), ("text", "2020-01-02T00:00:00Z"), ("u64", 600_000_000),
            ("u64", 1_000_000), ("u64", output_bytes), ("u32", output_files), ("u8", 0), ("u8", 0)),
            [tcp.fileno(), *[one.fileno() for one in listeners], keeper_end.fileno(), clerk_end.fileno(), roots])
        for one in (tcp, *listeners, clerk_end):
            one.close()
        if self.keeper:
            keeper_end.close()
        os.close(roots)
        for number, source in enumerate(self.sources):
            ipc.send(self.control, Type.GATE_SOURCE, pack(
                ("u32", number), ("u32", source.reach), ("text", source.name), ("u8", source.tls), ("text", source.host),
                ("u16", source.port), ("text", source.base), *ipc.hosts(source), ("u8", 0), ("text", ""), ("text", source.header),
                ("u32", len(source.token_env)), *[("text", name) for name in source.token_env], ("u32", 0),
                ("text", source.token_file)))
        for host, port in egress:
            ipc.send(self.control, Type.GATE_EGRESS, pack(("text", host), ("u16", port)))
        for name, value, source in env:
            ipc.send(self.control, Type.GATE_ENV, pack(("text", name), ("text", value), ("i32", source)))
        ipc.send(self.control, Type.GATE_START)
        got = ipc.receive(self.control)
        assert got == (Type.GATE_READY, b""), (got, self.process.stderr.read())
        if self.keeper:
            threading.Thread(target=self._keep, daemon=True).start()

    def _keep(self):
        """The keeper's side of the control channel."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.keeper, 65536, 1)
            except OSError:
                return
            if not data:
                return
            _, kind, _ = ipc.HEADER.unpack_from(data)
            payload = data[ipc.HEADER.size:]
            if kind == Type.CONNECTION:
                stream = Stream(socket.socket(fileno=fds[0]))
                self.streams.append(stream)
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()
            elif kind == Type.LEASES_WANTED:
                for number in range(len(self.sources)):
                    ipc.send(self.keeper, Type.LEASE, pack(("u32", number), ("text", self.lease(number))))
                ipc.send(self.keeper, Type.LEASES_END)
            elif kind == Type.TUNNEL_WANTED:
                self._tunnel(*ipc.unpack(payload, "u32", "text", "u16"))
            elif kind == Type.GATE_REFUSED:
                names = "run code method host path sentence count".split()
                self.refusals.append(dict(zip(names, ipc.unpack(payload, *["text"] * 6, "u64"))))

    def _serve(self, stream):
        try:
            self.script(stream)
        except OSError:
            pass
        finally:
            stream.sock.close()

    def _tunnel(self, number, host, port):
        self.tunnels.append((host, port))
        try:
            far = socket.create_connection(self.dial or (host, port), 5)
        except OSError:
            ipc.send(self.keeper, Type.TUNNEL_REFUSED, pack(("u32", number), ("u16", 502), ("text", "upstream-connect"),
                                                            ("text", f"{host} cannot be reached")))
            return
        far.setblocking(False)
        ipc.send(self.keeper, Type.TUNNEL_OPEN, pack(("u32", number), ("u16", 0), ("text", ""), ("text", "")),
                 [far.fileno()])
        far.close()

    @staticmethod
    def lease(number):
        return "psl_1" + "ABCDEFGH"[number] * 64

    def runner(self):
        return Runner(self.runner_path)

    def tcp(self):
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def unix(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(str(self.http_path))
        return sock

    def connect(self, authority, key, headers=""):
        """A socket after CONNECT and the answer's head and body."""
        sock = self.tcp()
        proof = f"Proxy-Authorization: Basic {b64encode(b'run:' + key.encode()).decode()}\r\n" if key else ""
        sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{proof}{headers}\r\n".encode())
        return sock, answer(sock, "CONNECT")

    def tls(self, host, runner, server_name=None, port=443, context=None):
        sock, got = self.connect(f"{host}:{port}", runner.key)
        assert got.status == 200, got
        return (context or runner.context()).wrap_socket(sock, server_hostname=server_name or host)

    def stop(self):
        if self.process.poll() is None:
            ipc.send(self.control, Type.STOP)
        status = self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
        return status


class Runner:
    """purser-exec's side of the run's socket; takes what the gate tells it."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(str(path))
        self.env, self.ca, self.limits = {}, "", None

    def hello(self):
        ipc.send(self.sock, Type.HELLO)
        while (got := ipc.receive(self.sock)) and got[0] != Type.RUN_START:
            if got[0] == Type.ENV:
                name, value, _ = ipc.unpack(got[1], "text", "text", "i32")
                self.env[name] = value
            elif got[0] == Type.CA:
                self.ca = got[1].decode()
        assert got, "the gate hung up on the runner"
        self.limits = ipc.unpack(got[1], "u64", "u64", "u64", "u32", "u16", "u8")[:5]
        return self

    @property
    def key(self):
        return self.env["HTTPS_PROXY"].split(":")[2].split("@")[0]

    def context(self):
        context = ssl.create_default_context(cadata=self.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    def output(self, path, fd, size=None):
        ipc.send(self.sock, Type.OUTPUT, pack(("text", path), ("u64", os.fstat(fd).st_size if size is None else size)), [fd])

    def end(self, status=0, outputs=0):
        ipc.send(self.sock, Type.RUN_END, pack(("i32", status), ("i32", 0), ("u8", 0), ("u8", 0), ("u32", outputs)))


@dataclass
class Answer:
    status: int
    reason: str
    headers: dict
    body: bytes
    framing: str


class Broken(Exception):
    """The connection ended before the answer did."""


def _take(sock, seen, want):
    while len(seen) < want:
        try:
            more = sock.recv(65536)
        except (ssl.SSLError, ConnectionError) as error:
            raise Broken(str(error)) from error
        if not more:
            raise Broken("the end, too early")
        seen += more


def _line(sock, seen):
    while b"\r\n" not in seen:
        _take(sock, seen, len(seen) + 1)
    line, _, rest = bytes(seen).partition(b"\r\n")
    seen[:] = rest
    return line


def answer(sock, method="GET", seen=None):
    """Reads one answer, strictly. `seen`: a bytearray of what was read too much, for pipelining."""
    seen = bytearray() if seen is None else seen
    version, status, reason = (_line(sock, seen).decode("latin-1") + " ").split(" ", 2)
    assert version == "HTTP/1.1", version
    headers = {}
    while line := _line(sock, seen).decode("latin-1"):
        name, _, value = line.partition(":")
        assert name.lower() not in headers or name.lower() not in ("content-length", "transfer-encoding"), line
        headers[name.lower()] = value.strip()
    status = int(status)
    if status < 200 or status in (204, 304) or method == "HEAD" or (method == "CONNECT" and status == 200):
        return Answer(status, reason.strip(), headers, b"", "none")
    body, framing = b"", "length"
    if headers.get("transfer-encoding") == "chunked":
        framing = "chunked"
        while size := int(_line(sock, seen), 16):
            _take(sock, seen, size + 2)
            body += bytes(seen[:size])
            assert seen[size:size + 2] == b"\r\n"
            del seen[:size + 2]
        assert _line(sock, seen) == b""
    elif "content-length" in headers:
        size = int(headers["content-length"])
        _take(sock, seen, size)
        body = bytes(seen[:size])
        del seen[:size]
    else:
        framing = "close"
        while True:
            try:
                more = sock.recv(65536)
            except (ssl.SSLError, ConnectionError) as error:
                raise Broken(str(error)) from error
            if not more:
                break
            seen += more
        body = bytes(seen)
        seen.clear()
    return Answer(status, reason.strip(), headers, body, framing)


def closed(sock, within=10):
    """Whether the other end closes (or resets) without another byte."""
    sock.settimeout(within)
    try:
        return sock.recv(65536) == b""
    except socket.timeout:
        return False
    except (ConnectionError, ssl.SSLError):
        return True


def reset_on_close(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
