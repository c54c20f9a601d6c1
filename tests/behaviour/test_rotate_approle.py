"""Rotation of purser's own login to Vault: an AppRole's secret id, made, proven by a login, and destroyed by a real OpenBao."""

import json
import os
import signal
import subprocess
import time

import pytest
from bao import Refused
from hunt import Memory, needles, search_files
from lab import Answer
from promise import new_token, wait_until
from providers import BUILDKITE
from rotate_world import bao_server, killed_at  # noqa: F401  (a fixture)

RIGHTS = {"auth/approle/role/purser/secret-id": ["update"], "auth/approle/role/purser/secret-id/destroy": ["update"]}


class LoginRotation:
    new = ""  # Vault makes it

    def __init__(self, lab, bao, place):
        self.lab, self.bao, self.place = lab, bao, place
        self.token = new_token()
        bao.kv()
        bao.put("ci/api", token=self.token)
        bao.policy("agent", **{"secret/data/ci/api": ["read"]})
        bao.policy("rotator", **RIGHTS)
        self.role, self.old = bao.approle(policy="agent")
        self.file = lab.folder / "secret-id"
        self.file.write_text(self.old + "\n")
        self.file.chmod(0o600)
        writer = lab.folder / "writer"
        writer.write_text(bao.call("POST", "auth/token/create", {"policies": ["rotator"], "ttl": "1h"})["auth"]["client_token"])
        writer.chmod(0o600)
        self.asked = []
        lab.upstream(BUILDKITE, self.answer)
        lab.source("ci", BUILDKITE, token=None, provider="buildkite")
        lab.sources["ci"]["token"] = {"vault": {"path": "secret/data/ci/api", "key": "token"}}
        secret = {"file": str(self.file)} if place == "file" else {"keyring": "vault"}
        if place == "keyring":
            assert lab.purser("token", "set", "vault", stdin=self.old).status == 0
        settings = {"address": bao.address, "caFile": str(bao.ca), "refresh": "1s",
                    "auth": {"approle": {"roleId": self.role, "secretId": secret}}}
        lab.more = f"vault: {json.dumps(settings)}\n"
        lab.retriever("ask", sources=["ci"], script="""
            import os, sys, time, urllib.request
            for _ in range(int(os.environ.get("TIMES", "1"))):
                urllib.request.urlopen(urllib.request.Request("https://api.buildkite.com/v2/organizations", headers={
                    "Authorization": "Bearer " + os.environ["BUILDKITE_TOKEN"]}))
                time.sleep(.02)
            """)
        lab.write()

    def answer(self, request):
        alive = request.header("Authorization") == f"Bearer {self.token}"
        self.asked.append(200 if alive else 401)
        return Answer(self.asked[-1], b"[]")

    def words(self, *args, command="rotate"):
        words = self.lab.words(command, "--vault-login", "--vault-token", self.lab.folder / "writer", *args)
        return [str(word) for word in words]

    def rotate(self, *args, command="rotate"):
        return subprocess.run(self.words(*args, command=command), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, cwd=self.lab.folder)

    def works(self, secret):
        try:
            self.bao.call("POST", "auth/approle/login", {"role_id": self.role, "secret_id": secret})
            return True
        except Refused:
            return False

    def secrets(self):
        try:
            return self.bao.call("LIST", "auth/approle/role/purser/secret-id")["data"]["keys"]
        except Refused:
            return []

    def check(self):
        """One secret id lives, and a run logs in with what lies there."""
        assert len(self.secrets()) == 1
        assert self.lab.purser("run", "ask").status == 0 and set(self.asked) == {200}


@pytest.fixture(params=["file", "keyring"])
def login(lab, bao_server, request):
    yield LoginRotation(lab, bao_server, request.param)
    bao_server.reset()


@pytest.fixture
def in_file(lab, bao_server):
    yield LoginRotation(lab, bao_server, "file")
    bao_server.reset()


def test_a_new_secret_id_is_proven_by_a_login_and_the_old_one_is_destroyed(login):
    dry = login.rotate("--dry-run")
    assert dry.returncode == 0 and "account purser" in dry.stdout and len(login.secrets()) == 1, dry.stderr
    before = len(login.bao.accessors())
    done = login.rotate()
    assert done.returncode == 0, done.stderr
    assert not login.works(login.old)
    assert len(login.bao.accessors()) == before, "each proof's login was given back"
    login.check()
    if login.place == "file":
        new = login.file.read_text().strip()
        assert new != login.old and login.works(new)
        assert search_files(login.lab.state, needles(login.old) | needles(new))[0] == []


