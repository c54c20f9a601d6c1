"""The runner: what a script gets, what it may do, how it ends, and what of its output is passed on.

The object under test is the real purser-exec; its peer, the run's gate, is played here with the real records. Each run
is done twice where it can be: with a user id of its own (as root starts it), and as a person's."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from runner_driver import MiB, PYTHON, Run, processes_with

LEASE = "psl_1QUJDREVGR0hJSktMTU5PUA"


@pytest.fixture
def program():
    prefix = os.environ.get("PURSER_PREFIX")
    assert prefix, "PURSER_PREFIX must name the installed tree"
    return Path(prefix) / "libexec/purser/purser-exec"


WAYS = ["person", "own-uid"] if os.geteuid() == 0 else ["person"]


@pytest.fixture(params=WAYS)
def run(program, request):
    run = Run(program, request.param == "own-uid")
    yield run
    run.close()


@pytest.fixture
def person(program):
    run = Run(program, False)
    yield run
    run.close()


# --- what a script gets ---

def test_the_script_has_the_named_environment_and_nothing_else(run):
    run.start("import json, os; print(json.dumps(dict(os.environ)))",
              env={"GITHUB_TOKEN": LEASE, "HTTPS_PROXY": "http://run:KEY@127.0.0.1:9", "NO_PROXY": "", "HOME": "/root"})
    assert run.finish() == 0
    have = json.loads(run.lines()[0])
    work, bundle = str(run.folder / "work"), str(run.folder / "work/ca.pem")
    assert have.pop("GITHUB_TOKEN") == LEASE
    assert have.pop("HTTPS_PROXY") == "http://run:KEY@127.0.0.1:9" and have.pop("NO_PROXY") == ""
    assert have.pop("HOME") == have.pop("PWD") == work
    assert have.pop("TMPDIR") == work + "/tmp" and have.pop("OUTPUTDIR") == str(run.folder / "out")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS",
                 "AWS_CA_BUNDLE", "PIP_CERT"):
        assert have.pop(name) == bundle
    assert have.pop("NODE_USE_ENV_PROXY") == "1"
    have.pop("LC_CTYPE", None)  # Python's own
    assert set(have) == {"PATH", "LANG", "USER", "LOGNAME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


def test_the_bundle_has_the_public_roots_and_the_runs_own_ca(run):
    run.start("import os; print(open(os.environ['SSL_CERT_FILE']).read().count('BEGIN CERTIFICATE'));"
              "print('of the run' in open(os.environ['SSL_CERT_FILE']).read())")
    assert run.finish() == 0
    assert int(run.lines()[0]) > 50 and run.lines()[1] == "True"


def test_the_script_has_no_descriptor_but_its_own_three(run):
    run.start("import os, sys; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))); print(repr(sys.stdin.read()))")
    assert run.finish() == 0
    assert run.lines()[0] == "[0, 1, 2, 3]" and run.lines()[1] == "''"  # 3: the listing itself


def test_nobody_of_the_same_user_reads_the_runners_memory(run):
    run.start("import os\ntry: open(f'/proc/{os.getppid()}/mem', 'rb'); print('read')\nexcept OSError as e: print(e.errno)\n"
              "try: open(f'/proc/{os.getppid()}/environ', 'rb').read(); print('read')\nexcept OSError as e: print(e.errno)")
    assert run.finish() == 0
    assert run.lines()[:2] == ["13", "13"]


# --- what a script may do ---

CONNECT = """
import socket, sys
for port in map(int, sys.argv[1:]):
    s = socket.socket()
    s.settimeout(5)
    print(s.connect_ex(("127.0.0.1", port)))
"""


def test_a_script_connects_to_its_gate_and_to_no_other_port(run):
    gate, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    ports = [str(server.getsockname()[1]) for server in (gate, other)]
    run.start(CONNECT, port=int(ports[0]), command=[PYTHON, str(run.folder / "script/collect.py"), *ports])
    assert run.finish() == 0
    assert run.lines()[:2] == ["0", "13"]


WAYS_AROUND = """
import errno, socket
def attempt(what):
    try:
        what()
        print("done")
    except OSError as e:
        print(errno.errorcode[e.errno])
