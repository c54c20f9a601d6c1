"""What scripts do to their runs, and what is left of it: through the real `purser run`, once with a user id for every
retriever (root) and once as a person."""
import concurrent.futures
import json
import os
import re
import signal
import time

import pytest
from people import KINDS, lab_of

# Each leaves good.dat, which must be loaded whatever else it does.
GOOD = "import os, signal, socket, subprocess, sys, time\nout = os.environ['OUTPUTDIR']\n" \
       "def leave(name, text='1'):\n    open(f'{out}/{name}', 'w').write(text)\nleave('good.dat')\n"

JOB = '{"type": "job", "scope": "a/b", "id": %d, "name": "unit", "status": "completed", "conclusion": "success"}\n'

SCRIPTS = {
    "exits3": "sys.exit(3)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "hangs": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
    "huge": "for name in 'abc':\n    with open(f'{out}/{name}.csv', 'w') as file:\n        file.truncate(6 << 20)\n"
            "with open(f'{out}/huge.csv', 'w') as file:\n    file.truncate(1 << 30)",
    "links": "os.symlink('/etc/shadow', f'{out}/shadow.dat')\nos.symlink('/etc', f'{out}/folder')\n"
             "os.mkfifo(f'{out}/fifo.dat')\nsocket.socket(socket.AF_UNIX).bind(f'{out}/socket.dat')",
    "half": f"leave('jobs.ndjson', {(JOB % 1 + JOB % 2 + (JOB % 3)[:40])!r})",
    "setsid": "subprocess.Popen(['sleep', '654.321'], start_new_session=True)",
    # What a wall keeps a script from doing to its runner on newer kernels is done from outside, on every kernel.
    "runner-killed": "subprocess.Popen(['sleep', '654.321'], start_new_session=True)\ntime.sleep(654.321)",
    "runner-stopped": "time.sleep(654.321)",
    "kills-runner": "for number in signal.SIGSTOP, signal.SIGKILL:\n    os.kill(os.getppid(), number)\n",
    "forks": "try:\n    while True:\n        if os.fork() == 0:\n            time.sleep(654.321)\n"
             "except OSError as fault:\n    print('stopped:', fault.strerror)",
    "dat": "leave('text.dat', 'many'); leave('two.dat', '1 2'); leave('nan.dat', 'nan'); leave('large.dat', '1e999')\n"
           "leave('nothing.dat', ''); leave('zero.dat', '0'); leave('spaced.dat', ' 2.5\\n')",
    "buries": "at = os.open(os.environ['HOME'], os.O_RDONLY)\n"
              "for depth in range(400):\n"
              "    os.mkdir('d', dir_fd=at)\n    os.close(os.open('file', os.O_CREAT, dir_fd=at))\n"
              "    inner = os.open('d', os.O_RDONLY, dir_fd=at)\n"
              "    os.fchmod(at, 0o500 if depth % 10 else 0)\n    os.close(at)\n    at = inner\n"
              "os.mkdir(f'{out}/closed', 0)",
    "talks": "print('one line'); print('\\x1b[31mred\\x07', file=sys.stderr); sys.stdout.write('no end')",
    "env": "print('NAMES', ' '.join(sorted(os.environ)))\nprint('GREETING', os.environ['GREETING'])",
}
LIMITS = {"hangs": {"time": "1s", "grace": "1s"}, "huge": {"outputBytes": "10MiB"},
          "runner-stopped": {"time": "1s", "grace": "1s"}, "kills-runner": {"time": "1s", "grace": "1s"}, "forks": {"processes": 40, "time": "20s"}}


class Zoo:
    def __init__(self, lab):
        self.lab, self.kind = lab, type(lab).__name__
        lab.source("github", "api.test")
        for name, script in SCRIPTS.items():
            more = {"limits": LIMITS[name]} if name in LIMITS else {}
            if name == "half":
                more["sources"] = ["github"]
            if name == "env":
                more["env"] = [{"name": "GREETING", "value": "hello"}]
            lab.retriever(name, script=GOOD + script, **more)
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            done = pool.submit(lab.purser, "run", "--json", env={"OF_PURSERS_OWN": "not for scripts"})
            self.strike("runner-stopped", signal.SIGSTOP)
            self.strike("runner-killed", signal.SIGKILL)
            self.done = done.result()
        self.took = time.monotonic() - began
        self.left_running = [pid for pid in os.listdir("/proc") if pid.isdigit() and b"654.321" in command_line(pid)]
        self.first = {run["retriever"]: run for run in self.done.json["runs"]}
        self.logs = {name: lab.last_run(name)[1] for name in SCRIPTS}
        # What could not be collected because its runner was gone is collected by the next run.
        lab.retrievers = [entry for entry in lab.retrievers if entry["name"].startswith("runner-")]
        for entry in lab.retrievers:
            (lab.folder / "files" / entry["name"] / "script.py").write_text("")
        lab.write()
        self.again = lab.purser("run", "--json")

    def strike(self, name, number):
        """Signals the runner of this retriever once its script has left something."""
        for _ in range(500):
            left = list((self.lab.state / "runs").glob(f"*-{name}-*/out/good.dat"))
            runners = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and
                       command_line(pid).startswith(b"purser-exec") and str(left and left[0].parent).encode() in
                       command_line(pid)]
            if runners:
                os.kill(runners[0], number)
                return
            time.sleep(0.02)
        raise AssertionError(f"the script of {name} did not begin")

    def metrics(self, name):
        rows = self.lab.rows(f"SELECT name, value FROM metric_sample WHERE retriever = '{name}'")
        return {row["name"]: row["value"] for row in rows}

    def dead(self, name):
        rows = self.lab.rows(f"SELECT file, line, reason FROM dead_letter WHERE retriever = '{name}'")
        return {row["file"]: row["reason"] for row in rows}


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


