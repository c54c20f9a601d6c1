"""`purser rotate` of tokens in the keyring and in files, against a stand-in for Buildkite's token API."""

import json
import subprocess
import time

import pytest
from people import PersonLab
from promise import new_token, wait_until
from providers import BUILDKITE
from rotate_world import Rotation, keyring, rotation  # noqa: F401  (fixtures)


def test_a_rotation_replaces_the_token_and_retires_the_old_one(rotation):
    done = rotation.rotate()
    assert done.status == 0, done.text
    assert rotation.steps() == ["begin", "get", "stage", "prove", "switch", "settle", "retire", "confirm", "clear", "end"]
    assert rotation.api.revoked == [rotation.old]
    assert "the new token is current, and the only one that works" in done.out
    rotation.check_ended(rotation.new)
    if rotation.store == "file":
        assert rotation.file.read_text() == rotation.new + "\n"
        assert rotation.file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_a_persons_token_file_that_nobody_may_write_is_replaced(prefix, mode):
    with PersonLab(prefix) as lab:
        rotation = Rotation(lab, "file")
        rotation.file.chmod(mode)
        done = rotation.rotate()
        assert done.status == 0 and "the only one that works" in done.out, done.text
        assert rotation.current() == rotation.new and list(rotation.api.tokens) == [rotation.new]
        assert {path.name for path in lab.folder.glob("token*")} == {"token", "token.purser-lock"}
        assert rotation.file.stat().st_mode & 0o777 == mode


def test_hosts_of_the_token_stay(keyring):
    def hosts():
        done = subprocess.run([keyring.lab.prefix / "libexec/purser/purser-token", "list", "--json", "--path",
                               keyring.lab.state / "keyring", "--key-file", keyring.lab.state / "keyring.key"],
                              capture_output=True, text=True)
        return json.loads(done.stdout)[0]["hosts"]

    before = hosts()
    assert before == [BUILDKITE]
    assert keyring.rotate().status == 0
    assert hosts() == before


@pytest.mark.parametrize("length", [8, 4000, 16384])
def test_tokens_of_any_length(rotation, length):
    rotation.new = new_token(length)
    rotation.api.add(rotation.new)
    done = rotation.rotate()
    assert done.status == 0, done.text
    assert rotation.api.revoked == [rotation.old]


def test_a_command_gives_the_token_and_its_failure_changes_nothing(keyring):
    failed = keyring.rotate("--command", f"printf %s {keyring.new}; exit 3")
    assert failed.status == 1 and "status 3" in failed.err
    keyring.nothing_staged()
    (keyring.lab.folder / "fresh").write_text(keyring.new + "\n")
    done = keyring.rotate("--command", f"cat {keyring.lab.folder}/fresh")
    assert done.status == 0, done.text
    keyring.check_ended(keyring.new)


@pytest.mark.parametrize("what, add, sentence, option", [
    ("another account", {"email": "other@example.com"}, "belongs to other@example.com", "--allow-other-identity"),
    ("more scopes", {"scopes": ["read_builds", "write_builds"]}, "may do more than the old one: write_builds",
     "--allow-wider"),
])
def test_a_token_that_is_not_the_like_of_the_old_one_is_refused_unless_allowed(rotation, what, add, sentence, option):
    rotation.api.add(rotation.new, **add)
    done = rotation.rotate()
    assert done.status == 1 and sentence in done.err, done.text
    assert rotation.steps()[-2:] == ["clear", "end"]
    assert rotation.api.revoked == [] and rotation.new in rotation.api.tokens, "it was maybe given by mistake"
    rotation.nothing_staged()
    assert rotation.current() == rotation.old
    assert rotation.rotate(option).status == 0
    assert rotation.current() == rotation.new