to = ("127.0.0.1", %d)
attempt(lambda: socket.socket().sendto(b"x", 0x20000000, to))
attempt(lambda: socket.socket().sendmsg([b"x"], [], 0x20000000, to))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
"""


def test_fast_open_mptcp_and_other_sockets_are_no_way_around_the_port_limit(run):
    other = socket.create_server(("127.0.0.1", 0))
    other.settimeout(0.2)
    run.start(WAYS_AROUND % other.getsockname()[1])
    assert run.finish() == 0
    assert run.lines()[:5] == ["ENOTSUP", "ENOTSUP", "EPROTONOSUPPORT", "EAFNOSUPPORT", "EAFNOSUPPORT"]
    with pytest.raises(TimeoutError):
        other.accept()


def test_started_by_a_person_a_script_sees_its_own_files_only(person):
    secret = person.folder / "secret"
    secret.chmod(0o644)
    person.start(f"""
import os
def attempt(what):
    try:
        what(); print("done")
    except OSError as e: print(e.errno)
attempt(lambda: open("{secret}").read())
attempt(lambda: os.listdir("{person.folder}"))
attempt(lambda: os.listdir("/home"))
attempt(lambda: open("/tmp/purser-runner-escape", "w"))
attempt(lambda: open("{person.folder}/script/collect.py", "a"))
attempt(lambda: open("/etc/hosts").read())
attempt(lambda: open("{person.folder}/script/collect.py").read())
attempt(lambda: open("x", "w").write("x"))
attempt(lambda: open(os.environ["OUTPUTDIR"] + "/a.dat", "w").write("1"))
attempt(lambda: open(os.environ["TMPDIR"] + "/a", "w").write("1"))
attempt(lambda: open("/dev/null", "w").write("1"))
""")
    assert person.finish() == 0
    assert person.lines()[:11] == ["13"] * 5 + ["done"] * 6
    assert person.outputs == {"a.dat": b"1"}


def test_a_script_signals_and_traces_nobody_else(run):
    victim = subprocess.Popen(["sleep", "60"], **({"user": run.user, "group": run.user} if os.geteuid() == 0 else {}))
    try:
        run.start(f"""
import ctypes, os
try:
    os.kill({victim.pid}, 9); print("killed")
