"""Promise 2, in the middle of a request: how many copies of a token lie in the keeper's ordinary memory, where and for how
long, for every way in which an API takes it; and that nothing of it is dumped, swapped, or left in a crash.

The keeper is stepped through a request instruction by instruction, and looked into at each of its system calls. What it
finds is the table in SECURITY.md. (Its arena is memfd_secret, which not even the tracer can read.)
"""
import base64
import ctypes
import os
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import clerk_driver
import pytest
from clerk_driver import Clerk
from gate_driver import Gate, Source as GateSource
from hunt import Memory, needles
from keeper_world import HOST, authority, world  # noqa: F401
from promise import as_root, new_token, wait_until
from runner_driver import Run
from tracing import Steps, Watch
from upstream import serve

STYLES = {"bearer": {}, "token": {}, "basic": {"user": "u"}, "header": {"header": "X-Key"}}
styles = pytest.mark.parametrize("style", STYLES)


def forms(token):
    """Whole, as it goes up: as it is, or in basic's base64."""
    return {token.encode(): "raw", base64.b64encode(b"u:" + token.encode())[4:-4]: "base64"}


def documented():
    """{style: (copies while written, while searched, at system calls)} of SECURITY.md."""
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+)[^|]*\| (\d+)[^|]*\| (\d+)[^|]*\|$", text, re.M)
    return {style: tuple(int(n) for n in numbers) for style, *numbers in rows}


@pytest.mark.plain
@as_root
@styles
def test_copies_of_a_token_while_a_request_is_under_way(world, style):  # noqa: F811
    token, decoy = new_token(), new_token()
    both = f"{token} {base64.b64encode(b'u:' + token.encode()).decode()} {decoy}".encode()

    def answer(connection):
        echo = "echo" in connection.upstream.heads[-1].split("\r\n")[0]
        connection.answer(both if echo else decoy.encode())

    w = world(serve(answer), source={"token": token.encode(), "scheme": style, **STYLES[style]})
    keeper, wanted = w.keeper.process.pid, forms(token)
    assert w.get("/warm").status == 200

    with Watch(keeper, {**wanted, decoy.encode(): "decoy"}) as watch:
        for path in ("/x", "/echo", "/x"):
            assert decoy.encode() in w.get(path).body
    assert watch.stops > 20 and {form for _, form in watch.seen} == {"decoy"}, "at no system call a copy, in no form"

    found = {}
    for path in ("/x", "/echo"):
        steps = Steps(keeper, list(wanted), lambda path=path: w.get(path))
        found[path] = steps
        assert steps.all > 20_000 and steps.where <= {"heap"}, steps.where
        assert steps.instructions < steps.all // 2
    print(f"| `{style}` | {found['/x'].most} for {found['/x'].instructions:,} of {found['/x'].all:,} instructions "
          f"| {found['/echo'].most} for {found['/echo'].instructions:,} of {found['/echo'].all:,} | 0 |")
    most = documented()[style]
    # With an echo both forms come at once, in each place.
    assert found["/x"].most <= most[0] and found["/echo"].most <= most[1] * 2 and most[2] == 0
    assert found["/x"].most > 0, "the search finds what is there"
    assert Memory().search(keeper, needles(token)) == [], "afterwards"


# After a crash, in swap, in a child


def crash(process):
    """Whether the kernel says that it wrote a core."""
    os.kill(process.pid, signal.SIGSEGV)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSEGV, signal.SIGKILL), status
    return os.WCOREDUMP(status)