@pytest.mark.long
def test_a_purser_that_runs_goes_on(in_file):
    in_file.lab.retrievers[0]["env"] = [{"name": "TIMES", "value": "500"}]
    in_file.lab.write()
    load = in_file.lab.start("run", "ask")
    wait_until(lambda: len(in_file.asked) > 5)
    done = in_file.rotate()
    assert done.returncode == 0, done.stderr
    mark = len(in_file.asked)  # then as when its login's time is over: it logs in again
    for accessor in in_file.bao.accessors():
        if in_file.bao.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]["path"] == "auth/approle/login":
            in_file.bao.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    assert load.wait(180) == 0 and len(in_file.asked) > mark and set(in_file.asked) == {200}


def test_dry_run_says_what_the_policy_lacks(in_file):
    in_file.bao.policy("rotator", **{"auth/approle/role/purser/secret-id": ["update"]})
    done = in_file.rotate("--dry-run")
    assert done.returncode == 1 and 'no "update" on auth/approle/role/purser/secret-id/destroy' in done.stderr, done.stderr
    in_file.bao.policy("rotator", **{"sys/health": ["read"]})
    done = in_file.rotate()
    assert done.returncode == 1 and "Vault answered 403 for auth/approle/role/purser/secret-id" in done.stderr, done.stderr
    assert in_file.works(in_file.old) and len(in_file.secrets()) == 1


@pytest.mark.parametrize("way", ["--resume", "--abort"])
def test_killed_and_gone_on_with(in_file, way):
    """Each call to Vault is a send. One secret id that works lies there; one that nobody knows of may live on in Vault."""
    places = 0
    for number in (3, 7, 11, 15, 19, 23):
        before = in_file.file.read_text().strip()
        if not killed_at(in_file, "sendto", number, "--wait", "0"):
            break
        places += 1
        done = in_file.rotate(way, "--wait", "0")
        assert done.returncode == 0 or way == "--abort" or "no rotation of --vault-login is under way" in done.stderr, done.stderr
        now = in_file.file.read_text().strip()
        assert in_file.works(now), done.stderr
        assert now == before or not in_file.works(before)
        assert not list(in_file.lab.folder.glob("secret-id.purser-[now]*"))
    assert places > 2


def test_revoked_it_is_dead_and_its_tokens_are_read_no_more(in_file):
    done = in_file.rotate(command="revoke")
    assert done.returncode == 0, done.stderr
    assert not in_file.works(in_file.old) and in_file.file.read_text().startswith("purser-revoked ")
    refused = in_file.lab.purser("run", "ask")
    assert refused.status == 5 and "was revoked at 20" in refused.text, refused.text


@pytest.mark.plain
def test_in_the_middle_its_memory_holds_no_secret_id(in_file):
    process = subprocess.Popen(in_file.words("--wait", "20s"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               cwd=in_file.lab.folder)
    in_file.lab.processes.append(process)
    wait_until(lambda: in_file.file.read_text().strip() != in_file.old)
    time.sleep(1)
    wanted = needles(in_file.old) | needles(in_file.file.read_text().strip()) | needles((in_file.lab.folder / "writer").read_text())
    memory = Memory()
    os.kill(process.pid, signal.SIGSTOP)
    hits = memory.search(process.pid, wanted)
    os.kill(process.pid, signal.SIGCONT)
    assert memory.bytes > 1 << 20 and hits == [], hits
    process.kill()
    process.wait()
    assert in_file.rotate("--resume", "--wait", "0").returncode == 0
    in_file.check()


def test_what_is_no_approle_login_is_told(in_file):
    in_file.lab.more = in_file.lab.more.replace('"approle": {', '"approle": {"wrapped": true, ')
    in_file.lab.write()
    done = in_file.rotate()
    assert done.returncode == 2 and "wrapped" in done.stderr, done.stderr
    assert in_file.lab.purser("rotate", "ci", "--vault-login").status == 2
