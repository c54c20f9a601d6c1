"""How clients get in and nobody else: the proxy key, one name from CONNECT to Host (promises 6 and 7), egress, the run's
own certificates, the runner's socket."""

import json
import os
import select
import socket
import ssl
import threading
import time

import pytest

import gate_driver
import ipc
from gate_driver import Broken, Gate, Source, answer, closed
from ipc import Type, pack

GITHUB = Source("api.github.com")
BUILDKITE = Source("api.buildkite.com", name="buildkite", base="/v2", others=((ipc.GRAPHQL, "graphql.buildkite.com", 443), (ipc.ARTIFACT, "*.blob.test", 443)),
                   graphql="/v1", graphql_host=1,
                   token_env=("BUILDKITE_TOKEN", "GITHUB_TOKEN"))


@pytest.fixture
def gates():
    made = []

    def make(*sources, **words):
        made.append(Gate(list(sources) or [GITHUB, BUILDKITE], **words))
        return made[-1]
    yield make
    for gate in made:
        gate.stop()


def refused(gate, code, wait=5):
    """The recorded refusals of this code."""
    until = time.monotonic() + wait
    while time.monotonic() < until:
        found = [refusal for refusal in gate.refusals if refusal["code"] == code]
        if found:
            return found
        time.sleep(0.02)
    return []


def purser_code(got):
    assert json.loads(got.body)["purser"] == got.headers["x-purser-error"]
    return got.headers["x-purser-error"]


def test_a_request_goes_through_connect_and_tls_to_the_keeper(gates):
    gate = gates()
    runner = gate.runner().hello()
    with gate.tls("api.github.com", runner) as sock:
        assert sock.version() == "TLSv1.3"
        for _ in range(3):
            sock.sendall(f"GET /user?b=1 HTTP/1.1\r\nHost: api.github.com\r\nAuthorization: Bearer {gate.lease(0)}\r\n"
                         "Accept: */*\r\n\r\n".encode())
            got = answer(sock)
            assert got.status == 200
            assert got.body.decode().splitlines()[0] == f"GET /user?b=1 source=0 credential={gate.lease(0)}"
            assert b"accept: */*" in got.body and b"authorization" not in got.body
    assert len(gate.streams) == 1


def test_the_environment_leads_to_the_gate_and_holds_leases_only(gates):
    gate = gates(env=[("MY_TOKEN", "", 1), ("NAME", "value", -1), ("NO_PROXY", "*", -1)])
    env = gate.runner().hello().env
    assert env["GITHUB_TOKEN"] == env["GITHUB_TOKEN"] == gate.lease(0)
    assert env["BUILDKITE_TOKEN"] == env["MY_TOKEN"] == gate.lease(1)
    assert env["NAME"] == "value" and env["NO_PROXY"] == env["no_proxy"] == ""
    assert env["HTTPS_PROXY"] == env["https_proxy"] == env["HTTP_PROXY"]
    assert env["HTTPS_PROXY"].endswith(f"@127.0.0.1:{gate.port}")
    assert env["GITHUB_API_URL"] == f"http://127.0.0.1:{gate.port}/github"
    assert env["PURSER_SINCE"] == "2020-01-01T00:00:00Z" and env["PURSER_RUN"] == "run-1"


@pytest.mark.parametrize("key", ["", "x" * 43, "short"])
def test_without_the_proxy_key_nothing_opens(gates, key):
    gate = gates(egress=[("pypi.org", 443)])
    for authority in ("api.github.com:443", "pypi.org:443", "other.example:443"):
        sock, got = gate.connect(authority, key)
        assert got.status == 407 and "Basic" in got.headers["proxy-authenticate"]
        assert purser_code(got) == "proxy-key"
        sock.close()
    assert gate.tunnels == [] and gate.streams == []


def test_a_client_that_is_asked_for_the_key_may_answer_on_the_same_connection(gates):
    gate = gates()
    runner = gate.runner().hello()
    sock, got = gate.connect("api.github.com:443", "")
    assert got.status == 407
    proof = gate_driver.b64encode(b"run:" + runner.key.encode()).decode()
    sock.sendall(f"CONNECT api.github.com:443 HTTP/1.1\r\nProxy-Authorization: Basic {proof}\r\n"
                 "Host: api.github.com:443\r\n\r\n".encode())
    assert answer(sock, "CONNECT").status == 200
    runner.context().wrap_socket(sock, server_hostname="api.github.com").close()


