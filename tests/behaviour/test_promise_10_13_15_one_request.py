"""Promises 10, 13 and 15: what was matched is what is sent; a redirect is a new decision; one request in, one request out.
Through the real proxy, TLS and all, against an upstream that counts.
"""
import pytest
from lab import Answer
from promise import api, run

POLICY = """\
    policy: narrow
    allow:
    - {method: [GET, POST], path: /repos/*/runs}
    deny:
    - {path: /repos/secret/**}
    tests:
    - {request: GET /repos/a/runs, expect: allow}
    - {request: GET /repos/secret/runs, expect: deny}
    """


@pytest.fixture
def narrow(lab):
    lab.policy("narrow", POLICY)
    lab.one, lab.token = api(lab, lambda request: Answer(200, b"ok"), policy="narrow")
    return lab


def test_no_spelling_of_a_path_leads_past_a_rule(narrow):
    done = run(narrow, r"""
for target in ("/repos/secret/runs", "/repos/%73ecret/runs", "/repos/a/../secret/runs", "/repos/a/%2e%2e/secret/runs",
               "/repos/secret%2fruns", "/repos//secret/runs", "//repos/a/runs", "/repos/secret;x/runs", "/repos/a;x/runs",
               "/repos/a/runs/", "/repos/a%2fb/runs", "/repos/a%00/runs", "/repos/a\\b/runs", "/repos/%C0%AFa/runs",
               "https://api.test/repos/secret/runs", "http://api.test/repos/secret/runs", "/repos/a/runs#x", "*", "repos/a/runs",
               "/REPOS/a/runs", "/repos/./secret/runs", "/repos/%2573ecret/../secret/runs", "/repos/a/runs\x0b", "/repos/%"):
    say(target=target, **once(target))
for target in ("/repos/a/runs", "/repos/%61/runs?x=%2F..%2F", "https://api.test/repos/b/runs", "/repos/./c/runs"):
    say(fine=target, **once(target))
""", policy="narrow")
    bad = [what for what in done.said if "target" in what]
    fine = {what["fine"]: what["status"] for what in done.said if "fine" in what}
    assert len(bad) == 24 and len(fine) == 4, done.text
    for what in bad:
        assert what["status"] in (0, 400, 403, 404), what
    assert fine["/repos/a/runs"] == fine["/repos/%61/runs?x=%2F..%2F"] == 200, fine
    seen = [request.target for request in narrow.one.requests]
    assert seen[:2] == ["/repos/a/runs", "/repos/a/runs?x=%2F..%2F"], "normalised once, and that is what is sent"
    assert set(seen) <= {"/repos/a/runs", "/repos/a/runs?x=%2F..%2F", "/repos/b/runs", "/repos/c/runs"}, seen


def test_the_same_by_base_url_and_socket(narrow):
    done = run(narrow, r"""
for way in ("base", "socket"):
    for target in ("/api/repos/secret/runs", "/api/repos/%73ecret/runs", "/api/../api/repos/secret/runs", "/api/%2e%2e/x",
                   "/other/repos/a/runs", "/", "/api", "//api/repos/a/runs"):
        say(bad=Client(way=way).ask(target).short)
    say(fine=Client(way=way).ask("/api/repos/a/runs").short)
""", policy="narrow")
    assert len(done.said) == 18, done.text
    for what in done.said:
        assert what["fine"]["status"] == 200 if "fine" in what else 400 <= what["bad"]["status"] < 500, what
    assert [request.target for request in narrow.one.requests] == ["/repos/a/runs"] * 2


def test_a_redirect_is_followed_by_the_client_and_decided_anew(lab):
    """13: to another source without its credential, to a host that is none of the run's not at all."""
    places = ["https://other.test/next", "https://elsewhere.test/next", "/denied/next"]
    one = api(lab, lambda request: Answer(302, b"", {"Location": places[int(request.target[1:])]})
              if request.target[1:].isdigit() else Answer(200, b"local"))
    other = api(lab, lambda request: Answer(200, b"no credential"), name="other", host="other.test", variable="OTHER_TOKEN")
    lab.policy("digits", "policy: digits\nallow:\n- {method: GET, path: /*}\ntests:\n- {request: GET /1, expect: allow}\n")
    lab.source("api", "api.test", token=None, policy="digits", tokenEnv=["API_TOKEN"])
    lab.retriever("script", "", sources=["api", "other"])
    done = run(lab, """
import urllib.request, urllib.error
for n in range(3):
    request = urllib.request.Request(f"https://api.test/{n}", headers={"Authorization": f"Bearer {LEASE}"})
    try:
        with urllib.request.urlopen(request) as answer:
            say(n=n, status=answer.status)
    except urllib.error.HTTPError as fault:
        say(n=n, status=fault.code, code=fault.headers.get("X-Purser-Error"))
    except OSError as fault:
        say(n=n, status=0, why=str(fault))
""", policy="digits")
    by = {what["n"]: what for what in done.said}
    assert by[0]["code"] == "wrong-source", "urllib carries the lease along; it is worth nothing there"
    assert by[1]["status"] == 0 and "elsewhere.test is no host of this run" in by[1]["why"]
    assert by[2]["code"] == "path-not-allowed"
    assert other[0].requests == [] and len(one[0].requests) == 3


