"""A token is handed to a script for real only where its policy says so: in one file, on record, for as long as the run."""
import json
import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest
from hunt import Memory, needles, search_files
from keeper_driver import Keeper, Source
from lab import Answer
from people import KINDS, lab_of
from promise import as_root, below, new_token, role, wait_until

POLICY = """\
    policy: %s
    %s
    allow:
    - {method: GET, path: /**}
    """

SCRIPT = """
import json, os, stat, time
def say(**what):
    print("SAID " + json.dumps(what), flush=True)
path = os.environ.get("PURSER_TOKEN_FILE_API", "")
"""


@pytest.fixture(params=KINDS)
def api(request, prefix):
    with lab_of(request.param, prefix) as lab:
        lab.kind, lab.token, lab.began = request.param, new_token(), lab.folder.stat().st_ctime
        lab.upstream("api.test", lambda request: Answer(200, b"{}"))
        lab.source("api", "api.test", token=lab.token, tokenEnv=["API_TOKEN"])
        lab.policy("open", POLICY % ("open", "reveal: true"))
        lab.policy("shut", POLICY % ("shut", ""))
        yield lab


def said(text):
    return [json.loads(line.split("SAID ", 1)[1]) for line in text.splitlines() if "SAID " in line]


def is_older(path, time):
    try:
        return path.stat().st_ctime < time
    except FileNotFoundError:  # another test's, which is over
        return True


def everywhere(lab, wanted):
    """What still holds the token, in files that purser could have written."""
    hits = []
    for folder in (lab.folder, "/dev/shm", "/run", "/tmp"):
        for top in Path(folder).glob("purser-*") if folder != lab.folder else [folder]:
            if top != lab.folder and (str(top).startswith("/tmp/purser-lab") or is_older(top, lab.began)):
                continue
            hits += search_files(top, wanted)[0]
    return hits


def test_the_script_finds_it_in_a_file_that_only_it_may_read_and_that_is_gone_afterwards(api):
    done = api.run_script(SCRIPT + """
info = os.stat(path)
try:
    open(path, "w")
    writes = True
except OSError as fault:
    writes = os.geteuid() == 0
say(path=path, token=open(path).read()[::-1], mode=oct(info.st_mode & 0o7777), own=info.st_uid == os.geteuid(),
    plain=stat.S_ISREG(info.st_mode), writes=writes,
    environment=[name for name, value in os.environ.items() if open(path).read() in value])
""", policy="open")
    told = said(done.log)[0]
    assert told.pop("path").endswith("/token-api")
    assert told == {"token": api.token[::-1], "mode": "0o400", "own": True, "plain": True, "writes": False, "environment": []}
    path = Path(said(done.log)[0]["path"])
    assert not path.exists() and not path.parent.exists()
    assert [(entry["source"], entry["retriever"]) for entry in api.audit("reveal")] == [("api", "script")]
    assert "the token of source api is revealed to it" in done.err and "open" in done.err
    assert everywhere(api, needles(api.token)) == []


def test_without_the_word_nothing_is_revealed(api):
    done = api.run_script(SCRIPT + "say(names=[name for name in os.environ if 'TOKEN_FILE' in name])", policy="shut")
    assert said(done.log) == [{"names": []}] and api.audit("reveal") == []


def test_check_warns_of_every_grant_that_reveals(api):
    api.retriever("a", script="print(1)", sources=["api"], policy="open")
    api.retriever("b", script="print(1)", sources=["api"], policy="shut")
    done = api.purser("check")
    assert done.status == 0
    lines = [line for line in done.out.splitlines() if line.startswith("WARN")]
    assert len(lines) == 1 and "reveal" in lines[0] and " a: policy open reveals the token of source api" in lines[0]
    found = [entry for entry in api.purser("check", "--json").json["findings"] if entry["warning"]]
    assert [(entry["what"], entry["name"], entry["sound"]) for entry in found] == [("reveal", "a", True)]


def waiting(lab):
    """A run whose script has read its token and waits; its purser, and the file."""
    lab.retriever("script", SCRIPT + "token = open(path).read()\nsay(path=path)\ntime.sleep(60)\n", sources=["api"],
                  policy="open", limits={"time": "40s", "grace": "1s"})
    process = lab.start("run", "script", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if "SAID " in line:
            return process, Path(json.loads(line.split("SAID ", 1)[1])["path"])
    pytest.fail("the script said nothing")


def holds(path, wanted):
    try:
        return any(needle in path.read_bytes() for needle in wanted)
    except OSError:
        return False


@pytest.mark.plain
@as_root
def test_only_the_file_and_its_script_hold_it_while_the_run_lasts_and_nothing_does_afterwards(api):
    wanted = needles(api.token)
    process, path = waiting(api)
    memory, holders = Memory(), set()
    for pid, name in below(process.pid).items():
        if memory.search(pid, wanted):
            holders.add(name)
    assert holders == {"script"}, holders
    assert holds(path, wanted)
    process.send_signal(signal.SIGINT)  # ends the script
    wait_until(lambda: not path.exists(), what="the file's end")
    process.wait(20)
    assert everywhere(api, wanted) == []


@pytest.mark.parametrize("victim", ["purser-keeper", "purser-gate", "purser", "purser-exec"])
def test_it_is_wiped_whatever_dies(api, victim):
    wanted = needles(api.token)
    process, path = waiting(api)
    copy = os.open(path, os.O_RDONLY)  # the same inode, also once its name is gone
    assert any(needle in os.pread(copy, 100, 0) for needle in wanted)
    pid = process.pid if victim == "purser" else role(process, victim)
    if victim == "purser" and api.kind == "person":
        pid = next(one for one, name in below(process.pid).items() if name == "purser")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(needle in os.pread(copy, 100, 0) for needle in wanted), what="the wiping of the token")
    process.wait(30)
    os.close(copy)
    if victim == "purser":  # what the name stood in is taken away by the next one
        assert not holds(path, wanted)
        api.retriever("other", script="print(1)", sources=[])
        assert api.purser("run", "other").status == 0
    wait_until(lambda: not path.exists(), what="the file's end")
    assert everywhere(api, wanted) == []


