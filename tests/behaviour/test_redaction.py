"""The token comes back in no form: taken out of bodies and heads, across pieces, without changing lengths
(promises 1, 5, 9, 13)."""

import base64
import json
import os
import threading
import time
import urllib.parse

import ipc
import pytest
from keeper_driver import Answer, take_head
from keeper_world import TOKEN, authority, world  # noqa: F401 (fixtures)
from upstream import serve


def forms(token):
    text = token.decode()
    yield "raw", token
    yield "base64", base64.b64encode(token)
    yield "base64 in basic", base64.b64encode(b"user:" + token)
    yield "base64url", base64.urlsafe_b64encode(b"ab" + token)
    yield "percent", "".join(f"%{byte:02x}" for byte in token).encode()
    yield "some percent", urllib.parse.quote(text).replace("_", "%5F").encode()
    yield "json", json.dumps({"t": text}).replace("_", "\\u005f").encode()
    yield "hex", token.hex().encode()
    yield "HEX", token.hex().upper().encode()


def holds(data, token):
    """What of the forms is in there."""
    found = [name for name, form in forms(token) if form in data]
    for skip in range(3):  # what base64 of any alignment keeps
        whole = base64.b64encode(bytes(skip) + token)[4 if skip else 0:-8]
        if whole in data or whole.replace(b"+", b"-").replace(b"/", b"_") in data:
            found.append(f"base64+{skip}")
    return found


@pytest.mark.parametrize("name", [name for name, _ in forms(TOKEN)])
@pytest.mark.parametrize("framing", ["length", "chunked", "byte by byte"])
def test_a_token_in_an_answer_is_taken_out_in_every_form(world, name, framing):
    form = dict(forms(TOKEN))[name]
    body = b"before " + form + b" after"

    def script(connection):
        while connection.request():
            if framing == "length":
                connection.answer(body)
                continue
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            step = 1 if framing == "byte by byte" else 11
            for at in range(0, len(body), step):
                piece = body[at:at + step]
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                if framing == "chunked":
                    time.sleep(0.02)  # or they are read together
            connection.send(b"0\r\n\r\n")

    w = world(script)
    answer = w.get()
    assert answer.status == 200 and len(answer.body) == len(body), "lengths do not change"
    assert answer.body.startswith(b"before ") and answer.body.endswith(b" after")
    assert b"*" in answer.body and not holds(answer.body, TOKEN)
    sources, _ = w.run.close()
    assert sources[0]["redacted"] >= 1


def test_a_token_in_headers_and_reason_is_taken_out(world):
    text = TOKEN.decode()
    basic = base64.b64encode(b"u:" + TOKEN).decode()
    w = world(serve(lambda c: c.answer(status=f"200 {text}", headers=[f"X-Echo: {text}", f"X-Basic: {basic}",
                                                                     f"Link: <https://x/?t={text}>; rel=next"])))
    answer = w.get()
    seen = (answer.sentence + "".join(answer.headers.values())).encode()
    assert answer.status == 200 and not holds(seen, TOKEN)
    assert "rel=next" in answer.headers["link"]


@pytest.mark.parametrize("way", ["given", "too large", "encoded", "broken"])
@pytest.mark.parametrize("name", ["raw", "base64", "hex"])
def test_a_limit_that_is_called_by_the_token_tells_it_to_nobody(world, name, way):
    """A limit's name is told in refusals, to scripts that ask about their lease, in the run's report and in the audit."""
    headers = ["X-RateLimit-Limit: 5000", "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 600",
               f"X-RateLimit-Resource: {dict(forms(TOKEN))[name].decode()}"]
    answers = {"given": lambda c: c.answer(headers=headers), "too large": lambda c: c.answer(b"x" * 101, headers=headers),
               "encoded": lambda c: c.answer(headers=[*headers, "Content-Encoding: gzip"]),
               "broken": lambda c: c.send("\r\n".join(["HTTP/1.1 200 OK", *headers, "Transfer-Encoding: chunked", "", "z"]).encode())}
    w = world(serve(answers[way]), budget=(0, 0, 100))
    assert w.get().status == (200 if way == "given" else 403 if way == "too large" else 502)
    refused = w.get()
    assert refused.code == "upstream-rate-limit" and "*" in refused.sentence
    ipc.send(w.stream.sock, ipc.Type.LEASE_ASK, ipc.pack(("u8", 0), ("text", w.lease)))
    status = w.stream.answer().body
    assert json.loads(status)["limits"][0]["remaining"] == 0
    _, refusals = w.run.close()
    told = json.dumps([refused.sentence, w.run.limits[0]["name"], *[refusal["sentence"] for refusal in refusals]]).encode()
    assert not [holds(text, TOKEN) for text in (told, status, w.keeper.audit_path.read_bytes()) if holds(text, TOKEN)]
    assert not [text for text in (told, status) if TOKEN[:20] in text or TOKEN.hex().encode()[:40] in text]


