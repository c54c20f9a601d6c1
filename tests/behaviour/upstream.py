"""A TLS upstream that a test scripts byte by byte, and the certificates it shows."""

import contextlib
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

DAY = 86400


def sign_from_tomorrow(ca, key, request, extra, made):
    """A certificate that no clock may take yet, or one that is a day behind."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config")
        Path(folder, "index").touch()
        config.write_text(f"[ca]\ndefault_ca = d\n[d]\ndatabase = {folder}/index\nrand_serial = yes\nnew_certs_dir = {folder}\n"
                          "default_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n")
        when = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * DAY)) for days in (1, 30)]
        subprocess.run(["openssl", "ca", "-batch", "-notext", "-config", config, "-cert", ca, "-keyfile", key, "-in", request,
                        "-extfile", extra, "-startdate", when[0], "-enddate", when[1], "-out", made], check=True,
                       capture_output=True)


class Authority:
    """A CA in a folder, and leaves of it: good, for another name, expired, of tomorrow."""

    def __init__(self, folder, name="Test CA"):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.bundle = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                      "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.bundle)

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def leaf(self, host, expired=False, tomorrow=False):
        """(certificate, key) for a host name or an address."""
        stem = self.folder / (host.replace(":", "_") + ("-expired" if expired else "-tomorrow" if tomorrow else ""))
        key, request, made, extra = (stem.with_name(stem.name + end) for end in (".key", ".csr", ".pem", ".ext"))
        kind = "IP" if host.replace(".", "").isdigit() or ":" in host else "DNS"
        extra.write_text(f"subjectAltName={kind}:{host}\nextendedKeyUsage=serverAuth\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=leaf",
                      "-keyout", key, "-out", request)
        if tomorrow:
            sign_from_tomorrow(self.bundle, self._key, request, extra, made)
            return made, key
        self._openssl("x509", "-req", "-in", request, "-CA", self.bundle, "-CAkey", self._key, "-CAcreateserial",
                      "-extfile", extra, "-out", made, "-days", "-1" if expired else "30")
        return made, key


class Connection:
    """One accepted connection: reads requests, writes whatever the script says."""

    def __init__(self, sock):
        self.sock = sock
        self._seen = b""

    def head(self):
        """The next head; None at the end."""
        while b"\r\n\r\n" not in self._seen:
            more = self.sock.recv(65536)
            if not more:
                return None
            self._seen += more
        head, _, self._seen = self._seen.partition(b"\r\n\r\n")
        return head

    def request(self):
        """The next head as text and its body (by Content-Length or chunked); None at the end."""
        head = self.head()
        if head is None:
            return None
        lower = head.decode("latin-1").lower()
        if "transfer-encoding: chunked" in lower:
            body = self._chunked()
        else:
            length = next((int(line.split(":")[1]) for line in lower.split("\r\n") if line.startswith("content-length:")),
                          0)
            body = self._take(length)
        return head.decode("latin-1"), body

    def _take(self, length):
        while len(self._seen) < length:
            more = self.sock.recv(65536)
            assert more, "the request was cut off"
            self._seen += more
        taken, self._seen = self._seen[:length], self._seen[length:]
        return taken

    def _line(self):
        while b"\r\n" not in self._seen:
            more = self.sock.recv(65536)
            assert more, "the request was cut off"
            self._seen += more
        line, _, self._seen = self._seen.partition(b"\r\n")
        return line

    def _chunked(self):
        body = b""
        while length := int(self._line(), 16):
            body += self._take(length)
            assert self._take(2) == b"\r\n"
        assert self._line() == b""
        return body

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def answer(self, body=b"{}", status="200 OK", headers=()):
        body = body if isinstance(body, bytes) else body.encode()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self):
        """Ends it with a reset, without TLS's goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        socket.socket.close(self.sock)


class Upstream:
    """Serves `script(connection)` once per connection, until it is closed."""

    def __init__(self, script, certificate=None, key=None, address="127.0.0.1"):
        self.script = script
        self.heads, self.bodies, self.connections, self.resumed = [], [], 0, 0
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
                self.resumed += sock.session_reused
            self.connections += 1
            self.script(Recording(sock, self))
            if self._context:
                sock.unwrap()
        except (OSError, ValueError, AssertionError):  # a script that has closed it itself
            pass
        finally:
            sock.close()

    def close(self):
        with contextlib.suppress(OSError):  # it may be closed already
            self._listener.shutdown(socket.SHUT_RDWR)  # else the thread that accepts would keep it open
        self._listener.close()


class Recording(Connection):
    """A connection whose requests the upstream keeps."""

    def __init__(self, sock, upstream):
        super().__init__(sock)
        self.upstream = upstream

    def request(self):
        got = super().request()
        if got:
            self.upstream.heads.append(got[0])
            self.upstream.bodies.append(got[1])
        return got


def serve(answer):
    """A script that gives the same answer to every request of a connection."""
    def script(connection):
        while connection.request():
            answer(connection)
    return script