@pytest.fixture(scope="module", params=KINDS)
def zoo(request, prefix):
    with lab_of(request.param, prefix) as lab:
        yield Zoo(lab)


def test_one_retriever_that_fails_never_costs_anothers_results(zoo):
    assert zoo.done.status == 1, zoo.done.text
    assert set(zoo.first) == set(SCRIPTS)
    for name in SCRIPTS:
        assert zoo.metrics(name).get("good") == 1, (name, zoo.done.err)


@pytest.mark.parametrize("name, status, exit_status, signal, sentence", [
    ("exits3", "failed", 3, 0, "status 3"),
    ("killed", "failed", -1, 9, "signal 9"),
    ("hangs", "timed-out", None, None, "limits.time"),
    ("runner-killed", "failed", -1, 0, "killed by signal 9"),
    ("runner-stopped", "timed-out", -1, 0, "limits.time"),
    ("setsid", "ok", 0, 0, ""),
    ("half", "ok", 0, 0, ""),
    ("dat", "ok", 0, 0, ""),
])
def test_a_run_is_marked_by_how_its_script_ended(zoo, name, status, exit_status, signal, sentence):
    run = zoo.first[name]
    assert run["status"] == status and sentence in (run["message"] or ""), run
    if exit_status is not None:
        assert (run["exitStatus"], run["signal"]) == (exit_status, signal), run


def test_a_script_that_strikes_at_its_runner_gains_nothing(zoo):
    run = zoo.first["kills-runner"]
    assert run["status"] in ("failed", "timed-out") and run["rows"] + zoo.metrics("kills-runner").get("good", 0) >= 1, run


def test_no_process_outlives_its_run_and_no_run_its_limits(zoo):
    assert zoo.left_running == []
    assert zoo.took < 40, zoo.done.err


def test_what_a_run_left_whose_runner_was_killed_is_loaded_by_the_next(zoo):
    runs = zoo.again.json["runs"]
    assert [(run["rows"], run["outputKept"]) for run in runs if run["exitStatus"] == -1] == [(1, False)] * 2, runs
    assert zoo.again.status == 0, zoo.again.err


def test_outputs_beyond_their_limit_are_refused_and_said(zoo):
    run = zoo.first["huge"]
    assert run["rows"] == 1 and "outputBytes" in json.dumps([run["message"], *zoo.dead("huge").values()]), run


def test_links_and_specials_are_never_followed(zoo):
    dead = zoo.dead("links")
    assert zoo.metrics("links") == {"good": 1}
    assert {"shadow.dat", "fifo.dat", "socket.dat"} <= set(dead), dead
    assert "root:" not in json.dumps(zoo.lab.rows("SELECT * FROM dead_letter"))


def test_a_half_written_last_line_is_kept_apart_and_the_rest_loads(zoo):
    assert [row["external_id"] for row in zoo.lab.rows("SELECT external_id FROM ci_job ORDER BY 1")] == ["1", "2"]
    assert list(zoo.dead("half")) == ["jobs.ndjson"]


def test_a_fork_bomb_meets_its_limit(zoo):
    assert "stopped:" in zoo.logs["forks"] and zoo.first["forks"]["status"] in ("ok", "failed"), zoo.first["forks"]


def test_nothing_of_a_run_stays_but_its_report_and_log_however_it_was_buried(zoo):
    (folder,) = (zoo.lab.state / "runs").glob("*-buries-*")
    assert sorted(entry.name for entry in folder.iterdir()) == ["log", "run.json"]
    assert "closed was not loaded" in zoo.logs["buries"] or os.geteuid() == 0


def test_no_data_is_never_zero(zoo):
    assert zoo.metrics("dat") == {"good": 1, "zero": 0, "spaced": 2.5}
    assert set(zoo.dead("dat")) == {"text.dat", "two.dat", "nan.dat", "large.dat", "nothing.dat"}
    assert all(zoo.dead("dat").values())


def test_what_a_script_prints_is_shown_with_its_name_and_kept(zoo):
    for text in zoo.done.err, zoo.logs["talks"]:
        assert re.search(r"one line$", text, re.M) and "no end" in text, text
        assert "\x1b" not in text and "\x07" not in text and "red" in text
    assert re.search(r"^talks\b.*one line$", zoo.done.err, re.M), zoo.done.err


def test_a_script_has_only_the_environment_that_is_named(zoo):
    log = zoo.logs["env"]
    names = set(re.search(r"NAMES (.*)$", log, re.M)[1].split())
    assert "GREETING hello" in log and "OF_PURSERS_OWN" not in names
    assert {"OUTPUTDIR", "HOME", "PATH", "PURSER_SINCE", "PURSER_UNTIL"} <= names
    ours = re.compile(r"PURSER_|OUTPUTDIR$|HOME$|PATH$|LANG$|LC_|TZ$|TMPDIR$|USER$|LOGNAME$|SHELL$|GREETING$|PYTHON|"
                      r"https?_proxy$|all_proxy$|no_proxy$|ssl_cert_file$|requests_ca_bundle$|curl_ca_bundle$|"
                      r"git_|node_|pip_cert$|aws_ca|pwd$|shlvl$|_$", re.I)
    assert [name for name in names if not ours.match(name)] == []
