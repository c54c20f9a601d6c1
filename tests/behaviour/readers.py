"""How others read the bytes of a request: Python's h11, Node's http, and nginx with a server behind it.

Each reader is a context manager that gives read(raw): what it took those bytes and a request behind them for, a list of
Read; headers are None where the reader does not tell. read_strictly(raw) is the test's own, of attack_world.py.
"""

import base64
import hashlib
import io
import json
import os
import re
import socket
import socketserver
import subprocess
import textwrap
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

from attack_world import StrictUpstream
from ports import free_port

LAST = b"GET /the-end HTTP/1.1\r\nHost: the.end\r\nConnection: close\r\n\r\n"
OF_THIS_HOP = ("content-length", "transfer-encoding", "connection")


@dataclass
class Read:
    method: str
    target: str
    host: str
    body: str           # its SHA-256
    headers: list = None  # (name, value), but for those of the framing

    @classmethod
    def of(cls, method, target, headers, body):
        headers = sorted((name.lower(), value.strip(" \t")) for name, value in headers)
        return cls(method, target, dict(headers).get("host", ""), hashlib.sha256(body).hexdigest(),
                   [header for header in headers if header[0] not in OF_THIS_HOP])


def read_strictly(raw):
    """What StrictUpstream makes of it."""
    class Reading(StrictUpstream):
        def __init__(self):
            self.requests, self.raw, self.faults = [], [], []

    class Deaf:
        def sendall(self, data):
            pass

    reading, stream = Reading(), io.BytesIO(raw + LAST)
    answer = type("Answer", (), {"body": b"", "status": 200, "headers": {}})
    while reading.serve(stream, Deaf(), lambda request: answer):
        pass
    assert not reading.faults, reading.faults
    return [Read.of(one.method, one.target, one.headers, one.body) for one in reading.requests]


H11 = """
    import base64, json, sys
    import h11
    for line in sys.stdin:
        connection, seen = h11.Connection(h11.SERVER), []
        connection.receive_data(base64.b64decode(line))
        connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                seen.append({"method": event.method.decode(), "target": event.target.decode("latin-1"), "body": "",
                             "headers": [[part.decode("latin-1") for part in header] for header in event.headers]})
            elif isinstance(event, h11.Data):
                seen[-1]["body"] += bytes(event.data).hex()
            elif isinstance(event, h11.EndOfMessage):
                if connection.their_state is h11.MUST_CLOSE:
                    break
                connection.send(h11.Response(status_code=204, headers=[]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            else:
                break
        print(json.dumps(seen), flush=True)
"""


@contextmanager
def h11(folder, clients):
    process = subprocess.Popen([clients, "-c", textwrap.dedent(H11)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(raw):
        process.stdin.write(base64.b64encode(raw + LAST).decode() + "\n")
        process.stdin.flush()
        return [Read.of(one["method"], one["target"], one["headers"], bytes.fromhex(one["body"]))
                for one in json.loads(process.stdout.readline() or "[]")]

    yield read
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


NODE = """
    const http = require('node:http');
    const crypto = require('node:crypto');
    const server = http.createServer((request, response) => {
      const hash = crypto.createHash('sha256');
      request.on('data', (piece) => hash.update(piece));
      request.on('end', () => {
        const said = JSON.stringify([request.method, request.url, hash.digest('hex'), request.rawHeaders]);
        response.setHeader('X-Read', Buffer.from(said, 'utf8').toString('base64'));
        response.end();
      });
    });
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    process.stdin.on('end', () => process.exit(0)).resume();
"""


def told(port, raw):
    """The X-Read of each answer to these bytes and the last request's."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(raw + LAST)
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return [json.loads(base64.b64decode(text)) for text in re.findall(rb"(?i)^x-read: (\S+)\r$", data, re.MULTILINE)]


@contextmanager
def node(folder, clients):
    process = subprocess.Popen(["node", "-e", textwrap.dedent(NODE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline())

    def read(raw):
        found = []
        for method, target, body, headers in told(port, raw):
            one = Read.of(method, target, list(zip(headers[::2], headers[1::2])), b"")
            one.body = body
            found.append(one)
        return found

    yield read
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


NGINX = """
    worker_processes 1;
    pid {folder}/nginx.pid;
    error_log {folder}/nginx.log;
    events {{ worker_connections 64; }}
    http {{
      access_log off; client_body_buffer_size 1m; large_client_header_buffers 8 64k;
      client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
      uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
      server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{back}; proxy_set_header Host $http_host; }}
      }}
    }}
"""


class Behind(socketserver.StreamRequestHandler):
    """What nginx passes on, in the one form that nginx writes."""

    def handle(self):
        method, target, _ = self.rfile.readline().decode("latin-1").split(" ")
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        said = json.dumps([method, target, headers["host"], hashlib.sha256(body).hexdigest()])
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nX-Read: " + base64.b64encode(said.encode()) + b"\r\n\r\n")


def wait_for(port):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nothing listens at {port}")


@contextmanager
def nginx(folder, clients):
    behind = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Behind)
    threading.Thread(target=behind.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    port = free_port()
    os.chmod(folder, 0o755)
    (folder / "nginx.conf").write_text(textwrap.dedent(NGINX.format(folder=folder, port=port, back=behind.server_address[1])))
    process = subprocess.Popen(["/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "nginx.log",
                                "-g", "daemon off;"])
    wait_for(port)

    yield lambda raw: [Read(*one) for one in told(port, raw)]
    process.terminate()
    process.wait(10)
    behind.shutdown()
    behind.server_close()


READERS = {"h11": h11, "node": node, "nginx": nginx}
