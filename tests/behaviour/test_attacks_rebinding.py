"""The corpus's family of names that lead elsewhere (tests/attacks/rebinding.json), with a resolver and a network of its own.

"answers": what the name server says each time; "asks": [status, code] of each request, each over a connection of its own;
"allow": the source's allowPrivateAddresses. Where no source may ever lie something listens, and must never be connected to.
"""

import os
import socket
import threading

import pytest
from attack_world import StrictUpstream, corpus
from conftest import forget_this_machine
from lab import Answer, Lab
from netns import Network
from promise import run
from resolver import Resolver

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace: as root only")

CASES = corpus("rebinding")
PUBLIC = ["93.184.216.34", "2606:2800:220:1::1"]  # of nobody but this test, in its own network
ALLOWED = "10.9.9.9"
NEVER = ["127.0.0.1", "127.9.9.9", "10.1.2.3", "169.254.169.254", "192.168.7.7", "::1", "fd00:ec2::254"]
SCRIPT = """
from inside import Client, say
for number, asks in enumerate({asks}):
    for _ in range(asks):
        host = f"c{{number}}.test"
        lease = __import__("os").environ[f"T{{number}}"]
        say(number=number, **Client(host).ask(headers=f"Authorization: Bearer {{lease}}\\r\\n").short)
"""


class Trap:
    """Listens where nobody may be connected to."""

    def __init__(self, address):
        self.hits = []
        self.sock = socket.create_server((address, 443), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, peer = self.sock.accept()
            except OSError:
                return
            self.hits.append(peer)
            connection.close()


class ClosingUpstream(StrictUpstream):
    def serve(self, *args):
        super().serve(*args)
        return False  # the next request is a dial of its own


@pytest.fixture(scope="module")
def world(prefix):
    with pytest.MonkeyPatch.context() as patch, Lab(prefix) as lab:
        forget_this_machine(patch)
        network = Network({}, lab.folder, more=[*PUBLIC, ALLOWED, *NEVER], resolver="127.0.0.1")
        lab.within = network.within
        names = [f"c{number}.test" for number in range(len(CASES))]
        answers = {name: case["answers"] for name, case in zip(names, CASES)}
        with network.inside():
            resolver = Resolver({**answers, "inner.test": [["127.0.0.1"]], "outer.test": [[PUBLIC[0]]]})
            traps = [Trap(address) for address in NEVER]
            upstreams = [ClosingUpstream(lab, names, lambda request: Answer(200, b"ok"), address=(address, 443))
                         for address in (PUBLIC[0], ALLOWED)]
        for number, case in enumerate(CASES):
            lab.source(f"s{number}", names[number], tokenEnv=[f"T{number}"], caFile=str(lab.folder / "ca.pem"),
                       allowPrivateAddresses=case.get("allow", []))
        done = run(lab, SCRIPT.format(asks=[len(case["asks"]) for case in CASES]), timeout=200)
        told = {}
        for said in done.said:
            told.setdefault(said["number"], []).append([said["status"], said["code"]])
        yield told, [trap.hits for trap in traps], resolver, done.text[-2000:]
        for one in (*traps, resolver, *upstreams):
            one.close() if hasattr(one, "close") else one.sock.close()
        network.close()


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["case"] for case in CASES])
def test_attack(world, number):
    told, _, resolver, text = world
    assert told.get(number) == CASES[number]["asks"], (CASES[number]["why"], text)
    assert f"c{number}.test" in resolver.asked


def test_nothing_has_connected_to_where_no_source_lies(world):
    assert world[1] == [[]] * len(NEVER)
