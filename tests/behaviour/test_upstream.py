"""The keeper against upstreams that err and upstreams that are hostile: each fault has its code, a body is never passed
as whole when it is not, and the token comes back in no form (promises 2, 5, 6, 8, 9, 13, 14, 15)."""

import base64
import json
import socket
import threading
import time
import urllib.parse

import pytest
from ipc import Type
from keeper_driver import STORE_VAULT, Keeper, Source
from upstream import Authority, Upstream, serve

HOST = "upstream.test"
TOKEN = b"ghp_0123456789abcdefABCDEF0123456789abcd"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority):
    """world(script): an upstream, a keeper whose one source it is, a run, a stream, its lease."""
    left = []

    class World:
        def __init__(self, script, certificate=None, plain=False, source=None, **words):
            pair = (None, None) if plain else certificate or authority.leaf(HOST)
            self.upstream = Upstream(script, *pair)
            settings = {"host": HOST, "port": 443, "ca": authority.bundle, "token": TOKEN,
                        "connect_to": f"127.0.0.1:{self.upstream.port}", **(source or {})}
            self.keeper = Keeper([Source(**settings)], **words)
            left.append(self)
            self.run = self.keeper.run()
            self.lease = self.run.leases()[0]
            self.stream = self.run.stream()

        def get(self, target="/x", **words):
            return self.stream.get(target, self.lease, **words)

    yield World
    for one in left:
        one.keeper.stop()
        one.upstream.close()


