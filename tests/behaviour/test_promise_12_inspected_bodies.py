"""Promise 12: a body that must be inspected and cannot be is refused. What is inspected are forms, which can say another
method than the request's own, and GraphQL."""
import gzip
import json
import zlib

import ipc
import pytest
from ipc import Type
from keeper_driver import UNKNOWN
from keeper_world import authority, world  # noqa: F401
from promise import api, run
from upstream import serve


def test_a_form_that_cannot_be_read_is_refused_and_one_that_can_is_not(lab):
    upstream, _ = api(lab)
    done = run(lab, """
import gzip
form = LEASED + "Content-Type: application/x-www-form-urlencoded\\r\\n"
multi = LEASED + 'Content-Type: multipart/form-data; boundary="b"\\r\\n'
part = b'--b\\r\\nContent-Disposition: form-data; name="_method"\\r\\n\\r\\nDELETE\\r\\n--b--\\r\\n'
secret = b"a=1&_method=DELETE"
for name, headers, body in (("gzip", form + "Content-Encoding: gzip\\r\\n", gzip.compress(secret)),
                            ("unknown", form + "Content-Encoding: x-own\\r\\n", b"a=1"),
                            ("plain", form, secret), ("percent", form, b"a=1&%5Fmeth%6fd=DELETE"), ("multipart", multi, part),
                            ("late", form, b"a=" + b"x" * 100000 + b"&_method=DELETE")):
    say(name=name, **once(method="POST", headers=headers, body=body))
say(name="fine", **once(method="POST", headers=form, body=b"a=1&method=DELETE"))
""")
    by = {what["name"]: what["status"] for what in done.said}
    assert by.pop("fine") == 200 and len(by) == 6, done.text
    assert all(status == 0 or 400 <= status < 500 for status in by.values()), by
    whole = [request.body for request in upstream.requests]
    assert [body for body in whole if b"DELETE" in body] == [b"a=1&method=DELETE"], "the rest was never whole upstream"
    assert not [body for body in whole if body[:2] == gzip.compress(b"")[:2]]


QUERY = b'{"query": "{ rateLimit { cost } }"}'
LIMIT = 256 * 1024
PADDED = QUERY[:-1] + b" " * (LIMIT - len(QUERY)) + b"}"


def graphql(lab, answer=None):
    lab.policy("limit", """\
        policy: limit
        allow:
        - graphql: {fields: [rateLimit]}
        """)
    return api(lab, answer, host="api.github.com", provider="github", policy="limit")[0]


UNREADABLE = {  # name: (headers, body, code)
    "gzip": ("Content-Encoding: gzip", gzip.compress(QUERY), "graphql-undecidable"),
    "deflate": ("Content-Encoding: deflate", zlib.compress(QUERY), "graphql-undecidable"),
    "brotli, which it is not": ("Content-Encoding: br", QUERY, "graphql-undecidable"),
    "two codings": ("Content-Encoding: identity, gzip", gzip.compress(QUERY), "graphql-undecidable"),
    "compressed and not said so": ("", gzip.compress(QUERY), "graphql-undecidable"),
    "UTF-16 with a mark": ("", QUERY.decode().encode("utf-16"), "graphql-undecidable"),
    "UTF-16 without": ("", QUERY.decode().encode("utf-16-le"), "graphql-undecidable"),
    "UTF-32": ("", QUERY.decode().encode("utf-32"), "graphql-undecidable"),
    "a byte order mark": ("", b"\xef\xbb\xbf" + QUERY, "graphql-undecidable"),
    "UTF-7": ("", b'{"query": "+AHs-rateLimit+AH0-"}', "graphql-undecidable"),
    "Latin-1": ("", b'{"query": "{ rateLimit(x: \\"\xe9\\") { cost } }"}', "graphql-undecidable"),
    "overlong": ("", b'{"query": "{ rateLimit(x: \\"\xc0\xaf\\") { cost } }"}', "graphql-undecidable"),
    "half a surrogate pair": ("", b'{"query": "{ rateLimit(x: \\"\\ud800\\") { cost } }"}', "graphql-undecidable"),
    "NUL": ("", QUERY.replace(b"rate", b"rate\0"), "graphql-undecidable"),
    "an escaped NUL": ("", QUERY.replace(b"rate", b"rate\\u0000"), "graphql-undecidable"),
    "a NUL behind it": ("", QUERY + b"\0", "graphql-undecidable"),
    "nested for ever": ("", b"[" * 200000, "graphql-undecidable"),
    "more values than there is room for": ("", b'{"query": "{a}", "variables": {"v": [' + b"{}," * 80000 + b"0]}}",
                                           "graphql-undecidable"),
    "one byte too many": ("", PADDED + b" ", "body-too-large"),
    "much too much": ("", b" " * (1 << 20), "body-too-large"),
    "what grows past the limit when it is written": (
        "", json.dumps({"query": '{ rateLimit(x: "%s") }' % ("\t" * 100000)}).encode(), "body-too-large"),
}


