"""Promises 1, 2 and 4 with stores: token, secret id, wrapping token, JWT, private key and minted token are searched for in the
memory of every process while connections are open, and in all files and logs afterwards: no 16 bytes of any of them."""
import json
import os
import signal
import subprocess

import pytest
import test_minted
import test_vault
from bao import Bao
from hunt import Memory, needles, search_files
from lab import Answer
from promise import HOST, as_root, below, new_token, said, wait_until, with_inside
from test_promise_01_02_04_hunt import POLICY, Told

SCRIPT = """
from inside import *
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
client = Client()
for n in range(200):
    reply = client.ask("/echo/%d" % (n % 40))
    assert reply.status == 200, reply
say(done=1)
signal.sigwait({signal.SIGUSR1})
"""


@pytest.fixture(scope="module")
def server():
    made = Bao()
    made.kv()
    made.policy("purser", **{"secret/data/ci/*": ["read"]})
    yield made
    made.close()


def hunt(lab, canaries):
    """canaries() is asked once the last answer is there: {what: text}."""
    lab.policy("hunt", POLICY)
    with_inside(lab, "script")
    lab.retriever("script", SCRIPT, sources=["api"], policy="hunt")
    process = lab.start("run", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    told, memory = Told(process), Memory()
    wait_until(lambda: told.has("done") or process.poll() is not None, 60, "the last answer")
    assert told.has("done"), told.text
    processes = below(process.pid)
    assert "purser-keeper" in processes.values()
    wanted = {what: needles(text) for what, text in canaries().items()}
    keeper = next(pid for pid, name in processes.items() if name == "purser-keeper")
    assert memory.search(keeper, {HOST.encode(): "host"}), "the search finds what is there"
    found = [(name, what, *hit[:2]) for pid, name in processes.items() for what, one in wanted.items()
             for hit in Memory().search(pid, one)]
    script = next(pid for pid, name in processes.items() if name == "script")
    os.kill(script, signal.SIGUSR1)
    assert process.wait(60) == 0, told.text
    told.thread.join(10)
    assert found == []
    for what, one in wanted.items():
        assert search_files(lab.state, one)[0] == [], what
        assert not [needle for needle in one if needle in told.text.encode()], what


@pytest.mark.plain
@as_root
def test_nothing_of_a_wrapped_secret_id_or_the_token_is_left(lab, server):
    server.token_of_ci = new_token()
    server.put("ci/api", token=server.token_of_ci)
    lab.upstream(HOST, lambda request: Answer(200, request.header("Authorization").encode()))
    test_vault.source(lab, server)
    role, _ = server.approle()
    wrapping = server.wrapped("auth/approle/role/purser/secret-id")
    test_vault.vault(lab, server, {"approle": {"roleId": role, "wrapped": True, "secretId": {
        "file": test_vault.secret_file(lab, "wrapping", wrapping)}}}, refresh="1s", maxStale="60s")
    hunt(lab, lambda: {"token": server.token_of_ci, "wrapping token": wrapping})


@pytest.mark.plain
@as_root
def test_nothing_of_a_secret_id_is_left(lab, server):
    server.token_of_ci = new_token()
    server.put("ci/api", token=server.token_of_ci)
    test_vault.source(lab, server)
    test_vault.approle(lab, server)
    hunt(lab, lambda: {"token": server.token_of_ci, "secret id": lab.secret_id})


@pytest.mark.plain
@as_root
def test_nothing_of_a_jwt_is_left(lab, server):
    server.token_of_ci = new_token()
    server.put("ci/api", token=server.token_of_ci)
    test_vault.source(lab, server)
    jwt = test_vault.signed(lab, aud="vault")
    test_vault.jwt_login(lab, server, jwt)
    hunt(lab, lambda: {"token": server.token_of_ci, "signature": jwt.split(".")[2]})


@pytest.mark.plain
@as_root
def test_nothing_of_a_private_key_or_what_it_minted_is_left(lab):
    keys = test_minted.Keys(lab, "rsa")
    github = test_minted.GitHub(lab, keys)
    test_minted.app(lab, keys)
    key = "".join(line for line in keys.private.read_text().splitlines() if "-----" not in line)
    private = subprocess.run(["openssl", "rsa", "-in", keys.private, "-noout", "-text"], capture_output=True, text=True,
                             check=True).stdout
    exponent = bytes.fromhex("".join(private.split("privateExponent:")[1].split("prime1")[0].split()).replace(":", ""))
    hunt(lab, lambda: {"minted token": github.minted[0], "private key, as PEM": key[400:1200],
                       "private exponent": exponent[10:74].decode("latin-1").encode("latin-1")})


@pytest.mark.plain
@as_root
def test_nothing_of_an_oauth_secret_is_left(lab):
    secret = new_token(40)
    server = test_minted.Oauth(lab, secret=secret)
    lab.write()
    assert lab.purser("token", "set", "client", stdin=secret).status == 0
    test_minted.oauth(lab, server.url, clientSecret={"keyring": "client"})
    hunt(lab, lambda: {"minted token": server.issued[0], "client secret": secret})
