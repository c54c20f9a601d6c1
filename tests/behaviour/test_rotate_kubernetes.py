"""Rotation of a token in a Secret of a real API server: resourceVersion as check-and-set, the Lease that is the lock, and
rights: agents that can only read, and a rotator whose Role names each object that it may write."""

import base64
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
from providers import BUILDKITE
from rotate_world import ASK, heard, kube, kube_server, role_of, rotate_under_load, start_load  # noqa: F401  (fixtures)

pytestmark = pytest.mark.cluster


def test_agents_see_the_new_token_without_a_failed_request(kube):
    load = start_load(kube.lab, 16, n=2)
    wait_until(lambda: len(kube.api.used) > 20)
    done = kube.rotate()
    assert done.status == 0, done.err
    mark = len(kube.api.used)
    assert load.wait(60) == 0, (kube.lab.folder / "load.log").read_text()
    assert {status for _, status in kube.api.used} == {200}
    assert kube.api.used[0][0] == kube.old and {token for token, _ in kube.api.used[mark:]} == {kube.new}
    kube.check_ended(kube.new)
    young = kube.rotate("--older-than", "30d")
    assert young.status == 0 and "so it stays" in young.out, young.err


@pytest.mark.long
def test_rotation_after_rotation_under_load_and_no_request_fails(kube):
    """The agent watches, and its requests take milliseconds: that is what is waited for."""
    kube.agents(refresh="1m", verbs=("get", "watch"))
    rotate_under_load(kube, 100, 8, 900, "--wait", "2s")


def test_agents_can_only_read(kube):
    done = kube.rotate(login=())
    assert done.status == 1 and "(403)" in done.err, done.err
    assert kube.current() == kube.old and kube.api.revoked == [] and kube.get(kube.side) is None
    done = kube.rotate("--dry-run", login=())
    for right in ("patch secrets/github,", "create secrets/github.purser-rotation", "update leases/github.purser-rotation"):
        assert right in done.err, done.err
    assert "get secrets/github," not in done.err


@pytest.mark.parametrize("rule, verb", [(0, "patch"), (1, "create"), (1, "delete"), (2, "create"), (2, "update")])
def test_dry_run_says_which_right_the_role_lacks(kube, rule, verb):
    if (rule, verb) == (0, "patch"):
        assert kube.rotate("--dry-run").status == 0
    rules = json.loads(json.dumps(role_of(kube.name)))
    rules[rule]["verbs"].remove(verb)
    kube.role("rotator", rules)
    kind = f"{rules[rule]['resources'][0]}/{rules[rule]['resourceNames'][0]}"
    end = time.monotonic() + 10  # the server's own view of its rules lags a moment behind
    while f"in namespace ci: {verb} {kind};" not in (done := kube.rotate("--dry-run")).err:
        assert time.monotonic() < end, done.err
    assert done.status == 1 and kube.get(kube.side) is None


def test_the_role_lets_nothing_be_made_but_what_it_names(kube):
    """Who may create any Secret may create one that is a token of any service account."""
    rotator = kube.rotator.read_text()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "another"}}
    with pytest.raises(Refused) as refused:
        kube.kube.call("POST", kube.secrets, body, token=rotator)
    assert refused.value.status == 403
    assert kube.rotate("--wait", "0").status == 0
    kube.check_ended(kube.new)


@pytest.mark.parametrize("inline", [False, True])
def test_a_kubeconfig_with_its_own_parts_inside(kube, inline):
    config = kube.kubeconfig("other", kube.rotator, inline=inline)
    seen = kube.lab.folder / "descriptors"
    done = kube.rotate("--wait", "0", login=kube.login_of(config))
    assert done.status == 0, done.err
    kube.check_ended(kube.new)
    kube.again()
    (kube.lab.folder / "fresh").write_text(kube.new)
    words = [word for word in kube.words("--wait", "0", login=kube.login_of(config)) if word != "--from-stdin"]
    done = subprocess.run([*words, "--command", f"ls -l /proc/self/fd >{seen}; cat {kube.lab.folder}/fresh"],
                          capture_output=True, text=True, cwd=kube.lab.folder)
    assert done.returncode == 0 and "kubeconfig" not in seen.read_text(), done.stderr + seen.read_text()


