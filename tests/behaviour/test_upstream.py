"""The keeper against upstreams that err: each fault has its code, a body is never passed as whole when it is not
(promises 6, 8, 14, 15)."""

import base64
import os
import signal
import socket
import threading
import time
from email.utils import formatdate

import pytest
from ipc import Type
from keeper_driver import Keeper, Source
from keeper_world import HOST, TOKEN, authority, world  # noqa: F401 (fixtures)
from upstream import DAY, Authority, serve



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


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
                                  b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"])
@pytest.mark.parametrize("plain", [False, True])
def test_what_an_upstream_says_unasked_answers_no_request_that_comes_at_the_same_time(world, said, plain):
    say, has_said = threading.Event(), threading.Event()

    def script(connection):
        while connection.request():
            connection.answer(b"%d" % len(connection.upstream.heads))
            if len(connection.upstream.heads) == 1:
                say.wait(10)
                connection.send(said)
                has_said.set()

    w = world(script, plain=plain, source={"tls": not plain})
    assert w.get().body == b"1"
    time.sleep(0.2)
    os.kill(w.keeper.process.pid, signal.SIGSTOP)  # so that it sees both at once
    time.sleep(0.1)
    w.stream.request("GET", "/x", w.lease)
    time.sleep(0.1)
    say.set()
    assert has_said.wait(10)
    time.sleep(0.1)
    os.kill(w.keeper.process.pid, signal.SIGCONT)
    assert w.stream.answer().body == b"2"
    assert w.get().body == b"3" and w.upstream.connections == 2


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
    assert "expired" in answer.sentence and "it was valid until 20" in answer.sentence
    assert "if that is wrong, set it right (NTP)" in answer.sentence, "nobody has said what time it is"


def test_a_certificate_of_tomorrow(world, authority):
    w = world(serve(lambda c: c.answer()), certificate=authority.leaf(HOST, tomorrow=True))
    answer = w.get()
    assert (answer.status, answer.code) == (502, "upstream-certificate")
    assert "it is valid from 20" in answer.sentence and "this machine's clock says 20" in answer.sentence
    assert w.upstream.heads == []


@pytest.mark.parametrize("days, more, told", [(1, [], 1), (0, [], 0), (1, ["Age: 86400"], 0)], ids=["behind", "right", "cached"])
def test_a_clock_that_is_behind_the_apis_own_is_told_once(world, days, more, told):
    def answer(connection):
        date = formatdate(time.time() + days * (DAY + 120), usegmt=True)
        connection.answer(headers=[f"Date: {date}", *more])
    w = world(serve(answer))
    assert [w.get().status for _ in range(3)] == [200] * 3
    assert w.keeper.stop().count(f"this machine's clock is 1d 0h behind that of {HOST}: set it right (NTP)") == told


def test_an_unknown_issuer(world, tmp_path):
    w = world(serve(lambda c: c.answer()), certificate=Authority(tmp_path / "other", "Other CA").leaf(HOST))
    answer = w.get()
    assert (answer.status, answer.code) == (502, "upstream-certificate")
    assert "unknown issuer (CN=Other CA)" in answer.sentence and "caFile" in answer.sentence


@pytest.mark.parametrize("name, told", [(TOKEN.decode(), False), (base64.b64encode(TOKEN).decode(), False),
                                        ("Other, " + TOKEN.hex()[:40], True)], ids=["raw", "base64", "another"])
def test_an_issuer_that_is_called_by_the_token_does_not_tell_it(world, tmp_path, name, told):
    """Who was sent the token may have a certificate made of it."""
    w = world(serve(lambda c: c.answer()), certificate=Authority(tmp_path, name).leaf(HOST))
    answer = w.get()
    assert answer.code == "upstream-certificate" and "unknown issuer (CN=" in answer.sentence
    assert (name in answer.sentence, name in w.keeper.audit_path.read_text()) == (told, told), answer.sentence


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