except PermissionError: print("refused")
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(16, {victim.pid}, 0, 0), ctypes.get_errno())
print(libc.unshare(0x10000000), ctypes.get_errno())
""")
        assert run.finish() == 0
        assert run.lines()[:3] == ["refused", "-1 1", "-1 1"]
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_a_script_leaves_no_core_and_has_its_limits(run):
    run.start("import resource as r; print(r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_FSIZE), "
              "r.getrlimit(r.RLIMIT_AS)); print(open('/proc/self/status').read())", "--memory", str(512 * MiB),
              output_bytes=MiB)
    assert run.finish() == 0
    assert run.lines()[0] == f"(0, 0) ({MiB}, {MiB}) ({512 * MiB}, {512 * MiB})"
    assert "NoNewPrivs: 1" in run.text and "Seccomp: 2" in run.text


def test_ordinary_programs_work_behind_the_walls(run):
    run.start("import subprocess, sqlite3, multiprocessing, tempfile, threading\n"
              "def work(n): return n * 2\n"
              "if __name__ == '__main__':\n"
              "    print(subprocess.run(['sh', '-c', 'ls / | wc -l; git --version || true'], capture_output=True).returncode)\n"
              "    with multiprocessing.Pool(2) as pool: print(pool.map(work, [1, 2]))\n"
              "    t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n"
              "    tempfile.NamedTemporaryFile().write(b'x')\n"
              "    sqlite3.connect('x.db').execute('create table t (a)')\n", "--processes", "64")
    assert run.finish() == 0, run.text
    assert run.lines()[:3] == ["0", "[2, 4]", "thread"]


# --- what it prints ---

def test_control_characters_are_escaped_and_the_name_stands_before_each_line(run):
    run.start(r"import sys; sys.stdout.buffer.write(b'\x1b[31mred\x1b]0;title\x07\n\xff\xfe\nmade\rgood\r\nend')")
    assert run.finish() == 0
    assert run.text.splitlines()[:5] == [r"hunter | \x1b[31mred\x1b]0;title\x07", r"hunter | \xff\xfe", "hunter | made",
                                         "hunter | good", "hunter | end"]
    assert run.text.isprintable() or "\x1b" not in run.text
    assert run.log.read_text() == run.text


def test_long_lines_are_cut_and_the_log_is_bounded(run):
    run.start("import sys\nprint('y' * 100000)\nfor _ in range(3000): sys.stdout.write('z' * 8000 + '\\n')")
    assert run.finish() == 0
    first, second = run.text.splitlines()[:2]
    assert first == "hunter | " + "y" * 8192 + " [cut]" and second == "hunter | " + "z" * 8000
    assert run.log.stat().st_size < 16 * MiB + 200
    assert run.log.read_text().endswith("16 MiB; what follows was printed only.\n")


# --- how it ends ---

@pytest.mark.parametrize("script, status, end", [
    ("raise SystemExit(3)", 3, {"exit_status": 3, "signal": 0}),
    ("import os; os.kill(os.getpid(), 9)", 137, {"exit_status": -1, "signal": 9}),
    ("import os; os.abort()", 134, {"exit_status": -1, "signal": 6}),
])
def test_the_status_is_the_scripts(run, script, status, end):
    run.start(script)
    assert run.finish() == status
    assert end.items() <= run.end.items()


def test_a_script_that_cannot_be_started_is_told_and_status_123(run):
    run.start("", command=["/nonexistent/program"])
    assert run.finish() == 123
    assert "Cannot start /nonexistent/program: cannot execute it" in run.text
    assert run.end["exit_status"] == -1 and run.end["signal"] == 0


def test_without_a_gate_the_status_is_122(run):
    run.listener.close()
    (run.folder / "run").unlink()
    run.launch("--", "/bin/true")
    assert run.status() == 122
    assert "Cannot reach the run's gate" in run.text


def test_a_gate_that_refuses_means_122_and_no_script(run):
    run.launch("--", "/bin/sh", "-c", "echo started")
    gate, _ = run.listener.accept()
    gate.close()
    assert run.status() == 122
    assert "started" not in run.text


def test_at_the_time_limit_term_then_kill_for_the_whole_tree(run):
    run.start("import os, signal, time\nsignal.signal(15, lambda *_: os.write(1, b'asked\\n'))\n"
              "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
              "    signal.signal(15, lambda *_: os.write(1, b'asked too\\n'))\n"
              "while True: time.sleep(1)", time_limit=1, grace=1)
    began = time.monotonic()
    assert run.finish() == 124
    assert 1.9 < time.monotonic() - began < 6
    assert run.end["timed_out"] == 1 and {"asked", "asked too"} <= set(run.lines())
    assert not processes_with(str(run.folder / "script"))


def test_term_is_passed_to_the_script_which_has_its_grace(run):
    run.start("import signal, time, sys, os\ndef end(*_):\n    open(os.environ['OUTPUTDIR'] + '/late.dat', 'w').write('7')\n"
              "    sys.exit(5)\nsignal.signal(15, end); print('ready')\ntime.sleep(60)", grace=10)
    run.wait_for("ready")
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == 5
    assert run.outputs == {"late.dat": b"7"}


def test_nothing_of_the_run_outlives_the_script(run):
    run.start("""
import os, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        os.closerange(0, 100)
        time.sleep(600)
if os.fork() == 0:
    while True:  # a process that is always a new one
        if os.fork(): os._exit(0)
