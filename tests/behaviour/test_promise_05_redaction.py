"""Promise 5: a credential that comes back is redacted in every form, across chunk borders, with unchanged lengths, by every
way in; ranges and encodings that would hide it are not asked for and not taken.

Form by form it is shown on the keeper alone in test_redaction.py; here the whole way is.
"""
import base64
import gzip
import threading

import pytest
from hunt import as_forms, needles
from lab import Answer
from promise import api, header_text, new_token, run

ASK = """
import base64
for way, prefix in (("proxy", ""), ("base", "/api"), ("socket", "/api")):
    for kind in %r:
        reply = Client(way=way).ask(f"{prefix}/{kind}", headers=LEASED + "Range: bytes=3-9\\r\\nAccept-Encoding: gzip, br\\r\\n"
                                    "If-Range: x\\r\\n")
        say(way=way, kind=kind, body=base64.b64encode(reply.body[:3000]).decode(), size=len(reply.body), whole=reply.whole,
            headers=str(reply.headers), **reply.short)
"""


def test_every_form_is_redacted_by_every_way_across_borders_and_lengths_stay(lab):
    def answer(request):
        token = request.header("Authorization").removeprefix("Bearer ")
        body = as_forms(token)
        lab.size = len(body)
        if request.target == "/plain":
            return Answer(200, body, {"X-Echo": token, "Location": f"/x?{token}"})
        step = int(request.target[1:])
        pieces = [body[at:at + step] for at in range(0, len(body), step)]
        return Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")

    upstream, token = api(lab, answer)
    done = run(lab, ASK % (["plain", "1", "13", "64"],))
    assert done.status == 0 and len(done.said) == 12, done.text
    canary = needles(token)
    bodies = set()
    for said in done.said:
        body = base64.b64decode(said["body"])
        bodies.add(body)
        assert (said["status"], said["size"], said["whole"]) == (200, lab.size, True), said
        assert not [needle for needle in canary if needle in body], said
        assert not [needle for needle in canary if needle in said["headers"].encode()]
    assert len(bodies) == 1, "what is taken out does not depend on where the borders are"
    assert b"*" in bodies.pop()
    assert done.report["sources"][0]["redacted"] >= 12
    for request in upstream.requests:
        assert request.header("Range") is None and request.header("If-Range") is None
        assert request.header("Accept-Encoding") == "identity"


@pytest.mark.parametrize("stored", ["%s ", " %s", "  %s  \n"])
def test_a_token_that_was_stored_with_blanks_around_it_is_redacted_as_the_api_sees_it(lab, stored):
    """A line that was copied with its blanks works: a server takes them off. So does what is looked for."""
    token = new_token()

    def answer(request):
        seen = request.header("Authorization").removeprefix("Bearer ").strip()
        return Answer(200 if seen == token else 401, as_forms(seen), {"X-Echo": seen})

    api(lab, answer, token=stored % token)
    done = run(lab, ASK % (["plain"],))
    assert [said["status"] for said in done.said] == [200, 200, 200], done.text
    for said in done.said:
        assert not [needle for needle in needles(token) if needle in base64.b64decode(said["body"])], said
        assert not [needle for needle in needles(token) if needle in said["headers"].encode()], said


def test_a_form_that_looks_like_the_token_but_is_not_stays(lab):
    """So that redaction is not just stars over everything."""
    _, token = api(lab, lambda request: Answer(200, near))
    near = token[:-1].encode() + (b"B" if token[-1] != "B" else b"C")
    done = run(lab, ASK % (["x"],))
    for said in done.said:
        assert base64.b64decode(said["body"]) == near
    assert done.report["sources"][0]["redacted"] == 0


def test_a_script_whose_guesses_are_echoed_learns_nothing_from_what_it_sees_when(lab):
    """The upstream sends a guess back and stalls. What has come until then is as long for each beginning of the token, in any
    form, as for a wrong one: so it cannot be guessed byte by byte."""
    waiting = []

    def answer(request):
        if request.target == "/go":
            waiting.pop().set()
            return Answer(200, b"{}")
        waiting.append(threading.Event())
        return Answer(200, b"." * 500 + request.body + b"end.", {"Content-Type": "text/plain"}, until=waiting[-1])

    _, token = api(lab, answer)
    raw = token.encode()
    right = [raw[:at] for at in range(0, len(raw), 6)] + [base64.b64encode(raw)[:at] for at in (1, 8, 30)]
    right += [raw.hex().encode()[:at] for at in (1, 8, 30)] + [b"%%%02X" % raw[0], b"\\u00%02x" % raw[0]]
    wrong = [bytes((byte ^ 1) for byte in guess) for guess in right]
    done = run(lab, """
for way in ("proxy", "base", "socket"):
    prefix = "" if way == "proxy" else "/api"
    other = Client(way=way)
    for guess in %r:
        client = Client(way=way)
        client.sock.sendall(f"POST {prefix}/echo HTTP/1.1\\r\\nHost: {HOST}\\r\\nContent-Length: {len(guess)}\\r\\n{LEASED}\\r\\n".encode() + guess)
        client.sock.settimeout(20)
        seen = b""
        while b"\\r\\n\\r\\n" not in seen:
            seen += client.sock.recv(65536)
        client.sock.settimeout(0.2)
        try:
            while more := client.sock.recv(65536):
                seen += more
        except TimeoutError:
            pass
        early = len(seen.partition(b"\\r\\n\\r\\n")[2])
        assert other.ask(prefix + "/go").status == 200
        client.sock.settimeout(20)
        while not seen.endswith(b"end."):
            seen += client.sock.recv(65536)
        say(held=500 + len(guess) - early, whole=seen.partition(b"\\r\\n\\r\\n")[2] == b"." * 500 + guess + b"end.")
""" % (right + wrong,))
    assert len(done.said) == 3 * len(right + wrong), done.text
    assert all(said["whole"] for said in done.said)
    assert {said["held"] for said in done.said} == {9 * len(token) - 1}


def test_an_encoding_that_purser_cannot_read_is_a_502_with_none_of_it(lab):
    def answer(request):
        token = request.header("Authorization").removeprefix("Bearer ").encode()
        encoding = request.target[1:]
        return Answer(200, gzip.compress(token) if encoding == "gzip" else token, {"Content-Encoding": encoding})

    _, token = api(lab, answer)
    done = run(lab, ASK % (["gzip", "br", "deflate", "x-own"],))
    assert len(done.said) == 12, done.text
    for said in done.said:
        assert (said["status"], said["code"]) == (502, "upstream-encoding"), said
        assert not [needle for needle in needles(token) if needle in base64.b64decode(said["body"])]


def test_identity_named_is_taken_and_answers_with_sessions_are_stripped(lab):
    upstream, _ = api(lab, lambda request: Answer(200, b"ok", {"Content-Encoding": "identity", "Set-Cookie": "a=b"}))
    done = run(lab, ASK % (["x"],))
    assert [(said["status"], said["size"]) for said in done.said] == [(200, 2)] * 3
    assert not any("set-cookie" in said["headers"] for said in done.said)
    assert "cookie" not in header_text(upstream.requests[0]).lower()