def test_a_redirect_is_the_clients_to_follow_and_carries_no_credential(world):
    text = TOKEN.decode()
    w = world(serve(lambda c: c.answer(status="302 Found", headers=[f"Location: https://elsewhere.test/?token={text}"])))
    answer = w.get()
    assert answer.status == 302 and answer.headers["location"].startswith("https://elsewhere.test/?token=")
    assert text not in answer.headers["location"]
    assert len(w.upstream.heads) == 1


def test_sessions_and_other_services_are_not_passed_on(world):
    w = world(serve(lambda c: c.answer(headers=["Set-Cookie: session=1", "Alt-Svc: h3=\":443\"", "Connection: X-Hop",
                                                "X-Hop: 1", "X-Kept: 1"])))
    answer = w.get()
    assert answer.headers.get("x-kept") == "1"
    for name in ("set-cookie", "alt-svc", "connection", "x-hop", "content-length"):
        assert name not in answer.headers


# How much of an answer is held back


def body_records(stream, seconds):
    """The body's bytes that come within this time; and whether its end was among them."""
    stream.sock.settimeout(seconds)
    body = b""
    try:
        while True:
            kind, payload = ipc.receive(stream.sock)
            assert kind in (ipc.Type.RESPONSE, ipc.Type.DATA, ipc.Type.DATA_END)
            if kind == ipc.Type.RESPONSE:
                answer = Answer(0)
                assert not take_head(answer, payload)
                payload = answer.body
            body += payload
            if kind == ipc.Type.DATA_END:
                return body, True
    except TimeoutError:
        return body, False


def test_what_is_held_back_does_not_tell_a_right_guess_from_a_wrong_one(world):
    """Before a stall of the upstream, as much of its answer has come whether it ends with a beginning of the token, in any
    form, or with nothing like it; the rest comes when the upstream goes on."""
    guesses = [TOKEN[:at] for at in (0, 1, 4, 5, 8, 20, len(TOKEN) - 1)] + [b"ghp_1", b"nothing like it"]
    guesses += [form[:at] for _, form in forms(TOKEN) for at in (1, 9, 30)]
    go_on = threading.Event()

    def script(connection):
        while (request := connection.request()):
            body = b"." * 600 + guesses[int(request[0].split(" ")[1][1:])]
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body) + 4, body))
            assert go_on.wait(10)
            go_on.clear()
            connection.send(b"end.")

    w = world(script)
    held = []
    for number, guess in enumerate(guesses):
        w.stream.request("GET", f"/{number}", w.lease)
        before, ended = body_records(w.stream, 0.1)
        assert not ended
        go_on.set()
        after, ended = body_records(w.stream, 20)
        assert ended and before + after == b"." * 600 + guess + b"end.", "nothing of it is lost"
        held.append(600 + len(guess) - len(before))
    assert set(held) == {9 * len(TOKEN) - 1}, held


# What stays behind


def pieces(token):
    """Every 16 bytes of it, and of its base64 at each alignment."""
    yield from (token[at:at + 16] for at in range(len(token) - 15))
    for skip in range(3):
        text = base64.b64encode(bytes(skip) + token)[4:-4]
        yield from (text[at:at + 20] for at in range(len(text) - 19))
    yield token.hex().encode()[:32]


def found_in_memory(pid, needles):
    hits = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            try:
                memory.seek(low)
                data = memory.read(high - low)
            except (OSError, OverflowError):
                continue  # the kernel's own pages, and the arena, which nobody can read
            hits += [(line.strip(), needle) for needle in needles if needle in data]
    return hits


@pytest.mark.plain
@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_after_the_last_answer_no_16_bytes_of_the_token_are_in_the_keepers_memory(world, scheme):
    token = b"ghp_" + base64.b32encode(os.urandom(40))

    def answer(connection):
        connection.answer(b"echo " + token + b" " + base64.b64encode(b"bot:" + token), headers=[f"X-E: {token.decode()}"])

    w = world(serve(answer), source={"scheme": scheme, "user": "bot", "token": token}, budget=(0, 0, 0, 10**9, 0))
    for _ in range(200):
        assert token not in w.get().body
        w.stream.request("POST", "/x", w.lease, body=b"z" * 30000)
        assert w.stream.answer().status == 200
    time.sleep(0.2)  # the turn of the last answer ends after it was sent
    assert found_in_memory(w.keeper.process.pid, list(pieces(token))) == [], "connections are open still"
