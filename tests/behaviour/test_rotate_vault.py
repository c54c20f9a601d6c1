"""Rotation of a token in KV 2 of a real OpenBao: check-and-set, the lock in the store, agents that can only read."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from bao import Refused
from hunt import Memory, needles, search_files
from promise import new_token, stopped_at, wait_until
from providers import BUILDKITE, Gitlab
from rotate_world import VaultRotation, bao_server, rotate_under_load, start_load, vault  # noqa: F401  (fixtures)


def test_it_is_written_with_check_and_set_and_agents_see_it_without_a_failed_request(vault):
    load = start_load(vault.lab, 20, n=2)
    wait_until(lambda: len(vault.api.used) > 20)
    done = vault.rotate()
    assert done.status == 0, done.err
    mark = len(vault.api.used)
    assert load.wait(60) == 0, (vault.lab.folder / "load.log").read_text()
    assert {status for _, status in vault.api.used} == {200}
    assert vault.api.used[0][0] == vault.old and {token for token, _ in vault.api.used[mark:]} == {vault.new}
    vault.check_ended(vault.new)
    writes = [entry for entry in (json.loads(line) for line in vault.bao.audit_path.read_text().splitlines())
              if entry["type"] == "request" and entry["request"]["operation"] in ("create", "update")
              and entry["request"]["path"] == vault.main]
    assert writes[-1]["request"]["data"].get("options"), "with a version to check against"


@pytest.mark.long
def test_rotation_after_rotation_under_load_and_no_request_fails(lab, bao_server):
    """An agent reads once a second here, and its requests take milliseconds: that is what is waited for."""
    rotate_under_load(VaultRotation(lab, bao_server, refresh="1s"), 100, 8, 900, "--wait", "2s")
    bao_server.reset()


def test_a_young_token_stays(vault):
    done = vault.rotate("--older-than", "30d")
    assert done.status == 0 and "so it stays" in done.out, done.err
    assert set(vault.side()) == {"holder", "since", "beat"} and vault.side()["holder"] == "" and vault.current() == vault.old


def test_agents_can_only_read(vault):
    vault.writer.write_text(vault.token_of("agent"))
    done = vault.rotate()
    assert done.status == 1 and "Vault answered 403" in done.err, done.err
    assert vault.current() == vault.old and vault.api.revoked == []


def test_dry_run_says_what_the_policy_lacks(vault):
    assert vault.rotate("--dry-run").status == 0
    vault.bao.policy("writer-api", **{**vault.rights(), vault.main: ["read"]})
    done = vault.rotate("--dry-run")
    assert done.status == 1 and f'allows no "update" on {vault.main}' in done.err, done.err
    vault.bao.policy("writer-api", **{path: vault.rights()[path] for path in (vault.main, vault.side_path)})
    assert f'no "update" on {vault.gone}' in vault.rotate("--dry-run").err
    assert vault.side() is None


def test_the_lock_lies_in_the_store_and_names_its_holder(vault):
    first = vault.start("--wait", "60s")
    wait_until(lambda: (vault.side() or {}).get("new") and vault.current() == vault.new)
    for args in ((), ("--resume",), ("--abort",)):
        done = vault.rotate(*args)
        assert done.status == 1 and f"is being rotated by process {first.pid} on " in done.err, done.err
    first.kill()
    first.wait()
    done = vault.rotate("--resume")
    assert done.status == 1 and "wait for it to end" in done.err
    vault.age()
    done = vault.rotate()
    assert done.status == 1 and "so --resume or --abort takes over" in done.err, done.err
    done = vault.rotate("--resume", "--wait", "0")
    assert done.status == 0, done.err
    vault.check_ended(vault.new)


def test_resume_from_another_machine(vault):
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").status == 1
    assert vault.side()["holder"] == "" and vault.side()["old"] == vault.old
    (vault.lab.state / "rotate/ci.journal").rename(vault.lab.folder / "elsewhere")
    told = json.loads(vault.rotate("--status", "--json").out)
    assert told["underWay"] and [line["step"] for line in told["journal"]][:5] == ["begin", "get", "stage", "prove", "switch"]
    assert told["journal"][0]["message"].startswith("process ") and told["heldBy"] is None
    done = vault.rotate("--resume", "--wait", "0")
    assert done.status == 0, done.err
    vault.check_ended(vault.new)
    told = json.loads(vault.rotate("--status", "--json").out)
    steps = [line["step"] for line in told["journal"]]
    assert not told["underWay"] and steps[0] == "begin" and steps.count("resume") == 1 and steps[-1] == "end"
    (vault.lab.state / "rotate/ci.journal").unlink()
    (vault.lab.folder / "elsewhere").rename(vault.lab.state / "rotate/ci.journal")
    assert "no rotation is under way" in vault.rotate("--status").out, "the first machine, too, knows that it has ended"


def test_a_story_in_the_store_that_does_not_hang_together_is_not_gone_on_with(vault):
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").status == 1
    data = vault.side()
    data["journal"] = "".join(line for line in data["journal"].splitlines(True) if " switch " not in line)
    vault.write_side(data)
    for args in (("--resume",), ("--status",)):
        done = vault.rotate(*args)
        assert done.status == 1 and "was altered at its line 5" in done.err, done.err


def test_one_whose_lock_was_taken_over_does_nothing_more(vault):
    """Also not the write that it is about to make, where its successor has had nothing to write: there is a new version."""
    release = threading.Event()
    vault.api.hold = 1, release
    first = vault.start("--wait", "0")
    wait_until(lambda: vault.api.asked > 1)
    os.kill(first.pid, signal.SIGSTOP)
    vault.api.hold = None
    release.set()
    version = vault.bao.call("GET", vault.main)["data"]["metadata"]["version"]
    vault.age()
    done = vault.rotate("--abort", "--wait", "0")
    assert done.status == 0, done.err
    assert vault.bao.call("GET", vault.main)["data"]["metadata"]["version"] == version + 1
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait(30) == 1
    vault.check_ended(vault.old)


def held_before_it_is_proven(vault):
    """A rotation that has staged both, and waits for what the provider says of the new one; and what lets it go on."""
    release = threading.Event()
    vault.api.hold = 1, release
    process = vault.start("--wait", "0")
    wait_until(lambda: vault.api.asked > 1)
    vault.api.hold = None
    return process, release


def test_a_step_whose_line_the_store_does_not_take_is_not_taken(vault):
    """Though the step itself could be: the token's own secret can be read and written all the time."""
    first, release = held_before_it_is_proven(vault)
    vault.bao.policy("writer-api", **{**vault.rights(), vault.side_path: ["read"]})
    release.set()
    said = first.communicate(timeout=60)[0]
    assert first.returncode == 1 and f"Vault answered 403 for {vault.side_path}" in said, said
    assert vault.current() == vault.old and vault.api.revoked == []
    vault.bao.policy("writer-api", **vault.rights())
    vault.age()
    assert vault.rotate("--resume", "--wait", "0").status == 0
    vault.check_ended(vault.new)