def test_another_host_is_refused_with_the_key_that_would_allow_it(gates):
    gate = gates()
    runner = gate.runner().hello()
    _, got = gate.connect("pypi.org:443", runner.key)
    assert got.status == 403 and purser_code(got) == "host-denied"
    assert "egress: [pypi.org]" in got.reason and "retriever" in got.reason
    _, got = gate.connect("api.github.com:8443", runner.key)
    assert got.status == 403 and "egress: [api.github.com:8443]" in got.reason
    assert refused(gate, "host-denied")[0]["host"] == "pypi.org"


def test_connect_sni_and_host_must_be_one_name(gates):
    gate = gates()
    runner = gate.runner().hello()
    loose = ssl._create_unverified_context()
    with pytest.raises(ssl.SSLError):
        gate.tls("api.github.com", runner, server_name="api.buildkite.com", context=loose)
    assert refused(gate, "host-mismatch")
    with gate.tls("api.github.com", runner) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: api.buildkite.com\r\n\r\n")
        got = answer(sock)
        assert got.status == 421 and purser_code(got) == "host-mismatch"
        sock.sendall(b"GET / HTTP/1.1\r\nHost: api.github.com:444\r\n\r\n")
        assert answer(sock).status == 421
        sock.sendall(b"GET / HTTP/1.1\r\nHost: API.github.com:443\r\n\r\n")
        assert answer(sock).status == 200
    _, got = gate.connect("api.github.com:443", runner.key, "")
    assert got.status == 200
    sock = gate.tcp()
    sock.sendall(b"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.buildkite.com:443\r\n\r\n")
    assert answer(sock, "CONNECT").status == 400
    assert len(gate.streams) == 1


def test_the_certificate_is_good_for_the_runs_hosts_alone_and_only_http11_is_offered(gates):
    gate = gates(GITHUB, Source("127.0.0.1", 8443, name="local"))
    runner = gate.runner().hello()
    gate.tls("127.0.0.1", runner, port=8443).close()
    with pytest.raises(ssl.SSLCertVerificationError):
        gate.tls("api.github.com", runner, context=ssl.create_default_context())
    assert "SSL_CERT_FILE" in refused(gate, "tls-untrusted")[0]["sentence"]
    context = runner.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with gate.tls("api.github.com", runner, context=context) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
    context = runner.context()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        gate.tls("api.github.com", runner, context=context)
    context = runner.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with gate.tls("api.github.com", runner, context=context) as sock:
        assert sock.version() == "TLSv1.2"


def test_a_session_is_resumed(gates):
    gate = gates()
    runner = gate.runner().hello()
    context = runner.context()
    with gate.tls("api.github.com", runner, context=context) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: api.github.com\r\n\r\n")
        answer(sock)
        session = sock.session
    raw, _ = gate.connect("api.github.com:443", runner.key)
    with context.wrap_socket(raw, server_hostname="api.github.com", session=session) as sock:
        assert sock.session_reused


