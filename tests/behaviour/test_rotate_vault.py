"""Rotation of a token in KV 2 of a real OpenBao: check-and-set, the lock in the store, agents that can only read."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from bao import Bao, Refused
from hunt import Memory, needles, search_files
from promise import new_token, stopped_at, wait_until
from providers import BUILDKITE, Buildkite, Gitlab
from test_promise_17_rotation import start_load

MAIN, SIDE = "secret/data/ci/api", "secret/data/ci/api.purser-rotation"
WRITER = {MAIN: ["read", "update"], SIDE: ["create", "read", "update"],
          "secret/destroy/ci/api.purser-rotation": ["update"]}


@pytest.fixture(scope="module")
def server():
    made = Bao()
    yield made
    made.close()


class VaultRotation:
    main, rights, kind = MAIN, WRITER, Buildkite

    def __init__(self, lab, bao, refresh="4s"):
        self.lab, self.bao = lab, bao
        self.old, self.new = new_token(), new_token()
        self.api = self.kind(lab, self.old, self.new)
        self.mount()
        self.put(token=self.old, hosts=self.api.host, other="stays as it is")
        bao.policy("agent", **{self.main: ["read"]})
        bao.policy("writer", **self.rights)
        role, secret = bao.approle(policy="agent")
        for name, text in (("secret-id", secret), ("writer", self.login("writer"))):
            (lab.folder / name).write_text(text + "\n")
            (lab.folder / name).chmod(0o600)
        lab.source("ci", self.api.host, token=None, provider=self.api.provider)
        lab.sources["ci"]["token"] = {"vault": {"path": self.main, "key": "token"}}
        settings = {"address": bao.address, "caFile": str(bao.ca), "refresh": refresh,
                    "auth": {"approle": {"roleId": role, "secretId": {"file": str(lab.folder / "secret-id")}}}}
        lab.more = f"vault: {json.dumps(settings)}\n"
        lab.write()

    def mount(self):
        self.bao.kv()

    def put(self, **data):
        self.bao.put("ci/api", **data)

    def login(self, policy):
        return self.bao.call("POST", "auth/token/create", {"policies": [policy], "ttl": "1h"})["auth"]["client_token"]

    def words(self, *args, command="rotate"):
        given = [] if command == "revoke" or set(args) & {"--resume", "--abort", "--dry-run", "--status"} else ["--from-stdin"]
        return [str(word) for word in self.lab.words(command, "ci", "--vault-token", self.lab.folder / "writer", *given, *args)]

    def rotate(self, *args, **more):
        return subprocess.run(self.words(*args, **more), input=self.new, capture_output=True, text=True, timeout=100,
                              cwd=self.lab.folder)

    def start(self, *args, before=()):
        process = subprocess.Popen([*before, *self.words(*args)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, cwd=self.lab.folder)
        self.lab.processes.append(process)
        process.stdin.write(self.new)
        process.stdin.close()
        process.stdin = None
        return process

    def again(self):
        self.old, self.new = new_token(), new_token()
        self.api.tokens.clear()
        self.api.add(self.old)
        self.api.add(self.new)
        self.put(token=self.old, hosts=BUILDKITE, other="stays as it is")

    def side(self):
        try:
            return self.bao.call("GET", SIDE)["data"]["data"]
        except Refused as refused:
            assert refused.status == 404
            return None

    def age(self):
        """As if the holder had not been heard of for two minutes."""
        data = self.side()
        if data and data["holder"]:
            data["beat"] = str(int(data["beat"]) - 120_000_000)
            self.bao.call("POST", SIDE, {"data": data})

    def current(self):
        return self.bao.call("GET", MAIN)["data"]["data"].get("token")

    def check_ended(self, kept):
        data = self.bao.call("GET", MAIN)["data"]["data"]
        assert data == {"token": kept, "hosts": BUILDKITE, "other": "stays as it is"}
        assert list(self.api.tokens) == [kept]
        self.nothing_staged()
        text = (self.lab.state / "rotate/ci.journal").read_text() + self.side()["journal"]
        assert self.old[:8] not in text and self.new[:8] not in text

    def nothing_staged(self):
        """Of the versions that held tokens none is left; what was made anew is the story, and no lock."""
        side = self.side()
        if side is None:
            return
        assert side["holder"] == "" and not {"old", "new", "first"} & set(side)
        versions = self.bao.call("GET", "secret/metadata/ci/api.purser-rotation")["data"]["versions"]
        for version in versions:
            try:
                kept = self.bao.call("GET", f"{SIDE}?version={version}")["data"]["data"]
            except Refused as refused:  # destroyed
                assert refused.status == 404
                continue
            assert "old" not in kept and "new" not in kept, version


@pytest.fixture
def vault(lab, server):
    yield VaultRotation(lab, server)
    server.reset()


def test_it_is_written_with_check_and_set_and_agents_see_it_without_a_failed_request(vault):
    load = start_load(vault.lab, 20, n=2)
    wait_until(lambda: len(vault.api.used) > 20)
    done = vault.rotate()
    assert done.returncode == 0, done.stderr
    mark = len(vault.api.used)
    assert load.wait(60) == 0, (vault.lab.folder / "load.log").read_text()
    assert {status for _, status in vault.api.used} == {200}
    assert vault.api.used[0][0] == vault.old and {token for token, _ in vault.api.used[mark:]} == {vault.new}
    vault.check_ended(vault.new)
    writes = [entry for entry in (json.loads(line) for line in vault.bao.audit_path.read_text().splitlines())
              if entry["type"] == "request" and entry["request"]["operation"] in ("create", "update")
              and entry["request"]["path"] == MAIN]
    assert writes[-1]["request"]["data"].get("options"), "with a version to check against"


def test_a_young_token_stays(vault):
    done = vault.rotate("--older-than", "30d")
    assert done.returncode == 0 and "so it stays" in done.stdout, done.stderr
    assert set(vault.side()) == {"holder", "since", "beat"} and vault.side()["holder"] == "" and vault.current() == vault.old


def test_agents_can_only_read(vault):
    (vault.lab.folder / "writer").write_text(vault.login("agent"))
    done = vault.rotate()
    assert done.returncode == 1 and "Vault answered 403" in done.stderr, done.stderr
    assert vault.current() == vault.old and vault.api.revoked == []


def test_dry_run_says_what_the_policy_lacks(vault):
    assert vault.rotate("--dry-run").returncode == 0
    vault.bao.policy("writer", **{**WRITER, MAIN: ["read"]})
    done = vault.rotate("--dry-run")
    assert done.returncode == 1 and f'allows no "update" on {MAIN}' in done.stderr, done.stderr
    vault.bao.policy("writer", **{MAIN: WRITER[MAIN], SIDE: WRITER[SIDE]})
    assert 'no "update" on secret/destroy/ci/api.purser-rotation' in vault.rotate("--dry-run").stderr
    assert vault.side() is None


def test_the_lock_lies_in_the_store_and_names_its_holder(vault):
    first = vault.start("--wait", "60s")
    wait_until(lambda: (vault.side() or {}).get("new") and vault.current() == vault.new)
    for args in ((), ("--resume",), ("--abort",)):
        done = vault.rotate(*args)
        assert done.returncode == 1 and f"is being rotated by process {first.pid} on " in done.stderr, done.stderr
    first.kill()
    first.wait()
    done = vault.rotate("--resume")
    assert done.returncode == 1 and "wait for it to end" in done.stderr
    vault.age()
    done = vault.rotate()
    assert done.returncode == 1 and "so --resume or --abort takes over" in done.stderr, done.stderr
    done = vault.rotate("--resume", "--wait", "0")
    assert done.returncode == 0, done.stderr
    vault.check_ended(vault.new)


def test_resume_from_another_machine(vault):
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").returncode == 1
    assert vault.side()["holder"] == "" and vault.side()["old"] == vault.old
    (vault.lab.state / "rotate/ci.journal").rename(vault.lab.folder / "elsewhere")
    told = json.loads(vault.rotate("--status", "--json").stdout)
    assert told["underWay"] and [line["step"] for line in told["journal"]][:5] == ["begin", "get", "stage", "prove", "switch"]
    assert told["journal"][0]["message"].startswith("process ") and told["heldBy"] is None
    done = vault.rotate("--resume", "--wait", "0")
    assert done.returncode == 0, done.stderr
    vault.check_ended(vault.new)
    told = json.loads(vault.rotate("--status", "--json").stdout)
    steps = [line["step"] for line in told["journal"]]
    assert not told["underWay"] and steps[0] == "begin" and steps.count("resume") == 1 and steps[-1] == "end"
    (vault.lab.state / "rotate/ci.journal").unlink()
    (vault.lab.folder / "elsewhere").rename(vault.lab.state / "rotate/ci.journal")
    assert "no rotation is under way" in vault.rotate("--status").stdout, "the first machine, too, knows that it has ended"


def test_a_story_in_the_store_that_does_not_hang_together_is_not_gone_on_with(vault):
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").returncode == 1
    data = vault.side()
    data["journal"] = "".join(line for line in data["journal"].splitlines(True) if " switch " not in line)
    vault.bao.call("POST", SIDE, {"data": data})
    for args in (("--resume",), ("--status",)):
        done = vault.rotate(*args)
        assert done.returncode == 1 and "was altered at its line 5" in done.stderr, done.stderr


def test_one_whose_lock_was_taken_over_does_nothing_more(vault):
    """Also not the write that it is about to make, where its successor has had nothing to write: there is a new version."""
    release = threading.Event()
    vault.api.hold = 1, release
    first = vault.start("--wait", "0")
    wait_until(lambda: vault.api.asked > 1)
    os.kill(first.pid, signal.SIGSTOP)
    vault.api.hold = None
    release.set()
    version = vault.bao.call("GET", MAIN)["data"]["metadata"]["version"]
    vault.age()
    done = vault.rotate("--abort", "--wait", "0")
    assert done.returncode == 0, done.stderr
    assert vault.bao.call("GET", MAIN)["data"]["metadata"]["version"] == version + 1
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
    vault.bao.policy("writer", **{**WRITER, SIDE: ["read"]})
    release.set()
    said = first.communicate(timeout=60)[1]
    assert first.returncode == 1 and f"Vault answered 403 for {SIDE}" in said, said
    assert vault.current() == vault.old and vault.api.revoked == []
    vault.bao.policy("writer", **WRITER)
    vault.age()
    assert vault.rotate("--resume", "--wait", "0").returncode == 0
    vault.check_ended(vault.new)


def test_what_is_staged_outlives_a_rotation_that_cannot_read_it(vault):
    """It ends, and lets its lock go by a write: with what was staged and told, though it could not read that again."""
    first, release = held_before_it_is_proven(vault)
    vault.bao.policy("writer", **{**WRITER, SIDE: ["create", "update"]})
    release.set()
    said = first.communicate(timeout=60)[1]
    assert first.returncode == 1 and f"Vault answered 403 for {SIDE}" in said, said
    left = vault.side()
    assert (left["holder"], left["old"], left["new"]) == ("", vault.old, vault.new) and " prove " in left["journal"]
    vault.bao.policy("writer", **WRITER)
    assert vault.rotate("--resume", "--wait", "0").returncode == 0
    vault.check_ended(vault.new)


def test_a_write_of_one_that_gave_up_comes_too_late(vault):
    """What was asked and got no answer may be carried out later. So who goes on, though the lock was let go, makes it fail."""
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").returncode == 1
    assert vault.side()["holder"] == "" and vault.current() == vault.new
    version = vault.bao.call("GET", MAIN)["data"]["metadata"]["version"]
    assert vault.rotate("--resume", "--wait", "0").returncode == 0
    with pytest.raises(Refused) as refused:
        vault.bao.call("POST", MAIN, {"options": {"cas": version}, "data": {"token": vault.old}})
    assert "check-and-set" in str(refused.value)
    vault.check_ended(vault.new)


def test_what_is_removed_at_the_end_is_what_one_has_written_oneself(vault):
    """Stopped before it writes that nothing is staged any more: another takes over, ends, and stages again."""
    def half_done(words):
        vault.again()
        vault.api.mishap = "500"
        assert vault.rotate("--wait", "0").returncode == 1
        return vault.start("--resume", "--wait", "0", before=words)

    first, inner = stopped_at(half_done, lambda: vault.side()["journal"].splitlines()[-1].split()[2] == "clear",
                              lambda: "old" in vault.side())
    vault.age()
    assert vault.rotate("--resume", "--wait", "0").returncode == 0
    vault.check_ended(vault.new)
    vault.old, vault.new = vault.new, new_token()
    vault.api.add(vault.new)
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").returncode == 1
    os.kill(inner, signal.SIGCONT)
    assert first.wait(100) == 1
    assert (vault.side()["old"], vault.side()["new"]) == (vault.old, vault.new)
    assert vault.rotate("--resume", "--wait", "0").returncode == 0
    vault.check_ended(vault.new)


def test_what_a_crash_left_of_the_removal_is_done_by_the_next(vault):
    """It could write that nothing is staged any more, and not destroy what lies in the versions before."""
    vault.bao.policy("writer", **{MAIN: WRITER[MAIN], SIDE: WRITER[SIDE]})
    done = vault.rotate("--wait", "0")
    assert done.returncode == 1 and "Vault answered 403 for secret/destroy/ci/api.purser-rotation" in done.stderr, done.stderr
    assert "old" not in vault.side() and int(vault.side()["first"]) > 1
    vault.bao.policy("writer", **WRITER)
    assert vault.rotate("--resume").returncode == 0
    vault.check_ended(vault.new)


def test_what_may_be_about_to_be_retired_is_not_gone_back_to(vault):
    """The provider carries it out after it was asked whether the old one still works."""
    vault.api.mishap = "late"
    assert vault.rotate("--wait", "0").returncode == 1
    done = vault.rotate("--abort", "--wait", "0")
    assert done.returncode == 1 and "may still be about to" in done.stdout and "the new one is kept" in done.stdout, done.stdout
    vault.check_ended(vault.new)


def test_one_that_stood_still_tells_the_provider_nothing(vault):
    """Between the line that says so and the call: another may have taken over, and may have kept what would be retired."""
    slow = ["env", "PURSER_TEST_ROTATE_IN_TIME_MS=100", "strace", "-f", "-qq", "-e", "trace=sendto", "-e",
            "inject=sendto:delay_exit=200000", "-o", "/dev/null"]
    first = vault.start("--wait", "0", before=slow)
    said = first.communicate(timeout=100)[1]
    assert first.returncode == 1 and "this process stood still for" in said, said
    assert vault.current() == vault.new and vault.api.revoked == []
    assert " retire " in vault.side()["journal"] and vault.side()["holder"] == ""
    assert vault.rotate("--resume", "--wait", "0").returncode == 0
    vault.check_ended(vault.new)


def test_one_that_stood_still_asks_for_no_new_token(lab, server):
    """Which would kill the old one, whose successor nobody else would have."""
    class GitlabRotation(VaultRotation):
        kind = staticmethod(lambda lab, *tokens: Gitlab(lab, *tokens, scopes=("api",)))

    vault = GitlabRotation(lab, server)
    words = [word for word in vault.words("--from-provider", "--accept-loss", "--wait", "0") if word != "--from-stdin"]
    slow = ["strace", "-f", "-qq", "-e", "trace=sendto", "-e", "inject=sendto:delay_exit=200000", "-o", "/dev/null"]
    done = subprocess.run([*slow, *words], capture_output=True, text=True, timeout=100, cwd=lab.folder,
                          env={**os.environ, "PURSER_TEST_ROTATE_IN_TIME_MS": "100"})
    assert done.returncode == 1 and "this process stood still for" in done.stderr, done.stderr
    assert vault.api.questions == [] and vault.current() == vault.old
    done = vault.rotate("--resume", "--wait", "0")
    assert done.returncode == 0, done.stderr
    assert vault.api.questions == [] and vault.current() == vault.old and " end " in vault.side()["journal"]
    server.reset()


def test_the_next_one_by_the_clock_takes_over_from_one_that_was_killed(vault):
    """As a CronJob does whose pod was lost."""
    first = vault.start("--wait", "60s")
    wait_until(lambda: (vault.side() or {}).get("new") and vault.current() == vault.new)
    first.kill()
    first.wait()
    (vault.lab.folder / "fresh").write_text(new_token())
    words = [str(word) for word in vault.lab.words("rotate", "--all", "--vault-token", vault.lab.folder / "writer", "--wait",
                                                   "0", "--command", f"cat {vault.lab.folder}/fresh")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "is being rotated by process" in done.stdout + done.stderr
    vault.age()
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    vault.check_ended(vault.new)


def test_what_somebody_writes_meanwhile_is_not_overwritten(vault):
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").returncode == 1
    third = new_token()
    vault.api.add(third)
    vault.bao.put("ci/api", token=third)
    done = vault.rotate("--resume")
    assert done.returncode == 1 and "somebody has set it meanwhile" in done.stderr, done.stderr
    assert vault.rotate("--abort").returncode == 0
    assert vault.current() == third
    vault.nothing_staged()


def test_a_long_token_and_abort(vault):
    del vault.api.tokens[vault.new]
    vault.new = new_token(4000)
    vault.api.add(vault.new)
    vault.api.mishap = "500"
    assert vault.rotate("--wait", "0").returncode == 1
    assert vault.current() == vault.new
    done = vault.rotate("--abort", "--wait", "0")
    assert done.returncode == 0, done.stderr
    vault.check_ended(vault.old)


def test_revoke_takes_the_key_out_and_leaves_the_rest(vault):
    done = vault.rotate(command="revoke")
    assert done.returncode == 0, done.stderr
    left = vault.bao.call("GET", MAIN)["data"]["data"]
    assert left.pop("token.purser-revoked").startswith("20") and left == {"hosts": BUILDKITE, "other": "stays as it is"}
    vault.lab.retriever("look", script="print('ran')\n", sources=["ci"])
    refused = vault.lab.purser("run", "look")
    assert refused.status == 5 and "was revoked at 20" in refused.text, refused.text
    assert vault.old not in vault.api.tokens
    vault.nothing_staged()


@pytest.mark.parametrize("way", ["--resume", "--abort"])
def test_the_store_stopped_at_each_step(vault, way):
    """Before anything is staged, before the new one is proven, before the old one is tried for the last time."""
    for probes in (0, 1, 3):
        release = threading.Event()
        vault.api.asked, vault.api.hold = 0, (probes, release)
        process = vault.start("--wait", "0")
        wait_until(lambda: vault.api.asked > probes)
        vault.bao.stop()
        vault.api.hold = None
        release.set()
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 1 and "cannot be reached" in said, said
        vault.bao.start()
        vault.bao.unseal()
        vault.age()
        done = vault.rotate(way, "--wait", "0")
        assert done.returncode == 0 or "no rotation of ci is under way" in done.stderr or probes == 3, done.stderr
        if probes == 0:
            assert set(vault.api.tokens) == {vault.old, vault.new} and vault.current() == vault.old
            vault.nothing_staged()
        else:
            vault.check_ended(vault.old if way == "--abort" and probes == 1 else vault.new)
        vault.again()


@pytest.mark.parametrize("way, numbers", [
    ("--resume", [15, 22, 29, 36]),
    pytest.param("--resume", range(1, 100, 2), marks=pytest.mark.long),
    pytest.param("--abort", range(2, 100, 2), marks=pytest.mark.long),
])
def test_killed_before_a_send_it_ends_with_one_working_token(vault, way, numbers):
    """Each call to Vault, and to the provider, is a send."""
    places = 0
    for number in numbers:
        vault.again()
        words = ["strace", "-f", "-qq", "-e", "trace=sendto", "-e", f"inject=sendto:signal=KILL:when={number}", "-o",
                 "/dev/null", *vault.words("--wait", "0")]
        if subprocess.run(words, input=vault.new, capture_output=True, text=True, cwd=vault.lab.folder).returncode != -9:
            break
        places += 1
        vault.age()
        done = vault.rotate(way, "--wait", "0")
        kept = vault.current()
        assert kept in vault.api.tokens, done.stderr
        vault.nothing_staged()
        assert len(vault.api.tokens) == 1 or kept == vault.old, done.stderr
    assert places == len(numbers) or places > 15


@pytest.mark.plain
def test_in_the_middle_its_memory_holds_no_token_and_afterwards_no_file(vault):
    process = vault.start("--wait", "40s")
    wait_until(lambda: vault.current() == vault.new)
    time.sleep(12)  # with a beat, which sends both
    wanted = needles(vault.old) | needles(vault.new) | needles((vault.lab.folder / "writer").read_text().strip())
    memory = Memory()
    os.kill(process.pid, signal.SIGSTOP)
    hits = memory.search(process.pid, wanted)
    os.kill(process.pid, signal.SIGCONT)
    assert memory.bytes > 1 << 20 and hits == [], hits
    process.kill()
    process.wait()
    vault.age()
    assert vault.rotate("--resume", "--wait", "0").returncode == 0
    assert search_files(vault.lab.state, wanted)[0] == []