def test_when_both_that_could_wipe_it_are_killed_at_once_the_next_purser_does(api):
    process, path = waiting(api)
    copy = os.open(path, os.O_RDONLY)
    wanted = needles(api.token)
    keeper, names = role(process, "purser-keeper"), below(process.pid)
    purser = next(one for one, name in names.items() if name == "purser")
    os.kill(keeper, signal.SIGSTOP)  # it would be faster
    os.kill(purser, signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    process.wait(30)
    wait_until(lambda: not Path(f"/proc/{keeper}").exists() or "Z" in Path(f"/proc/{keeper}/stat").read_text().split(")")[1])
    assert any(needle in os.pread(copy, 100, 0) for needle in wanted)  # or this shows nothing
    api.retriever("other", script="print(1)", sources=[])
    assert api.purser("run", "other").status == 0
    assert not any(needle in os.pread(copy, 100, 0) for needle in wanted) and not path.exists()
    os.close(copy)


def test_a_token_that_is_missing_is_not_revealed_and_its_script_not_started(api):
    api.source("late", "api.test", token=None, tokenEnv=["LATE_TOKEN"])
    api.retriever("script", script="print('STARTED')", sources=["api", "late"], policy="open")
    done = api.purser("run", "script")
    assert done.status != 0 and "STARTED" not in done.text and api.audit("reveal") == []


def test_a_retriever_is_revealed_no_more_than_seven(lab):
    lab.policy("open", POLICY % ("open", "reveal: true"))
    for number in range(8):
        lab.source(f"s{number}", "api.test", token=None)
    lab.retriever("script", script="print(1)", sources=[f"s{n}" for n in range(8)], policy="open")
    done = lab.purser("check")
    assert done.status == 3 and "reveal 8 tokens" in done.err


# The keeper alone: what the supervisor says is checked.

TOKEN = b"ghp_0123456789abcdefABCDEF0123456789abcd"


@pytest.fixture
def keeper(tmp_path):
    made = []

    def make(**words):
        made.append(Keeper([Source("api.test", 443, token=TOKEN, name="api")], **words))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def file_at(path, mode=os.O_RDWR):
    return os.open(path, mode | os.O_CREAT, 0o600)


def test_a_policy_that_does_not_say_so_reveals_nothing_whatever_the_supervisor_wants(keeper, tmp_path):
    fd = file_at(tmp_path / "a")
    assert "no policy" in keeper(reveal=False).run(reveal=[0], files=[fd])
    assert os.pread(fd, 100, 0) == b""


def test_what_cannot_be_recorded_does_not_happen(tmp_path):
    """The audit's file takes no more."""
    one = Keeper([Source("api.test", 443, token=TOKEN, name="api")], reveal=True)
    full = one.audit_path.stat().st_size + 20
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    fd = file_at(tmp_path / "a")
    refusal = one.run(reveal=[0], files=[fd])
    assert isinstance(refusal, str) and "audit cannot be written" in refusal
    assert os.pread(fd, 100, 0) == b""
    one.stop()


@pytest.mark.parametrize("kind", ["pipe", "full", "readonly", "folder"])
def test_a_file_that_is_none_gets_nothing(keeper, tmp_path, kind):
    reader = None
    if kind == "pipe":
        reader, fd = os.pipe()
    elif kind == "full":
        (tmp_path / "a").write_text("something")
        fd = file_at(tmp_path / "a")
    elif kind == "readonly":
        fd = file_at(tmp_path / "a", os.O_RDONLY)
    else:
        fd = os.open(tmp_path, os.O_RDONLY)
    one = keeper(reveal=True)
    assert "api" in one.run(reveal=[0], files=[fd])
    if reader is not None:
        os.close(fd)
        assert os.read(reader, 100) == b""
    later = one.run(reveal=[0], files=[file_at(tmp_path / "b")])
    assert (tmp_path / "b").read_bytes() == TOKEN and not isinstance(later, str)
    later.close()
    assert (tmp_path / "b").read_bytes() == bytes(len(TOKEN))


def test_a_refused_run_gives_no_lease(keeper, tmp_path):
    import ipc
    from ipc import Type
    one = keeper(reveal=False)
    gate, theirs = ipc.pair()
    gate.settimeout(10)
    ipc.send(one.control, Type.KEEPER_RUN_OPEN, ipc.pack(
        ("text", "run-x"), ("text", "r"), ("u64", 10**9), ("u32", 1), ("u32", 0), ("u32", 0), ("u64", 0), ("u32", 0), ("u32", 1),
        ("u32", 0), ("u8", 0)),
        [theirs.fileno(), file_at(tmp_path / "a")])
    theirs.close()
    assert ipc.receive(one.control)[0] == Type.KEEPER_RUN_REFUSED
    assert ipc.receive(gate) is None