def test_what_is_staged_outlives_a_rotation_that_cannot_read_it(vault):
    """It ends, and lets its lock go by a write: with what was staged and told, though it could not read that again."""
    first, release = held_before_it_is_proven(vault)
    vault.bao.policy("writer-api", **{**vault.rights(), vault.side_path: ["create", "update"]})
    release.set()
    said = first.communicate(timeout=60)[0]
    assert first.returncode == 1 and f"Vault answered 403 for {vault.side_path}" in said, said
    left = vault.side()
    assert (left["holder"], left["old"], left["new"]) == ("", vault.old, vault.new) and " prove " in left["journal"]
    vault.bao.policy("writer-api", **vault.rights())
    assert vault.rotate("--resume", "--wait", "0").status == 0
    vault.check_ended(vault.new)


def test_a_write_of_one_that_gave_up_comes_too_late(vault):
    """What was asked and got no answer may be carried out later. So who goes on, though the lock was let go, makes it fail."""
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").status == 1
    assert vault.side()["holder"] == "" and vault.current() == vault.new
    version = vault.bao.call("GET", vault.main)["data"]["metadata"]["version"]
    assert vault.rotate("--resume", "--wait", "0").status == 0
    with pytest.raises(Refused) as refused:
        vault.bao.call("POST", vault.main, {"options": {"cas": version}, "data": {"token": vault.old}})
    assert "check-and-set" in str(refused.value)
    vault.check_ended(vault.new)