def test_a_new_token_that_does_not_work_leaves_the_old_one(rotation):
    wrong = new_token()
    done = rotation.rotate(token=wrong)
    assert done.status == 1 and "the old token is current" in done.out, done.text
    assert rotation.api.revoked == [] and "switch" not in rotation.steps()
    rotation.nothing_staged()
    assert rotation.current() == rotation.old


@pytest.mark.parametrize("token, sentence", [("", "is empty"), ("two\nlines", "a newline at byte 4"), (None, "already")])
def test_what_is_no_new_token_changes_nothing(rotation, token, sentence):
    done = rotation.lab.purser("rotate", "ci", "--from-stdin", stdin=rotation.old if token is None else token)
    assert done.status == 1 and sentence in done.err, done.text
    rotation.nothing_staged()
    assert rotation.rotate().status == 0, "and nothing is in the way of another"


def test_an_old_token_that_is_dead_already_is_not_rotated(keyring):
    del keyring.api.tokens[keyring.old]
    done = keyring.rotate()
    assert done.status == 1 and "does not work (401)" in done.err and "purser token set" in done.err
    assert keyring.steps() == []


@pytest.mark.parametrize("mishap", ["lost", "hangs", "twice", "again", "lies", "500"])
def test_whatever_the_provider_says_the_old_token_is_called_retired_only_when_it_is_dead(rotation, mishap):
    rotation.api.mishap = mishap
    done = rotation.rotate()
    if mishap not in ("lies", "500"):  # it has done it, and the probe tells
        assert done.status == 0, done.text
    else:
        assert done.status == 1 and "the old one still works" in done.err and "--resume" in done.err, done.text
        assert "clear" not in rotation.steps()
        again = rotation.rotate()
        assert again.status == 1 and "is under way" in again.err
        resumed = rotation.rotate("--resume")
        assert resumed.status == 0, resumed.text
    rotation.check_ended(rotation.new)


def test_abort_goes_back_where_the_old_token_lives(rotation):
    rotation.api.mishap = "500"
    assert rotation.rotate().status == 1
    assert rotation.current() == rotation.new
    done = rotation.rotate("--abort")
    assert done.status == 0 and "the old token is current" in done.out, done.text
    rotation.check_ended(rotation.old)


def test_abort_goes_forward_where_the_old_token_is_dead(rotation):
    rotation.api.mishap = "500"
    assert rotation.rotate().status == 1
    del rotation.api.tokens[rotation.old]
    done = rotation.rotate("--abort")
    assert done.status == 1 and "the old token does not work, so the new one is kept" in done.out, done.text
    rotation.check_ended(rotation.new)


def test_both_dead_is_a_sentence_for_a_person_and_abort_tidies_up_after_them(keyring):
    keyring.api.mishap = "500"
    assert keyring.rotate().status == 1
    third = new_token()
    keyring.api.tokens.clear()
    for way in ("--resume", "--abort"):
        done = keyring.rotate(way)
        assert done.status == 1 and "neither the old nor the new token works any more" in done.err, done.text
    keyring.api.add(third)
    assert keyring.lab.purser("token", "set", "ci", stdin=third).status == 0
    done = keyring.rotate("--resume")
    assert done.status == 1 and "somebody has set it meanwhile" in done.err
    done = keyring.rotate("--abort")
    assert done.status == 0, done.text
    keyring.nothing_staged()
    assert keyring.current() == third


def test_a_token_that_somebody_sets_meanwhile_is_not_overwritten(keyring):
    keyring.api.mishap = "500"
    assert keyring.rotate().status == 1
    third = new_token()
    keyring.api.add(third)
    assert keyring.lab.purser("token", "set", "ci", stdin=third).status == 0
    for way in ("--resume", "--abort"):
        keyring.rotate(way)
        assert keyring.current() == third


