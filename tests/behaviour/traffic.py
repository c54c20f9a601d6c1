"""The bytes of the real clients' requests: PyGithub, pybuildkite, curl and git, through a proxy that opens their TLS; and what
becomes of them under mutation, the same for the same seed.
"""

import json
import os
import random
import re
import socketserver
import ssl
import subprocess
import textwrap
import threading

from attack_world import StrictUpstream
from lab import Answer
from test_clients import git_server, make_repository

HOSTS = ["api.github.com", "api.buildkite.com", "git.test", "api.test"]
PLACE = "psl_1" + "L" * 64  # where a lease goes


class Recorder(StrictUpstream):
    """A proxy that answers CONNECT and takes the part of every host: `raw` has what it was asked, CONNECTs too."""

    def __init__(self, lab, answer):
        self.connects = []
        super().__init__(lab, HOSTS, answer)
        recorder = self

        class Handler(socketserver.StreamRequestHandler):
            rbufsize = 0  # not a byte more than the CONNECT

            def handle(self):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    piece = self.rfile.read(1)
                    if not piece:
                        return
                    head += piece
                recorder.connects.append(head)
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    with recorder.context.wrap_socket(self.request, server_side=True) as secure, secure.makefile("rb") as stream:
                        while recorder.serve(stream, secure, answer):
                            pass
                except (OSError, ssl.SSLError):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.proxy = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.proxy.shutdown()
        self.proxy.server_close()
        super().close()


PYTHON = """
    import os
    from github import Auth, Github
    from pybuildkite.buildkite import Buildkite
    token = os.environ["TOKEN"]
    hub = Github(auth=Auth.Token(token), retry=None, seconds_between_requests=0)
    repo = hub.get_repo("acme/web")
    list(repo.get_workflow_runs(status="completed"))
    repo.create_issue(title="a & b", body="_x=1\\n")
    repo.get_contents("a folder/\\u00e9.txt")
    hub.requester.graphql_query("query { viewer { login } }", {"a": 1})
    kite = Buildkite()
    kite.set_access_token(token)
    kite.builds().list_all(page=2, with_pagination=True)
    kite.builds().create_build("acme", "web", "HEAD", "main")
    kite.artifacts().list_artifacts_for_build("acme", "web", "1")
"""
CURL = [["/x?a=1&b=%2F"], ["-d", "a=1&b=2", "/form"], ["-T", "-", "/upload"], ["-F", "a=1", "-F", "b=2;type=text/plain", "/parts"],
        ["--compressed", "-r", "0-9", "/range"], ["-I", "/head"], ["-X", "DELETE", "/gone"],
        ["-H", "Expect: 100-continue", "-d", "x" * 3000, "/expect"], ["-b", "a=1", "-e", "http://r.test/", "-A", "agent/1 (x; y)", "/more"],
        ["-u", f"me:{PLACE}", "/basic"], ["-H", "Transfer-Encoding: chunked", "-d", "{\"a\": [1, 2]}", "/chunked"]]
ANY = {"id": 1, "number": 1, "full_name": "acme/web", "url": "https://api.github.com/repos/acme/web", "workflow_runs": [],
       "total_count": 0, "data": {}, "type": "file", "path": "x", "name": "x", "encoding": "base64", "content": ""}


