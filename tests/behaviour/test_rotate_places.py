"""A rotation's hard days, in each place where the token may lie: killed before each line of its journal and each call, and at
random moments while the provider has mishaps; the store gone, or stuck, at each step; two machines at once; a clock that
jumps. It always ends with one working token, which is the one in the store."""

import contextlib
import queue
import random
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab import Lab
from promise import new_token, wait_until
from rotate_world import (Kv1Rotation, Rotation, SecretRotation, VaultRotation, after_a_death, bao_server, go_on,  # noqa: F401
                          killed_at, kube_server)

CLUSTER = pytest.param("kubernetes", marks=pytest.mark.cluster)
SHARED = ["kv1", "kv2", CLUSTER]
PLACES = ["keyring", "file", *SHARED]
KINDS = {"kv1": Kv1Rotation, "kv2": VaultRotation, "kubernetes": SecretRotation}
WAYS = ["--resume", "--abort"]


class Machines:
    """Rotations in one place at the same time: each of a secret, and on a machine, of its own."""

    def __init__(self, place, prefix, server):
        self.place, self.prefix, self.server = place, prefix, server
        self.stack, self.made = contextlib.ExitStack(), []

    def add(self):
        lab = self.stack.enter_context(Lab(self.prefix))
        made = KINDS[self.place](lab, self.server, f"n{len(self.made)}") if self.server else Rotation(lab, self.place)
        self.made.append(made)
        return made

    def each(self, jobs, do):
        """do(rotation, job) of each job, on several machines: in KV 1 they wait two seconds for each lock."""
        n = {"kv1": 6, "keyring": 2, "file": 2}.get(self.place, 4)
        free = queue.Queue()
        for _ in range(min(n, len(jobs))):
            free.put(self.add())

        def one(job):
            rotation = free.get()
            try:
                do(rotation, job)
            finally:
                free.put(rotation)

        with ThreadPoolExecutor(n) as pool:
            for done in [pool.submit(one, job) for job in jobs]:
                done.result(timeout=300)

    def close(self):
        if self.place == "kubernetes":
            for one in self.made:
                one.take_away()
        self.stack.close()
        if self.place in ("kv1", "kv2"):
            self.server.reset()


@pytest.fixture
def machines(request, prefix):
    server = {"kubernetes": "kube_server", "kv1": "bao_server", "kv2": "bao_server"}.get(request.param)
    made = Machines(request.param, prefix, server and request.getfixturevalue(server))
    yield made
    made.close()


@pytest.fixture
def rotation(machines):
    return machines.add()


def in_each(places):
    return pytest.mark.parametrize("machines", places, indirect=True)


def at_once(rotation):
    """Nobody is waited for."""
    return ("--wait", "0") if rotation.login else ()


def check_the_story(rotation):
    """What a run is given is what is there; journal and audit are whole, and tell that it has ended."""
    assert rotation.used() == rotation.current()
    status = rotation.rotate("--status", "--json")
    assert status.status == 0 and not status.json["underWay"], status.text
    assert rotation.lab.purser("audit", "verify").status == 0
    assert "half way" not in rotation.lab.purser("status").out
    rotation.check_no_secret()


def calls_of(rotation, call):
    """How many such calls a rotation makes."""
    log = rotation.lab.folder / "calls"
    words = ["strace", "-f", "-qq", "-e", f"trace={call}", "-o", log, *rotation.words(*at_once(rotation))]
    done = subprocess.run(list(map(str, words)), input=rotation.new.encode(), capture_output=True, cwd=rotation.lab.folder)
    assert done.returncode == 0, done.stderr
    return len([line for line in log.read_text().splitlines() if f"{call}(" in line])


