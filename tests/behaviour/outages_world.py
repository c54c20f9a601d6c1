"""A store that is down, sealed, slow or full of nonsense, and what a run with it is: for test_outages_*.py."""
import contextlib
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from bao import Bao
from lab import Answer
from promise import HOST, new_token, with_inside
from upstream import Upstream

ASK = "reply = Client().ask()\nsay(status=reply.status, body=reply.body.decode())\n"
LOOP = """
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    reply = Client().ask()
    say(status=reply.status, body=reply.body.decode()[:300], at=time.monotonic())
    time.sleep(.25)
"""


@pytest.fixture(scope="module")
def server():
    made = Bao()
    made.kv()
    made.policy("purser", **{"secret/data/ci/*": ["read"]})
    made.login = made.approle()
    yield made
    made.close()


@pytest.fixture
def bao(server, lab):
    server.token_of_ci = new_token()
    server.put("ci/api", token=server.token_of_ci)
    lab.upstream(HOST, lambda request: Answer(200, b"ok") if request.header("Authorization") == f"Bearer {server.token_of_ci}"
                 else Answer(401, b"no"))
    lab.source("api", HOST, token=None, tokenEnv=["API_TOKEN"])
    lab.sources["api"]["token"] = {"vault": {"path": "secret/data/ci/api"}}
    configure(lab, server)
    yield server


def configure(lab, bao, address=None, ca=None, **keys):
    role, secret = bao.login
    (lab.folder / "secret-id").write_text(secret)
    lab.more = "vault: " + json.dumps({
        "address": address or bao.address, "caFile": str(ca or bao.ca), "refresh": "1s", "maxStale": "4s",
        "auth": {"approle": {"roleId": role, "secretId": {"file": str(lab.folder / "secret-id")}}}, **keys}) + "\n"
    lab.write()


def begin(lab, script, name="script", sources=("api",)):
    with_inside(lab, name)
    lab.retriever(name, "import time\nfrom inside import *\n" + script, sources=list(sources))


def start(lab, *names):
    return lab.start("run", *names, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process, timeout=90):
    out, _ = process.communicate(timeout=timeout)
    return out.decode()


class Front:
    """Before the real server: passes on, and spoils the answers to the reads that it is told to."""

    def __init__(self, bao, spoil, pair=None):
        self.bao, self.spoil, self.passed = bao, spoil, 0
        self.upstream = Upstream(self.serve, *(pair or (bao.certificate, bao.key)))
        self.address = f"https://localhost:{self.upstream.port}"

    def serve(self, connection):
        while got := connection.request():
            head, body = got
            method, path, _ = head.split("\r\n")[0].split(" ")
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            request = urllib.request.Request(f"{self.bao.address}{path}", method=method, data=body or None, headers={
                name: value for name, value in headers.items() if name.lower().startswith(("x-vault", "authorization"))})
            import ssl
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(
                context=ssl.create_default_context(cafile=self.bao.ca)))
            try:
                with opener.open(request, timeout=10) as answer:
                    status, text = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                status, text = error.code, error.read()
            self.passed += 1
            if ("/secret/" in path or "/secrets/" in path) and self.spoil:
                self.spoil(connection, text)
            else:
                connection.answer(text, f"{status} Status")

    def close(self):
        self.upstream.close()


class Wire:
    """The network before a port of this machine: it carries `at_a_time` bytes, then rests. Once it is cut, what is open is closed, and
    who comes anew is hung up on after its first bytes."""

    def __init__(self, port, at_a_time=65536, rest=0):
        self.to, self.at_a_time, self.rest, self.is_cut, self.refused, self._open = port, at_a_time, rest, False, 0, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with contextlib.suppress(OSError), sock:
            if self.is_cut:
                sock.recv(65536)
                self.refused += 1
                return
            with socket.create_connection(("127.0.0.1", self.to)) as far:
                self._open += [sock, far]
                threading.Thread(target=self._carry, args=(sock, far), daemon=True).start()
                self._carry(far, sock)

    def _carry(self, of, to):
        with contextlib.suppress(OSError):
            while piece := of.recv(self.at_a_time):
                to.sendall(piece)
                time.sleep(self.rest)
            to.shutdown(socket.SHUT_WR)

    def cut(self):
        self.is_cut = True
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.cut()
        self._listener.close()


def ten_megabytes(connection, text):
    connection.answer(b'{"data": {"token": "' + b"x" * 10_000_000 + b'"}}')


def cut_off(connection, text):
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text[:len(text) // 2])
    connection.reset()


def not_json(connection, text):
    connection.answer(b"<html>It works!</html>")


def server_error(connection, text):
    connection.answer(b'{"errors": ["internal error"]}', "500 Internal Server Error")


def throttled(connection, text):
    connection.answer(b'{"errors": ["request path is rate limited"]}', "429 Too Many Requests", ["Retry-After: 2"])


SPOILT = {"10 MB": (ten_megabytes, "more than 1024 kB"), "cut off": (cut_off, "broke off its answer"),
          "not JSON": (not_json, "not the JSON"), "5xx": (server_error, "status 500"), "429": (throttled, "fewer calls")}
