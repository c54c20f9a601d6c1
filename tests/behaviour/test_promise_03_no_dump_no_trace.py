"""Promise 3: no core dump, no ptrace, nothing guarded in swap; black box, on the roles of a run that is under way.

The memory of a role is not even its own user's: as root, a process with the role's user id and none of root's powers tries
to read it; started by a person, that is the person.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import Lab
from promise import api, as_root, below, role, run, with_inside

ROLES = ("purser-keeper", "purser-gate", "purser-exec")
TRY = """
import ctypes, json, os, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
said = {}
for name in ("mem", "environ", "maps", "fd/1", "root"):
    try:
        path = f"/proc/{pid}/{name}"
        os.readlink(path) if name in ("fd/1", "root") else open(path, "rb", 0).read(0)
        said[name] = "read"
    except OSError as fault:
        said[name] = fault.errno
said["attach"] = ctypes.get_errno() if libc.ptrace(16, pid, 0, 0) else "attached"
here, there = ctypes.create_string_buffer(8), ctypes.c_void_p(0x400000)
class Vec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
mine, other = Vec(ctypes.addressof(here), 8), Vec(there, 8)
said["vm_readv"] = ctypes.get_errno() if libc.process_vm_readv(pid, ctypes.byref(mine), 1, ctypes.byref(other), 1, 0) < 0 else "read"
print(json.dumps(said))
"""


@pytest.fixture
def under_way(lab):
    """A run whose script waits; (laboratory, purser's process, {role: pid})."""
    api(lab)
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\nimport time\nClient().ask()\nsay(up=1)\ntime.sleep(60)", sources=["api"],
                  limits={"grace": "1s"})
    process = lab.start("run", "script", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if "SAID" in line:
            break
    yield lab, process, {name: pid for pid, name in below(process.pid).items()}
    process.send_signal(signal.SIGINT)


def status_of(pid):
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def as_user(user, group):
    """Before exec: that user, none of root's powers, and nothing to gain them with."""
    def change():
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
    return change


def attempt(pid, user, group):
    change = as_user(user, group) if os.geteuid() == 0 else None
    done = subprocess.run([sys.executable, "-I", "-c", TRY, str(pid)], preexec_fn=change, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_role_leaves_a_core_and_each_is_hidden_from_its_own_user(under_way):
    _, process, pids = under_way
    for name in ROLES:
        status = status_of(pids[name])
        user, group = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
        limits = Path(f"/proc/{pids[name]}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"], f"{name}: {core}"
        assert Path(f"/proc/{pids[name]}/mem").stat().st_uid == 0, f"{name} is not dumpable, so its files are root's"
        if user == 0:
            continue  # root may; the script's user is tried below
        said = attempt(pids[name], user, group)
        assert all(outcome in (1, 13) for outcome in said.values()), (name, said)


@pytest.mark.plain
def test_the_roles_that_read_foreign_bytes_are_under_seccomp(under_way):
    _, _, pids = under_way
    for name in ("purser-keeper", "purser-gate"):  # the runner starts programs, and walls these in
        status = status_of(pids[name])
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", name


def test_the_attempt_succeeds_on_a_process_that_does_not_guard_itself():
    """So that the one above can fail."""
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    change = as_user(user, user) if os.geteuid() == 0 else None
    victim = subprocess.Popen(["sleep", "60"], preexec_fn=change)
    try:
        said = attempt(victim.pid, user, user)
        assert said["mem"] == said["environ"] == said["maps"] == said["fd/1"] == "read" and said["attach"] == "attached", said
    finally:
        victim.kill()
        victim.wait()


def test_a_script_reads_no_role_and_no_other_process(lab):
    api(lab)
    done = run(lab, """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
got = []
for entry in os.listdir("/proc"):
    if not entry.isdigit() or int(entry) == os.getpid():
        continue
    try:
        if not open(f"/proc/{entry}/cmdline").read().startswith("purser"):
            continue
    except OSError:
        continue
    for name in ("mem", "environ", "maps"):
        try:
            open(f"/proc/{entry}/{name}", "rb").read(1)
            got.append((entry, name))
        except OSError:
            pass
    if libc.ptrace(16, int(entry), 0, 0) == 0:
        got.append((entry, "ptrace"))
say(got=got)
""")
    assert done.said == [{"got": []}], done.text


def test_the_keepers_secrets_are_locked_and_purser_says_so(under_way):
    lab, _, pids = under_way
    status = status_of(pids["purser-keeper"])
    maps = Path(f"/proc/{pids['purser-keeper']}/maps").read_text()
    assert int(status["VmLck"].split()[0]) > 0 or "/secretmem" in maps
    doctor = subprocess.run([lab.prefix / "bin/purser", "doctor"], capture_output=True, text=True)
    said = (doctor.stdout + doctor.stderr).lower()
    assert "lock" in said or "secret" in said, said


@as_root
def test_a_keeper_that_is_killed_by_a_fault_leaves_no_core(under_way, tmp_path):
    lab, process, pids = under_way
    os.kill(pids["purser-keeper"], 11)
    assert process.wait(30) != 0
    cores = [path for place in (lab.folder, Path("/tmp"), Path("/var/lib/systemd/coredump")) if place.exists()
             for path in place.glob("**/core*" if place == lab.folder else "core*") if path.is_file()]
    assert cores == []


class Inheriting(Lab):
    """Started by somebody who left a file open, as shells and services do."""

    NUMBERS = (4, 9, 10, 11, 12, 63, 200)

    def words(self, command, *args):
        shell = "exec " + " ".join(f"{number}<{self.folder / 'left-open'}" for number in self.NUMBERS) + '; exec "$0" "$@"'
        return ["bash", "-c", shell, *super().words(command, *args)]


def test_what_purser_was_started_with_is_open_in_no_role_and_no_script(prefix):
    with Inheriting(prefix) as lab:
        (lab.folder / "left-open").write_text("another program's")
        api(lab)
        with_inside(lab, "script")
        lab.retriever("script", "from inside import *\nimport time\nClient().ask()\nsay(up=1)\ntime.sleep(60)", sources=["api"],
                      limits={"grace": "1s"})
        process = lab.start("run", "script", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert any("SAID" in line for line in process.stdout)
        held = {}
        for pid, name in {process.pid: "purser", **below(process.pid)}.items():
            files = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            held[name] = sum("left-open" in file for file in files)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert held.pop("purser") == len(lab.NUMBERS)
        assert set(ROLES) < set(held) and not any(held.values()), held
