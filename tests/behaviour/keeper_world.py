"""What the keeper's tests share: `world(script)` is a scripted upstream behind the real keeper."""

import pytest
from keeper_driver import Keeper, Source
from upstream import Authority, Upstream

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
