"""`purser rotate --vault-auth`: a rotation that logs in to a real OpenBao by a JWT, with a role of its own, as a Job does."""
import json
import os
import re
import signal

import pytest
from hunt import Memory, needles, search_files
from promise import wait_until
from rotate_world import VaultRotation, bao_server  # noqa: F401  (a fixture)
from test_vault import secret_file, signed


class JobRotation(VaultRotation):
    """Its purser.yaml is the Job's own: `auth:` is the rotation's role."""

    def log_in_by(self, jwt, policy="writer", **role):
        self.jwt, bao = jwt, self.bao
        bao.call("POST", "sys/auth/jwt", {"type": "jwt"})
        bao.call("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [(self.lab.folder / "jwt.pub").read_text()]})
        bao.call("POST", "auth/jwt/role/rotate", {"role_type": "jwt", "bound_audiences": ["vault"], "user_claim": "sub",
                                                  "token_policies": f"{policy}-{self.name}", **role})
        settings = {"address": bao.address, "caFile": str(bao.ca), "refresh": "4s",
                    "auth": {"jwt": {"role": "rotate", "jwt": {"file": secret_file(self.lab, "jwt", jwt)}}}}
        self.lab.more = f"vault: {json.dumps(settings)}\n"
        self.lab.write()
        self.before = len(bao.seen())

    def words(self, *args, **more):
        return super().words(*args, login=["--vault-auth"], **more)

    def calls(self):
        return [path for _, path in self.bao.seen()[self.before:]]


@pytest.fixture
def job(lab, bao_server):
    made = JobRotation(lab, bao_server)
    for accessor in bao_server.accessors():  # the person's, which this is not about
        bao_server.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    yield made
    bao_server.reset()


def test_a_role_of_its_own_logs_in_and_gives_the_login_back(job):
    job.log_in_by(signed(job.lab, aud="vault"))
    assert job.rotate("--dry-run").status == 0 and job.current() == job.old
    done = job.rotate()
    assert done.status == 0, done.err
    job.check_ended(job.new)
    assert job.calls().count("auth/jwt/login") == 2 and job.calls().count("auth/token/revoke-self") == 2
    assert job.bao.accessors() == []
    parts = needles(job.jwt.split(".")[2])
    assert search_files(job.lab.state, parts)[0] == []
    assert not any(needle in (done.out + done.err).encode() for needle in parts)


@pytest.mark.long
def test_a_login_that_ends_before_the_rotation_does_is_made_anew(job):
    job.log_in_by(signed(job.lab, aud="vault"), token_ttl="6s", token_max_ttl="6s")
    done = job.rotate("--wait", "25s")
    assert done.status == 0, done.err
    job.check_ended(job.new)
    assert job.calls().count("auth/jwt/login") >= 2
    assert job.bao.accessors() == [], "each of them was given back, or is over"


@pytest.mark.plain
def test_in_the_middle_its_memory_holds_neither_the_jwt_nor_the_login(job):
    job.log_in_by(signed(job.lab, aud="vault"))
    process = job.start("--wait", "60s")
    wait_until(lambda: job.current() == job.new and "auth/jwt/login" in job.calls())
    login = re.compile(rb"\b" + re.escape(job.bao.root[:2].encode()) + rb"[A-Za-z0-9]{22,}")
    assert login.fullmatch(job.bao.root.encode()), "what its tokens look like"
    parts, memory = needles(job.jwt.split(".")[2]), Memory()
    os.kill(process.pid, signal.SIGSTOP)
    hits = [(name, form) for _, name, data in memory.mappings(process.pid)
            for form in [form for needle, form in parts.items() if needle in data] + ["a login"] * len(login.findall(data))]
    os.kill(process.pid, signal.SIGCONT)
    assert memory.bytes > 1 << 20 and hits == [], hits
    process.kill()
    process.wait()


def test_a_role_that_can_only_read_changes_nothing(job):
    job.log_in_by(signed(job.lab, aud="vault"), policy="agent")
    done = job.rotate("--dry-run")
    assert done.status == 1 and "policy of this login allows no" in done.err, done.err
    done = job.rotate()
    assert done.status == 1 and "Vault answered 403" in done.err, done.err
    assert job.current() == job.old and job.api.revoked == []


def test_a_login_that_vault_does_not_take_is_a_sentence_with_what_to_do(job):
    job.log_in_by(signed(job.lab, aud="vault"), bound_claims={"team": "another"})
    done = job.rotate()
    assert done.status == 1 and "does not take this login for the role rotate" in done.err and \
        "bind auth/jwt/role/rotate to" in done.err, done.err
    assert job.jwt.split(".")[2] not in done.err and job.current() == job.old


@pytest.mark.parametrize("claims", [{"aud": ["vault", "https://issuer.test"]}, {"aud": "vault", "iss": "vault"}, {}])
def test_a_jwt_that_could_be_used_elsewhere_is_never_sent(job, claims):
    job.log_in_by(signed(job.lab, **claims))
    done = job.rotate()
    assert done.status == 1 and "so it" in done.err and "is not sent" in done.err.replace("\n", " "), done.err
    assert job.calls() == [] and job.jwt not in done.err


def test_there_is_one_way_in_at_a_time_and_it_must_be_one_by_a_jwt(job):
    done = job.rotate("--vault-token", "/nonexistent")
    assert done.status == 2 and "say one of them" in done.err, done.err
    done = job.rotate()  # its purser.yaml says approle still
    assert done.status == 2 and "by `kubernetes` or `jwt`, with a JWT of a file" in done.err, done.err
