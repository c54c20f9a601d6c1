"""The roles under records as no role sends them. Whoever gets them refuses them and ends that channel, and nothing else:
what goes on beside it goes on, no descriptor is left open, and no role dies of it.

Seeds stand in the tests' names; PURSER_SEEDS="4 5 6" tries others.
"""
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import clerk_driver
import ipc
import pytest
import runner_driver
from clerk_driver import Clerk, end_run, output
from garbage import SEEDS, Garbage, descriptors
from gate_driver import Gate, Source, answer, closed
from ipc import Type, pack
from keeper_world import authority, world  # noqa: F401
from lab import Answer
from promise import api, as_root, run, wait_until
from upstream import serve

seeds = pytest.mark.parametrize("seed", SEEDS)
ROUNDS = 25


def alive(process):
    assert process.poll() is None, f"it ended with {process.returncode}: {process.stderr.read()}"


@contextlib.contextmanager
def stopped(pid):
    """What comes meanwhile comes all at once."""
    os.kill(pid, signal.SIGSTOP)
    yield pid
    os.kill(pid, signal.SIGCONT)


# The keeper


REQUEST = pack(("u32", 0), ("u32", 0), ("text", ""), ("u32", 1), ("text", "GET"), ("text", "/x"), ("u32", 2), ("u8", 0), ("u8", 0),
               ("u8", 1), ("u64", 0), ("text", "psl_1AAAA"), ("u32", 1), ("text", "Accept"), ("text", "*/*"), ("text", ""))
TO_KEEPER = [(Type.LEASES_WANTED, b""), (Type.TUNNEL_WANTED, pack(("u32", 1), ("text", "files.test"), ("u16", 443))),
             (Type.GATE_REFUSED, pack(*[("text", "x")] * 6, ("u64", 1))), (Type.CONNECTION, b"")]
ASK = pack(("u8", 0), ("text", "psl_1AAAA"))
ON_STREAM = [(Type.REQUEST, REQUEST), (Type.BODY, b"body"), (Type.BODY_END, b""), (Type.LEASE_ASK, ASK)]


@seeds
def test_a_keeper_closes_the_channel_of_a_gate_that_sends_garbage_and_no_other(world, seed):  # noqa: F811
    w = world(serve(lambda c: c.answer(b"good")), budget=(0, 0, 0, 10**9, 0))
    garbage = Garbage(seed, TO_KEEPER)
    before = descriptors(w.keeper.process.pid)
    for n in range(ROUNDS):
        bad = w.keeper.run()
        bad.gate.settimeout(5)
        garbage.pour(bad.gate, 400)
        assert closed(bad.gate) or n, "a record in a row of four hundred is no record"
        alive(w.keeper.process)
        assert w.get("/x").body == b"good", f"seed {seed}, round {n}: another run's request"
        assert bad.close()[0], "and the supervisor still hears what that run did"
        bad.gate.close()
    wait_until(lambda: descriptors(w.keeper.process.pid) <= before + 2, what=f"seed {seed}: the descriptors' end")
    w.run.close()
    assert w.keeper.audit()[-1]["event"] == "seal"


@seeds
def test_a_keeper_ends_the_run_of_a_stream_of_garbage_and_no_other(world, seed):  # noqa: F811
    w = world(serve(lambda c: c.answer(b"good")), budget=(0, 0, 0, 10**9, 0))
    garbage = Garbage(seed, ON_STREAM + [(Type.REQUEST, REQUEST.replace(b"psl_1AAAA", b"psl_1BBBB"))])
    before = descriptors(w.keeper.process.pid)
    for kind, payload in ((Type.REQUEST, REQUEST), (Type.LEASE_ASK, ASK)):  # what is mutated is a record of today
        ipc.send(w.stream.sock, kind, payload)
        assert w.stream.answer().code == "not-a-lease"
    for n in range(ROUNDS):
        run = w.keeper.run()
        good, bad = run.stream(), run.stream()
        bad.sock.settimeout(5)
        garbage.pour(bad.sock, 400)
        assert closed(good.sock) and closed(run.gate)
        alive(w.keeper.process)
        assert w.get("/x").body == b"good", f"seed {seed}, round {n}: another run's request"
        assert run.close()[0], "and the supervisor still hears what that run did"
        for one in (good, bad):
            one.close()
        run.gate.close()
    wait_until(lambda: descriptors(w.keeper.process.pid) <= before + 2, what=f"seed {seed}: the descriptors' end")
    assert w.run.leases(), "the channel of another run was not touched"