SMUGGLING = r"""
body = b"GET /repos/secret/runs HTTP/1.1\r\nHost: api.test\r\n\r\n"
n = str(len(body))
tries = {
    "two lengths": f"Content-Length: {n}\r\nContent-Length: 0\r\n",
    "length and chunked": f"Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n",
    "length list": f"Content-Length: {n}, 0\r\n",
    "length with plus": f"Content-Length: +{n}\r\n",
    "length in hex": f"Content-Length: 0x10\r\n",
    "negative": "Content-Length: -1\r\n",
    "chunked not last": "Transfer-Encoding: chunked, identity\r\n",
    "chunked twice": "Transfer-Encoding: chunked, chunked\r\n",
    "unknown coding": "Transfer-Encoding: xchunked\r\n",
    "space before colon": f"Content-Length : {n}\r\n",
    "folded": "Transfer-Encoding:\r\n chunked\r\n",
    "bare lf": f"X: a\nContent-Length: {n}\r\n",
    "bare cr": f"X: a\rContent-Length: {n}\r\n",
    "nul": "X: a\0b\r\n",
    "second host": "Host: api.test\r\n",
    "vertical tab": "Transfer-Encoding:\x0bchunked\r\n",
}
for name, headers in tries.items():
    client = Client()
    head = f"POST /repos/a/runs HTTP/1.1\r\nHost: api.test\r\n{LEASED}{headers}\r\n".encode("latin-1")
    try:
        reply = client.raw(head + body)
        say(name=name, closed=client.is_closed(), **reply.short)
    except (OSError, EOFError):
        say(name=name, closed=True, status=0)
for name, chunks in {"bad size": b"zz\r\n", "size with space": b"5 \r\nhello\r\n0\r\n\r\n", "bare lf": b"5\nhello\n0\n\n",
                     "too long": b"fffffffffffffffff\r\n", "no end": b"5\r\nhelloXX0\r\n\r\n"}.items():
    client = Client()
    head = f"POST /repos/a/runs HTTP/1.1\r\nHost: api.test\r\n{LEASED}Transfer-Encoding: chunked\r\n\r\n".encode()
    try:
        reply = client.raw(head + chunks + body)
        say(name="chunk " + name, closed=client.is_closed(), **reply.short)
    except (OSError, EOFError):
        say(name="chunk " + name, closed=True, status=0)
# and what is in order goes through in order: two requests in one write, a body that looks like a request
client = Client()
head = f"POST /repos/a/runs HTTP/1.1\r\nHost: api.test\r\n{LEASED}Content-Length: {n}\r\n\r\n".encode()
first = client.raw(head + body + head + body)
say(name="fine", pair=[first.status, Reply(client.stream).status])
"""


def test_one_request_in_one_request_out(narrow):
    done = run(narrow, SMUGGLING, policy="narrow")
    fine = done.said.pop()
    assert fine.get("pair") == [200, 200], done.text
    assert len(done.said) == 21
    for what in done.said:
        assert what["status"] in (0, 400, 501) and what["closed"], what
    seen = [(request.method, request.target) for request in narrow.one.requests]
    assert seen == [("POST", "/repos/a/runs")] * 2, "nothing that was hidden in a body has arrived"


def test_an_answer_with_two_readings_is_a_502_and_poisons_no_other(lab):
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\nok" + b"x" * 40,
               b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
               b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
               b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"]
    api(lab, lambda request: Answer(raw=answers[int(request.target[1:])]) if request.target != "/x" else Answer(200, b"clean"))
    done = run(lab, """
for n in range(5):
    say(n=n, **once(f"/{n}"))
    reply = Client().ask()
    say(after=n, status=reply.status, body=reply.body.decode())
""")
    assert len(done.said) == 10, done.text
    for what in done.said[::2][:4]:
        assert (what["status"], what["code"]) == (502, "upstream-invalid"), what
    for what in done.said[1::2]:
        assert (what["status"], what["body"]) == (200, "clean"), "no leftover is given to another request"