def test_the_lease_names_its_holder_and_who_is_silent_is_taken_over(kube):
    first = kube.start("--wait", "60s")
    wait_until(lambda: kube.current() == kube.new)
    assert f"process {first.pid} on " in json.loads(kube.rotate("--status", "--json").out)["heldBy"]
    for args in ((), ("--resume",), ("--abort",)):
        done = kube.rotate(*args)
        assert done.status == 1 and f"is being rotated by process {first.pid} on " in done.err, done.err
    before = kube.get(kube.lease)["spec"]["renewTime"]
    wait_until(lambda: kube.get(kube.lease)["spec"]["renewTime"] != before, 15)
    first.kill()
    first.wait()
    assert "wait for it to end" in kube.rotate("--resume").err
    kube.age()
    done = kube.rotate()
    assert done.status == 1 and "so --resume or --abort takes over" in done.err, done.err
    done = kube.rotate("--resume", "--wait", "0")
    assert done.status == 0, done.err
    kube.check_ended(kube.new)


def test_one_that_was_taken_over_writes_nothing_more(kube):
    """Also not the write that it is about to make, where its successor has had nothing to write: the Secret is touched."""
    release = threading.Event()
    kube.api.hold = 1, release
    first = kube.start("--wait", "0")
    wait_until(lambda: kube.api.asked > 1)
    os.kill(first.pid, signal.SIGSTOP)
    kube.api.hold = None
    release.set()
    version = kube.get(kube.main)["metadata"]["resourceVersion"]
    kube.age()
    done = kube.rotate("--abort", "--wait", "0")
    assert done.status == 0, done.err
    with pytest.raises(Refused) as refused:
        kube.kube.call("PATCH", kube.main, {"metadata": {"resourceVersion": version}, "data": {"token": ""}})
    assert refused.value.status == 409
    os.kill(first.pid, signal.SIGCONT)
    said = first.communicate(timeout=30)[0]
    assert first.returncode == 1 and "the rotation was taken over" in said
    kube.check_ended(kube.old)


def test_a_write_of_one_that_gave_up_comes_too_late(kube):
    """What was asked and got no answer may be carried out later. So who goes on, though the lock was let go, makes it fail."""
    kube.api.mishap = "500"
    assert kube.rotate("--wait", "0").status == 1
    assert kube.holder() == "" and kube.current() == kube.new
    versions = {path: kube.get(path)["metadata"]["resourceVersion"] for path in (kube.main, kube.side)}
    kube.api.mishap = "500"
    assert kube.rotate("--resume", "--wait", "0").status == 1
    for path, version in versions.items():
        with pytest.raises(Refused) as refused:
            kube.kube.call("PATCH", path, {"metadata": {"resourceVersion": version}, "data": {"token": ""}})
        assert refused.value.status == 409
    assert kube.rotate("--resume", "--wait", "0").status == 0
    kube.check_ended(kube.new)


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_what_is_staged_replaces_only_what_was_looked_at(kube, how):
    """Stopped between that and the write."""
    def begin(words):
        kube.again()
        return kube.start("--wait", "0", before=words)

    first, inner = stopped_at(begin, lambda: kube.get(kube.side), lambda: kube.data(kube.side) == {})
    if how == "changed":
        kube.kube.call("PATCH", kube.side, {"metadata": {"annotations": {"by": "somebody else"}}})
    else:
        kube.kube.call("DELETE", kube.side)
    os.kill(inner, signal.SIGCONT)
    said = first.communicate(timeout=100)[0]
    assert first.returncode == 1 and "github.purser-rotation in namespace ci was changed meanwhile by somebody else" in said, said
    kube.age()
    assert kube.current() == kube.old and kube.get(kube.side) is None and set(kube.api.tokens) == {kube.old, kube.new}
    assert kube.rotate("--wait", "0").status == 0
    kube.check_ended(kube.new)


def test_resume_and_abort_from_another_machine(kube):
    for way, kept in (("--resume", "new"), ("--abort", "old")):
        kube.api.mishap = "500"
        assert kube.rotate("--wait", "0").status == 1
        assert kube.holder() == "" and kube.data(kube.side) == {"old": kube.old, "new": kube.new}
        here = kube.elsewhere()
        told = json.loads(kube.rotate("--status", "--json").out)
        assert told["underWay"] and [line["step"] for line in told["journal"]][:5] == ["begin", "get", "stage", "prove", "switch"]
        assert told["journal"][0]["message"].startswith("process ") and told["heldBy"] is None
        done = kube.rotate(way, "--wait", "0")
        assert done.status == 0, done.err
        kube.back(here)
        assert "no rotation is under way" in kube.rotate("--status").out, "the first machine knows that it has ended"
        kube.check_ended(getattr(kube, kept))
        kube.again()


