"""A laboratory: one folder, one CA, upstreams that a test writes as a function, and `purser` over them.

    def test_x(lab):
        lab.upstream("api.test", lambda request: Answer(200, b"{}"))
        lab.source("api", "api.test", token="real-token-1")
        run = lab.run_script('import os, urllib.request ...', sources=["api"])
        assert run.report["status"] == "ok"

As root each script gets a user of its own, so the folder lies where every user may pass through.
"""
import json
import os
import shutil
import signal
import socketserver
import ssl
import subprocess
import tempfile
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 60


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)
    until: threading.Event = None  # the last four bytes of the body wait for it
    raw: bytes = None  # sent as it is, instead of all of the above, and the connection closed


@dataclass
class Request:
    method: str
    target: str
    headers: list  # (name, value) as they came
    body: bytes

    def header(self, name):
        """The value; None if it is not there; an error if it is there twice."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


class Upstream:
    """A TLS server on loopback that records what it is asked, and answers with what the test's function returns."""

    def __init__(self, lab, names, answer, address=("127.0.0.1", 0)):
        self.requests, self.connections = [], 0
        self.open = set()  # connections whose client is not known to be gone
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*lab.certificate(names))
        upstream = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                upstream.open.add(self)
                try:
                    self.connection = upstream.context.wrap_socket(self.request, server_side=True)
                    upstream.connections += 1
                    with self.connection, self.connection.makefile("rb") as stream:
                        while upstream.serve(stream, self.connection, answer):
                            pass
                except (OSError, ssl.SSLError, ValueError):
                    pass  # a client that goes away, or does not trust us, is part of many tests
                finally:
                    upstream.open.discard(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Server(address, Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def serve(self, stream, connection, answer):
        line = stream.readline().decode("latin-1").strip()
        if not line:
            return False
        method, target, _ = line.split(" ", 2)
        headers = []
        while (text := stream.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = text.partition(":")
            headers.append((name, value.strip()))
        request = Request(method, target, headers, b"")
        if request.header("Content-Length"):
            request.body = stream.read(int(request.header("Content-Length")))
        elif (request.header("Transfer-Encoding") or "").lower() == "chunked":
            while (size := int(stream.readline().split(b";")[0], 16)):
                request.body += stream.read(size)
                stream.readline()
            stream.readline()
        self.requests.append(request)
        reply = answer(request)
        if reply.raw is not None:
            connection.sendall(reply.raw)
            return False
        head = {"Content-Type": "application/json", "Content-Length": str(len(reply.body)), **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        body = b"" if method == "HEAD" or reply.status in (204, 304) else reply.body
        late = body[-4:] if reply.until else b""
        connection.sendall(f"HTTP/1.1 {reply.status} Status\r\n{lines}\r\n".encode("latin-1") + body[:len(body) - len(late)])
        if reply.until:
            reply.until.wait(PATIENCE)
            connection.sendall(late)
        return True

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Finished:
    status: int
    out: str
    err: str
    lab: "Lab"

    @property
    def text(self):
        return self.out + self.err

    @property
    def json(self):
        return json.loads(self.out)


class Lab:
    def __init__(self, prefix):
        self.prefix = Path(prefix)
        self.folder = Path(tempfile.mkdtemp(prefix="purser-lab-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.state = self.folder / "state"
        self.upstreams, self.processes, self.sources, self.retrievers = {}, [], {}, []
        self.more = ""
        self.within = []  # the command that starts every purser: into a namespace, as another user
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", f"/CN=CA of {self.folder.name}",
                     "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for upstream in self.upstreams.values():
            upstream.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def certificate(self, names, days="2"):
        stem = names[0].replace("*", "any")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                     f"{stem}.key", "-out", f"{stem}.csr", "-subj", "/CN=lab")
        (self.folder / f"{stem}.ext").write_text(
            "subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\nextendedKeyUsage=serverAuth\n")
        self.openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", days,
                     "-extfile", f"{stem}.ext", "-out", f"{stem}.pem")
        return self.folder / f"{stem}.pem", self.folder / f"{stem}.key"

    def upstream(self, host, answer, names=None, **where):
        self.upstreams[host] = Upstream(self, names or [host], answer, **where)
        return self.upstreams[host]

    def source(self, name, host, token="real-token-of-the-lab-0123456789", provider=None, policy="lab-all", **keys):
        """A source at an upstream that was made before. Other keys go into purser.yaml as they are (JSON is YAML)."""
        entry = {"name": name, "token": {"keyring": name}, "policy": policy}
        entry.update({"provider": provider} if provider else {"apiUrl": f"https://{host}", "auth": "bearer"})
        if host in self.upstreams:
            entry.update(connectTo=f"127.0.0.1:{self.upstreams[host].port}", allowPrivateAddresses=["127.0.0.1"],
                         caFile=str(self.folder / "ca.pem"))
        entry.update(keys)
        self.sources[name] = entry
        self.write()
        if token is not None:
            done = self.purser("token", "set", name, "--host", host, stdin=token)
            assert done.status == 0, done.text

    def retriever(self, name, script=None, command=None, sources=(), policy="lab-all", requirements=None, **keys):
        entry = {"name": name, "sources": list(sources), "policy": policy, **keys}
        if script is not None:
            files = self.folder / "files" / name
            files.mkdir(parents=True, exist_ok=True)
            (files / "script.py").write_text(textwrap.dedent(script))
            if requirements:
                (files / "requirements.txt").write_text(requirements)
            entry["script"] = {"name": "script.py"}
        else:
            entry["command"] = [str(word) for word in command]
        self.retrievers = [other for other in self.retrievers if other["name"] != name] + [entry]
        self.write()

    def policy(self, name, text):
        (self.folder / "policy").mkdir(exist_ok=True)
        (self.folder / "policy" / f"{name}.yaml").write_text(textwrap.dedent(text))

    def write(self):
        if not (self.folder / "policy/lab-all.yaml").exists():
            self.policy("lab-all", """\
                policy: lab-all
                allow:
                - {method: [GET, HEAD, POST], path: /**}
                tests:
                - {request: GET /x, expect: allow}
                """)
        config = {"state": str(self.state), "sources": list(self.sources.values()), "retrievers": self.retrievers}
        text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in config.items())
        (self.folder / "purser.yaml").write_text(f"{text}\n{self.more}")

    def words(self, command, *args):
        return [*self.within, self.prefix / "bin/purser", command, *args, "--file", self.folder / "purser.yaml"]

    def purser(self, command, *args, stdin="", env=None, timeout=PATIENCE):
        words = [str(word) for word in self.words(command, *args)]
        done = subprocess.run(words, input=stdin.encode() if isinstance(stdin, str) else stdin, capture_output=True,
                              timeout=timeout, env={**os.environ, **(env or {})}, cwd=self.folder)
        return Finished(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), self)

    def start(self, command, *args, **options):
        """A purser that is not waited for; ended with the laboratory."""
        process = subprocess.Popen([str(word) for word in self.words(command, *args)], cwd=self.folder,
                                   stdin=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def run_script(self, script, name="script", sources=(), timeout=PATIENCE, **keys):
        """Runs one script; `.report` is its run.json, `.log` what it printed."""
        self.retriever(name, script=script, sources=sources or list(self.sources), **keys)
        done = self.purser("run", name, timeout=timeout)
        done.report, done.log = self.last_run(name)
        return done

    def last_run(self, name=None):
        reports = []
        for path in (self.state / "runs").glob("*/run.json"):
            report = json.loads(path.read_text())
            if name in (None, report["retriever"]):
                reports.append((report["started"], report, (path.parent / "log").read_text(errors="replace")))
        assert reports, "no run was recorded"
        return max(reports, key=lambda entry: entry[0])[1:]

    def audit(self, event=None):
        path = self.state / "audit/audit.ndjson"
        events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [entry for entry in events if event in (None, entry["event"])]

    def rows(self, sql):
        done = subprocess.run(["sqlite3", "-json", "-readonly", self.state / "sink/purser.db", sql], check=True,
                              capture_output=True, text=True)
        return json.loads(done.stdout or "[]")