@pytest.mark.long
def test_what_is_removed_at_the_end_is_what_one_has_written_oneself(vault):
    """Stopped before it writes that nothing is staged any more: another takes over, ends, and stages again."""
    def half_done(words):
        vault.again()
        vault.api.mishap = "500"
        assert vault.rotate("--wait", "0").status == 1
        return vault.start("--resume", "--wait", "0", before=words)

    first, inner = stopped_at(half_done, lambda: vault.side()["journal"].splitlines()[-1].split()[2] == "clear",
                              lambda: "old" in vault.side())
    vault.age()
    assert vault.rotate("--resume", "--wait", "0").status == 0
    vault.check_ended(vault.new)
    vault.old, vault.new = vault.new, new_token()
    vault.api.add(vault.new)
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").status == 1
    os.kill(inner, signal.SIGCONT)
    assert first.wait(100) == 1
    assert (vault.side()["old"], vault.side()["new"]) == (vault.old, vault.new)
    assert vault.rotate("--resume", "--wait", "0").status == 0
    vault.check_ended(vault.new)


def test_what_a_crash_left_of_the_removal_is_done_by_the_next(vault):
    """It could write that nothing is staged any more, and not destroy what lies in the versions before."""
    vault.bao.policy("writer-api", **{path: vault.rights()[path] for path in (vault.main, vault.side_path)})
    done = vault.rotate("--wait", "0")
    assert done.status == 1 and "Vault answered 403 for secret/destroy/ci/api.purser-rotation" in done.err, done.err
    assert "old" not in vault.side() and int(vault.side()["first"]) > 1
    vault.bao.policy("writer-api", **vault.rights())
    assert vault.rotate("--resume").status == 0
    vault.check_ended(vault.new)


def test_what_may_be_about_to_be_retired_is_not_gone_back_to(vault):
    """The provider carries it out after it was asked whether the old one still works."""
    vault.api.mishap = "late"
    assert vault.rotate("--wait", "0").status == 1
    done = vault.rotate("--abort", "--wait", "0")
    assert done.status == 1 and "may still be about to" in done.out and "the new one is kept" in done.out, done.out
    vault.check_ended(vault.new)


def test_one_that_stood_still_tells_the_provider_nothing(vault):
    """Between the line that says so and the call: another may have taken over, and may have kept what would be retired."""
    slow = ["env", "PURSER_TEST_ROTATE_IN_TIME_MS=100", "strace", "-f", "-qq", "-e", "trace=sendto", "-e",
            "inject=sendto:delay_exit=200000", "-o", "/dev/null"]
    first = vault.start("--wait", "0", before=slow)
    said = first.communicate(timeout=100)[0]
    assert first.returncode == 1 and "this process stood still for" in said, said
    assert vault.current() == vault.new and vault.api.revoked == []
    assert " retire " in vault.side()["journal"] and vault.side()["holder"] == ""
    assert vault.rotate("--resume", "--wait", "0").status == 0
    vault.check_ended(vault.new)


