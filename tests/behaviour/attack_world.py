"""The corpus of attacks (tests/attacks/*.json) and the world it is sent through: one purser run for all cases.

A case is {"case": its name, "why": one line, and what is sent and expected:}

  what is sent    "method" "target" "headers" "body", or "raw": all of it. Characters are bytes; {LEASE} {AUTH} {KEY} {PORT}
                  stand for what the run has, {x*1000} for a thousand times x. "bare": without the lease. "way": proxy (the
                  default: CONNECT and TLS), base, socket, tcp (the proxy's port itself). "host", "sni", "authority": other
                  than api.test. "first": requests that go before.
  what is told    "status": a number, a list for several answers, 0 for a connection that ends without one, null where the
                  request has no end; "code": purser's, null for an answer of the upstream's; "gets" "gets_not": header lines
                  (or names) of the answer; "gets_body".
  what arrives    "arrives": ["METHOD /target", ...] at the upstream, nothing if left out ("perhaps": or nothing); "sees" "sees_not": header lines (or
                  names) of the last that did; "sees_body".
  what is answered  "answer": pieces of bytes, and seconds to wait between them; {TOKEN} and {TOKEN64} are what the request
                  came with; the connection stays open. "END" closes it, "CUT" without TLS's goodbye;
                  "EARLY", in front, is before the request's body is read. The request is GET /r/NUMBER then,
                  the case's own number; in "arrives" that is a #. "wait": seconds before the connection is asked again.
"""

import json
import re
import time
from base64 import b64encode
from pathlib import Path

from lab import Answer, Request, Upstream

CORPUS = Path(__file__).parent.parent / "attacks"
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
TARGET = re.compile(rb"/[!-~]*")


def corpus(family):
    return json.loads((CORPUS / f"{family}.json").read_text())


class Ambiguous(ValueError):
    """A request that two servers may read differently: no upstream may ever get one."""


def strict_line(stream):
    line = stream.readline(65536)
    if not line:
        raise EOFError
    if not line.endswith(b"\r\n") or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line[:-2]):
        raise Ambiguous(f"the line {line[:200]!r}")
    return line[:-2]


def strict_headers(stream):
    headers = []
    while line := strict_line(stream):
        name, colon, value = line.partition(b":")
        if not colon or not NAME.fullmatch(name):
            raise Ambiguous(f"the header {line!r}")
        headers.append((name.decode(), value.strip(b" \t").decode("latin-1")))
    return headers


def strict_read(stream, size):
    """As much as it says, in pieces: it may say anything."""
    data = b""
    while len(data) < size:
        piece = stream.read(min(size - len(data), 65536))
        if not piece:
            raise EOFError
        data += piece
    return data


def strict_body(stream, request):
    """By the one length that it says."""
    said = [(name.lower(), value) for name, value in request.headers
            if name.lower() in ("content-length", "transfer-encoding")]
    if len(said) > 1 or len([1 for name, _ in request.headers if name.lower() == "host"]) != 1:
        raise Ambiguous(f"the framing {request.headers}")
    if not said:
        return b""
    name, value = said[0]
    if name == "content-length":
        if not re.fullmatch("0|[1-9][0-9]{0,18}", value):
            raise Ambiguous(f"the length {value}")
        return strict_read(stream, int(value))
    if value != "chunked":
        raise Ambiguous(f"the coding {value}")
    body = b""
    while True:
        line = strict_line(stream)
        if not re.fullmatch(b"[0-9a-fA-F]{1,8}", line):
            raise Ambiguous(f"the chunk {line!r}")
        piece = strict_read(stream, int(line, 16) + 2)
        if piece[-2:] != b"\r\n":
            raise Ambiguous(f"the end of a chunk {piece[-2:]!r}")
        if len(piece) == 2:
            return body
        body += piece[:-2]


class Taped:
    """A stream that remembers what was read from it."""

    def __init__(self, stream):
        self.stream, self.bytes = stream, b""

    def readline(self, most):
        line = self.stream.readline(most)
        self.bytes += line
        return line

    def read(self, size):
        data = self.stream.read(size)
        self.bytes += data
        return data


class StrictUpstream(Upstream):
    """Takes a request only in the one form that nobody reads differently; what is not, is a fault. `raw`: their bytes."""

    def __init__(self, *args, **words):
        self.faults, self.raw = [], []
        super().__init__(*args, **words)

    def serve(self, stream, connection, answer):
        tape = Taped(stream)
        try:
            method, target, version = strict_line(tape).split(b" ")
            if not NAME.fullmatch(method) or not TARGET.fullmatch(target) or version != b"HTTP/1.1":
                raise Ambiguous(f"the request line of {tape.bytes!r}")
            request = Request(method.decode(), target.decode(), strict_headers(tape), b"")
            early = answer(request)
            early = early[1:] if isinstance(early, list) and early[0] == "EARLY" else None
            if early and not send(connection, request, early):
                return False
            request.body = strict_body(tape, request)
        except EOFError:
            return False
        except ValueError as fault:
            self.faults.append(f"{fault} in {tape.bytes[:2000]!r}")
            return False
        self.requests.append(request)
        self.raw.append(tape.bytes)
        return early or send(connection, request, answer(request))


