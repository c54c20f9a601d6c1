"""Plays supervisor and gate to the real purser-keeper."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import ipc
from ipc import Type, pack

SCHEME = {"bearer": 0, "token": 1, "basic": 2, "header": 3}
STORE_NONE, STORE_KEYRING, STORE_FILE, STORE_KUBERNETES, STORE_VAULT = range(5)
METHODS = {name: 1 << i for i, name in enumerate("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT".split())}
LOOPBACK = (bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 0]), 104)
UNKNOWN = 2**64 - 1


@dataclass
class Source:
    host: str
    port: int
    token: bytes | None = b"ghp_0123456789abcdefABCDEF0123456789abcd"
    name: str = "github"
    tls: bool = True
    base: str = ""
    others: tuple = ()    # hosts beside it: (use, host, port)
    graphql: str = ""     # path of the endpoint
    graphql_host: int = 0
    scheme: str = "bearer"
    user: str = ""
    header: str = ""
    connect_to: str = ""
    ca: Path | None = None
    allow: tuple = (LOOPBACK,)
    store: int = STORE_FILE
    rate: int = 0             # requests per 1,000 s
    reserve: int = 0
    reserve_percent: int = 0


@dataclass
class Answer:
    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    code: str = ""        # of a refusal
    sentence: str = ""
    retry_after: int = 0
    aborted: bool = False
    continued: bool = False
    records: list = field(default_factory=list)


class Stream:
    """One client connection, as a gate has it."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(90)

    def request(self, method="GET", target="/x", credential="", headers=(), body=None, length=None, end=True, source=0,
                expect=False, path_len=None, host=0, host_name=""):
        has_body = body is not None
        path_len = len(target.split("?")[0]) if path_len is None else path_len
        text = [("u32", source), ("u32", host), ("text", host_name), ("u32", METHODS.get(method, 512)), ("text", method), ("text", target),
                ("u32", path_len), ("u8", expect), ("u8", has_body), ("u8", end),
                ("u64", (len(body) if length is None else length) if has_body else 0), ("text", credential),
                ("u32", len(headers))]
        for name, value in headers:
            text += [("text", name), ("text", value)]
        text.append(("text", body or b""))
        ipc.send(self.sock, Type.REQUEST, pack(*text))

    def body(self, piece, end=False):
        ipc.send(self.sock, Type.BODY_END if end else Type.BODY, piece)

    def answer(self):
        answer = Answer(0)
        while True:
            got = ipc.receive(self.sock)
            if got is None:
                raise ConnectionResetError("the keeper closed the stream")
            kind, payload = got
            answer.records.append(kind)
            if kind == Type.CONTINUE:
                answer.continued = True
            elif kind == Type.REFUSE:
                answer.status, answer.code, answer.sentence, answer.retry_after, *_ = ipc.unpack(
                    payload, "u16", "text", "text", "u32", "u8", "u8")
                return answer
            elif kind == Type.RESPONSE:
                if take_head(answer, payload):
                    return answer
            elif kind == Type.ABORT:
                answer.aborted = True
                return answer
            else:
                answer.body += payload
                if kind == Type.DATA_END:
                    return answer

    def get(self, target="/x", credential="", **words):
        self.request("GET", target, credential, **words)
        return self.answer()

    def close(self):
        self.sock.close()


def take_head(answer, payload):
    reader = ipc.Reader(payload)
    answer.status = reader.number(2)
    answer.sentence = reader.text().decode("latin-1")
    reader.number(8)
    reader.number(1)
    end = reader.number(1)
    for _ in range(reader.number(4)):
        name = reader.text().decode("latin-1")
        answer.headers[name.lower()] = reader.text().decode("latin-1")
    answer.body += reader.text()
    assert reader.at == len(payload)
    return end