def test_one_that_stood_still_asks_for_no_new_token(lab, bao_server):
    """Which would kill the old one, whose successor nobody else would have."""
    class GitlabRotation(VaultRotation):
        kind = staticmethod(lambda lab, *tokens: Gitlab(lab, *tokens, scopes=("api",)))

    vault = GitlabRotation(lab, bao_server)
    words = [word for word in vault.words("--from-provider", "--accept-loss", "--wait", "0") if word != "--from-stdin"]
    slow = ["strace", "-f", "-qq", "-e", "trace=sendto", "-e", "inject=sendto:delay_exit=200000", "-o", "/dev/null"]
    done = subprocess.run([*slow, *words], capture_output=True, text=True, timeout=100, cwd=lab.folder,
                          env={**os.environ, "PURSER_TEST_ROTATE_IN_TIME_MS": "100"})
    assert done.returncode == 1 and "this process stood still for" in done.stderr, done.stderr
    assert vault.api.questions == [] and vault.current() == vault.old
    done = vault.rotate("--resume", "--wait", "0")
    assert done.status == 0, done.err
    assert vault.api.questions == [] and vault.current() == vault.old and " end " in vault.side()["journal"]
    bao_server.reset()


def test_the_next_one_by_the_clock_takes_over_from_one_that_was_killed(vault):
    """As a CronJob does whose pod was lost."""
    first = vault.start("--wait", "60s")
    wait_until(lambda: (vault.side() or {}).get("new") and vault.current() == vault.new)
    first.kill()
    first.wait()
    (vault.lab.folder / "fresh").write_text(new_token())
    words = [str(word) for word in vault.lab.words("rotate", "--all", *vault.login, "--wait",
                                                   "0", "--command", f"cat {vault.lab.folder}/fresh")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "is being rotated by process" in done.stdout + done.stderr
    vault.age()
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    vault.check_ended(vault.new)


def test_what_somebody_writes_meanwhile_is_not_overwritten(vault):
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").status == 1
    third = new_token()
    vault.api.add(third)
    vault.bao.put("ci/api", token=third)
    done = vault.rotate("--resume")
    assert done.status == 1 and "somebody has set it meanwhile" in done.err, done.err
    assert vault.rotate("--abort").status == 0
    assert vault.current() == third
    vault.nothing_staged()


def test_a_long_token_and_abort(vault):
    del vault.api.tokens[vault.new]
    vault.new = new_token(4000)
    vault.api.add(vault.new)
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").status == 1
    assert vault.current() == vault.new
    done = vault.rotate("--abort", "--wait", "0")
    assert done.status == 0, done.err
    vault.check_ended(vault.old)


def test_revoke_takes_the_key_out_and_leaves_the_rest(vault):
    done = vault.rotate(command="revoke")
    assert done.status == 0, done.err
    left = vault.bao.call("GET", vault.main)["data"]["data"]
    assert left.pop("token.purser-revoked").startswith("20") and left == {"hosts": BUILDKITE, "other": "stays as it is"}
    vault.lab.retriever("look", script="print('ran')\n", sources=["ci"])
    refused = vault.lab.purser("run", "look")
    assert refused.status == 5 and "was revoked at 20" in refused.text, refused.text
    assert vault.old not in vault.api.tokens
    vault.nothing_staged()


@pytest.mark.plain
def test_in_the_middle_its_memory_holds_no_token_and_afterwards_no_file(vault):
    process = vault.start("--wait", "40s")
    wait_until(lambda: vault.current() == vault.new)
    time.sleep(12)  # with a beat, which sends both
    wanted = needles(vault.old) | needles(vault.new) | needles(vault.writer.read_text().strip())
    memory = Memory()
    os.kill(process.pid, signal.SIGSTOP)
    hits = memory.search(process.pid, wanted)
    os.kill(process.pid, signal.SIGCONT)
    assert memory.bytes > 1 << 20 and hits == [], hits
    process.kill()
    process.wait()
    vault.age()
    assert vault.rotate("--resume", "--wait", "0").status == 0
    assert search_files(vault.lab.state, wanted)[0] == []
