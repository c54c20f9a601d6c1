"""What the promise tests share: a source with a token that nobody else has, scripts that use inside.py, what they said."""

import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lab import Answer

HOST = "api.test"


def new_token(length=48):
    """Random and in the alphabet of tokens, so that 8 bytes of it are nowhere by chance."""
    return base64.b32encode(secrets.token_bytes(length)).decode()[:length].replace("=", "A")


def api(lab, answer=None, name="api", host=HOST, token=None, variable="API_TOKEN", **keys):
    """A source at an upstream of its own: (upstream, token)."""
    token = token or new_token()
    upstream = lab.upstream(host, answer or (lambda request: Answer(200, b"{}")))
    lab.source(name, host, token=token, tokenEnv=[variable], **keys)
    return upstream, token


def with_inside(lab, name):
    """inside.py beside the script of this retriever."""
    folder = lab.folder / "files" / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("inside.py"), folder)


def run(lab, script, name="script", **keys):
    with_inside(lab, name)
    done = lab.run_script("from inside import *\n" + script, name=name, **keys)
    done.said = said(done.text)
    return done


def said(text):
    """What scripts gave to say(), in order."""
    return [json.loads(line.split("SAID ", 1)[1]) for line in text.splitlines() if "SAID " in line]


def header_text(request):
    return "\n".join(f"{name}: {value}" for name, value in request.headers)


# Processes


def parents():
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass
    return found


def below(pid):
    """{pid: what it is called} of a process and all that it has started."""
    up, mine = parents(), {pid}
    while more := {child for child, parent in up.items() if parent in mine} - mine:
        mine |= more
    names = {}
    for one in mine:
        try:
            words = Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")
            names[one] = "script" if b"python" in words[0] else Path(words[0].decode()).name
        except OSError:
            pass
    return names


def children(pid):
    """What a process has started itself: quick, where many other processes are about."""
    names = {}
    for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            names[int(one)] = Path(Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")[0].decode()).name
        except OSError:
            pass
    return names


def role(process, name, patience=15):
    """The pid of a role below a purser that a test has started, as soon as it is there."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = children(process.pid)
        for pid, called in (found if name in found.values() else below(process.pid)).items():
            if called == name:
                return pid
        time.sleep(0.005)
    pytest.fail(f"no {name} below {process.pid}: {below(process.pid)}")


def stopped_at(begin, reached, still, tries=6):
    """A slowed process that was stopped when it had `reached` something and `still` had not done the next thing: (its Popen, the
    pid that was stopped). begin(words): starts it behind these words. On a slow machine that may take several of them."""
    slow = ["strace", "-f", "-qq", "-e", "trace=sendto", "-e", "inject=sendto:delay_exit=1000000", "-o", "/dev/null"]
    for _ in range(tries):
        process = begin(slow)
        wait_until(lambda: reached() or process.poll() is not None, 200)
        inner = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        if inner:
            os.kill(int(inner[0]), signal.SIGSTOP)
            if still():
                return process, int(inner[0])
            os.kill(int(inner[0]), signal.SIGCONT)
        process.communicate(timeout=200)
    raise AssertionError("it was never stopped in time")


def wait_until(true, patience=20, what="what was waited for"):
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, f"{what} did not happen in {patience} s"
        time.sleep(0.02)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="reads other processes' memory: as root only")