def test_a_request_arrives_with_the_token_and_its_answer_comes_back(world):
    w = world(serve(lambda c: c.answer(b'{"ok":true}', headers=["Content-Type: application/json"])))
    answer = w.get("/repos/a/b?page=2", headers=[("User-Agent", "test"), ("X-Plain", "kept")])
    assert (answer.status, answer.body) == (200, b'{"ok":true}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.records == [Type.RESPONSE], "head and a small body are one record"
    head = w.upstream.heads[0].split("\r\n")
    assert head[0] == "GET /repos/a/b?page=2 HTTP/1.1"
    assert f"Host: {HOST}" in head and "Accept-Encoding: identity" in head and "X-Plain: kept" in head
    assert head[-1] == f"Authorization: Bearer {TOKEN.decode()}", "the credential goes last"


@pytest.mark.parametrize("scheme, words, line", [
    ("token", {}, f"Authorization: token {TOKEN.decode()}"),
    ("basic", {"user": "bot"}, "Authorization: Basic " + base64.b64encode(b"bot:" + TOKEN).decode()),
    ("header", {"header": "Circle-Token"}, f"Circle-Token: {TOKEN.decode()}")])
def test_each_scheme_puts_the_token_where_the_api_wants_it(world, scheme, words, line):
    w = world(serve(lambda c: c.answer()), source={"scheme": scheme, **words})
    assert w.get().status == 200
    assert w.upstream.heads[0].split("\r\n")[-1] == line


def test_a_token_of_16_kb_is_sent_whole(world):
    token = b"t" + b"0123456789abcdef" * 1023 + b"end"
    w = world(serve(lambda c: c.answer()), source={"token": token})
    assert w.get().status == 200
    assert w.upstream.heads[0].endswith(token.decode())


def test_what_a_gate_must_not_send_on_is_dropped_again(world):
    w = world(serve(lambda c: c.answer()))
    bad = [("Authorization", "Bearer mine"), ("PRIVATE-TOKEN", "mine"), ("Cookie", "session=1"), ("Range", "bytes=0-1"),
           ("Accept-Encoding", "gzip"), ("Connection", "X-Hop"), ("X-Hop", "1"), ("Host", "evil.test"), ("TE", "trailers"),
           ("Content-Length", "7"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue"),
           ("Proxy-Authorization", "Basic eA==")]
    assert w.get(headers=bad).status == 200
    head = w.upstream.heads[0]
    for forbidden in ("mine", "session", "Range", "gzip", "X-Hop", "evil.test", "TE:", "Content-Length", "chunked", "Expect",
                      "Proxy-Authorization"):
        assert forbidden not in head, forbidden
    assert head.lower().count("\r\nhost:") == 1 and head.count("Authorization") == 1


@pytest.mark.parametrize("header", [("X-A", "1\r\nX-B: 2"), ("X-A\r\nB", "1"), ("X A", "1"), ("", "1"), ("X-A", "a\0b")])
def test_a_gate_cannot_smuggle_through_a_header(world, header):
    w = world(serve(lambda c: c.answer()))
    assert w.get(headers=[header]).code == "bad-request"
    assert w.upstream.heads == []


def test_connections_are_used_again_and_tls_sessions_resumed(world):
    w = world(serve(lambda c: c.answer()))
    for _ in range(20):
        assert w.get().status == 200
    assert w.upstream.connections == 1
    other = w.run.stream()
    other.request("GET", "/slow", w.lease)
    assert other.answer().status == 200
    assert w.upstream.connections == 1
    threads = [threading.Thread(target=lambda: w.run.stream().get("/x", w.lease)) for _ in range(1)]
    w.stream.request("GET", "/a", w.lease)
    for thread in threads:
        thread.start()
    assert w.stream.answer().status == 200
    for thread in threads:
        thread.join()
    assert w.upstream.connections == 1 or w.upstream.resumed >= 1


def test_a_pooled_connection_that_died_is_replaced_once_and_the_request_answered(world):
    def script(connection):
        connection.request()
        connection.answer(b"1")
        if connection.upstream.connections == 1:
            connection.request()  # the second request is read, and then the connection dies
            connection.reset()
        else:
            connection.request()
            connection.answer(b"2")

    w = world(script)
    assert w.get().body == b"1"
    assert w.get().status == 200
    sources, _ = w.run.close()
    assert sources[0]["retried"] == 1 and sources[0]["failed"] == 0


def test_a_request_that_changes_something_is_not_sent_twice(world):
    def script(connection):
        connection.request()
        connection.answer(b"1")
        connection.request()
        connection.reset()

    w = world(script)
    assert w.get().status == 200
    w.stream.request("POST", "/x", w.lease, body=b"{}")
    assert w.stream.answer().code == "upstream-reset"
    assert len(w.upstream.heads) == 2


# Faults


def test_a_certificate_for_another_name(world, authority):
    w = world(serve(lambda c: c.answer()), certificate=authority.leaf("other.test"))
    answer = w.get()
    assert (answer.status, answer.code) == (502, "upstream-certificate")
    assert "another name" in answer.sentence and HOST in answer.sentence
    assert w.upstream.heads == []


def test_an_expired_certificate(world, authority):
    w = world(serve(lambda c: c.answer()), certificate=authority.leaf(HOST, expired=True))
    answer = w.get()
    assert (answer.status, answer.code) == (502, "upstream-certificate")
    assert "expired" in answer.sentence


def test_an_unknown_issuer(world, tmp_path):
    w = world(serve(lambda c: c.answer()), certificate=Authority(tmp_path / "other", "Other CA").leaf(HOST))
    answer = w.get()
    assert (answer.status, answer.code) == (502, "upstream-certificate")
    assert "unknown issuer" in answer.sentence and "caFile" in answer.sentence


def test_the_systems_roots_do_not_know_a_private_ca(world):
    w = world(serve(lambda c: c.answer()), source={"ca": None})
    assert w.get().code == "upstream-certificate"


def test_no_tls_where_tls_must_be(world):
    w = world(lambda c: c.answer(b"plain HTTP", status="400 Bad Request"), plain=True)
    answer = w.get()
    assert (answer.status, answer.code) == (502, "upstream-tls")


def test_nobody_listens(world):
    w = world(serve(lambda c: c.answer()))
    w.upstream.close()
    time.sleep(0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    keeper = Keeper([Source(HOST, 443, connect_to=f"127.0.0.1:{port}")])
    run = keeper.run()
    answer = run.stream().get("/x", run.leases()[0])
    keeper.stop()
    assert (answer.status, answer.code) == (502, "upstream-refused")


def test_a_name_that_does_not_resolve(world):
    keeper = Keeper([Source("no-such-host.invalid", 443)])
    run = keeper.run()
    answer = run.stream().get("/x", run.leases()[0])
    assert keeper.stop() == ""
    assert (answer.status, answer.code) == (502, "upstream-name")


def test_a_handshake_that_never_ends_times_out(world):
    w = world(lambda c: time.sleep(40), plain=True)
    began = time.monotonic()
    answer = w.get()
    assert (answer.status, answer.code) == (504, "upstream-timeout")
    assert time.monotonic() - began < 15


def test_closed_without_an_answer(world):
    w = world(lambda c: c.request())
    answer = w.get()
    assert (answer.status, answer.code) == (502, "upstream-reset")


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                                  b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                                  b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"])
def test_a_body_that_breaks_off_is_never_passed_as_whole(world, sent):
    def script(connection):
        connection.request()
        connection.send(sent)
        time.sleep(0.2)

    w = world(script)
    answer = w.get()
    assert answer.aborted or answer.code == "upstream-reset"
    assert Type.DATA_END not in answer.records


def test_a_body_until_close_that_is_reset_is_not_whole(world):
    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
        time.sleep(0.2)
        connection.reset()

    assert world(script).get().aborted


def test_a_body_until_a_proper_close_is_whole(world):
    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")

    answer = world(script).get()
    assert (answer.status, answer.body, answer.aborted) == (200, b"all of it", False)


@pytest.mark.parametrize("sent", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 100])
def test_an_answer_that_is_not_strict_http(world, sent):
    def script(connection):
        connection.request()
        connection.send(sent)
        time.sleep(0.2)

    answer = world(script).get()
    assert (answer.status, answer.code) == (502, "upstream-invalid"), answer


def test_endless_headers(world):
    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.send(b"X-More: " + b"a" * 1000 + b"\r\n")

    answer = world(script).get()
    assert (answer.status, answer.code) == (502, "upstream-invalid")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "identity, gzip"])