def unlimited():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture
def cores(tmp_path, monkeypatch):
    """A folder in which a core would lie, and no limit to it."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY and os.geteuid() != 0:
        pytest.skip("the limit of cores cannot be lifted here")
    before = resource.getrlimit(resource.RLIMIT_CORE)
    unlimited()
    monkeypatch.chdir(tmp_path)
    yield lambda: [path for path in tmp_path.rglob("core*") if path.is_file()]
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.plain
def test_a_keeper_that_crashes_leaves_no_core(cores, world):  # noqa: F811
    w = world(serve(lambda c: c.answer()))
    w.get("/x")
    assert not crash(w.keeper.process) and cores() == []


@pytest.mark.plain
def test_a_gate_that_crashes_leaves_no_core(cores):
    gate = Gate([GateSource("api.test")])
    assert not crash(gate.process) and cores() == []
    gate.stop()


@pytest.mark.plain
def test_a_clerk_that_crashes_leaves_no_core(cores, tmp_path):
    clerk = Clerk(path=tmp_path / "x.db")
    assert clerk.ask(clerk_driver.Type.CLERK_MIGRATE).result == clerk_driver.OK
    assert not crash(clerk.process) and cores() == []
    clerk.process.stderr.close()


@pytest.mark.plain
def test_a_runner_that_crashes_leaves_no_core(cores, prefix):
    run = Run(prefix / "libexec/purser/purser-exec", own=False)
    try:
        run.start("import time\nprint('up', flush=True)\ntime.sleep(60)")
        run.wait_for("up")
        assert not crash(run.process) and [path for path in run.folder.rglob("core*") if path.is_file()] == []
    finally:
        run.close()


def test_a_process_that_does_not_guard_itself_is_dumped(cores):
    """So that the ones above can fail."""
    if Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/")):
        pytest.skip("cores do not lie beside their process here")
    process = subprocess.Popen(["sleep", "60"])
    time.sleep(0.2)
    assert crash(process) and cores()


def page_out(pid):
    """Everything of a process that can be swapped is: process_madvise(MADV_PAGEOUT). Bytes asked for."""
    libc = ctypes.CDLL(None, use_errno=True)

    class Vec(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]

    fd, asked = os.pidfd_open(pid), 0
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split(maxsplit=5)
        low, high = (int(end, 16) for end in words[0].split("-"))
        if "w" in words[1]:
            vec = Vec(low, high - low)
            if libc.syscall(440, fd, ctypes.byref(vec), 1, 21, 0) > 0:
                asked += high - low
    os.close(fd)
    return asked


@pytest.mark.plain
@as_root
def test_swapped_out_whole_the_keeper_leaves_no_token_and_no_key_on_the_disk(world, tmp_path):  # noqa: F811
    token = new_token()
    w = world(serve(lambda c: c.answer(b"x")), source={"token": token.encode()})
    assert w.get("/x").status == 200
    keeper = w.keeper.process.pid
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{keeper}/status").read_text().splitlines() if ":\t" in line)
    maps = Path(f"/proc/{keeper}/smaps").read_text()
    arena = next(part for part in re.split(r"\n(?=[0-9a-f]+-)", maps) if "secretmem" in part or re.search(r"Locked: +[1-9]", part))
    assert int(status["VmLck"].split()[0]) >= 512 or "secretmem" in arena, "the arena is locked"
    assert re.search(r"VmFlags:.* lo .*", arena + " ") and "SwapPss" in arena
    swap = tmp_path / "swap"
    with open(swap, "wb") as file:  # written, so that what is swapped can be read through the file
        file.write(bytes(32 << 20))
        os.fsync(file.fileno())
    swap.chmod(0o600)
    subprocess.run(["mkswap", swap], check=True, capture_output=True)
    if subprocess.run(["swapon", swap], capture_output=True).returncode != 0:
        pytest.skip("no swap can be added here: that the arena is locked was seen above")
    try:
        def swapped():
            page_out(keeper)
            text = Path(f"/proc/{keeper}/status").read_text()
            return int(re.search(r"VmSwap:\s+(\d+)", text).group(1)) > 300

        wait_until(swapped, what="its memory's going out")
        os.sync()
        disk = subprocess.run(["dd", f"if={swap}", "bs=1M", "iflag=direct"], capture_output=True, check=True).stdout
        again = Path(f"/proc/{keeper}/smaps").read_text()
        arena = next(part for part in re.split(r"\n(?=[0-9a-f]+-)", again) if "secretmem" in part or re.search(r"Locked: +[1-9]", part))
        assert re.search(r"Swap: +0 kB", arena) or "secretmem" in arena, "nothing of the arena is there"
    finally:
        subprocess.run(["swapoff", swap], check=True)
    assert HOST.encode() in disk, "what is not secret is found, so the search can find"
    assert not [needle for needle in needles(token) if needle in disk]
    assert w.keeper.audit_key.read_bytes() not in disk
    assert w.get("/x").status == 200, "and it goes on"