@pytest.mark.parametrize("chunked", [False, True])
def test_a_graphql_body_that_cannot_be_read_is_refused_and_never_arrives(lab, chunked):
    upstream = graphql(lab)
    cases = lab.folder / "cases.json"
    cases.write_text(json.dumps([[headers, body.decode("latin-1")] for headers, body, _ in UNREADABLE.values()]))
    cases.chmod(0o644)
    done = run(lab, f"""
for headers, body in json.load(open({str(cases)!r})):
    headers = LEASED + "Content-Type: application/json\\r\\n" + (headers + "\\r\\n" if headers else "")
    body = body.encode("latin-1")
    try:
        client = Client("api.github.com")
        if {chunked}:
            head = "POST /graphql HTTP/1.1\\r\\nHost: api.github.com\\r\\n" + headers + "Transfer-Encoding: chunked\\r\\n\\r\\n"
            reply = client.raw(head.encode() + b"%x\\r\\n%s\\r\\n0\\r\\n\\r\\n" % (len(body), body))
        else:
            reply = client.ask("/graphql", method="POST", headers=headers, body=body)
        say(**reply.short)
    except (OSError, EOFError) as fault:
        say(status=0, code=type(fault).__name__, reason=str(fault))
""", policy="limit")
    assert len(done.said) == len(UNREADABLE), done.text
    for (name, (_, _, code)), what in zip(UNREADABLE.items(), done.said):
        # An answer that comes before the body was read whole may be lost with the connection.
        assert what["code"] == code or (what["status"] == 0 and code == "body-too-large"), (name, what)
    assert upstream.requests == []
    assert [event["code"] for event in lab.audit("refused")] == [code for _, _, code in UNREADABLE.values()]


def test_a_body_of_just_the_limit_is_read(lab):
    upstream = graphql(lab)
    done = run(lab, f"""
body = {QUERY!r}[:-1] + b" " * ({LIMIT} - {len(QUERY)}) + b"}}"
say(**Client("api.github.com").ask("/graphql", method="POST", headers=LEASED + "Content-Type: application/json\\r\\n", body=body).short)
""", policy="limit")
    assert done.said[0]["status"] == 200, done.text
    assert [request.body for request in upstream.requests] == [b'{"query":"query { rateLimit { cost } }"}']


# A gate in an attacker's hands.

RULES = ((("graphql", ["rateLimit"]),),)
JSON = [("Content-Type", "application/json")]


@pytest.fixture
def endpoint(world):
    return world(serve(lambda connection: connection.answer()), policies=RULES, source={"graphql": "/graphql"})


def ask(one, stream, body=QUERY, headers=JSON, **words):
    stream.request("POST", "/graphql", one.lease, headers=headers, body=body, **words)


def test_a_body_that_is_not_what_its_length_says_is_refused(endpoint):
    for words, pieces in (({"length": 10}, []), ({"length": 100}, []), ({"length": 40, "end": False}, [(b"x" * 20, True)]),
                          ({"length": 100, "end": False}, [(b"x", True)])):
        stream = endpoint.run.stream()
        ask(endpoint, stream, **words)
        for piece, end in pieces:
            stream.body(piece, end)
        assert stream.answer().code == "bad-request", words
    assert endpoint.upstream.heads == []


def test_what_a_gate_claims_about_the_body_changes_nothing(endpoint):
    """Headers that say another length, coding or type than the record does."""
    for headers in ([*JSON, ("Content-Length", "5")], [*JSON, ("Transfer-Encoding", "gzip")], [*JSON, ("Content-Encoding", "")]):
        stream = endpoint.run.stream()
        ask(endpoint, stream, headers=headers)
        assert stream.answer().status == 200
    for head, body in zip(endpoint.upstream.heads, endpoint.upstream.bodies):
        assert body == b'{"query":"query { rateLimit { cost } }"}'
        assert head.lower().count("content-length") == 1 and "transfer-encoding" not in head.lower()
        assert "content-encoding" not in head.lower()


def test_nothing_follows_a_body_that_is_whole(endpoint):
    ask(endpoint, endpoint.stream)
    endpoint.stream.body(b" mutation", end=True)
    with pytest.raises(ConnectionResetError):
        endpoint.stream.answer()
        endpoint.stream.answer()
    run = endpoint.keeper.run()  # that one has ended
    lease, stream = run.leases()[0], run.stream()
    stream.request("POST", "/graphql", lease, headers=JSON, body=QUERY[:10], length=UNKNOWN, end=False)
    ipc.send(stream.sock, Type.REQUEST, b"")
    with pytest.raises(ConnectionResetError):
        stream.answer()


def test_what_a_run_has_put_together_is_bounded_and_given_back(endpoint):
    """256 kB a stream and 4 MiB a run: the seventeenth waits, and when the others are gone there is room again."""
    streams = []
    for _ in range(17):
        stream = endpoint.run.stream()
        ask(endpoint, stream, body=b" ", length=UNKNOWN, end=False)
        streams.append(stream)
        for at in range(0, LIMIT - 32768, 32768):
            stream.body(b" " * 32768)
        stream.body(b" " * 32766)
    for stream in streams:
        stream.body(b"x", end=True)
    codes = [stream.answer().code for stream in streams]
    assert codes.count("busy") == 1 and codes.count("graphql-undecidable") == 16
    for n in range(20):
        stream = endpoint.run.stream()
        ask(endpoint, stream, body=b" ", length=UNKNOWN, end=False)
        for at in range(0, LIMIT - 32768, 32768):
            stream.body(b" " * 32768)
        stream.close()
    ask(endpoint, endpoint.stream)
    assert endpoint.stream.answer().status == 200
    assert endpoint.keeper.process.poll() is None


def test_an_upstream_that_breaks_off_is_not_asked_twice(world):
    """A POST is not repeated, whatever it asks: nobody knows whether it was executed."""
    def script(connection):
        while connection.request():
            if len(connection.upstream.heads) > 1:
                connection.reset()
                return
            connection.answer()
    one = world(script, policies=RULES, source={"graphql": "/graphql"})
    ask(one, one.stream)
    assert one.stream.answer().status == 200
    ask(one, one.stream)
    assert one.stream.answer().code == "upstream-reset"
    assert len(one.upstream.heads) == 2
    ask(one, one.stream, body=b'{"query": "{ viewer }"}')
    assert one.stream.answer().code == "graphql-denied"