def test_an_encoding_that_cannot_be_searched(world, encoding):
    w = world(serve(lambda c: c.answer(b"\x1f\x8b", headers=[f"Content-Encoding: {encoding}"])))
    answer = w.get()
    assert (answer.status, answer.code) == (502, "upstream-encoding")


def test_informational_answers_are_taken(world):
    w = world(serve(lambda c: c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                                     b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")))
    answer = w.get()
    assert (answer.status, answer.body) == (200, b"ok")


# The token comes back


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
                    time.sleep(0.002)
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


# Addresses


@pytest.mark.parametrize("connect_to", ["127.0.0.1", "10.0.0.1", "[::1]", "[fd00::1]", "100.64.0.1"])
def test_a_private_address_that_the_source_does_not_allow(connect_to):
    keeper = Keeper([Source(HOST, 443, connect_to=f"{connect_to}:443", allow=())])
    run = keeper.run()
    answer = run.stream().get("/x", run.leases()[0])
    keeper.stop()
    assert (answer.status, answer.code) == (502, "upstream-address")
    assert "allowPrivateAddresses" in answer.sentence


@pytest.mark.parametrize("host", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0"])
def test_metadata_and_link_local_addresses_are_refused_whatever_is_allowed(host):
    keeper = Keeper([Source(host, 443, allow=((bytes(16), 0),))])
    run = keeper.run()
    answer = run.stream().get("/x", run.leases()[0])
    keeper.stop()
    assert (answer.status, answer.code) == (502, "upstream-address"), answer


def test_localhost_is_refused_after_resolution():
    keeper = Keeper([Source("localhost", 443, allow=())])
    run = keeper.run()
    answer = run.stream().get("/x", run.leases()[0])
    keeper.stop()
    assert answer.code == "upstream-address"


# Bodies, back-pressure, order


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_body_of_1_mib_arrives_whole(world, chunked):
    w = world(serve(lambda c: c.answer(b"thanks")))
    body = bytes(range(256)) * 4096
    w.stream.request("POST", "/x", w.lease, body=b"", length=2**64 - 1 if chunked else len(body), end=False, expect=True)
    for at in range(0, len(body), 32768):
        w.stream.body(body[at:at + 32768])
    w.stream.body(b"", end=True)
    answer = w.stream.answer()
    assert (answer.status, answer.body, answer.continued) == (200, b"thanks", True)
    assert w.upstream.bodies == [body]


def test_a_body_that_is_not_what_its_length_says_ends_the_connection(world):
    w = world(serve(lambda c: c.answer()))
    w.stream.request("POST", "/x", w.lease, body=b"", length=10, end=False)
    w.stream.body(b"0123456789GET /smuggled HTTP/1.1\r\n\r\n", end=True)
    with pytest.raises(ConnectionResetError):
        w.stream.answer()
    assert not any("smuggled" in head for head in w.upstream.heads)


def test_an_answer_of_20_mib_arrives_whole_through_a_slow_reader_in_bounded_memory(world):
    body = bytes(range(256)) * (20 << 12)
    w = world(serve(lambda c: c.answer(body) if "/big" in c.upstream.heads[-1] else c.answer()))

    def resident():
        with open(f"/proc/{w.keeper.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    assert w.get().status == 200
    before = resident()
    w.stream.request("GET", "/big", w.lease)
    time.sleep(1)
    grown = resident() - before
    assert w.stream.answer().body == body
    assert grown < 2000, "kB: what the reader does not take stays upstream"


def test_an_early_answer_does_not_stop_the_next_request(world):
    def script(connection):
        connection.head()
        connection.answer(b"too large", status="413 Content Too Large", headers=["Connection: close"])
        time.sleep(0.5)

    w = world(script)
    w.stream.request("POST", "/x", w.lease, body=b"a", length=1 << 20, end=False)
    answer = w.stream.answer()
    assert (answer.status, answer.body) == (413, b"too large")
    w.stream.body(b"b" * 100)
    w.stream.body(b"", end=True)
    assert w.get().status == 413
    assert w.upstream.connections == 2, "a connection with half a request on it is not used again"


def test_a_form_that_overrides_its_method_never_arrives_whole(world):
    w = world(serve(lambda c: c.answer()))
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    w.stream.request("POST", "/x", w.lease, headers=form, body=b"a=1&_method=DELETE")
    assert w.stream.answer().code == "method-refused"
    w.stream.request("POST", "/x", w.lease, headers=form, body=b"a=1&_met", length=2**64 - 1, end=False)
    w.stream.body(b"hod=DELETE", end=True)
    assert w.stream.answer().code == "method-refused"
    assert w.upstream.bodies == []


# Leases, budgets, the record


def test_refusals_by_lease(world):
    w = world(serve(lambda c: c.answer()))
    assert (w.stream.get("/x", "").status, w.stream.get("/x", "").code) == (401, "no-lease")
    assert w.stream.get("/x", "ghp_something").code == "not-a-lease"
    other = w.keeper.run()
    assert w.stream.get("/x", other.leases()[0]).code == "foreign-lease"
    assert w.get().status == 200
    assert len(w.upstream.heads) == 1


def test_a_lease_ends_with_its_run(world):
    w = world(serve(lambda c: c.answer()))
    w.run.close()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        w.get()


def test_denied_paths_say_which_rule(world):
    w = world(serve(lambda c: c.answer()), policies=[[(0, 1, "/repos/*"), (1, 0, "/repos/secret")]])
    assert w.get("/repos/open").status == 200
    denied, unnamed = w.get("/repos/secret"), w.get("/user")
    assert (denied.status, denied.code) == (403, "path-denied")
    assert (unnamed.status, unnamed.code) == (403, "path-not-allowed")
    assert "/user" in unnamed.sentence
    sources, refusals = w.run.close()
    assert sources[0]["requests"] == 1 and sources[0]["refused"] == 2
    assert {(r["code"], r["path"], r["count"]) for r in refusals} == {("path-denied", "/repos/secret", 1),
                                                                     ("path-not-allowed", "/user", 1)}


def test_budgets(world):
    w = world(serve(lambda c: c.answer(b"x" * 100)), budget=(3, 10, 250, 0, 0))
    assert w.get().status == 200 and w.get().status == 200
    assert (w.get().code, w.get().code) == ("budget-response-bytes", "budget-requests")


def test_a_rate_is_429_with_a_time_to_wait(world):
    w = world(serve(lambda c: c.answer()), budget=(0, 0, 0, 1000, 0))
    answers = [w.get() for _ in range(3)]
    limited = [answer for answer in answers if answer.status == 429]
    assert limited and limited[0].code == "budget-rate" and limited[0].retry_after >= 1


def test_one_missing_token_disturbs_no_other(authority):
    upstream = Upstream(serve(lambda c: c.answer()), *authority.leaf(HOST))
    good = Source(HOST, 443, ca=authority.bundle, connect_to=f"127.0.0.1:{upstream.port}", name="good")
    keeper = Keeper([Source(HOST, 443, token=None, name="absent"), good, Source(HOST, 443, store=STORE_VAULT, name="vault"),
                     Source(HOST, 443, token=b"two\nlines", name="bad")])
    assert [keeper.tokens[i][0] for i in range(4)] == [False, True, False, False]
    run = keeper.run(grants=[(i, 0) for i in range(4)])
    leases, stream = run.leases(), run.stream()
    for i in (0, 2, 3):
        answer = stream.get("/x", leases[i], source=i)
        assert (answer.status, answer.code) == (502, "token-missing"), answer
        assert ["absent", "good", "vault", "bad"][i] in answer.sentence
    assert stream.get("/x", leases[1], source=1).status == 200
    assert (stream.get("/x", leases[1], source=0).status, stream.get("/x", leases[1], source=0).code) == (403, "wrong-source")
    keeper.stop()
    upstream.close()


def test_every_decision_is_in_the_audit_and_no_secret(world):
    w = world(serve(lambda c: c.answer(TOKEN)), policies=[[(0, 1, "/x")]])
    w.get("/x?secret=value")
    w.get("/y")
    w.run.close()
    assert w.keeper.stop() == ""
    events = [line["event"] for line in w.keeper.audit()]
    for event in ("token.fetch", "run.open", "lease.issue", "request", "refused", "run.requests", "run.close"):
        assert event in events, event
    text = w.keeper.audit_path.read_text()
    assert TOKEN.decode() not in text and "value" not in text and w.lease not in text


def test_the_keeper_ends_with_its_supervisor(world):
    w = world(serve(lambda c: c.answer()))
    w.keeper.control.close()
    assert w.keeper.process.wait(5) == 0


# Egress


def test_a_named_egress_host_is_tunnelled_and_no_other(world):
    keeper = Keeper([Source(HOST, 443)])
    run = keeper.run(egress=[("127.0.0.1", 443), ("169.254.169.254", 80)])
    assert run.tunnel("pypi.org", 443)[:2] == (403, "egress-not-allowed")
    assert run.tunnel("127.0.0.1", 444)[:2] == (403, "egress-not-allowed")
    assert run.tunnel("127.0.0.1", 443)[:2] == (502, "upstream-address")
    assert run.tunnel("169.254.169.254", 80)[:2] == (502, "upstream-address")
    keeper.stop()


def test_a_site_proxy_carries_tunnels_and_requests(authority):
    upstream = Upstream(serve(lambda c: c.answer(b"through")), *authority.leaf(HOST))
    asked = []

    def proxy(connection):
        head, _ = connection.request()
        asked.append(head.split("\r\n")[0])
        with socket.create_connection(("127.0.0.1", upstream.port)) as onward:
            connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(onward, connection.sock), daemon=True)
            back.start()
            pump(connection.sock, onward)

    def pump(from_, to):
        try:
            while data := from_.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    site = Upstream(proxy)
    keeper = Keeper([Source(HOST, 443, ca=authority.bundle, allow=())], proxy=f"http://127.0.0.1:{site.port}")
    run = keeper.run(egress=[("packages.test", 443)])
    answer = run.stream().get("/x", run.leases()[0])
    tunnel = run.tunnel("packages.test", 443)
    keeper.stop()
    assert (answer.status, answer.body) == (200, b"through")
    assert isinstance(tunnel, socket.socket)
    assert asked == [f"CONNECT {HOST}:443 HTTP/1.1", "CONNECT packages.test:443 HTTP/1.1"]