@pytest.mark.plain  # the leak search does not work under strace
@pytest.mark.parametrize("machines, call", [
    ("kv2", "fsync"), pytest.param("kubernetes", "fsync", marks=pytest.mark.cluster),
    pytest.param("kv1", "fsync", marks=pytest.mark.long), pytest.param("kv1", "sendto", marks=pytest.mark.long),
    pytest.param("kv2", "sendto", marks=pytest.mark.long),
    pytest.param("kubernetes", "sendto", marks=[pytest.mark.long, pytest.mark.cluster]),
], indirect=["machines"])
def test_killed_before_each_it_ends_with_one_working_token(machines, call):
    """Each line of the journal is flushed before its step is taken, and each call to store and provider is a send: before the
    one, after the other. The places of the keyring and of a file are test_rotate_killed.py's."""
    first = machines.add()
    numbers = range(1, calls_of(first, call) + 1)
    ends = []

    def one(rotation, number):
        if not killed_at(rotation.again(), call, number, *at_once(rotation)):
            assert number > len(numbers) - 2, number
            return
        rotation.check_one_works(go_on(rotation, WAYS[number % 2], "--wait", "0"))
        ends.append(rotation.current() == rotation.new)

    machines.each(numbers, one)
    assert len(ends) > (8 if call == "fsync" else 25) and set(ends) == {True, False}
    check_the_story(machines.made[-1])


@in_each(PLACES)
@pytest.mark.parametrize("times", [4, pytest.param(40, marks=pytest.mark.long)])
def test_killed_at_random_moments_while_the_provider_has_mishaps(machines, times):
    """200 of them, over the places."""
    first = machines.add()
    began = time.monotonic()
    assert first.rotate(*at_once(first)).status == 0
    takes = time.monotonic() - began
    choose = random.Random(f"{machines.place} {times}")
    moments = [(choose.uniform(0, takes), choose.choice([None, "500", "lost", "lies", "again", "twice"]), choose.choice(WAYS),
                choose.choice(WAYS)) for _ in range(times)]

    def one(rotation, moment):
        wait, rotation.again().api.mishap, way, then = moment
        process = rotation.start(*at_once(rotation))
        time.sleep(wait)
        process.kill()
        process.communicate()
        done = after_a_death(rotation, way, *at_once(rotation))
        if done.status and "still works" in done.err:
            done = rotation.rotate(then, *at_once(rotation))
        assert done.status == 0 or "no rotation of ci is under way" in done.err or "is kept" in done.out, done.text
        rotation.check_one_works(done)

    machines.each(moments, one)
    check_the_story(machines.made[-1])


def stop_at(rotation, number):
    """A rotation that stops itself before it writes its number-th line: the process, and what is known of it."""
    log = rotation.lab.folder / "strace.log"
    log.unlink(missing_ok=True)
    process = rotation.start(*at_once(rotation), before=[
        "strace", "-f", "-qq", "-e", "trace=fsync", "-e", f"inject=fsync:signal=STOP:when={number}", "-o", log])
    wait_until(lambda: process.poll() is not None or stopped(log), 60, "that it stops, or ends")
    return process


def stopped(log):
    found = re.search(r"^(\d+) +--- stopped by SIGSTOP", log.read_text() if log.exists() else "", re.MULTILINE)
    return int(found.group(1)) if found else 0


def go_away(server, how):
    server.freeze() if how == "frozen" else server.stop()


def come_back(server, how):
    if how == "frozen":
        server.thaw()
        return
    server.start()
    if hasattr(server, "unseal"):
        server.unseal()


@pytest.mark.plain  # the leak search does not work under strace
@in_each(["kv2", CLUSTER])
@pytest.mark.parametrize("how", ["closed", pytest.param("frozen", marks=pytest.mark.long)])
def test_the_store_stopped_at_each_step(machines, how):
    """Before each line of the journal: one rotation that stands there for each, and then the store goes away for all."""
    first = machines.add()
    lines = calls_of(first, "fsync")
    several = [first.again(), *(machines.add() for _ in range(lines - 1))]
    processes = [stop_at(rotation, number) for number, rotation in enumerate(several, 1)]
    standing = [stopped(rotation.lab.folder / "strace.log") for rotation in several]
    assert len([pid for pid in standing if pid]) >= lines - 1, standing
    go_away(machines.server, how)
    for pid in filter(None, standing):
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
    said = [process.communicate(timeout=120)[0] for process in processes]
    come_back(machines.server, how)
    wait_until(lambda: first.rotate("--status").status == 0, 60, "that it knows its rules again")
    for number, (rotation, process, text) in enumerate(zip(several, processes, said), 1):
        assert process.returncode == 0 or "cannot be reached" in text or "did not answer" in text, (number, text)
        rotation.check_one_works(go_on(rotation, WAYS[number % 2], "--wait", "0"), told=False)
    assert len([process for process in processes if process.returncode == 1]) >= lines - 3, said
    assert {rotation.current() == rotation.new for rotation in several} == {True, False}
    check_the_story(several[-1])