def record(lab, clients):
    """Raw requests and CONNECT heads, with PLACE where the credential stands."""
    make_repository(lab.folder / "served/project", 2)
    git = git_server(lab.folder / "served", PLACE)

    def answer(request):
        if request.header("Host") == "git.test":
            return git(request)
        listed = "/builds" in request.target and request.method == "GET" or "artifacts" in request.target
        return Answer(200, b"[]" if listed else json.dumps(ANY).encode())

    recorder = Recorder(lab, answer)
    bundle = str(lab.folder / "ca.pem")
    proxy = f"http://run:{'K' * 43}@127.0.0.1:{recorder.proxy.server_address[1]}"
    env = {"PATH": os.environ["PATH"], "HOME": str(lab.folder), "HTTPS_PROXY": proxy, "https_proxy": proxy, "TOKEN": PLACE,
           "GIT_TERMINAL_PROMPT": "0", **{name: bundle for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO")}}

    def run(words, stdin=b""):
        done = subprocess.run(list(map(str, words)), env=env, input=stdin, capture_output=True, cwd=lab.folder, timeout=60)
        assert done.returncode == 0, (words, done.stderr.decode())

    run([clients, "-c", textwrap.dedent(PYTHON)])
    for words in CURL:
        *options, path = words
        bearer = [] if "-u" in options else ["-H", f"Authorization: Bearer {PLACE}"]
        run(["curl", "-sS", "--cacert", bundle, "-o", "/dev/null", *bearer, *options, f"https://api.test{path}"], b"sent in chunks")
    run(["git", "clone", "-q", f"https://x-access-token:{PLACE}@git.test/project", "cloned"])
    recorder.close()
    assert not recorder.faults, recorder.faults
    return recorder.raw, recorder.connects


WORDS = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\r\n ", b"\r\n\r\n", b"%2f", b"%2e%2e", b"../", b"//", b";", b"\\", b"?", b"#",
         b"\xc3\xa9", b"\xff", b"%c0%ae", b",", b"0", b"-", b"+", b"0x", b"99999999999999999999", b"chunked", b"_method=DELETE",
         b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n",
         b"Connection: close\r\n", b"Connection: Authorization\r\n", b"Upgrade: h2c\r\n", b"Host: evil.test\r\n", b"Expect: 100-continue\r\n",
         b"X-HTTP-Method-Override: DELETE\r\n", b"GET /x HTTP/1.1\r\nHost: api.test\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"HTTP/1.0",
         b"HTTP/2", b"TRACE ", b"http://", b"https://evil.test", b"@evil.test", b"[::1]", b":443", b"a" * 9000]


class Mutations:
    def __init__(self, seed, recorded):
        self.random, self.recorded = random.Random(seed), recorded

    def one(self):
        data = bytearray(self.random.choice(self.recorded))
        for _ in range(self.random.choice([1, 1, 1, 2, 3, 5])):
            self.random.choice([self._flip, self._insert, self._cut, self._copy, self._line, self._number, self._splice])(data)
        return bytes(data)

    def _at(self, data):
        head = data.find(b"\r\n\r\n") + 4
        return self.random.randrange(head if head > 4 and self.random.random() < 0.8 else len(data) + 1)

    def _flip(self, data):
        if data:
            data[self._at(data) % len(data)] = self.random.randrange(256)

    def _insert(self, data):
        at = self._at(data)
        data[at:at] = self.random.choice(WORDS)

    def _cut(self, data):
        at = self._at(data)
        del data[at:at + self.random.choice([1, 2, 4, 30, 10000])]

    def _copy(self, data):
        at, length = self._at(data), self.random.randrange(1, 60)
        to = self._at(data)
        data[to:to] = data[at:at + length]

    def _line(self, data):
        """A whole line goes in at the start of another, so that what is mutated is often what it says."""
        starts = [hit.end() for hit in re.finditer(rb"\r\n", data)] or [0]
        at = self.random.choice(starts)
        lines = [word for word in WORDS if word.endswith(b"\r\n")]
        data[at:at] = self.random.choice(lines + [bytes(data[at:data.find(b"\n", at) + 1])])

    def _number(self, data):
        numbers = list(re.finditer(rb"\d+", data))
        if numbers:
            hit = self.random.choice(numbers)
            value = int(hit[0][:18])
            data[hit.start():hit.end()] = str(self.random.choice([0, value + 1, max(value - 1, 0), value * 10, 2**64 + value])).encode()

    def _splice(self, data):
        other = self.random.choice(self.recorded)
        data[self._at(data):] = other[self.random.randrange(len(other)):]