def fill(text, request):
    token = (request.header("Authorization") or "Bearer nothing").split()[1]
    text = text.replace("{TOKEN}", token).replace("{TOKEN64}", b64encode(token.encode()).decode())
    text = text.replace("NUMBER", re.sub("[^0-9]", "", request.target))
    return re.sub(r"\{(.+?)\*(\d+)\}", lambda hit: hit[1] * int(hit[2]), text, flags=re.DOTALL).encode("latin-1")


def send(connection, request, reply):
    """False: and the connection is closed."""
    if isinstance(reply, list):
        for piece in reply:
            if piece == "END":
                connection.unwrap()  # says that this was all
            if piece in ("END", "CUT"):
                return False
            if isinstance(piece, str):
                connection.sendall(fill(piece, request))
            else:
                time.sleep(piece)
        return True
    body = b"" if request.method == "HEAD" else reply.body
    lines = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    connection.sendall(f"HTTP/1.1 {reply.status} OK\r\n{lines}Content-Length: {len(reply.body)}\r\n\r\n".encode() + body)
    return True


def answering(cases):
    """Markers are echoed, a case's own answer goes to /r/NUMBER, everything else is "ok"."""
    def answer(request):
        found = re.fullmatch(r"(?:/v3|/api/v4)?/(marker|r)/([^/?]+)(?:\?.*)?", request.target)
        if found and found[1] == "marker":
            return Answer(200, found[2].encode())
        if found and found[2].isdigit() and "answer" in cases[int(found[2])]:
            return cases[int(found[2])]["answer"]
        return Answer(200, b"ok")
    return answer


def by_case(requests):
    """What arrived for each case: the marker behind it is the end of it; markers on the same connection are not counted."""
    found, since = {}, []
    for request in requests:
        mark = re.fullmatch(r"/(?:v3/|api/v4/)?marker/(\d+)(-same)?", request.target)
        if not mark:
            since.append(request)
        elif not mark[2]:
            found[int(mark[1])], since = since, []
    return found


def has_line(headers, line):
    """"Name: value" as it is, or "Name" with any value."""
    name, colon, value = line.partition(":")
    return any(key.lower() == name.lower() and (not colon or was == value.strip()) for key, was in headers)


def check(case, number, told, arrived, secrets):
    """Every way in which a case did not go as it says."""
    wrong = []
    replies = told["replies"]
    want = case["status"] if isinstance(case["status"], list) else [case["status"]] * (case["status"] not in (None, 0))
    codes = case.get("code") if isinstance(case.get("code"), list) else [case.get("code")] * len(want)
    got = [(reply["status"], reply["code"]) for reply in replies]
    if got != list(zip(want, codes)):
        wrong.append(f"was answered {got} {told.get('fault', '')}, not {list(zip(want, codes))}")
    for reply in replies:
        if reply["code"] and case.get("method") != "HEAD" and json.loads(reply["body"]).get("purser") != reply["code"]:
            wrong.append(f"the body {reply['body']!r} has another code than {reply['code']}")
        text = json.dumps(reply)
        wrong += [f"{reply} has a secret in it" for secret in secrets if secret in text]
    wrong += [f"the same connection: {told['after']}"] * (told["after"] is not True)
    wrong += [f"a fresh connection: {told['marker']}"] * (told["marker"] is not True)
    seen = [f"{request.method} {request.target}" for request in arrived]
    want = [line.replace("#", str(number)) for line in case.get("arrives", [])]
    if seen != want and not (case.get("perhaps") and not seen):
        wrong.append(f"there arrived {seen}, not {want}")
    headers = arrived[-1].headers if arrived else []
    wrong += [f"{line} did not arrive: {headers}" for line in case.get("sees", []) if not has_line(headers, line)]
    wrong += [f"{line} arrived: {headers}" for line in case.get("sees_not", []) if has_line(headers, line)]
    if "sees_body" in case and (not arrived or arrived[-1].body.decode("latin-1") != case["sees_body"]):
        wrong.append(f"the body that arrived is {arrived and arrived[-1].body!r}")
    headers = replies[-1]["headers"] if replies else []
    wrong += [f"{line} was not answered: {headers}" for line in case.get("gets", []) if not has_line(headers, line)]
    wrong += [f"{line} was answered: {headers}" for line in case.get("gets_not", []) if has_line(headers, line)]
    if "gets_body" in case and (not replies or replies[-1]["body"] != case["gets_body"]):
        wrong.append(f"the answer's body is {replies and replies[-1]['body']!r}")
    return wrong