def test_base_url_names_the_source_on_port_and_socket(gates):
    gate = gates()
    for sock in (gate.tcp(), gate.unix()):
        sock.sendall(b"GET /buildkite/organizations?page=2 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                     b"Authorization: token psl_1x\r\n\r\nGET /github?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        seen = bytearray()
        assert answer(sock, seen=seen).body.startswith(b"GET /v2/organizations?page=2 source=1 credential=psl_1x\n")
        assert answer(sock, seen=seen).body.startswith(b"GET /?x=1 source=0 ")
        sock.sendall(b"GET /nowhere/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = answer(sock)
        assert got.status == 404 and purser_code(got) == "unknown-source"
        sock.close()


def test_links_to_the_source_stay_in_base_url_mode(gates):
    links = ('<https://api.buildkite.com/v2/x?page=2>; rel="next", <https://api.buildkite.com/v2x>; rel="a", '
             '<https://api.buildkite.com:443/v2>; rel="b"')

    def keeper(stream):
        while stream.request():
            stream.respond(b"x", headers=[("Link", links)])
    gate = gates(keeper=keeper)
    with gate.tcp() as sock:
        sock.sendall(b"GET /buildkite/x HTTP/1.1\r\nHost: 127.0.0.1:99\r\n\r\n")
        assert answer(sock).headers["link"] == (
            '<http://127.0.0.1:99/buildkite/x?page=2>; rel="next", <https://api.buildkite.com/v2x>; rel="a", '
            '<http://127.0.0.1:99/buildkite>; rel="b"')
    runner = gate.runner().hello()
    with gate.tls("api.buildkite.com", runner) as sock:
        sock.sendall(b"GET /v2/x HTTP/1.1\r\nHost: api.buildkite.com\r\n\r\n")
        assert answer(sock).headers["link"] == links


def test_plain_http_through_the_proxy_is_refused_but_reaches_the_gate_itself(gates):
    gate = gates()
    with gate.tcp() as sock:
        sock.sendall(f"GET http://127.0.0.1:{gate.port}/github/x HTTP/1.1\r\nHost: 127.0.0.1:{gate.port}\r\n\r\n".encode())
        assert answer(sock).body.startswith(b"GET /x source=0")
        sock.sendall(b"GET http://api.github.com/x HTTP/1.1\r\nHost: api.github.com\r\n\r\n")
        got = answer(sock)
        assert got.status == 403 and purser_code(got) == "plain-http" and "https://" in got.reason
    assert refused(gate, "plain-http")


def test_an_egress_host_is_tunnelled_untouched_with_half_close(gates):
    listener = socket.create_server(("127.0.0.1", 0))

    def echo_until_end():
        sock, _ = listener.accept()
        total = b""
        while piece := sock.recv(65536):
            total += piece
        sock.sendall(total[::-1])
        sock.close()
    threading.Thread(target=echo_until_end, daemon=True).start()
    gate = gates(egress=[("pypi.org", 443)])
    gate.dial = listener.getsockname()
    runner = gate.runner().hello()
    sock, got = gate.connect("pypi.org:443", runner.key)
    assert got.status == 200
    data = os.urandom(3_000_000)
    threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)), daemon=True).start()
    got = b""
    while piece := sock.recv(65536):
        got += piece
    assert got == data[::-1]
    assert gate.tunnels == [("pypi.org", 443)]


def test_an_egress_host_that_cannot_be_reached_says_so(gates):
    gate = gates(egress=[("pypi.org", 443)])
    with socket.create_server(("127.0.0.1", 0)) as free:
        gate.dial = free.getsockname()
    _, got = gate.connect("pypi.org:443", gate.runner().hello().key)
    assert got.status == 502 and purser_code(got) == "upstream-connect"


def test_only_the_runs_user_gets_leases_and_only_one_runner(gates):
    gate = gates(uid=4242)
    stranger = gate.runner()
    assert ipc.receive(stranger.sock) is None
    gate = gates()
    gate.runner().hello()
    second = gate.runner()
    assert ipc.receive(second.sock) is None


def take(sock, number):
    return [ipc.receive(sock) for _ in range(number)]


