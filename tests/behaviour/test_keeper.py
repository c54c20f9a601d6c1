"""What the keeper does with requests, bodies, leases, budgets and egress, whatever gate and client do (promises 2, 4, 9,
14, 15, 16)."""

import socket
import threading
import time

import ipc
import pytest
from ipc import Type
from keeper_driver import STORE_VAULT, Keeper, Source
from keeper_world import HOST, TOKEN, authority, world  # noqa: F401 (fixtures)
from promise import wait_until
from upstream import Upstream, serve


# Bodies, back-pressure, order


def test_chunks_that_are_all_there_are_announced_by_their_length(world):
    """One framing: what is announced is what is written, whatever the body looks like."""
    w = world(serve(lambda connection: connection.answer()))
    body = b"0\r\n\r\nGET /secret HTTP/1.1\r\n\r\n"
    w.stream.request("POST", "/x", w.lease, body=body, length=2**64 - 1)
    assert w.stream.answer().status == 200
    assert w.upstream.bodies == [body] and len(w.upstream.heads) == 1
    assert f"Content-Length: {len(body)}" in w.upstream.heads[0] and "Transfer-Encoding" not in w.upstream.heads[0]


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


@pytest.mark.parametrize("goes_on", ["as it was", "with another request"])
def test_what_waits_for_the_store_when_its_lease_is_revoked_is_not_sent_again(world, goes_on):
    """A 401 came while the token is being replaced: what waits for the successor is answered, and that is its end."""
    answer = threading.Event()

    def script(connection):
        while connection.request():
            answer.wait(10)
            connection.answer(b"no", "401 Unauthorized")

    w = world(script)
    w.stream.request("GET", "/x", w.lease)
    wait_until(lambda: len(w.upstream.heads) == 1, what="the request")
    ipc.send(w.keeper.control, Type.KEEPER_HOLD, ipc.pack(("u32", 0)))
    answer.set()
    time.sleep(0.3)  # it has come, and waits
    other = w.run.stream()
    ipc.send(other.sock, Type.LEASE_ASK, ipc.pack(("u8", 1), ("text", w.lease)))
    assert other.answer().status == 200
    assert w.stream.answer().code == "lease-revoked"
    if goes_on == "with another request":
        assert w.get("/y").code == "lease-revoked"
    ipc.send(w.keeper.control, Type.KEEPER_GO_ON, ipc.pack(("u32", 0)))
    time.sleep(0.3)
    assert len(w.upstream.heads) == 1, "it went up once more"
    assert w.get("/z").code == "lease-revoked" and w.keeper.process.poll() is None
    assert "request" not in [line["event"] for line in w.keeper.audit()]


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
