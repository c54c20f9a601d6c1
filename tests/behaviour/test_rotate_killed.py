"""A rotation whose process is killed before each thing that it does to a disk or a socket, and at random moments; gone on
with by --resume or --abort. It always ends with one working token, which is the one in the store."""

import random
import shutil
import subprocess
import time

import pytest
from test_rotate import Rotation, keyring, rotation  # noqa: F401  (fixtures)

# What changes the disk, and what a provider sees: each is a place to die before; the next one is the place after.
CALLS = ("fsync", "rename", "unlink", "ftruncate", "sendto")


def killed_at(rotation, call, number, *args, command="rotate"):
    """Runs a rotation (or --resume) that dies before its `number`th such call: True if it did, False if it ended first."""
    given = [] if args or command == "revoke" else ["--from-stdin"]
    words = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}", "-o",
             "/dev/null", *map(str, rotation.lab.words(command, "ci", *given, *args))]
    done = subprocess.run(words, input=rotation.new.encode(), capture_output=True, timeout=60, cwd=rotation.lab.folder)
    assert done.returncode in (0, 1, -9), done
    return done.returncode == -9


def go_on(rotation, way):
    done = rotation.rotate(way)
    if done.status == 0 or "no rotation of ci is under way" in done.err:
        return done
    # A new one that was retired, or an old one: the other way is the only one, and was gone.
    assert "is kept" in done.out, done.text
    return done


def check(rotation, done, told=True):
    kept = rotation.current()
    assert kept in rotation.api.tokens, done.text
    other = rotation.old if kept == rotation.new else rotation.new
    rotation.nothing_staged()
    journal = (rotation.lab.state / "rotate/ci.journal").read_text() if rotation.steps() else ""
    assert rotation.old[:8] not in journal and rotation.new[:8] not in journal
    assert not rotation.steps() or rotation.steps()[-1] == "end", done.text
    # Where nothing was staged yet the new token still lives, and the person is told.
    if other in rotation.api.tokens:
        assert kept == rotation.old and "switch" not in rotation.steps()
        assert not told or "stage" not in rotation.steps() or "nothing had been changed" in done.out, done.text


def again(lab, store):
    """A fresh start in the same laboratory."""
    for name in ("rotate", "keyring", "keyring.key", "keyring.lock"):
        path = lab.state / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in lab.folder.glob("token*"):
        path.unlink()
    if "api.buildkite.com" in lab.upstreams:
        lab.upstreams["api.buildkite.com"].close()
    return Rotation(lab, store)


@pytest.mark.long
@pytest.mark.parametrize("store", ["keyring", "file"])
@pytest.mark.parametrize("way", ["--resume", "--abort"])
def test_killed_before_each_call_it_ends_with_one_working_token(lab, store, way):
    places, ends = 0, set()
    for call in CALLS:
        for number in range(1, 100):
            rotation = again(lab, store)
            if not killed_at(rotation, call, number):
                break
            check(rotation, go_on(rotation, way))
            ends.add(rotation.new in rotation.api.tokens and rotation.old not in rotation.api.tokens)
            places += 1
    assert places > 25, "it was killed at many places"
    assert ends == {True, False}  # before anything was staged, the old one stays; after the old one is dead, the new one


@pytest.mark.parametrize("store, way, places", [
    # Before both are staged, before the switch, before the old one is retired, before what was staged goes.
    ("keyring", "--resume", [("rename", 1), ("rename", 2), ("sendto", 6), ("rename", 3)]),
    ("file", "--abort", [("rename", 2), ("rename", 3), ("sendto", 7), ("unlink", 1)]),
])
def test_killed_before_the_calls_that_matter_it_ends_with_one_working_token(lab, store, way, places):
    kept = []
    for call, number in places:
        rotation = again(lab, store)
        assert killed_at(rotation, call, number), "it makes that call"
        check(rotation, go_on(rotation, way))
        kept.append(rotation.current() == rotation.new)
    assert kept[0] is False and kept[-1] is True


@pytest.mark.parametrize("times", [3, pytest.param(40, marks=pytest.mark.long)])
def test_killed_twice(lab, times):
    """The second time in the middle of --resume or --abort."""
    choose = random.Random(4)
    for _ in range(times):
        rotation = again(lab, choose.choice(["keyring", "file"]))
        if not killed_at(rotation, choose.choice(["fsync", "sendto"]), choose.randint(2, 18)):
            continue
        killed_at(rotation, choose.choice(["fsync", "sendto"]), choose.randint(1, 10), choose.choice(["--resume", "--abort"]))
        check(rotation, go_on(rotation, choose.choice(["--resume", "--abort"])), told=False)


@pytest.mark.parametrize("times", [4, pytest.param(200, marks=pytest.mark.long)])
def test_killed_at_random_moments_while_the_provider_has_mishaps(lab, times):
    choose = random.Random(7)
    for _ in range(times):
        rotation = again(lab, choose.choice(["keyring", "file"]))
        rotation.api.mishap = choose.choice([None, "500", "lost", "lies"])
        process = rotation.start()
        time.sleep(choose.uniform(0, 0.12))
        process.kill()
        process.communicate()
        done = rotation.rotate(choose.choice(["--resume", "--abort"]))
        if done.status and "still works" in done.err:
            done = rotation.rotate(choose.choice(["--resume", "--abort"]))
        check(rotation, done)


def test_a_kill_that_leaves_half_a_line_in_the_journal(keyring):
    keyring.api.mishap = "500"
    assert keyring.rotate().status == 1
    path = keyring.lab.state / "rotate/ci.journal"
    with open(path, "a") as journal:
        journal.write("9 2026-01-01T00:00:00Z reti")
    assert keyring.rotate("--resume").status == 0
    keyring.check_ended(keyring.new)