def test_a_keeper_ends_the_run_that_asks_before_its_answer_is_out_and_is_there_for_the_next(world):  # noqa: F811
    """In one turn an answer comes, which waits for the audit, the gate asks about its lease, and the audit's disk is full."""
    come = threading.Event()

    def script(connection):
        while connection.request():
            come.wait(10)
            connection.answer(b"good")

    w = world(script)
    w.stream.request("GET", "/x", w.lease)
    wait_until(lambda: len(w.upstream.heads) == 1, what="the request")
    with stopped(w.keeper.process.pid) as pid:
        full = w.keeper.audit_path.stat().st_size
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
        come.set()
        time.sleep(0.3)
        ipc.send(w.stream.sock, Type.LEASE_ASK, pack(("u8", 0), ("text", w.lease)))
    assert closed(w.stream.sock)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run = w.keeper.run()
    lease, stream = run.leases()[0], run.stream()
    wait_until(lambda: stream.get("/x", lease).body == b"good", what="the audit")


@seeds
def test_a_keeper_ends_when_its_supervisor_sends_garbage_and_says_so(world, seed):  # noqa: F811
    valid = [(Type.KEEPER_RUN_CLOSE, b"run-1"),
             (Type.KEEPER_RUN_OPEN, pack(("text", "r"), ("text", "r"), ("u64", 1), ("u32", 0), ("u32", 0), ("u32", 0), ("u8", 0)))]
    for n in range(3):
        w = world(serve(lambda c: c.answer(b"good")))
        Garbage(seed * 100 + n, valid).pour(w.keeper.control, 200)
        assert w.keeper.process.wait(10) == 0, w.keeper.process.stderr.read()
        assert w.keeper.audit()[-1]["event"] == "keeper.stop"


# The gate


def get(gate, host="api.test"):
    """An ordinary request on a connection of its own."""
    with gate.unix() as sock:
        sock.settimeout(10)
        sock.sendall(f"GET /github/x HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {gate.lease(0)}\r\n\r\n".encode())
        return answer(sock)


@pytest.fixture
def gates():
    made = []

    def make(**words):
        made.append(Gate([Source("api.test")], **words))
        return made[-1]

    yield make
    for gate in made:
        if gate.process.poll() is None:
            gate.process.kill()
        gate.process.wait()
        shutil.rmtree(gate.folder, ignore_errors=True)


FROM_RUNNER = [(Type.HELLO, b""), (Type.OUTPUT, pack(("text", "a.dat"), ("u64", 1))),
               (Type.OUTPUT_REFUSED, pack(("text", "a"), ("text", "b"))),
               (Type.RUN_END, pack(("i32", 0), ("i32", 0), ("u8", 0), ("u8", 0), ("u32", 0)))]
RESPONSE = pack(("u16", 200), ("text", "OK"), ("u64", 4), ("u8", 0), ("u8", 1), ("u32", 1), ("text", "X"), ("text", "y"),
                ("text", "body"))
FROM_KEEPER = [(Type.LEASE, pack(("u32", 0), ("text", "psl_1" + "A" * 64))), (Type.LEASES_END, b""),
               (Type.TUNNEL_OPEN, pack(("u32", 1), ("u16", 0), ("text", ""), ("text", ""))),
               (Type.TUNNEL_REFUSED, pack(("u32", 1), ("u16", 502), ("text", "x"), ("text", "y")))]