class Run:
    def __init__(self, keeper, name, gate):
        self.keeper, self.name, self.gate = keeper, name, gate
        self.limits = []  # of the report

    def leases(self):
        """The lease of each source, by its index."""
        ipc.send(self.gate, Type.LEASES_WANTED)
        leases = {}
        while (got := ipc.receive(self.gate))[0] == Type.LEASE:
            index, text = ipc.unpack(got[1], "u32", "text")
            leases[index] = text
        assert got[0] == Type.LEASES_END
        return leases

    def stream(self):
        ours, theirs = ipc.pair()
        ipc.send(self.gate, Type.CONNECTION, fds=[theirs.fileno()])
        theirs.close()
        return Stream(ours)

    def tunnel(self, host, port, number=7):
        """A connected socket, or (status, code, sentence)."""
        ipc.send(self.gate, Type.TUNNEL_WANTED, pack(("u32", number), ("text", host), ("u16", port)))
        data, fds, _, _ = socket.recv_fds(self.gate, 65536, 1)
        _, kind, _ = ipc.HEADER.unpack_from(data)
        answer = ipc.unpack(data[ipc.HEADER.size:], "u32", "u16", "text", "text")
        assert answer[0] == number
        return socket.socket(fileno=fds[0]) if kind == Type.TUNNEL_OPEN else tuple(answer[1:])

    def close(self):
        """The report: ({source: counts}, [refusals])."""
        ipc.send(self.keeper.control, Type.KEEPER_RUN_CLOSE, self.name.encode())
        sources, refusals = {}, []
        while (got := ipc.receive(self.keeper.control))[0] != Type.KEEPER_RUN_CLOSED:
            if got[0] == Type.KEEPER_RUN_SOURCE:
                names = "requests refused failed retried sent received redacted store_calls token_set unused".split()
                values = ipc.unpack(got[1], "text", "u32", *["u64"] * 8, "i64", "u8")
                sources[values[1]] = dict(zip(names, values[2:]))
            elif got[0] == Type.KEEPER_RUN_LIMIT:
                names = "run source name limit remaining reserved told reset".split()
                self.limits.append(dict(zip(names, ipc.unpack(got[1], "text", "u32", "text", *["u64"] * 3, *["i64"] * 2))))
            else:
                names = "run code method host path sentence count".split()
                refusals.append(dict(zip(names, ipc.unpack(got[1], *["text"] * 6, "u64"))))
        return sources, refusals


def _rule(rule, line):
    """A rule's record: (deny, methods, path), or ("graphql", root fields) of queries."""
    if rule[0] != "graphql":
        deny, methods, path = rule
        return [("u8", deny), ("u32", line), ("u16", methods), ("text", path)]
    fields = sorted(rule[1])
    return [("u8", 2), ("u32", line), ("u16", 0), ("u32", 1), ("u32", len(fields)), *[("text", name) for name in fields],
            ("u32", 0), ("u8", 1), ("u32", 20), ("u32", 50), ("u32", 0)]