def test_outputs_go_to_the_clerk_and_only_plain_readable_files(gates, tmp_path):
    gate = gates(output_bytes=100, output_files=3)
    runner = gate.runner().hello()
    good = tmp_path / "good"
    good.write_text("1\n")
    big = tmp_path / "big"
    big.write_bytes(bytes(200))
    os.mkfifo(tmp_path / "fifo")
    read = os.open(good, os.O_RDONLY)
    runner.output("a/good.dat", read, size=999)
    runner.output("written", os.open(good, os.O_RDWR))
    runner.output("fifo", os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK))
    runner.output("folder", os.open(tmp_path, os.O_RDONLY))
    runner.output("big", os.open(big, os.O_RDONLY))
    for number in range(4):
        runner.output(f"more-{number}", read)
    runner.end(3, 9)
    got = take(gate.clerk, 10)
    kinds = [kind for kind, _ in got]
    assert kinds == [Type.OUTPUT] + [Type.OUTPUT_REFUSED] * 4 + [Type.OUTPUT] * 2 + [Type.OUTPUT_REFUSED] * 2 + [
        Type.RUN_END]
    assert ipc.unpack(got[0][1], "text", "u64") == ["a/good.dat", 2]
    assert ipc.unpack(got[1][1], "text", "text")[1] == "it was not opened for reading only"
    assert ipc.unpack(got[9][1], "i32", "i32", "u8", "u8", "u32") == [3, 0, 0, 0, 3]
    assert ipc.receive(gate.control) == (Type.GATE_FINISHED, got[9][1])
    loaded = pack(("u8", 0), ("u64", 3), ("u64", 0), ("u64", 0), ("u32", 3), ("text", ""))
    ipc.send(gate.clerk, Type.LOADED, loaded)
    assert ipc.receive(runner.sock) == (Type.LOADED, loaded)


@pytest.mark.parametrize("path", ["../x", "/etc/shadow", "a/../b", "a//b", "", "x\0y"])
def test_a_path_that_leaves_the_folder_ends_the_runner(gates, path, tmp_path):
    gate = gates()
    runner = gate.runner().hello()
    (tmp_path / "f").write_text("1")
    runner.output(path, os.open(tmp_path / "f", os.O_RDONLY))
    assert ipc.receive(runner.sock) is None
    kind, payload = ipc.receive(gate.control)
    assert kind == Type.GATE_FINISHED and ipc.unpack(payload, "i32", "i32", "u8", "u8", "u32")[0] == -1


def test_many_outputs_wait_for_a_clerk_that_comes_late(gates, tmp_path):
    gate = gates(output_files=2000)
    runner = gate.runner().hello()
    (tmp_path / "f").write_text("1")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    for number in range(1500):
        runner.output(f"metric-{number}.dat", fd)
    runner.end(0, 1500)
    assert ipc.receive(gate.control)[0] == Type.GATE_FINISHED
    names = []
    while (got := ipc.receive(gate.clerk))[0] == Type.OUTPUT:
        names.append(ipc.unpack(got[1], "text", "u64")[0])
    assert names == [f"metric-{number}.dat" for number in range(1500)] and got[0] == Type.RUN_END


def test_a_runner_that_vanishes_is_reported(gates):
    gate = gates()
    gate.runner().hello().sock.close()
    kind, payload = ipc.receive(gate.control)
    assert kind == Type.GATE_FINISHED and ipc.unpack(payload, "i32", "i32", "u8", "u8", "u32")[0] == -1


def test_the_gate_ends_with_its_supervisor(gates):
    gate = gates()
    gate.control.close()
    assert gate.process.wait(10) == 0


def test_when_the_keeper_is_gone_every_waiting_client_hears_it(gates):
    def keeper(stream):
        request = stream.request()
        if request and "begun" in request.target:
            stream.respond(b"x", length=100, end=False)
        time.sleep(30)
    gate = gates(keeper=keeper)
    waiting, begun = gate.tcp(), gate.tcp()
    waiting.sendall(b"GET /github/waiting HTTP/1.1\r\nHost: localhost\r\n\r\n")
    begun.sendall(b"GET /github/begun HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"\r\n\r\nx" in begun.recv(65536)
    until = time.monotonic() + 5
    while len(gate.streams) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    gate.keeper.shutdown(socket.SHUT_RDWR)
    got = answer(waiting)
    assert got.status == 502 and purser_code(got) == "keeper-gone"
    assert closed(begun)
    kind, payload = ipc.receive(gate.control)
    assert kind == Type.FAULT and b"keeper" in payload
    assert gate.process.wait(10) != 0


def test_256_connections_are_served_and_the_next_waits(gates):
    gate = gates()
    held = [gate.tcp() for _ in range(256)]
    for sock in held[:3]:
        sock.sendall(b"GET /github/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(sock).status == 200
    late = gate.tcp()
    late.sendall(b"GET /github/late HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert not select.select([late], [], [], 0.5)[0]
    held.pop().close()
    assert answer(late).status == 200
