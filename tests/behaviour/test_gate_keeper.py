"""The real gate and the real keeper together, from a client's CONNECT to an upstream that demands the real token."""

from pathlib import Path

import pytest

import keeper_driver
from gate_driver import Gate, Source, answer
from upstream import Authority, Upstream, serve

TOKEN = b"ghp_0123456789abcdefABCDEF0123456789abcd"


@pytest.fixture
def whole(tmp_path):
    authority = Authority(Path(tmp_path) / "ca")
    upstream = Upstream(serve(lambda connection: connection.answer(b'{"login": "me"}')), *authority.leaf("api.github.com"))
    keeper = keeper_driver.Keeper([keeper_driver.Source("api.github.com", 443, token=TOKEN, ca=authority.bundle,
                                                        connect_to=f"127.0.0.1:{upstream.port}")])
    run = keeper.run()
    gate = Gate([Source("api.github.com")], keeper=run.gate)
    run.gate.close()
    yield gate, upstream
    gate.stop()
    keeper.stop()
    upstream.close()


def test_the_lease_goes_in_and_the_real_token_comes_out_at_the_upstream(whole):
    gate, upstream = whole
    runner = gate.runner().hello()
    lease = runner.env["GITHUB_TOKEN"]
    with gate.tls("api.github.com", runner) as sock:
        for _ in range(3):
            sock.sendall(f"GET /user HTTP/1.1\r\nHost: api.github.com\r\nAuthorization: Bearer {lease}\r\n\r\n".encode())
            got = answer(sock)
            assert (got.status, got.body) == (200, b'{"login": "me"}')
    assert len(upstream.heads) == 3 and upstream.connections == 1
    for head in upstream.heads:
        assert f"Bearer {TOKEN.decode()}" in head and lease not in head
    assert TOKEN.decode() not in str(runner.env)


def test_without_its_lease_a_request_reaches_no_upstream(whole):
    gate, upstream = whole
    runner = gate.runner().hello()
    with gate.tls("api.github.com", runner) as sock:
        for credential in ("", "Authorization: Bearer ghp_wrong\r\n", "Authorization: Bearer psl_1AAAA\r\n"):
            sock.sendall(f"GET /user HTTP/1.1\r\nHost: api.github.com\r\n{credential}\r\n".encode())
            got = answer(sock)
            assert got.status in (401, 403) and got.headers["x-purser-error"]
    assert upstream.heads == []
