"""Requests through the gate: what goes on to the keeper and what does not (promises 8, 9, 10, 15), framing in both
directions, slow and broken clients, answers that break off."""

import json
import os
import socket
import ssl
import threading
import time

import pytest

from gate_driver import UNKNOWN, Broken, Gate, Source, answer, closed

GITHUB = Source("api.github.com")
CUSTOM = Source("ci.example", name="custom", base="/api", header="X-Api")


@pytest.fixture
def gates():
    made = []

    def make(*sources, **words):
        made.append(Gate(list(sources) or [GITHUB, CUSTOM], **words))
        return made[-1]
    yield make
    for gate in made:
        assert gate.process.poll() is None, gate.process.stderr.read()
        gate.stop()


def seen_by(gates, **words):
    """A gate, and the list of requests that its keeper sees; each is answered with its number."""
    seen = []

    def keeper(stream):
        while request := stream.request():
            seen.append(request)
            stream.respond(b"" if request.method == "HEAD" else b"%d" % len(seen), length=7 if request.method == "HEAD" else None,
                           no_body=request.method == "HEAD")
    return gates(keeper=keeper, **words), seen


def ask(sock, head, body=b"", method="GET"):
    sock.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
    return answer(sock, method)


def test_hop_by_hop_cookies_and_credentials_never_go_on(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        ask(sock, "GET /custom/x?private_token=psl_1q&a=1 HTTP/1.1\nHost: localhost\n"
                  "Connection: X-Gone, X-Trace\nX-Gone: 1\nX-Trace: 2\nTE: trailers\nKeep-Alive: 5\n"
                  "Proxy-Authorization: Basic eDp5\nCookie: session=1\nAuthorization: Bearer psl_1q\n"
                  "X-Api: psl_1q\nRange: bytes=0-1\nAccept-Encoding: gzip\nX-Kept: yes\nUser-Agent: u")
    assert [name for name, _ in seen[0].headers] == ["x-kept", "user-agent"]
    assert seen[0].credential == "psl_1q" and seen[0].target == "/api/x?a=1" and seen[0].path == "/api/x"


def test_connection_that_names_authorization_gains_nothing(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        ask(sock, "GET /github/x HTTP/1.1\nHost: localhost\nConnection: Authorization, Host, Content-Length\n"
                  "Authorization: token psl_1z")
    assert seen[0].credential == "psl_1z" and seen[0].headers == []


def test_two_different_credentials_are_refused(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        got = ask(sock, "GET /github/x HTTP/1.1\nHost: localhost\nAuthorization: token psl_1z\nPRIVATE-TOKEN: other")
    assert got.status == 400 and got.headers["x-purser-error"] == "credential-many" and not seen


@pytest.mark.parametrize("target", [
    "/github/a%2fb", "/github/../custom/x", "/github/a/%2e%2e/b", "/github/a//b", "/github/a;b", "/github/a%3bb",
    "/github/a\\b", "/github/a%5cb", "/github/%00", "/github/a%", "/github/a#b", "/github/a%0d%0aX",
    "https://api.github.com/x", "ftp://x/", "*", "x"])
def test_targets_that_could_be_read_two_ways_are_refused(gates, target):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        got = ask(sock, f"GET {target} HTTP/1.1\nHost: localhost")
    assert 400 <= got.status < 500 and not seen


def test_what_was_matched_is_what_is_sent(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        ask(sock, "GET /github/%72epos/%c3%a9?q=%7E%2f HTTP/1.1\nHost: localhost")
    assert seen[0].target == "/repos/%C3%A9?q=~%2F" and seen[0].path == "/repos/%C3%A9"


SMUGGLING = {
    "two lengths": "POST /github/x HTTP/1.1\r\nHost: l\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length and chunks": "POST /github/x HTTP/1.1\r\nHost: l\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": "POST /github/x HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": "POST /github/x HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked hidden": "POST /github/x HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": "POST /github/x HTTP/1.0\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length with sign": "POST /github/x HTTP/1.1\r\nHost: l\r\nContent-Length: +3\r\n\r\nabc",
    "length list": "POST /github/x HTTP/1.1\r\nHost: l\r\nContent-Length: 3, 3\r\n\r\nabc",
    "length too large": "POST /github/x HTTP/1.1\r\nHost: l\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
    "folded": "GET /github/x HTTP/1.1\r\nHost: l\r\nX: a\r\n b\r\n\r\n",
    "bare LF": "GET /github/x HTTP/1.1\nHost: l\n\n",
    "bare LF in a header": "GET /github/x HTTP/1.1\r\nHost: l\r\nX: a\nContent-Length: 9\r\n\r\n",
    "bare CR": "GET /github/x HTTP/1.1\r\nHost: l\r\nX: a\rContent-Length: 9\r\n\r\n",
    "two hosts": "GET /github/x HTTP/1.1\r\nHost: l\r\nHost: m\r\n\r\n",
    "no host": "GET /github/x HTTP/1.1\r\n\r\n",
    "space before colon": "POST /github/x HTTP/1.1\r\nHost: l\r\nContent-Length : 3\r\n\r\nabc",
    "NUL in a header": "GET /github/x HTTP/1.1\r\nHost: l\r\nX: a\0b\r\n\r\n",
    "empty line first": "\r\nGET /github/x HTTP/1.1\r\nHost: l\r\n\r\n",
    "two spaces": "GET  /github/x HTTP/1.1\r\nHost: l\r\n\r\n",
    "version 1.2": "GET /github/x HTTP/1.2\r\nHost: l\r\n\r\n",
    "version 0.9": "GET /github/x\r\n\r\n",
    "preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_one_request_in_none_out_when_it_can_be_read_two_ways(gates, name):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        sock.sendall(SMUGGLING[name].encode("latin-1") + b"GET /github/smuggled HTTP/1.1\r\nHost: l\r\n\r\n")
        got = answer(sock)
        assert got.status in (400, 431, 501, 505) and got.headers["connection"] == "close"
        assert closed(sock)
    assert not seen


@pytest.mark.parametrize("chunks", [b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n",
                                    b"0x3\r\nabc\r\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n",
                                    b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n", b"3;" + b"x" * 500 + b"\r\nabc\r\n0\r\n\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_broken_chunks_end_the_connection(gates, chunks, together):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        head = b"POST /github/x HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n"
        if together:
            sock.sendall(head + chunks + b"GET /github/smuggled HTTP/1.1\r\nHost: l\r\n\r\n")
        else:
            sock.sendall(head)
            time.sleep(0.05)
            sock.sendall(chunks)
        assert answer(sock).status == 400
        assert closed(sock)
    assert not seen


def test_upgrade_and_websocket_are_refused_with_a_sentence(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        got = ask(sock, "GET /github/x HTTP/1.1\nHost: l\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\n"
                        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
        assert got.status == 501 and "WebSocket" in got.reason
    assert not seen


def test_tls_on_the_plain_port_is_told_at_once(gates):
    gate, _ = seen_by(gates)
    with gate.tcp() as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
        assert answer(sock).headers["x-purser-error"] == "tls-on-plain-port"


def test_pipelined_requests_are_answered_in_order(gates):
    gate, seen = seen_by(gates)
    number = 200
    with gate.unix() as sock:
        requests = b""
        for i in range(number):
            requests += b"POST /github/%d HTTP/1.1\r\nHost: l\r\nContent-Length: 3\r\n\r\nabc" % i
        threading.Thread(target=sock.sendall, args=(requests,), daemon=True).start()
        have = bytearray()
        assert [answer(sock, seen=have).body for _ in range(number)] == [b"%d" % (i + 1) for i in range(number)]
    assert [request.target for request in seen] == [f"/{i}" for i in range(number)]
    assert all(request.body == b"abc" for request in seen) and len(gate.streams) == 1


def test_a_byte_at_a_time_is_the_same_request(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /github/x HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert answer(sock).body == b"1"
    assert seen[0].body == b"abc" and seen[0].length == UNKNOWN


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_body_goes_up_whole_whatever_its_framing(gates, chunked):
    gate, seen = seen_by(gates)
    body = os.urandom(2_000_000)
    if chunked:
        sent = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7001]), body[i:i + 7001]) for i in range(0, len(body), 7001))
        sent, head = sent + b"0\r\n\r\n", "Transfer-Encoding: chunked"
    else:
        sent, head = body, f"Content-Length: {len(body)}"
    with gate.tcp() as sock:
        assert ask(sock, f"PUT /github/x HTTP/1.1\nHost: l\n{head}", sent).body == b"1"
        assert ask(sock, "GET /github/y HTTP/1.1\nHost: l").body == b"2"
    assert seen[0].body == body


def test_expect_waits_for_the_keepers_word(gates):
    def keeper(stream):
        request = stream.request(whole=False)
        assert request.expect and request.has_body and not request.end and request.body == b""
        if "refused" in request.target:
            stream.refuse(403, "path-denied", "no")
            return
        import ipc
        ipc.send(stream.sock, ipc.Type.CONTINUE)
        while not request.end:
            stream.more(request)
        stream.respond(request.body)
    gate = gates(keeper=keeper)
    head = "PUT /github/{} HTTP/1.1\r\nHost: l\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with gate.tcp() as sock:
        sock.sendall(head.format("x").encode())
        assert answer(sock).status == 100
        sock.sendall(b"hello")
        assert answer(sock).body == b"hello"
    with gate.tcp() as sock:
        sock.sendall(head.format("refused").encode())
        got = answer(sock)
        assert got.status == 403 and got.headers["connection"] == "close"
        assert closed(sock)


def test_head_204_and_304_have_no_body(gates):
    def keeper(stream):
        for status in (200, 204, 304):
            request = stream.request()
            stream.respond(status=status, length=42 if status != 204 else UNKNOWN, no_body=True)
        while stream.request():
            stream.respond(b"last")
    gate = gates(keeper=keeper)
    with gate.tcp() as sock:
        sock.sendall(b"".join(b"%s /github/x HTTP/1.1\r\nHost: l\r\n\r\n" % method for method in
                              (b"HEAD", b"GET", b"GET", b"GET")))
        have = bytearray()
        first = answer(sock, "HEAD", have)
        assert first.headers["content-length"] == "42"
        assert "content-length" not in answer(sock, seen=have).headers
        assert answer(sock, seen=have).status == 304
        assert answer(sock, seen=have).body == b"last"


def test_a_refusal_of_head_has_no_body(gates):
    gate, _ = seen_by(gates)
    with gate.tcp() as sock:
        sock.sendall(b"HEAD /nowhere/x HTTP/1.1\r\nHost: l\r\n\r\nGET /github/x HTTP/1.1\r\nHost: l\r\n\r\n")
        have = bytearray()
        assert answer(sock, "HEAD", have).status == 404
        assert answer(sock, seen=have).body == b"1"


def streamed(pieces):
    def keeper(stream):
        while stream.request():
            stream.respond(pieces[0], length=UNKNOWN, end=False)
            for piece in pieces[1:]:
                stream.data(piece)
            stream.data(b"", end=True)
    return keeper


def test_an_answer_of_unknown_length_is_chunked_or_ended_by_close(gates):
    pieces = [b"first", os.urandom(30000), b"x" * 32768, b"last"]
    gate = gates(keeper=streamed(pieces))
    with gate.tcp() as sock:
        for _ in range(2):
            got = ask(sock, "GET /github/x HTTP/1.1\nHost: l")
            assert got.body == b"".join(pieces) and got.framing == "chunked"
        got = ask(sock, "GET /github/x HTTP/1.0\nHost: l\nConnection: keep-alive")
        assert got.body == b"".join(pieces) and got.framing == "close" and got.headers["connection"] == "close"
    with gate.unix() as sock:
        assert ask(sock, "GET /github/x HTTP/1.0").headers["x-purser-error"] == "http10-length"


def test_http10_clients_are_served(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        got = ask(sock, "GET /github/x HTTP/1.0")
        assert got.body == b"1" and got.headers["connection"] == "close"
        assert closed(sock)
    with gate.tcp() as sock:
        for number in (b"2", b"3"):
            got = ask(sock, "GET /github/x HTTP/1.0\nConnection: keep-alive")
            assert got.body == number and got.headers["connection"] == "keep-alive"


def test_a_client_that_said_everything_gets_its_answer_before_the_end(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as sock:
        sock.sendall(b"GET /github/x HTTP/1.1\r\nHost: l\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert answer(sock).body == b"1"
        assert closed(sock)


def test_a_slow_reader_holds_up_only_itself_and_costs_bounded_memory(gates):
    sent = [0]

    def keeper(stream):
        request = stream.request()
        if "fast" in request.target:
            stream.respond(b"fast")
            return
        stream.respond(b"", length=400 * 32768, end=False)
        for number in range(400):
            stream.data(b"%05d" % number + bytes(32763), end=number == 399)
            sent[0] += 1
    gate = gates(keeper=keeper)
    with gate.unix() as slow, gate.tcp() as fast:
        slow.sendall(b"GET /github/slow HTTP/1.1\r\nHost: l\r\n\r\n")
        time.sleep(0.5)
        stopped = sent[0]
        assert stopped < 50
        assert ask(fast, "GET /github/fast HTTP/1.1\nHost: l").body == b"fast"
        with open(f"/proc/{gate.process.pid}/status") as status:
            assert int(next(line for line in status if line.startswith("VmRSS")).split()[1]) < 30_000
        got = answer(slow)
        assert [got.body[i:i + 5] for i in range(0, len(got.body), 32768)] == [b"%05d" % n for n in range(400)]


def lengths(stream):
    """A keeper that answers /source/N with N records of a body; of an HTTP/1.0 client's it does not say how many."""
    while request := stream.request():
        way, n = request.target.split("/")[-2:]
        stream.respond(b"", length=UNKNOWN if way == "close" else int(n) * 32768, end=False)
        for number in range(int(n)):
            stream.data(bytes(32768), end=number == int(n) - 1)


def late_readers(gate, way, numbers, after):
    """{n: what became of an answer of n records whose client began to read `after` seconds later}."""
    came = {}

    def read(n):
        with gate.unix() if way == "unix" else socket.socket() as sock:
            if way != "unix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", gate.port))
            sock.settimeout(60)
            sock.sendall(f"GET /github/{way}/{n} HTTP/1.{way != 'close':d}\r\nHost: l\r\nConnection: close\r\n\r\n".encode())
            time.sleep(after)
            try:
                came[n] = len(answer(sock).body) == n * 32768
            except Broken:
                came[n] = "broken"
    readers = [threading.Thread(target=read, args=(n,)) for n in numbers]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return came


@pytest.mark.parametrize("way", ["unix", "length", "close"])
def test_the_end_of_the_last_answer_waits_for_a_slow_reader_as_its_middle_does(gates, way):
    """Of one of these lengths the last record fills the kernel's buffer: its rest waits in the gate."""
    gate = gates(keeper=lengths, send_buffer=65536)
    assert late_readers(gate, way, range(1, 17), after=8) == {n: True for n in range(1, 17)}


def test_for_more_than_a_minute_the_keeper_is_waited_for_and_the_client_is_not(gates):
    """An upstream that stands still is the keeper's to end, with a reason and a record. One that sends a few bytes now and then does
    not: they may all be held back. And what a client has not read in that time it does not take for whole."""
    def keeper(stream):
        request = stream.request(whole=False)
        if request.target == "/answer":
            stream.respond(b"", length=5, end=False)
            time.sleep(64)
            stream.data(b"whole", end=True)
        elif request.target == "/upload":
            time.sleep(64)
        while not request.end and stream.more(request):
            pass
        if request.target == "/upload":
            stream.respond(b"%d" % len(request.body))
    gate, other, came = gates(keeper=keeper), gates(keeper=lengths, send_buffer=65536), {}

    def client(target, head="", body=b""):
        with gate.tcp() as sock:
            sock.settimeout(90)
            begun = time.monotonic()
            got = ask(sock, f"{'PUT' if head else 'GET'} /github{target} HTTP/1.1\nHost: l{head}", body)
            came[target] = (got.status, got.body if got.status == 200 else got.headers["x-purser-error"].encode(),
                            58 < time.monotonic() - begun < 63)
    clients = [threading.Thread(target=client, args=words) for words in (
        ("/answer",), ("/upload", "\nContent-Length: 3000000", bytes(3000000)), ("/body", "\nContent-Length: 9", b"a"))]
    for one in clients:
        one.start()
    read = late_readers(other, "close", range(1, 9), after=64)
    for one in clients:
        one.join()
    assert came == {"/answer": (200, b"whole", False), "/upload": (200, b"3000000", False), "/body": (408, b"body-timeout", True)}
    assert read[1] is True and read[8] == "broken" and False not in read.values(), read


def test_an_upload_is_held_up_by_a_keeper_that_does_not_read(gates):
    go = threading.Event()

    def keeper(stream):
        request = stream.request(whole=False)
        go.wait(20)
        while not request.end:
            stream.more(request)
        stream.respond(b"%d" % len(request.body))
    gate = gates(keeper=keeper)
    with gate.tcp() as sock:
        body = bytes(20_000_000)
        sock.sendall(b"PUT /github/x HTTP/1.1\r\nHost: l\r\nContent-Length: %d\r\n\r\n" % len(body))
        sock.settimeout(1)
        sent = 0
        try:
            while sent < len(body):
                sent += sock.send(body[sent:sent + 65536])
        except socket.timeout:
            pass
        assert sent < len(body)
        go.set()
        sock.settimeout(20)
        sock.sendall(body[sent:])
        assert answer(sock).body == b"%d" % len(body)


@pytest.mark.parametrize("framing, way", [
    *((framing, way) for framing in ("length", "chunked", "close") for way in ("abort", "stream closed")),
    ("length", "too short"), ("length", "too long")])
@pytest.mark.parametrize("tls", [False, True])
def test_an_answer_that_breaks_off_never_looks_whole(gates, framing, way, tls):

    def keeper(stream):
        stream.request()
        stream.respond(b"half", length=8 if framing == "length" else UNKNOWN, end=False)
        if way == "abort":
            stream.abort()
            time.sleep(1)
        elif way != "stream closed":
            stream.data(b"x" if way == "too short" else b"xxxxxxxxxx", end=True)
            time.sleep(1)
    gate = gates(keeper=keeper)
    sock = gate.tls("api.github.com", gate.runner().hello()) if tls else gate.tcp()
    if tls:
        sock.suppress_ragged_eofs = False
    version = "1.0" if framing == "close" else "1.1"
    sock.sendall(f"GET {'' if tls else '/github'}/x HTTP/{version}\r\nHost: api.github.com\r\n\r\n".encode())
    with pytest.raises(Broken):
        answer(sock)
    sock.close()


def test_a_refusal_says_it_in_reason_body_and_header(gates):
    def keeper(stream):
        for status, code, wait in ((403, "path-denied", 0), (401, "lease-missing", 0), (429, "rate", 7)):
            stream.request()
            stream.refuse(status, code, "add to policy x: {method: GET, path: /a\"b}\nsecond line " + "y" * 300, wait)
        while stream.request():
            stream.respond(b"again")
    gate = gates(keeper=keeper)
    with gate.tcp() as sock:
        got = ask(sock, "GET /github/x HTTP/1.1\nHost: l")
        assert got.status == 403 and got.headers["x-purser-error"] == "path-denied"
        assert got.reason.startswith("add to policy x: {method: GET, path: /a\"b}") and len(got.reason) <= 200
        assert json.loads(got.body) == {"message": "add to policy x: {method: GET, path: /a\"b}\nsecond line " + "y" * 300,
                                        "purser": "path-denied"}
        got = ask(sock, "GET /github/x HTTP/1.1\nHost: l")
        assert got.status == 401 and got.headers["www-authenticate"].startswith("Basic")
        got = ask(sock, "GET /github/x HTTP/1.1\nHost: l")
        assert got.status == 429 and got.headers["retry-after"] == "7"
        assert ask(sock, "GET /github/x HTTP/1.1\nHost: l").body == b"again"


def test_an_answer_before_the_body_came_whole_closes(gates):
    def keeper(stream):
        stream.request(whole=False)
        stream.respond(b"early", status=413, reason="Too Large")
        time.sleep(2)
    gate = gates(keeper=keeper)
    with gate.tcp() as sock:
        sock.sendall(b"PUT /github/x HTTP/1.1\r\nHost: l\r\nContent-Length: 3000000\r\n\r\n" + bytes(500000))
        got = answer(sock)
        assert got.body == b"early" and got.headers["connection"] == "close"
        assert closed(sock)


def test_cookies_and_framing_of_the_answer_are_the_gates_own(gates):
    def keeper(stream):
        while stream.request():
            stream.respond(b"x", headers=[("Set-Cookie", "s=1"), ("Alt-Svc", "h3"), ("Transfer-Encoding", "gzip"),
                                          ("Content-Length", "9"), ("Connection", "x"), ("X-Kept", "yes")])
    gate = gates(keeper=keeper)
    with gate.tcp() as sock:
        assert ask(sock, "GET /github/x HTTP/1.1\nHost: l").headers == {"x-kept": "yes", "content-length": "1"}


def test_a_megabyte_of_headers_is_answered_in_bounded_memory(gates):
    gate, seen = seen_by(gates)
    for head in (b"GET /github/x HTTP/1.1\r\nHost: l\r\nX: " + b"a" * 1_000_000,
                 b"GET /github/x HTTP/1.1\r\nHost: l\r\n" + b"X: a\r\n" * 170_000):
        with gate.tcp() as sock:
            sock.sendall(head)
            assert answer(sock).status == 431
            assert closed(sock)
    assert not seen


def test_half_a_request_is_ended_in_bounded_time(gates):
    gate, seen = seen_by(gates)
    with gate.tcp() as half, gate.tcp() as ended:
        half.sendall(b"GET /github/x HTTP/1.1\r\nHo")
        ended.sendall(b"GET /github/x HTTP/1.1\r\nHo")
        ended.shutdown(socket.SHUT_WR)
        assert answer(ended).status == 400
        begun = time.monotonic()
        half.settimeout(25)
        assert answer(half).status == 408
        assert 13 < time.monotonic() - begun < 20
        assert closed(half)
    assert not seen


def test_a_handshake_that_does_not_come_is_ended(gates):
    gate, _ = seen_by(gates)
    runner = gate.runner().hello()
    sock, got = gate.connect("api.github.com:443", runner.key)
    assert got.status == 200
    begun = time.monotonic()
    assert closed(sock, within=25)
    assert 13 < time.monotonic() - begun < 20


def test_the_keeper_may_close_an_idle_stream(gates):
    def keeper(stream):
        stream.request()
        stream.respond(b"once")
    gate = gates(keeper=keeper)
    with gate.tcp() as sock:
        for _ in range(5):
            assert ask(sock, "GET /github/x HTTP/1.1\nHost: l").body == b"once"
            time.sleep(0.3)  # idle: a request that crosses the close is another matter (502, keeper-gone)
    assert len(gate.streams) == 5


def test_a_client_that_leaves_takes_its_stream_with_it(gates):
    left = threading.Event()

    def keeper(stream):
        stream.request()
        if stream.request() is None:
            left.set()
    gate = gates(keeper=keeper)
    sock = gate.tcp()
    sock.sendall(b"GET /github/x HTTP/1.1\r\nHost: l\r\n\r\n")
    time.sleep(0.1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    assert left.wait(5)


def test_a_stream_that_breaks_before_the_answer_is_a_502(gates):
    def keeper(stream):
        stream.request()
    gate = gates(keeper=keeper)
    with gate.tcp() as sock:
        got = ask(sock, "GET /github/x HTTP/1.1\nHost: l")
        assert got.status == 502 and got.headers["x-purser-error"] == "keeper-gone"


def test_large_answers_through_tls_arrive_whole(gates):
    pieces = [os.urandom(32768) for _ in range(60)]
    gate = gates(keeper=streamed(pieces))
    with gate.tls("api.github.com", gate.runner().hello()) as sock:
        for _ in range(2):
            sock.sendall(b"GET /x HTTP/1.1\r\nHost: api.github.com\r\n\r\n")
            time.sleep(0.1)
            assert answer(sock).body == b"".join(pieces)
        body = os.urandom(1_000_000)
        sock.sendall(b"PUT /x HTTP/1.1\r\nHost: api.github.com\r\nContent-Length: 1000000\r\n\r\n" + body)
        assert answer(sock).body == b"".join(pieces)