class Keeper:
    """policies: lists of rules, (deny, methods, path) with methods 0 for all, or ("graphql", root fields); budget: requests,
    bytes up and down, rate, time, GraphQL cost. audit: the folder that its audit lies in (audit.ndjson, audit.key), if not
    its own; before: called in its process before it is the keeper."""

    def __init__(self, sources, policies=(((0, 63, "/**"), (0, 63, "/")),), budget=(), proxy="", no_proxy=(), reveal=False,
                 audit=None, audit_optional=False, before=None):
        prefix = os.environ.get("PURSER_PREFIX")
        assert prefix, "PURSER_PREFIX must name the installed tree"
        self.folder = Path(tempfile.mkdtemp(prefix="purser-keeper-"))
        weakref.finalize(self, shutil.rmtree, self.folder, True)  # its audit is read after its end too
        self.control, theirs = ipc.pair()
        # A process that nobody may trace cannot look for leaks when it ends.
        self.process = subprocess.Popen([Path(prefix) / "libexec/purser/purser-keeper"], stdin=subprocess.DEVNULL,
                                        env={"ASAN_OPTIONS": "detect_leaks=0"},
                                        stderr=subprocess.PIPE, pass_fds=[ipc.CONTROL_FD],
                                        preexec_fn=lambda: (before and before(), os.dup2(theirs.fileno(), ipc.CONTROL_FD)))
        theirs.close()
        self.control.settimeout(30)
        self.tokens = {}
        self._runs = self._files = 0
        self.audit_path = Path(audit or self.folder) / "audit.ndjson"
        self.audit_optional = audit_optional
        self.audit_key = self.audit_path.with_name("audit.key")
        self._set_up(sources, policies, budget, proxy, no_proxy, reveal, audit_optional)

    def _set_up(self, sources, policies, budget, proxy, no_proxy, reveal, audit_optional):
        if not self.audit_key.exists():
            self.audit_key.touch(0o600)
            self.audit_key.write_bytes(os.urandom(32))
        goes_on = self.audit_path.exists()
        fds = [os.open(self.audit_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), os.open(self.audit_key, os.O_RDONLY),
               os.open("/etc/ssl/certs/ca-certificates.crt", os.O_RDONLY)]
        if goes_on:
            fds.append(os.open(self.audit_path, os.O_RDONLY))
        ipc.send(self.control, Type.KEEPER_SETUP, pack(
            ("u8", goes_on), ("u8", audit_optional), ("u8", 0), ("u8", 0), ("u8", 0), ("u8", 0), ("u64", 1),
            ("u64", 30_000_000), ("text", ""), ("text", ""), ("text", ""),
            ("text", "/nowhere/keyring"), ("text", ""), ("text", proxy), ("u32", len(no_proxy)), *[("text", name) for name in no_proxy],
            ("u32", 2), ("u16", 443), ("u16", 80)), fds)
        for fd in fds:
            os.close(fd)
        for number, source in enumerate(sources):
            self._send_source(number, source)
        for rules in policies:
            ipc.send(self.control, Type.KEEPER_POLICY, pack(
                ("text", "policy"), ("u8", reveal), *[("u64", value) for value in (*budget, *[0] * 6)[:6]],
                ("u32", len(rules)), *[part for line, rule in enumerate(rules, 3) for part in _rule(rule, line)]))
        ipc.send(self.control, Type.KEEPER_START)
        while (got := ipc.receive(self.control)) and got[0] == Type.KEEPER_TOKEN:
            number, found, sentence = ipc.unpack(got[1], "u32", "u8", "text", "text", "text", "i64", "i64", "u32", "u64")[:3]
            self.tokens[number] = (bool(found), sentence)
        assert got and got[0] == Type.KEEPER_READY, (got, self.process.stderr.read())

    def _send_source(self, number, source):
        fds, opened = [], source.token is not None and source.store == STORE_FILE
        name = str(self.folder / f"token-{number}")
        if source.ca:
            fds.append(os.open(source.ca, os.O_RDONLY))
        if opened:
            Path(name).write_bytes(source.token)
            os.chmod(name, 0o600)
            file = os.open(name, os.O_RDONLY)
            ipc.send(self.control, Type.KEEPER_FILE, pack(("u32", self._files), ("u32", 0), ("text", name)), [file])
            os.close(file)
            self._files += 1
        ipc.send(self.control, Type.KEEPER_SOURCE, pack(
            ("text", source.name), ("u8", source.tls), ("text", source.host), ("u16", source.port), ("text", source.base),
            *ipc.hosts(source), ("u8", SCHEME[source.scheme]), ("text", source.user), ("text", source.header),
            ("u8", source.store), ("text", name), ("text", ""), ("text", ""), ("u32", 0), ("u32", 0), ("u8", 0),
            ("text", source.connect_to), ("text", str(source.ca or "")),
            ("u32", len(source.allow)),
            *[part for address, bits in source.allow for part in (("text", address), ("u8", bits))],
            ("u64", source.rate), ("u64", source.reserve), ("u32", source.reserve_percent),
            ("u8", source.ca is not None), ("u8", 1)), fds)
        for fd in fds:
            os.close(fd)
        if opened:
            os.unlink(name)

    def run(self, grants=((0, 0),), egress=(), time_limit=600_000_000, reveal=(), files=()):
        """reveal: sources, each with an open file; a run that is refused is the sentence."""
        self._runs += 1
        name = f"run-{self._runs}"
        gate, theirs = ipc.pair()
        gate.settimeout(30)
        ipc.send(self.control, Type.KEEPER_RUN_OPEN, pack(
            ("text", name), ("text", "retriever"), ("u64", time_limit), ("u32", len(grants)),
            *[part for source, policy in grants for part in (("u32", source), ("u32", policy), ("u64", 0))],
            ("u32", len(egress)), *[part for host, port in egress for part in (("text", host), ("u16", port))],
            ("u32", len(reveal)), *[("u32", source) for source in reveal], ("u8", 0)), [theirs.fileno(), *files])
        theirs.close()
        got = ipc.receive(self.control)
        if got and got[0] == Type.KEEPER_RUN_REFUSED:
            return ipc.unpack(got[1], "text", "text")[1]
        assert got == (Type.KEEPER_RUN_OPENED, name.encode()), (got, self.process.stderr.read() if not got else "")
        return Run(self, name, gate)

    def audit(self):
        return [json.loads(line) for line in self.audit_path.read_text().splitlines()]

    def stop(self):
        """Ends it as the supervisor does; its standard error."""
        if self.process.poll() is None:
            ipc.send(self.control, Type.STOP)
        try:
            self.process.wait(10)
        finally:
            self.process.kill()  # what went round in a circle, too
        return self.process.stderr.read().decode()