@pytest.mark.plain  # the leak search does not work under strace
@in_each(["file", *SHARED])
def test_several_at_once_of_one_machine_and_of_another(rotation):
    slow = []
    if rotation.login:  # before what they send, so that all have read before any writes
        slow = ["strace", "-f", "-qq", "-e", "trace=sendto", "-e", "inject=sendto:delay_enter=300000:when=1..9", "-o", "/dev/null"]
    several = [rotation.start(*at_once(rotation), before=slow) for _ in range(2)]
    here = rotation.elsewhere()
    several += [rotation.start(*at_once(rotation), before=slow) for _ in range(2)]
    said = [process.communicate(timeout=100)[0] for process in several]
    ended = [process.returncode for process in several]
    assert ended.count(0) == 1, said
    for text in (text for text, status in zip(said, ended) if status):
        assert "is being rotated by" in text or "already" in text or "changed meanwhile" in text or "taken over" in text, said
    rotation.check_ended(rotation.new)
    check_the_story(rotation)
    rotation.back(here)
    check_the_story(rotation)


@in_each(PLACES)
def test_tokens_of_4000_characters(rotation):
    for way in WAYS:
        rotation.old, rotation.new = new_token(4000), new_token(4000)
        rotation.api.restart(rotation.old, rotation.new)
        rotation.make()
        rotation.api.mishap = "500"
        assert rotation.rotate(*at_once(rotation)).status == 1
        assert rotation.current() == rotation.new
        done = rotation.rotate(way, *at_once(rotation))
        assert done.status == 0, done.text
        rotation.check_ended(rotation.new if way == "--resume" else rotation.old)
    check_the_story(rotation)


# clock_gettime() of the wall's clock, so many calls after the beginning so many seconds away.
JUMPS = r"""
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time)
{
    static int calls;
    int r = (int)syscall(SYS_clock_gettime, id, time);
    if (r == 0 && id == CLOCK_REALTIME && ++calls > atoi(getenv("JUMP_AFTER")))
        time->tv_sec += atol(getenv("JUMP_BY"));
    return r;
}
"""
YEAR = 86400 * 400


@pytest.fixture
def jumps(rotation):
    source, made = rotation.lab.folder / "jumps.c", rotation.lab.folder / "jumps.so"
    source.write_text(JUMPS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", made, source], check=True)
    return lambda by, after=0: {"LD_PRELOAD": str(made), "JUMP_AFTER": str(after), "JUMP_BY": str(by)}


@pytest.mark.plain
@in_each(PLACES)
@pytest.mark.parametrize("by", [YEAR, -YEAR])
@pytest.mark.parametrize("after", [0, 8])
def test_a_clock_that_jumps_in_the_middle(rotation, jumps, by, after):
    """Deadlines are of the clock that does not jump, else this would take a year; what the wall says is for people."""
    rotation.api.mishap = "500"
    assert rotation.rotate(*at_once(rotation), env=jumps(by, after)).status == 1
    done = rotation.rotate("--resume", *at_once(rotation), env=jumps(-by, after))
    assert done.status == 0, done.text
    rotation.check_ended(rotation.new)
    check_the_story(rotation)


@pytest.mark.plain
@in_each(SHARED)
def test_a_machine_whose_clock_is_ahead_takes_no_lock_over_whose_holder_lives(rotation, jumps):
    """The store's own clock tells how long a holder has been silent."""
    first = rotation.start("--wait", "60s")
    wait_until(lambda: rotation.current() == rotation.new, 30)
    here = rotation.elsewhere()
    for way in WAYS:
        done = rotation.rotate(way, "--wait", "0", env=jumps(YEAR))
        assert done.status == 1 and f"is being rotated by process {first.pid} on " in done.err, done.text
    rotation.back(here)
    first.kill()
    first.wait()
    rotation.age()
    assert rotation.rotate("--resume", "--wait", "0", env=jumps(-YEAR)).status == 0
    rotation.check_ended(rotation.new)