ANSWERS = [(Type.RESPONSE, RESPONSE), (Type.DATA, b"data"), (Type.DATA_END, b""), (Type.CONTINUE, b""), (Type.ABORT, b""),
           (Type.REFUSE, pack(("u16", 403), ("text", "code"), ("text", "sentence"), ("u32", 0), ("u8", 0)))]


@seeds
def test_a_gate_hangs_up_on_a_runner_of_garbage_and_serves_on(gates, seed):
    for n in range(5):
        gate = gates()
        garbage = Garbage(seed * 100 + n, FROM_RUNNER)
        before = descriptors(gate.process.pid)
        bad = gate.runner()
        if n % 2:
            bad.hello()
        bad.sock.settimeout(5)
        garbage.pour(bad.sock, 200)
        assert get(gate).status == 200, f"seed {seed}, gate {n}"
        bad.sock.close()
        wait_until(lambda: descriptors(gate.process.pid) <= before + 2, what=f"seed {seed}: the descriptors' end")
        alive(gate.process)
        assert gate.stop() == 0


@seeds
def test_a_gate_breaks_off_the_answer_that_is_garbage_and_no_other(gates, seed):
    garbage = Garbage(seed, ANSWERS)

    def keeper(stream):
        while request := stream.request():
            if "bad" in request.target:
                garbage.pour(stream.sock, 30)
                return
            stream.respond(b"good")

    gate = gates(keeper=keeper)
    before = None
    for n in range(ROUNDS):
        with gate.unix() as sock:
            sock.settimeout(10)
            sock.sendall(f"GET /github/bad HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gate.lease(0)}\r\n\r\n".encode())
            seen = b""
            try:
                while more := sock.recv(65536):
                    seen += more
                    if b"\r\n\r\n" in seen and b"Connection: close" not in seen:
                        break
            except OSError:
                pass
        assert seen == b"" or seen.startswith(b"HTTP/1.1 "), seen[:100]
        assert get(gate).body == b"good", f"seed {seed}, round {n}"
        before = before or descriptors(gate.process.pid)
    wait_until(lambda: descriptors(gate.process.pid) <= before + 3, what=f"seed {seed}: the descriptors' end")
    alive(gate.process)


@seeds
def test_a_gate_whose_keeper_sends_garbage_ends_as_without_a_keeper(gates, seed):
    for n in range(5):
        gate = gates()
        assert get(gate).status == 200
        ended = Garbage(seed * 100 + n, FROM_KEEPER).pour(gate.keeper, 400)
        assert ended, "a record in a row of four hundred is no record"
        assert gate.process.wait(10) == 1, gate.process.stderr.read()
        faults = []
        while got := ipc.receive(gate.control):
            faults.append(got)
        assert [kind for kind, _ in faults] == [Type.FAULT] and b"keeper" in faults[0][1]


@seeds
def test_a_gate_survives_garbage_from_its_clerk_and_ends_by_its_supervisors(gates, seed):
    valid = [(Type.LOADED, pack(("u8", 0), ("u64", 1), ("u64", 1), ("u64", 1), ("u32", 1), ("text", "")))]
    for n in range(5):
        gate = gates()
        runner = gate.runner().hello()
        Garbage(seed * 100 + n, valid).pour(gate.clerk, 200)
        assert get(gate).status == 200, f"seed {seed}, gate {n}"
        runner.end()
        got = ipc.receive(gate.control)
        assert got and got[0] == Type.GATE_FINISHED, "what the script did is still reported"
        alive(gate.process)
        Garbage(seed * 100 + n, [(Type.STOP, b"")]).pour(gate.control, 50)
        assert gate.process.wait(10) == 0


# The runner


