"""The real gate and the real keeper under what becomes of real clients' requests by mutation: nothing crashes, nothing hangs,
the upstream never sees a request that a strict parser reads differently, and the token never comes back.

PURSER_SEEDS and PURSER_MUTATIONS (of each seed) for longer runs by hand.
"""

import base64
import os
import re
import socket
import ssl
import time

import keeper_driver
import pytest
from attack_world import StrictUpstream
from conftest import forget_this_machine
from garbage import SEEDS
from gate_driver import Gate, Source
from lab import Answer, Lab
from promise import new_token
from readers import READERS, read_strictly
from traffic import HOSTS, PLACE, Mutations, record

MUTATIONS = int(os.environ.get("PURSER_MUTATIONS", "2000"))
PATIENCE = 8  # s, for an answer; nothing here takes one
HOST = "api.test"
TOKEN = new_token()


@pytest.fixture(scope="module")
def world(prefix, clients):
    """Recorded requests, and gate and keeper over an upstream that echoes what it got, token and all."""
    with pytest.MonkeyPatch.context() as patch, Lab(prefix) as lab:
        forget_this_machine(patch)
        raw, connects = record(lab, clients)

        def echo(request):
            text = "\n".join(f"{name}: {value}" for name, value in request.headers)
            return Answer(200, text.encode() + request.body, {"X-Echo": request.header("Authorization") or ""})

        upstream = StrictUpstream(lab, [HOST], echo)
        keeper = keeper_driver.Keeper([keeper_driver.Source(HOST, 443, token=TOKEN.encode(), ca=lab.folder / "ca.pem", name="api",
                                                            connect_to=f"127.0.0.1:{upstream.port}")], budget=(0, 0, 0, 10**9, 0))
        run = keeper.run()
        gate = Gate([Source(HOST, name="api", token_env=("API_TOKEN",))], keeper=run.gate)
        run.gate.close()
        lab.gate, lab.keeper, lab.seen, lab.runner = gate, keeper, upstream, gate.runner().hello()
        lab.lease = lab.runner.env["API_TOKEN"]
        lab.recorded = [ready(data, lab.lease) for data in raw]
        lab.connects = [data.replace(b"K" * 43, lab.runner.key.encode()) for data in connects]
        yield lab
        status = gate.stop(), keeper.stop()
        assert status[0] == 0, "the gate came to an end of its own"
        upstream.close()


def ready(data, lease):
    """A recorded request for this run: its lease, its host; by the base URL it is /api/... ."""
    for host in HOSTS:
        data = data.replace(b"Host: " + host.encode(), b"Host: " + HOST.encode())
    data = re.sub(rb"(?m)^Authorization: Basic \S+", b"Authorization: Basic " + base64.b64encode(b"me:" + lease.encode()), data)
    return data.replace(PLACE.encode(), lease.encode())


def by_base(data):
    return re.sub(rb"\A(\S+) /", rb"\1 /api/", data)


def talk(sock, data):
    """Everything that comes back until the end, which comes in time."""
    sock.settimeout(PATIENCE)
    got = b""
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65536):
            got += piece
    except (ConnectionError, BrokenPipeError):
        pass  # refused in the middle of what was sent
    finally:
        sock.close()
    return got


def judged(world, got, data, seed):
    assert TOKEN.encode() not in got and base64.b64encode(TOKEN.encode())[:-4] not in got, (seed, data)
    assert world.gate.process.poll() is None and world.keeper.process.poll() is None, (seed, data)
    assert not world.seen.faults, (seed, data)
    assert re.match(rb"HTTP/1\.1 \d{3} ", got) or not got, (seed, data, got[:200])


def test_the_clients_were_recorded(world):
    agents = b" ".join(world.recorded).lower()
    for name in (b"pygithub", b"python-requests", b"curl/", b"git/", b"transfer-encoding: chunked", b"multipart/form-data", b"/graphql"):
        assert name in agents, name
    assert len(world.recorded) > 20 and len(world.connects) > 15


def test_what_was_recorded_goes_through(world):
    """So that the mutations begin at something that works."""
    statuses = [talk(world.gate.unix(), by_base(data))[9:12] for data in world.recorded]
    assert statuses.count(b"200") >= len(statuses) - 4, statuses  # OPTIONS and the like are refused


@pytest.mark.parametrize("seed", SEEDS)
def test_requests(world, seed):
    """By the proxy's port and the run's socket, half closed behind them."""
    mutations, began = Mutations(seed, world.recorded), time.monotonic()
    for number in range(MUTATIONS):
        data = by_base(mutations.one())
        sock = world.gate.unix() if number % 2 else world.gate.tcp()
        judged(world, talk(sock, data), data, seed)
    print(f"seed {seed}: {MUTATIONS} in {time.monotonic() - began:.1f} s, {len(world.seen.requests)} arrived so far")


@pytest.mark.parametrize("seed", SEEDS)
def test_connects(world, seed):
    """The heads that come before TLS: whoever gets a tunnel got it for the source's own host."""
    own = [re.sub(rb"[\w.]+:443", b"api.test:443", head) for head in world.connects]
    mutations = Mutations(seed, own + world.connects)
    for _ in range(MUTATIONS // 4):
        data = mutations.one()
        got = talk(world.gate.tcp(), data)
        judged(world, got, data, seed)
        if re.match(rb"HTTP/1\.1 200", got) and data.startswith(b"CONNECT"):
            assert re.match(rb"CONNECT (api\.test|127\.0\.0\.1)\.?:\d+ ", data, re.IGNORECASE), data


@pytest.mark.parametrize("seed", SEEDS)
def test_requests_within_tls(world, seed):
    """Where the Host is compared with the CONNECT's. Behind each comes a last request; who swallows it is not waited for."""
    mutations, context = Mutations(seed, world.recorded), world.runner.context()
    last = b"GET /x HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"
    for _ in range(MUTATIONS // 16):
        data, got = mutations.one(), b""
        with world.gate.tls(HOST, world.runner, context=context) as sock:
            sock.settimeout(0.3)
            try:
                sock.sendall(data + last)
                while piece := sock.recv(65536):
                    got += piece
            except (TimeoutError, ssl.SSLError, ConnectionError):
                pass
        judged(world, got, data, seed)


def test_all_that_arrived_had_the_token_alone(world):
    assert len(world.seen.requests) > 50
    for request in world.seen.requests:
        assert request.header("Authorization") == f"Bearer {TOKEN}" and request.header("Host") == HOST, request
        assert request.target.startswith("/")


@pytest.mark.parametrize("reader", READERS)
def test_all_that_arrived_is_read_by_others_as_by_us(world, reader, tmp_path, clients):
    with READERS[reader](tmp_path, clients) as read:
        for raw in dict.fromkeys(world.seen.raw):
            ours, theirs = read_strictly(raw), read(raw)
            for one in ours if reader == "nginx" else ():
                one.headers = None
            assert theirs == ours and len(ours) == 2, raw[:3000]
