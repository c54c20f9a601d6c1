"""Promise 17: rotations under retrievers that never stop asking: not one failed request; and the hunt for both tokens."""

import os
import signal
import time

import pytest
from hunt import needles, search_files
from promise import new_token, wait_until
from rotate_world import Rotation, rotate_under_load, start_load


@pytest.mark.parametrize("store", ["keyring", "file"])
def test_agents_read_the_new_token_without_a_restart_and_no_request_fails(lab, store):
    rotation = Rotation(lab, store)
    load = start_load(lab, 20)
    wait_until(lambda: len(rotation.api.used) > 20)
    began = time.monotonic()
    done = rotation.rotate(timeout=120)
    took = time.monotonic() - began
    assert done.status == 0, done.text
    assert took < 5, "who runs here says that it has read the store, and that nothing is under way with the old one"
    mark = len(rotation.api.used)
    wait_until(lambda: len(rotation.api.used) > mark + 20)
    assert load.wait(60) == 0, (lab.folder / "load.log").read_text()
    assert {status for _, status in rotation.api.used} == {200}
    used = [token for token, _ in rotation.api.used]
    assert set(used[:20]) == {rotation.old} and set(used[mark:]) == {rotation.new}
    events = lab.audit("token.rotate")
    assert len(events) == 1 and events[0]["source"] == "ci"
    hits, _ = search_files(lab.state, needles(rotation.old) | needles(rotation.new))
    assert hits == []


@pytest.mark.parametrize("rotations, retrievers, seconds", [
    (6, 3, 90),
    pytest.param(100, 8, 400, marks=pytest.mark.long),
])
@pytest.mark.parametrize("store", ["keyring", "file"])
def test_rotation_after_rotation_under_load_and_no_request_fails(lab, store, rotations, retrievers, seconds):
    """Each old token is refused afterwards."""
    rotate_under_load(Rotation(lab, store), rotations, retrievers, seconds)


def test_a_wait_that_is_too_short_still_fails_no_idempotent_request(lab):
    """The old one is retired while agents hold it: their 401 makes them read the store, and the request is sent again."""
    rotation = Rotation(lab, "keyring")
    load = start_load(lab, 25, n=2)
    wait_until(lambda: len(rotation.api.used) > 20)
    time.sleep(11)  # a store is read again for a 401 once in ten seconds
    done = rotation.rotate("--wait", "0")
    assert done.status == 0, done.text
    assert load.wait(60) == 0, (lab.folder / "load.log").read_text()
    assert 1 <= len([status for _, status in rotation.api.used if status == 401]) < 10
    assert (lab.folder / "load.log").read_text().count("ASKED") == 2


@pytest.mark.plain
@pytest.mark.parametrize("store", ["keyring", "file"])
def test_a_dump_in_the_middle_and_the_files_afterwards_hold_neither_token(lab, store):
    """While it settles nothing is open: memory of the process, then what it leaves, with both tokens' needles."""
    from hunt import Memory
    rotation = Rotation(lab, store)
    process = rotation.start("--wait", "30s")
    wait_until(lambda: "settle" in rotation.steps())
    time.sleep(0.5)
    memory = Memory()
    wanted = needles(rotation.old) | needles(rotation.new)
    os.kill(process.pid, signal.SIGSTOP)
    hits = memory.search(process.pid, wanted)
    assert memory.bytes > 1 << 20 and hits == [], hits
    command = open(f"/proc/{process.pid}/cmdline", "rb").read() + open(f"/proc/{process.pid}/environ", "rb").read()
    assert not [needle for needle in wanted if needle in command]
    os.kill(process.pid, signal.SIGCONT)
    process.kill()
    said = process.communicate()[0]
    assert not [needle for needle in wanted if needle in said.encode()]
    assert rotation.rotate("--resume").status == 0
    hits, read = search_files(lab.state, wanted)
    assert hits == [] and read > 2