@seeds
def test_a_runner_of_which_the_gate_makes_no_sense_starts_nothing(prefix, seed):
    valid = [(Type.ENV, pack(("text", "A"), ("text", "b"), ("i32", -1))), (Type.CA, b"certificate"), (Type.ROOTS, b""),
             (Type.LOADED, pack(("u8", 0), ("u64", 1), ("u64", 1), ("u64", 1), ("u32", 1), ("text", "")))]
    for n in range(8):
        runner = runner_driver.Run(prefix / "libexec/purser/purser-exec", own=os.geteuid() == 0)
        try:
            runner.launch("--scratch", str(runner.folder / "work"), "--output-dir", str(runner.folder / "out"), "--",
                          "/usr/bin/touch", str(runner.folder / "work/started"))
            gate, _ = runner.listener.accept()
            gate.settimeout(5)
            assert ipc.receive(gate)[0] == Type.HELLO
            Garbage(seed * 100 + n, valid).pour(gate, 200)
            gate.close()
            assert runner.process.wait(20) > 0, f"seed {seed}: {runner.process.returncode}"
            assert not (runner.folder / "work/started").exists() and "gate" in runner.rest()
        finally:
            runner.close()


# The clerk


@seeds
def test_a_clerk_refuses_a_run_of_garbage_and_loads_the_next(tmp_path, seed):
    valid = [(Type.OUTPUT, pack(("text", "a.dat"), ("u64", 1))), (Type.OUTPUT_REFUSED, pack(("text", "a"), ("text", "b"))),
             (Type.RUN_END, pack(("i32", 0), ("i32", 0), ("u8", 0), ("u8", 0), ("u32", 3)))]
    with Clerk(path=tmp_path / "x.db") as clerk:
        clerk.control.settimeout(60)
        before = None
        for n in range(ROUNDS):
            gate = clerk.start_run(run=f"bad-{n}", output_files=50)
            gate.settimeout(5)
            Garbage(seed * 100 + n, valid).pour(gate, 100)
            gate.close()
            done = clerk.answer()
            assert done.result is not None, f"seed {seed}, run {n}: {clerk.process.stderr.read()}"
            gate = clerk.start_run(run=f"good-{n}")
            output(gate, f"m{n}.dat", "1")
            end_run(gate, 1)
            good = clerk.answer()
            assert good.result == clerk_driver.OK and good.loaded["rows"] == 1
            gate.close()
            before = before or descriptors(clerk.process.pid)
        assert descriptors(clerk.process.pid) <= before + 1
        assert clerk.count()["ingest_ledger"] >= ROUNDS


@seeds
def test_a_clerk_ends_when_its_supervisor_or_its_keeper_sends_garbage(tmp_path, seed):
    path = tmp_path / "x.db"
    with Clerk(path=path) as clerk:
        assert clerk.ingest_bytes('{"type":"metric","name":"m","value":1}\n', name="m.ndjson").loaded["rows"] == 1
    for n in range(5):
        clerk = Clerk(path=path)
        valid = [(Type.CLERK_COUNT, b""), (Type.CLERK_PRUNE, pack(("u8", 1), ("u64", 1), ("u64", 1), ("u64", 1))),
                 (Type.CLERK_INGEST, clerk_driver.load(file="x.dat")), (Type.CLERK_STREAM, pack(("text", "github")))]
        clerk.control.settimeout(5)
        Garbage(seed * 100 + n, valid).pour(clerk.control, 100)
        clerk.close()
        assert clerk.process.returncode >= 0, f"seed {seed}: killed by {-clerk.process.returncode}"
    with Clerk(path=path) as clerk:
        assert clerk.count()["metric_sample"] >= 1, "the database is whole"


@seeds
def test_a_clerk_says_that_no_credential_came_when_it_is_garbage(seed):
    for n in range(5):
        def keeper(sock):
            sock.setblocking(False)
            Garbage(seed * 100 + n, [(Type.CREDENTIAL, b"secret"), (Type.CREDENTIAL_FAULT, b"no")]).pour(sock, 3)

        with Clerk(dsn="host=127.0.0.1 port=1 user=x dbname=x connect_timeout=1", credential=keeper) as clerk:
            done = clerk.ask(Type.CLERK_CHECK)
            assert done.result not in (None, clerk_driver.OK) and done.sentence