time.sleep(0.2)
""", "--processes", "50")
    assert run.finish() == 0, run.text
    assert not processes_with(str(run.folder / "script"))


def test_a_fork_bomb_is_bounded_and_ended(run):
    run.start("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "--processes", "40", time_limit=1,
              grace=0.2)
    began = time.monotonic()
    assert run.finish() == 124
    assert time.monotonic() - began < 15
    assert not processes_with(str(run.folder / "script"))


def test_the_scripts_death_follows_the_runners(run):
    run.start("import os, time; print('ready'); time.sleep(600)")
    run.wait_for("ready")
    run.process.kill()
    run.process.wait()
    for _ in range(50):
        if not processes_with(str(run.folder / "script")):
            return
        time.sleep(0.1)
    pytest.fail("the script lives on without its runner")


def test_a_gate_that_dies_ends_the_script(run):
    run.start("import time; print('ready'); time.sleep(600)")
    run.wait_for("ready")
    run.gate.close()
    assert run.status() == 121
    assert "gate has ended" in run.text
    assert not processes_with(str(run.folder / "script"))


# --- what it leaves ---

LEFT = """
import os, socket
os.chdir(os.environ["OUTPUTDIR"])
open("a.dat", "w").write("1"); os.chmod("a.dat", 0o600)
os.makedirs("deep/er"); open("deep/er/b.ndjson", "w").write("{}")
open("with space\\n.dat", "w").write("2")
open("none.dat", "w").close(); os.chmod("none.dat", 0)
os.symlink("/etc/shadow", "shadow"); os.symlink("/etc", "etc"); os.symlink("a.dat", "own")
os.symlink("/", "deep/root")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
os.makedirs("1/2/3/4/5/6/7/8/9"); open("1/2/3/4/5/6/7/8/9/x", "w").close()
"""


def test_plain_files_are_passed_on_and_everything_else_is_refused_by_name(run):
    run.start(LEFT)
    assert run.finish() == 0
    assert run.outputs == {"a.dat": b"1", "deep/er/b.ndjson": b"{}", "with space\n.dat": b"2"}
    assert {"shadow", "etc", "own", "deep/root", "pipe", "socket", "1/2/3/4/5/6/7/8/9", "none.dat"} == set(run.refused)
    assert "link" in run.refused["shadow"] and "fifo" in run.refused["pipe"] and "socket" in run.refused["socket"]
    assert "8 levels" in run.refused["1/2/3/4/5/6/7/8/9"] and "denied" in run.refused["none.dat"]


def test_outputs_come_sorted_and_are_bounded_in_number_and_bytes(run):
    run.start("import os\nos.chdir(os.environ['OUTPUTDIR'])\n"
              "for n in reversed(range(8)): open(f'{n}.dat', 'w').write('x' * 1000)", output_bytes=5500, output_files=6)
    assert run.finish() == 0
    assert list(run.outputs) == [f"{n}.dat" for n in range(5)]
    assert set(run.refused) == {"5.dat", "6.dat", "7.dat"}


def test_a_gigabyte_is_not_written_and_a_sparse_one_is_refused(run):
    sparse = run.folder / "out/sparse.dat"
    with open(sparse, "wb") as file:
        file.truncate(1 << 40)
    if os.geteuid() == 0:
        os.chown(sparse, run.user, run.user)
    run.start("import os\nos.chdir(os.environ['OUTPUTDIR'])\ntry:\n    with open('big.dat', 'wb') as f:\n"
              "        for _ in range(1024): f.write(b'x' * (1 << 20))\nexcept OSError as e: print(e.errno)\n"
              "open('small.dat', 'w').write('1')", output_bytes=4 * MiB)
    assert run.finish() == 0
    assert run.lines()[0] == "27"  # EFBIG
    assert "outputBytes" in run.refused["sparse.dat"] and (run.folder / "out/big.dat").stat().st_size == 4 * MiB


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_another_users_file_is_refused(run):
    (run.folder / "out/root.dat").write_text("1")
    run.start("pass")
    assert run.finish() == 0
    assert "another user" in run.refused["root.dat"]


def test_refusals_are_bounded(run):
    run.start("import os\nos.chdir(os.environ['OUTPUTDIR'])\nfor n in range(500): os.mkfifo(str(n))")
    assert run.finish() == 0
    assert len(run.refused) == 101 and "400 more" in run.refused["(others)"]


def test_outputs_are_sent_again_when_asked_for(run):
    run.start("import os; open(os.environ['OUTPUTDIR'] + '/a.dat', 'w').write('1')")
    run.take()
    run.loaded(2)
    run.take()
    assert run.outputs == {"a.dat": b"1"}
    run.loaded()
    assert run.status() == 0


@pytest.mark.parametrize("script, status", [("pass", 121), ("raise SystemExit(3)", 3)])
def test_results_that_could_not_be_loaded_make_a_failure_of_success(run, script, status):
    run.start(script)
    run.take()
    run.loaded(1, "the database is gone")
    assert run.status() == status
    assert "The results could not be loaded: the database is gone" in run.text


def test_a_collect_run_starts_nothing_and_passes_on_what_is_there(run):
    left = run.folder / "out/left.dat"
    left.write_text("5")
    if os.geteuid() == 0:
        os.chown(left, run.user, run.user)
    run.launch("--collect")
    run.greet()
    assert run.finish() == 0
    assert run.outputs == {"left.dat": b"5"} and run.end["collected_only"] == 1


# --- preparing ---

def prepare(run, requirements, *flags, env=None):
    path = run.folder / "requirements.txt"
    path.write_text(requirements)
    run.launch("--prepare", "--requirements", str(path), "--env-dir", str(run.folder / "env"), "--python", PYTHON, *flags,
               env=env, directory="env")
    run.process.wait(timeout=180)
    return run.status()


def package(folder, body):
    """A source distribution whose setup.py does what a hostile one would."""
    folder.mkdir()
    (folder / "setup.py").write_text(body)
    return folder


HOSTILE = """
import os, time
from setuptools import setup
print(sorted(os.environ))
open("%s", "w").write(repr(sorted(os.environ)))
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    os.closerange(0, 100)
    os.execv("/bin/sh", ["/bin/sh", "-c", "sleep 600; : %s"])