def test_one_at_a_time_and_the_other_is_told_who(rotation):
    first = rotation.start("--wait", "20s")
    wait_until(lambda: "settle" in rotation.steps())
    began = time.monotonic()
    for args in ((), ("--resume",), ("--abort",)):
        done = rotation.rotate(*args)
        assert done.status == 1 and f"is being rotated by process {first.pid}, for " in done.err, done.text
    assert time.monotonic() - began < 10
    first.kill()
    first.wait()
    assert rotation.rotate("--resume").status == 0
    rotation.check_ended(rotation.new)


@pytest.mark.plain
def test_it_is_locked_in_and_its_command_is_not(rotation):
    """By seccomp and Landlock, like the other roles; the user's command is a child that was there before."""
    (rotation.lab.folder / "fresh").write_text(rotation.new)
    seen = rotation.lab.folder / "seen"
    process = subprocess.Popen([str(word) for word in rotation.lab.words(
        "rotate", "ci", "--wait", "20s", "--command", f"cat /proc/self/status >{seen}; ls >/dev/null; cat {rotation.lab.folder}/fresh")],
        cwd=rotation.lab.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    rotation.lab.processes.append(process)
    wait_until(lambda: "settle" in rotation.steps())

    def status(text):
        return {line.split(":")[0]: line.split(":")[1].strip() for line in text.splitlines()}

    of = status(open(f"/proc/{process.pid}/status").read())
    assert of["Seccomp"] == "2" and of["NoNewPrivs"] == "1" and int(of["CapEff"], 16) & ~0b1011 == 0, of
    assert status(seen.read_text())["Seccomp"] == "0"
    process.kill()
    process.communicate()
    assert rotation.rotate("--resume").status == 0
    rotation.check_ended(rotation.new)


def test_two_begun_at_once_are_one(rotation):
    both = [rotation.start(), rotation.start()]
    said = [process.communicate(timeout=60)[0] for process in both]
    statuses = sorted(process.returncode for process in both)
    assert statuses == [0, 1], said
    rotation.check_ended(rotation.new)


def test_status_and_its_json(keyring):
    assert "has not rotated" in keyring.rotate("--status").out
    keyring.api.mishap = "500"
    keyring.rotate()
    status = keyring.rotate("--status")
    assert status.status == 0 and "under way since" in status.out and "last step: confirm" in status.out
    told = keyring.rotate("--status", "--json").json
    assert told["underWay"] and told["step"] == "confirm" and told["source"] == "ci"
    assert [line["step"] for line in told["journal"]] == keyring.steps()
    assert keyring.rotate("--resume").status == 0
    assert not keyring.rotate("--status", "--json").json["underWay"]


def test_a_young_token_stays(rotation):
    done = rotation.rotate("--older-than", "30d")
    assert done.status == 0 and "so it stays" in done.out and rotation.steps() == [], done.text
    assert rotation.rotate("--older-than", "30d", "--json").json["result"] == "young"
    time.sleep(1.1)
    assert rotation.rotate("--older-than", "1s").status == 0
    rotation.check_ended(rotation.new)
    assert rotation.rotate("--older-than", "soon").status == 2


def test_purser_status_tells_ages_and_what_was_left_half_way(keyring):
    assert "no run with it has told its age" in keyring.lab.purser("status").out
    assert keyring.current() == keyring.old
    told = keyring.lab.purser("status", "--json").json["tokens"]
    assert [entry["source"] for entry in told] == ["ci"] and told[0]["set"] and not told[0]["rotated"]
    keyring.api.mishap = "500"
    keyring.rotate()
    assert "A rotation was left half way: `purser rotate ci --resume`" in keyring.lab.purser("status").out
    keyring.rotate("--resume")
    status = keyring.lab.purser("status")
    assert "last rotation" in status.out and "half way" not in status.out
    keyring.api.mishap = "500"
    keyring.lab.purser("revoke", "ci")
    assert "`purser revoke ci` goes on with it" in keyring.lab.purser("status").out
    assert keyring.lab.purser("status", "--json").json["tokens"][0]["revoking"]
    path = keyring.lab.state / "rotate/ci.journal"
    path.write_text(path.read_text().replace("settle", "retire", 1))
    assert "was altered" in keyring.lab.purser("status").out


def test_json_is_an_object_a_line(keyring):
    done = keyring.rotate("--json")
    told = [json.loads(line) for line in done.out.splitlines()]
    assert [line["step"] for line in told[:-1]] == keyring.steps()[:-1]
    assert told[-1]["result"] == "rotated" and all(line["source"] == "ci" for line in told)


def test_dry_run_tries_both_ends_and_changes_nothing(rotation):
    def everything():
        return {path: path.read_bytes() for path in [*rotation.lab.state.rglob("*"), *rotation.lab.folder.glob("token*")]
                if path.is_file() and path.name != "audit.key"}

    before = everything()
    done = rotation.rotate("--dry-run")
    assert done.status == 0 and "account ci@example.com; may: read_builds" in done.out, done.text
    for step in ("get", "stage", "prove", "switch", "settle", "retire", "confirm"):
        assert f"\n{step} " in done.out
    assert everything() == before and rotation.api.revoked == []
    del rotation.api.tokens[rotation.old]
    assert rotation.rotate("--dry-run").status == 1


def test_a_journal_that_was_altered_is_not_gone_on_with(keyring):
    keyring.api.mishap = "500"
    keyring.rotate()
    path = keyring.lab.state / "rotate/ci.journal"
    path.write_text(path.read_text().replace("settle", "retire", 1))
    done = keyring.rotate("--resume")
    assert done.status == 1 and "was altered at its line 6" in done.err
    path.rename(path.with_suffix(".aside"))
    assert keyring.rotate("--resume").status == 0, "store and provider tell enough"
    keyring.check_ended(keyring.new)


def test_what_cannot_be_rotated_is_told(lab, keyring):
    lab.source("plain", "plain.test", token="a-token-of-its-own")
    done = lab.purser("rotate", "plain", "--from-stdin", stdin="x")
    assert done.status == 1 and "no provider that purser knows" in done.err
    vault = 'vault: {"address": "https://vault.test", "auth": {"token": {"keyring": "vault"}}}\n'
    lab.sources["ci"]["token"], lab.more = {"vault": {"path": "secret/data/ci", "key": "token", "version": 2}}, vault
    lab.write()
    done = lab.purser("rotate", "ci", "--from-stdin", stdin="x")
    assert done.status == 2 and "pinned" in done.err, done.text
    assert lab.purser("rotate", "none", "--status").status == 2
    assert lab.purser("rotate", "ci", "--resume", "--abort").status == 2


def test_a_link_of_a_mounted_secret_is_not_replaced(lab):
    rotation = Rotation(lab, "file")
    real = lab.folder / "real"
    rotation.file.rename(real)
    rotation.file.symlink_to(real)
    done = rotation.rotate()
    assert done.status == 1 and "is a link" in done.err
    assert real.read_text() == rotation.old + "\n"


def test_an_api_that_cannot_be_asked_stops_it_and_resume_goes_on(keyring):
    keyring.api.mishap = "500"
    keyring.rotate()
    answer = keyring.api.answer
    keyring.lab.sources["ci"]["connectTo"] = "127.0.0.1:1"
    keyring.lab.write()
    done = keyring.rotate("--resume")
    assert done.status == 1 and "cannot be told now" in done.err, done.text
    keyring.lab.sources["ci"]["connectTo"] = f"127.0.0.1:{keyring.api.upstream.port}"
    keyring.lab.sources["ci"].pop("allowPrivateAddresses")
    keyring.lab.write()
    done = keyring.rotate("--resume")
    assert done.status == 1 and "not public" in done.err, done.text
    keyring.lab.sources["ci"]["allowPrivateAddresses"] = ["127.0.0.1"]
    keyring.lab.write()
    assert answer and keyring.rotate("--resume").status == 0
    keyring.check_ended(keyring.new)