def test_what_somebody_writes_meanwhile_is_not_overwritten(kube):
    kube.api.mishap = "500"
    assert kube.rotate("--wait", "0").status == 1
    third = new_token()
    kube.api.add(third)
    kube.kube.secret("ci", "github", token=third)
    done = kube.rotate("--resume")
    assert done.status == 1 and "somebody has set it meanwhile" in done.err, done.err
    assert kube.rotate("--abort").status == 0
    assert kube.current() == third and kube.get(kube.side) is None


def test_two_tokens_in_one_secret_are_rotated_one_after_the_other(kube):
    kube.api.mishap = "500"
    assert kube.rotate("--wait", "0").status == 1
    kube.lab.sources["ci"]["token"]["kubernetes"]["key"] = "other"
    kube.lab.write()
    done = kube.rotate()
    assert done.status == 1 and "another key of the same Secret, token" in done.err, done.err


def test_a_secret_that_helm_made_is_warned_of(kube):
    kube.kube.call("PATCH", kube.main, {"metadata": {"annotations": {"meta.helm.sh/release-name": "metrics"}}})
    done = kube.rotate("--wait", "0")
    assert done.status == 0 and "Helm's release metrics, which may put the old token back" in done.err, done.err


def test_a_long_token_and_revoke(kube):
    kube.new = new_token(4000)
    kube.api.add(kube.new)
    assert kube.rotate("--wait", "0").status == 0
    assert kube.current() == kube.new
    done = kube.rotate(command="revoke")
    assert done.status == 0, done.err
    left = kube.data()
    assert left.pop("token.purser-revoked").startswith("20")
    assert left == {"hosts": BUILDKITE, "other": "stays as it is"}
    assert kube.new not in kube.api.tokens and kube.get(kube.side) is None


@pytest.mark.parametrize("verbs, refresh, most", [(("get", "watch"), "10m", 1.5), (("get",), "2s", 4)])
def test_a_revocation_reaches_who_runs_as_a_mark(kube, verbs, refresh, most):
    """Within a second where they may watch, else at their next read; and the provider has not even retired it. The same
    token is not given out again, whoever puts it back; another one is."""
    kube.agents(refresh, verbs)
    kube.api.mishap = "lies"
    kube.lab.retriever("ask", script=ASK, sources=["ci"], env=[{"name": "ANSWERS", "value": "3"}])
    log = kube.lab.folder / "load.log"
    with open(log, "wb") as out:
        load = kube.lab.start("run", stdout=out, stderr=out)
    wait_until(lambda: len(kube.api.used) > 20)
    time.sleep(2.5)
    began = time.time()
    done = kube.rotate(command="revoke")
    assert done.status == 1 and "gives it out no more, but the old token still works" in done.err, done.err
    withdrawn = time.time()
    wait_until(lambda: len(heard(log)) == 2, 10)
    status, code, when = heard(log)[1]
    assert (status, code) == (403, "token-revoked") and began < when < began + most + (withdrawn - began), heard(log)
    marked = kube.data()["token.purser-revoked"]
    kube.kube.call("PATCH", kube.main, {"data": {"token": base64.b64encode(kube.old.encode()).decode()}})
    time.sleep(1.2 if "watch" in verbs else 2.2)
    kube.kube.call("PATCH", kube.main, {"data": {"token": base64.b64encode(kube.new.encode()).decode()}})
    wait_until(lambda: len(heard(log)) == 3, 30)
    assert load.wait(60) == 0, log.read_text()
    assert [(status, code) for status, code, _ in heard(log)] == [(200, "200"), (403, "token-revoked"), (200, "200")]
    assert [token for token, _ in kube.api.used if token != kube.old] and {s for _, s in kube.api.used} == {200}
    assert kube.old[:8] not in marked
    assert "token-revoked" in [event.get("code") for event in kube.lab.audit("token.fetch")]


@pytest.mark.plain
def test_in_the_middle_its_memory_holds_no_token_and_afterwards_no_file(kube):
    process = kube.start("--wait", "40s")
    wait_until(lambda: kube.current() == kube.new)
    time.sleep(1)
    login = kube.rotator.read_text().split(".")[2]
    wanted = needles(kube.old) | needles(kube.new) | needles(login)
    memory = Memory()
    os.kill(process.pid, signal.SIGSTOP)
    hits = memory.search(process.pid, wanted)
    os.kill(process.pid, signal.SIGCONT)
    assert memory.bytes > 1 << 20 and hits == [], hits
    process.kill()
    process.wait()
    kube.age()
    assert kube.rotate("--resume", "--wait", "0").status == 0
    assert search_files(kube.lab.state, wanted)[0] == []
