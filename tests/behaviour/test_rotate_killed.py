"""A rotation whose process is killed before each thing that it does to a disk or a socket, and at random moments; gone on
with by --resume or --abort. It always ends with one working token, which is the one in the store."""

import random

import pytest
from rotate_world import CALLS, Rotation, go_on, keyring, killed_at  # noqa: F401  (fixtures)

@pytest.mark.long
@pytest.mark.parametrize("store", ["keyring", "file"])
@pytest.mark.parametrize("way", ["--resume", "--abort"])
def test_killed_before_each_call_it_ends_with_one_working_token(lab, store, way):
    rotation, places, ends = Rotation(lab, store), 0, set()
    for call in CALLS:
        for number in range(1, 100):
            if not killed_at(rotation.again(), call, number):
                break
            rotation.check_one_works(go_on(rotation, way))
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
    rotation, kept = Rotation(lab, store), []
    for call, number in places:
        assert killed_at(rotation.again(), call, number), "it makes that call"
        rotation.check_one_works(go_on(rotation, way))
        kept.append(rotation.current() == rotation.new)
    assert kept[0] is False and kept[-1] is True


@pytest.mark.parametrize("times", [3, pytest.param(40, marks=pytest.mark.long)])
def test_killed_twice(lab, times):
    """The second time in the middle of --resume or --abort."""
    choose, rotation = random.Random(4), Rotation(lab, "keyring")
    for _ in range(times):
        rotation.store = choose.choice(["keyring", "file"])
        if not killed_at(rotation.again(), choose.choice(["fsync", "sendto"]), choose.randint(2, 18)):
            continue
        killed_at(rotation, choose.choice(["fsync", "sendto"]), choose.randint(1, 10), choose.choice(["--resume", "--abort"]))
        rotation.check_one_works(go_on(rotation, choose.choice(["--resume", "--abort"])), told=False)


def test_a_kill_that_leaves_half_a_line_in_the_journal(keyring):
    keyring.api.mishap = "500"
    assert keyring.rotate().status == 1
    path = keyring.lab.state / "rotate/ci.journal"
    with open(path, "a") as journal:
        journal.write("9 2026-01-01T00:00:00Z reti")
    assert keyring.rotate("--resume").status == 0
    keyring.check_ended(keyring.new)
