"""Rotation of a token in KV 1, which has no check-and-set: what is possible there, against a real OpenBao."""

from promise import new_token, wait_until
from providers import BUILDKITE
from rotate_world import bao_server, kv1  # noqa: F401  (fixtures)


def test_a_token_in_kv_1_is_replaced_and_what_lies_beside_it_stays(kv1):
    done = kv1.rotate("--wait", "0")
    assert done.status == 0, done.err
    kv1.check_ended(kv1.new)


def test_of_two_that_have_both_found_the_lock_free_one_does_it(kv1):
    """Slowed down before what they send, so that both have read before either writes."""
    slow = ["strace", "-f", "-qq", "-e", "trace=sendto", "-e", "inject=sendto:delay_enter=700000:when=1..9", "-o", "/dev/null"]
    two = [kv1.start("--wait", "0", before=slow) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in two]
    assert sorted(process.returncode for process in two) == [0, 1], said
    assert len([text for text in said if "is being rotated by process" in text]) == 1, said
    kv1.check_ended(kv1.new)


def test_one_that_was_killed_is_taken_over_from_another_machine(kv1):
    first = kv1.start("--wait", "60s")
    wait_until(lambda: kv1.current() == kv1.new)
    first.kill()
    first.wait()
    (kv1.lab.state / "rotate/ci.journal").unlink()
    assert "wait for it to end" in kv1.rotate("--resume").err
    kv1.age()
    done = kv1.rotate("--abort", "--wait", "0")
    assert done.status == 0, done.err
    kv1.check_ended(kv1.old)


def test_what_somebody_writes_meanwhile_is_not_overwritten(kv1):
    kv1.api.mishap = "500"
    assert kv1.rotate("--wait", "0").status == 1
    third = new_token()
    kv1.api.add(third)
    kv1.put(token=third)
    done = kv1.rotate("--resume")
    assert done.status == 1 and "somebody has set it meanwhile" in done.err, done.err
    assert kv1.rotate("--abort").status == 0 and kv1.current() == third
    kv1.nothing_staged()


def test_revoke_leaves_its_mark(kv1):
    done = kv1.rotate(command="revoke")
    assert done.status == 0, done.err
    left = kv1.read(kv1.main)
    assert left.pop("token.purser-revoked").startswith("20") and left == {"hosts": BUILDKITE, "other": "stays as it is"}
    assert kv1.api.tokens == {kv1.new: kv1.api.tokens[kv1.new]}
    kv1.nothing_staged()


def test_dry_run_says_what_the_policy_lacks_and_what_is_no_kv_1_is_not_read(kv1):
    assert kv1.rotate("--dry-run").status == 0
    kv1.bao.policy("writer-api", **{**kv1.rights(), kv1.side_path: ["read"]})
    done = kv1.rotate("--dry-run")
    assert done.status == 1 and f'no "create" on {kv1.side_path}, and no "update" on {kv1.side_path}' in done.err, done.err
    kv1.bao.call("POST", "sys/mounts/database", {"type": "database"})
    kv1.bao.policy("writer-api", **{"database/creds/ci": ["read"]})
    kv1.lab.sources["ci"]["token"]["vault"]["path"] = "database/creds/ci"
    kv1.lab.write()
    before = len(kv1.bao.seen("database/creds/ci"))
    for args in ((), ("--dry-run",)):
        done = kv1.rotate(*args)
        assert done.status == 1 and "is no secret of a KV engine" in done.err, done.err
    assert len(kv1.bao.seen("database/creds/ci")) == before, "reading it would have made credentials"
