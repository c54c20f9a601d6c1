"""Base-URL mode: links that lead to the source itself lead back to where the client is; no other byte is changed."""
import json
import random
import socket

import ipc
import pytest
from gate_driver import LEASE, Gate, Source, answer
from ipc import Type, pack

SOURCES = [Source("api.example", name="api", base="/v3", token_env=("API_TOKEN",)),
           Source("other.example", name="other", token_env=("OTHER_TOKEN",)),
           Source("127.0.0.1", 8000, name="plain", tls=False, token_env=("PLAIN_TOKEN",))]
OWN = "https://api.example/v3"
JSON = ("Content-Type", "application/json")


@pytest.fixture
def gate():
    """gate(body, headers, ...): a gate whose keeper gives that answer to everything."""
    left = []

    def make(body=b"{}", headers=(JSON,), pieces=None, length=None, **words):
        def script(stream):
            while stream.request():
                if pieces is None:
                    stream.respond(body, headers=headers, length=length, **words)
                    continue
                stream.respond(pieces[0], headers=headers, end=False, length=sum(map(len, pieces)), **words)
                for piece in pieces[1:-1]:
                    ipc.send(stream.sock, Type.DATA, piece)
                ipc.send(stream.sock, Type.DATA_END, pieces[-1])

        left.append(Gate(SOURCES, keeper=script))
        left[-1].hello = left[-1].runner().hello()
        return left[-1]

    yield make
    for one in left:
        assert one.process.poll() in (None, 0) and one.stop() == 0


def get(gate, path="/api/x", method="GET", version="1.1", sock=None, host=None):
    sock = sock or gate.tcp()
    host = host or f"127.0.0.1:{gate.port}"
    sock.sendall(f"{method} {path} HTTP/{version}\r\nHost: {host}\r\nAuthorization: Bearer {LEASE}\r\n\r\n".encode())
    return answer(sock, method)


def page(url):
    return json.dumps({"count": 2, "next": url, "previous": None, "results": [{"url": url, "next": url}]}).encode()


def test_paging_fields_come_back_and_nothing_else_is_touched(gate):
    g = gate(page(f"{OWN}/x?page=2"))
    got = get(g)
    here = f"http://127.0.0.1:{g.port}/api"
    want = page(f"{OWN}/x?page=2").replace(f'"next": "{OWN}/x?page=2", "previous"'.encode(),
                                           f'"next": "{here}/x?page=2", "previous"'.encode())
    assert got.body == want and want != page(f"{OWN}/x?page=2")
    assert got.framing == "length" and got.headers["content-length"] == str(len(want)), "it was there whole"
    assert json.loads(got.body)["results"][0]["next"] == f"{OWN}/x?page=2"


@pytest.mark.parametrize("kind, changed", [
    ("application/json", True), ("application/json; charset=utf-8", True), ("Application/JSON", True),
    ("application/vnd.api+json", True), ("application/hal+json", True), ("text/plain", False), ("text/json", False),
    ("application/jsonl", False), ("application/x-ndjson", False), ("application/octet-stream", False), ("", False),
    ("multipart/mixed; x=application/json", False), ("application/+json", False)])
def test_only_json_is_read(gate, kind, changed):
    body = page(f"{OWN}/x")
    g = gate(body, [("Content-Type", kind)] if kind else [])
    got = get(g)
    assert (got.body != body) == changed
    got = get(gate(body, [("Content-Type", kind)] if kind else [], pieces=[body[:9], body[9:]]))
    assert got.framing == ("chunked" if changed else "length"), "how long what is to come will be is not known"


def test_who_did_not_come_by_the_base_url_gets_every_byte_as_it_was(gate):
    body = page(f"{OWN}/x")
    g = gate(body, [JSON, ("Link", f'<{OWN}/x>; rel="next"')])
    with g.tls("api.example", g.hello) as sock:
        got = get(g, "/v3/x", sock=sock, host="api.example")
    assert got.body == body and got.framing == "length" and got.headers["link"] == f'<{OWN}/x>; rel="next"'


def test_over_the_unix_socket_the_links_name_the_host_that_was_asked(gate):
    g = gate(page(f"{OWN}/x"))
    got = get(g, sock=g.unix(), host="purser.local")
    assert json.loads(got.body)["next"] == "http://purser.local/api/x"