setup(name="hostile", version="1", py_modules=[])
"""


def test_preparing_makes_an_environment_and_leaves_no_process(run):
    where = package(run.folder / "env/hostile", HOSTILE % (run.folder / "env/seen", run.folder))
    shutil.chown(where, run.user, run.user) if os.geteuid() == 0 else None
    status = prepare(run, f"{where}\n", "--pass", "PIP_NO_INDEX", "--pass", "PIP_NO_BUILD_ISOLATION", "--pass",
                     "PIP_FIND_LINKS", env={"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "OTHER": "of the machine",
                                            "PIP_FIND_LINKS": str(run.folder / "script")})
    assert status == 0, run.text
    assert (run.folder / "env/bin/python").exists() and not (run.folder / "env/.tmp").exists()
    assert all(path.stat().st_mode & 0o005 == 0o005 for path in (run.folder / "env/bin", run.folder / "env/lib"))
    seen = (run.folder / "env/seen").read_text()
    assert "PIP_NO_INDEX" in seen and "OTHER" not in seen and "PURSER" not in seen and "SSL_CERT_FILE" not in seen
    assert not processes_with(f": {run.folder}")


def test_requirements_that_cannot_be_met_fail_with_pips_words(run):
    assert prepare(run, "no-such-package-of-purser==1\n", "--pass", "PIP_NO_INDEX", env={"PIP_NO_INDEX": "1"}) == 1
    assert "no-such-package-of-purser" in run.text and run.text.startswith("hunter | ")


def test_one_hash_means_that_every_requirement_needs_one(run):
    where = package(run.folder / "env/plain", "from setuptools import setup\nsetup(name='plain', version='1')\n")
    wanted = f"{where}\na==1 --hash=sha256:" + "0" * 64 + "\n"
    assert prepare(run, wanted, "--pass", "PIP_NO_INDEX", env={"PIP_NO_INDEX": "1"}) == 1
    assert "hash" in run.text.lower()


# --- the program itself ---

@pytest.mark.plain
def test_it_is_static_and_links_nothing(program):
    text = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    assert "NEEDED" not in text


def test_help_names_every_status_of_its_own(program):
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(status in text for status in ("121", "122", "123", "124", "128+N"))
    wrong = subprocess.run([program, "--nonsense"], capture_output=True, text=True)
    assert wrong.returncode == 123 and "--nonsense is not a flag" in wrong.stderr
