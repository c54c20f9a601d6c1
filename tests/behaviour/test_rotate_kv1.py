"""Rotation of a token in KV 1, which has no check-and-set: what is possible there, against a real OpenBao."""

import pytest
from bao import Bao, Refused
from promise import new_token, wait_until
from providers import BUILDKITE
from test_rotate_vault import VaultRotation

MAIN, SIDE, LOCK = "kv/ci/api", "kv/ci/api.purser-rotation", "kv/ci/api.purser-lock"
WRITER = {MAIN: ["read", "update"], SIDE: ["create", "read", "update", "delete"], LOCK: ["create", "read", "update", "delete"]}


@pytest.fixture(scope="module")
def server():
    made = Bao()
    yield made
    made.close()


class Kv1Rotation(VaultRotation):
    main, rights = MAIN, WRITER

    def mount(self):
        self.bao.kv(version=1, mount="kv")

    def put(self, **data):
        self.bao.call("POST", MAIN, data)

    def read(self, path):
        try:
            return self.bao.call("GET", path)["data"]
        except Refused as refused:
            assert refused.status == 404
            return None

    def side(self):
        return self.read(LOCK)

    def current(self):
        return self.read(MAIN).get("token")

    def age(self):
        data = self.read(LOCK)
        if data and data["holder"]:
            self.bao.call("POST", LOCK, {**data, "beat": str(int(data["beat"]) - 120_000_000)})

    def nothing_staged(self):
        assert self.read(SIDE) is None and (self.read(LOCK) or {"holder": ""})["holder"] == ""

    def check_ended(self, kept):
        assert self.read(MAIN) == {"token": kept, "hosts": BUILDKITE, "other": "stays as it is"}
        assert list(self.api.tokens) == [kept]
        self.nothing_staged()
        text = (self.lab.state / "rotate/ci.journal").read_text() + self.read(LOCK)["journal"]
        assert self.old[:8] not in text and self.new[:8] not in text


@pytest.fixture
def kv1(lab, server):
    yield Kv1Rotation(lab, server)
    server.reset()


def test_a_token_in_kv_1_is_replaced_and_what_lies_beside_it_stays(kv1):
    done = kv1.rotate("--wait", "0")
    assert done.returncode == 0, done.stderr
    kv1.check_ended(kv1.new)


def test_of_several_at_once_one_does_it(kv1):
    several = [kv1.start("--wait", "0") for _ in range(3)]
    said = [process.communicate(timeout=60)[1] for process in several]
    assert [process.returncode for process in several].count(0) == 1, said
    assert len([text for text in said if "is being rotated by process" in text]) == 2, said
    kv1.check_ended(kv1.new)


def test_one_that_was_killed_is_taken_over_from_another_machine(kv1):
    first = kv1.start("--wait", "60s")
    wait_until(lambda: kv1.current() == kv1.new)
    first.kill()
    first.wait()
    (kv1.lab.state / "rotate/ci.journal").unlink()
    assert "wait for it to end" in kv1.rotate("--resume").stderr
    kv1.age()
    done = kv1.rotate("--abort", "--wait", "0")
    assert done.returncode == 0, done.stderr
    kv1.check_ended(kv1.old)


def test_what_somebody_writes_meanwhile_is_not_overwritten(kv1):
    kv1.api.mishap = "500"
    assert kv1.rotate("--wait", "0").returncode == 1
    third = new_token()
    kv1.api.add(third)
    kv1.put(token=third)
    done = kv1.rotate("--resume")
    assert done.returncode == 1 and "somebody has set it meanwhile" in done.stderr, done.stderr
    assert kv1.rotate("--abort").returncode == 0 and kv1.current() == third
    kv1.nothing_staged()


def test_revoke_leaves_its_mark(kv1):
    done = kv1.rotate(command="revoke")
    assert done.returncode == 0, done.stderr
    left = kv1.read(MAIN)
    assert left.pop("token.purser-revoked").startswith("20") and left == {"hosts": BUILDKITE, "other": "stays as it is"}
    assert kv1.api.tokens == {kv1.new: kv1.api.tokens[kv1.new]}
    kv1.nothing_staged()


def test_dry_run_says_what_the_policy_lacks_and_what_is_no_kv_1_is_not_read(kv1):
    assert kv1.rotate("--dry-run").returncode == 0
    kv1.bao.policy("writer", **{**WRITER, LOCK: ["read"]})
    done = kv1.rotate("--dry-run")
    assert done.returncode == 1 and f'no "create" on {LOCK}, and no "update" on {LOCK}' in done.stderr, done.stderr
    kv1.bao.call("POST", "sys/mounts/database", {"type": "database"})
    kv1.bao.policy("writer", **{"database/creds/ci": ["read"]})
    kv1.lab.sources["ci"]["token"]["vault"]["path"] = "database/creds/ci"
    kv1.lab.write()
    before = len(kv1.bao.seen("database/creds/ci"))
    for args in ((), ("--dry-run",)):
        done = kv1.rotate(*args)
        assert done.returncode == 1 and "is no secret of a KV engine" in done.stderr, done.stderr
    assert len(kv1.bao.seen("database/creds/ci")) == before, "reading it would have made credentials"
