"""`purser revoke SOURCE`: given out no more, then retired, then tried until it is dead; and again after an interruption."""

import time

import pytest
from people import PersonLab
from promise import new_token, wait_until
from rotate_world import ASK, CALLS, Rotation, heard, keyring, killed_at, rotation, start_load  # noqa: F401  (fixtures)


def revoke(rotation, *args):
    return rotation.lab.purser("revoke", "ci", *args)


def refused(rotation):
    """A run gets no token, and says why."""
    before = len(rotation.api.used)
    rotation.lab.retriever("look", script="print('ran')\n", sources=["ci"])
    done = rotation.lab.purser("run", "look")
    assert done.status == 5 and len(rotation.api.used) == before, done.text
    assert "was revoked at 20" in done.text, done.text
    return done


def check_revoked(rotation, dead):
    assert not set(dead) & set(rotation.api.tokens)
    refused(rotation)
    left = {path.name: path.read_text() for path in rotation.lab.folder.glob("token*")}
    left.pop("token.purser-lock", None)
    assert set(left) <= {"token"} and left.get("token", "purser-revoked ").startswith("purser-revoked "), left
    text = (rotation.lab.state / "rotate/ci.journal").read_text()
    assert rotation.old[:8] not in text and rotation.new[:8] not in text


def test_a_token_is_withdrawn_then_retired_then_dead(rotation):
    done = revoke(rotation)
    assert done.status == 0 and "revoked, and dead" in done.out, done.text
    assert rotation.steps() == ["revoke", "withdraw", "retire", "confirm", "clear", "end"]
    assert rotation.api.revoked == [rotation.old]
    check_revoked(rotation, [rotation.old])
    assert "It was revoked 20" in rotation.lab.purser("status").out
    again_ = revoke(rotation)
    assert again_.status == 1 and "nothing is given out" in again_.err


def test_a_persons_token_file_that_nobody_may_write_is_withdrawn(prefix):
    with PersonLab(prefix) as lab:
        rotation = Rotation(lab, "file")
        rotation.file.chmod(0o400)
        done = revoke(rotation)
        assert done.status == 0 and "revoked, and dead" in done.out, done.text
        check_revoked(rotation, [rotation.old])
        assert rotation.file.stat().st_mode & 0o777 == 0o400


def test_after_it_a_new_token_is_set_and_used(keyring):
    assert revoke(keyring).status == 0
    assert keyring.lab.purser("token", "set", "ci", stdin=keyring.new).status == 0
    assert keyring.current() == keyring.new
    status = keyring.lab.purser("status", "--json").json["tokens"][0]
    assert not status["revoked"] and not status["missing"] and status["set"], status


@pytest.mark.parametrize("mishap", ["500", "lies", "lost"])
def test_it_is_given_out_no_more_whatever_the_provider_does(rotation, mishap):
    rotation.api.mishap = mishap
    done = revoke(rotation)
    if mishap != "lost":
        assert done.status == 1 and "gives it out no more, but the old token still works" in done.err, done.text
        refused(rotation)
        status = rotation.rotate("--status")
        assert "is being revoked since" in status.out and rotation.rotate("--status", "--json").json["revoking"]
        for args in ((), ("--resume",), ("--abort",)):
            other = rotation.rotate(*args)
            assert other.status == 1 and "is being revoked" in other.err, other.text
        done = revoke(rotation)
    assert done.status == 0, done.text
    check_revoked(rotation, [rotation.old])


def test_in_the_middle_of_a_rotation_both_go(rotation):
    rotation.api.mishap = "500"
    assert rotation.rotate().status == 1
    done = revoke(rotation)
    assert done.status == 0, done.text
    assert sorted(rotation.api.revoked[1:]) == sorted([rotation.old, rotation.new])
    check_revoked(rotation, [rotation.old, rotation.new])


def test_a_token_that_is_set_while_the_old_one_still_lives_stays(keyring):
    keyring.api.mishap = "lies"
    assert revoke(keyring).status == 1
    assert keyring.lab.purser("token", "set", "ci", stdin=keyring.new).status == 0
    done = revoke(keyring)
    assert done.status == 0 and "The token that was set since stays" in done.out, done.text
    keyring.check_ended(keyring.new)


def test_a_source_without_a_provider_is_withdrawn_and_the_person_told(lab):
    lab.source("plain", "plain.test", token=new_token())
    done = lab.purser("revoke", "plain")
    assert done.status == 1 and "delete it at its provider now" in done.err, done.text
    lab.retriever("look", script="pass\n", sources=["plain"])
    assert lab.purser("run", "look").status == 5


def test_json(keyring):
    told = revoke(keyring, "--json")
    assert told.status == 0 and '"result":"revoked"' in told.out.splitlines()[-1]


@pytest.mark.parametrize("store, places", [("keyring", [("rename", 1), ("sendto", 3)]), ("file", [("rename", 1), ("unlink", 1)])])
def test_killed_before_the_calls_that_matter_and_said_again(lab, store, places):
    rotation = Rotation(lab, store)
    for call, number in places:
        assert killed_at(rotation.again(), call, number, command="revoke"), "it makes that call"
        assert revoke(rotation).status == 0
        check_revoked(rotation, [rotation.old])


@pytest.mark.long
@pytest.mark.parametrize("store", ["keyring", "file"])
def test_killed_before_each_call_and_said_again(lab, store):
    rotation, places = Rotation(lab, store), 0
    for call in CALLS:
        for number in range(1, 40):
            if not killed_at(rotation.again(), call, number, command="revoke"):
                break
            done = revoke(rotation)
            assert done.status == 0 or "nothing is given out" in done.err, done.text
            check_revoked(rotation, [rotation.old])
            places += 1
    assert places > 10


@pytest.mark.parametrize("store", ["keyring", "file"])
def test_retrievers_that_run_are_refused_at_once(lab, store):
    rotation = Rotation(lab, store)
    load = start_load(lab, 60, n=2)
    wait_until(lambda: len(rotation.api.used) > 20)
    assert revoke(rotation).status == 0
    mark = len(rotation.api.used)
    assert load.wait(30) != 0
    assert {status for _, status in rotation.api.used[mark:]} <= {401}
    time.sleep(0.1)
    assert rotation.old not in rotation.api.tokens


@pytest.mark.parametrize("store", ["keyring", "file"])
def test_who_runs_here_gives_it_out_no_more_at_once_though_the_provider_still_takes_it(lab, store):
    rotation = Rotation(lab, store)
    rotation.api.mishap = "lies"
    lab.retriever("ask", script=ASK, sources=["ci"], env=[{"name": "ANSWERS", "value": "2"}])
    log = lab.folder / "load.log"
    with open(log, "wb") as out:
        load = lab.start("run", stdout=out, stderr=out)
    wait_until(lambda: len(rotation.api.used) > 20)
    began = time.time()
    done = revoke(rotation)
    assert done.status == 1 and "gives it out no more, but the old token still works" in done.err, done.text
    assert lab.purser("token", "set", "ci", stdin=rotation.old).status == 1 or store == "file"
    assert load.wait(60) == 0
    assert [(status, code) for status, code, _ in heard(log)] == [(200, "200"), (403, "token-revoked")], log.read_text()
    assert began < heard(log)[1][2] < began + 2.5 and {status for _, status in rotation.api.used} == {200}