def test_a_page_is_followed_to_its_end_without_leaving_the_gate(gate):
    """What a client does: it asks for whatever `next` says."""
    def script(stream):
        for number in range(1, 4):
            request = stream.request()
            assert request.path == "/v3/items", request.target
            url = f"{OWN}/items?page={number + 1}" if number < 3 else None
            stream.respond(json.dumps({"next": url, "items": [number]}).encode(), headers=[JSON])

    g = Gate(SOURCES, keeper=script)
    try:
        g.runner().hello()
        sock, url, items = g.tcp(), f"http://127.0.0.1:{g.port}/api/items?page=1", []
        while url:
            assert url.startswith(f"http://127.0.0.1:{g.port}/")
            got = json.loads(get(g, url.split(str(g.port), 1)[1], sock=sock).body)
            items, url = items + got["items"], got["next"]
        assert items == [1, 2, 3]
    finally:
        assert g.stop() == 0


def test_across_every_boundary_of_pieces(gate):
    body = (b'{"a":"\\\\\\"next\\":\\"' + OWN.encode() + b'","links":{"next":{"href":"https:\\/\\/api.example\\/v3\\/x"}},'
            b'"next":"' + OWN.encode() + b'","first":"https://api.example:443/v3?p=1","last":"https://api.example/v33"}')
    whole = None
    rng = random.Random(7)
    cuts = [[n] for n in range(1, len(body))] + [sorted(rng.sample(range(1, len(body)), 9)) for _ in range(20)]
    for cut in cuts[::3] + cuts[-20:]:
        pieces = [body[a:b] for a, b in zip([0, *cut], [*cut, len(body)])]
        g = gate(pieces=pieces)
        got = get(g).body.replace(str(g.port).encode(), b"PORT")
        whole = whole or got
        assert got == whole, cut
        assert g.stop() == 0
    told = json.loads(whole)
    assert told["next"] == "http://127.0.0.1:PORT/api" and told["first"] == "http://127.0.0.1:PORT/api?p=1"
    assert told["last"] == "https://api.example/v33" and told["a"].endswith(OWN)


def test_a_large_answer_passes_whole(gate):
    rows = [{"id": i, "text": "\\\"{}[]," * 20, "next": f"{OWN}/{i}"} for i in range(9000)]
    body = json.dumps({"next": f"{OWN}/x", "rows": rows, "prev": f"{OWN}/y"}).encode()
    pieces = [body[at:at + 32768] for at in range(0, len(body), 32768)]
    g = gate(pieces=pieces)
    got = get(g)
    here = f"http://127.0.0.1:{g.port}/api"
    assert json.loads(got.body) == {"next": f"{here}/x", "rows": rows, "prev": f"{here}/y"}
    assert len(got.body) == len(body) + 2 * (len(here) - len(OWN))


def test_a_head_has_no_length_that_the_body_would_not_have(gate):
    g = gate(b"", length=77, no_body=True)
    got = get(g, method="HEAD")
    assert got.status == 200 and "content-length" not in got.headers and "transfer-encoding" not in got.headers


def test_http_1_0_gets_the_answer_as_it_was(gate):
    body = page(f"{OWN}/x")
    g = gate(body)
    got = get(g, version="1.0", sock=g.unix())
    assert got.body == body and got.headers["content-length"] == str(len(body))


def test_link_and_location_come_back_and_other_urls_do_not(gate):
    g = gate(b"", [("Link", f'<{OWN}/x?page=2>; rel="next", <https://other.example/y>; rel="last"'),
                   ("Location", f"{OWN}/moved"), ("X-Other", f"{OWN}/x")], status=302)
    got = get(g)
    here = f"http://127.0.0.1:{g.port}/api"
    assert got.headers["link"] == f'<{here}/x?page=2>; rel="next", <https://other.example/y>; rel="last"'
    assert got.headers["location"] == f"{here}/moved" and got.headers["x-other"] == f"{OWN}/x"


def test_an_answer_that_breaks_off_is_not_made_whole(gate):
    def script(stream):
        stream.request()
        ipc.send(stream.sock, Type.RESPONSE, pack(
            ("u16", 200), ("text", "OK"), ("u64", 100), ("u8", 0), ("u8", 0), ("u32", 1), ("text", JSON[0]),
            ("text", JSON[1]), ("text", b'{"next":"https://api.exam')))
        ipc.send(stream.sock, Type.ABORT)
        stream.sock.settimeout(5)
        stream.sock.recv(1)

    g = Gate(SOURCES, keeper=script)
    try:
        g.runner().hello()
        with pytest.raises(Exception) as broken:
            get(g)
        assert type(broken.value).__name__ == "Broken"
    finally:
        assert g.stop() == 0


def test_garbage_that_calls_itself_json_passes_byte_for_byte(gate):
    rng = random.Random(11)
    alphabet = b'{}[]":,\\ nextlinks' + OWN.encode()[:9] + bytes(range(0, 256, 17))
    for _ in range(15):
        body = bytes(rng.choice(alphabet) for _ in range(20000))
        g = gate(pieces=[body[:7000], body[7000:7001], body[7001:]])
        assert get(g).body == body
        assert g.stop() == 0