# The supervisor


PLAYED = Path(os.environ.get("PURSER_BUILD", "")) / "plain/tests/behaviour/play-role"
PLAY = """
import os, random, sys, time
sys.path[:0] = [{tests!r}]
import socket
from garbage import Garbage
import ipc
from ipc import Type
control = socket.socket(fileno=3)
seed, role = {seed}, {role!r}
start = {{"keeper": Type.KEEPER_START, "gate": Type.GATE_START, "clerk": Type.CLERK_SETUP}}[role]
ready = {{"keeper": Type.KEEPER_READY, "gate": Type.GATE_READY, "clerk": None}}[role]
valid = [(Type.KEEPER_TOKEN, ipc.pack(("u32", 0), ("u8", 1), ("text", ""))), (Type.KEEPER_RUN_CLOSED, b"x"),
         (Type.GATE_FINISHED, ipc.pack(("i32", 0), ("i32", 0), ("u8", 0), ("u8", 0), ("u32", 0))), (Type.FAULT, b"a\\x1b[2J"),
         (Type.CLERK_DONE, ipc.pack(("u8", 0), ("text", ""))), (Type.CLERK_STREAM_IS, ipc.pack(("i64", 5))),
         (Type.LOADED, ipc.pack(("u8", 0), ("u64", 1), ("u64", 1), ("u64", 1), ("u32", 1), ("text", "")))]
if {late}:
    while (got := ipc.receive(control)) and got[0] != start:
        pass
    if role == "keeper":
        ipc.send(control, Type.KEEPER_TOKEN, ipc.pack(("u32", 0), ("u8", 1), ("text", "")))
    if ready:
        ipc.send(control, ready)
    got = ipc.receive(control)
Garbage(seed, valid).pour(control, 300)
"""


@pytest.fixture
def played(lab, tmp_path_factory):
    """play(role, seed, late): from then on this role of the laboratory's purser sends garbage."""
    home = lab.folder / "played"
    shutil.copytree(lab.prefix, home)
    lab.prefix = home

    def play(role, seed, late):
        program = home / f"libexec/purser/purser-{role}"
        shutil.copy(PLAYED, program)
        Path(f"{program}.py").write_text(PLAY.format(tests=str(lab.folder / "tests"), seed=seed, role=role, late=late))

    # Roles run as users of their own, which may not read the checkout.
    (lab.folder / "tests").mkdir()
    (lab.folder / "src/ipc").mkdir(parents=True)
    for name in ("garbage.py", "ipc.py"):
        text = Path(__file__).with_name(name).read_text()
        (lab.folder / "tests" / name).write_text(text.replace("parents[2]", "parents[1]"))
    shutil.copy(Path(__file__).parents[2] / "src/ipc/record.h", lab.folder / "src/ipc")
    return play


@seeds
@pytest.mark.parametrize("late", [False, True], ids=["at-once", "once-it-is-ready"])
@pytest.mark.parametrize("who", ["keeper", "gate", "clerk"])
def test_a_supervisor_ends_in_order_when_a_role_sends_garbage(lab, played, who, late, seed):
    api(lab)
    lab.retriever("script", "print('ran')", sources=["api"])
    played(who, seed, late)
    began = time.monotonic()
    done = lab.purser("run", timeout=90)
    assert done.status in (1, 4, 5), f"seed {seed}: {done.status}: {done.text}"
    assert time.monotonic() - began < 60 and "purser" in done.text, "soon, and with a sentence"
    assert "Sanitizer" not in done.text and not [char for char in done.text if ord(char) < 32 and char not in "\n\t"], done.text
    again = lab.purser("status", "--json")
    assert again.status == 0 and (who == "keeper" or again.json["runs"][0]["status"] != "ok"), again.text
