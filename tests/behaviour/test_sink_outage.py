"""Promise 18: a run's results are loaded once: no row lost, none doubled, whatever dies when. Through the real `purser run`."""
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import time

import pytest
from people import KINDS, lab_of

JOBS = 400
# Each run leaves the jobs of its own number: a row that is lost or doubled is seen.
SCRIPT = """
import json, os
for part in range(4):
    with open(f"{os.environ['OUTPUTDIR']}/jobs-{part}.ndjson", "w") as file:
        for n in range(part, %d, 4):
            print(json.dumps({"type": "job", "scope": "a/b", "id": n, "name": "unit", "status": "completed",
                              "conclusion": "success"}), file=file)
open(os.environ["OUTPUTDIR"] + "/count.dat", "w").write("%d")
print("SINCE", os.environ["PURSER_SINCE"], "UNTIL", os.environ["PURSER_UNTIL"])
""" % (JOBS, JOBS)


@pytest.fixture(params=KINDS)
def filled(request, prefix):
    with lab_of(request.param, prefix) as lab:
        lab.source("api", "api.test")
        lab.retriever("jobs", script=SCRIPT, sources=["api"])
        yield lab


def kept(lab):
    return sorted(path.name for path in (lab.state / "runs").glob("*/out/*"))


def windows(lab):
    """(since, until) of each run, the oldest first; the sink keeps milliseconds."""
    found = [re.search(r"SINCE (\S{23})\S* UNTIL (\S{23})", path.read_text()).groups()
             for path in (lab.state / "runs").glob("*/log")]
    return sorted(found, key=lambda window: window[1])


def counts(lab):
    return lab.rows("SELECT (SELECT count(*) FROM ci_job) AS jobs, (SELECT count(*) FROM metric_sample) AS metrics, "
                    "(SELECT count(*) FROM dead_letter) AS dead")[0]


def test_results_wait_while_sqlite_cannot_be_written_and_are_loaded_once(filled):
    lab = filled
    sink = lab.state / "sink"
    assert lab.purser("run").status == 0
    # Its own user may not write any more: neither root's power nor a person's is the clerk's.
    for path in sink.iterdir():
        path.chmod(0o400)
    sink.chmod(0o500)
    out = lab.purser("run", "--json")
    sink.chmod(0o750)
    for path in sink.iterdir():
        path.chmod(0o600)
    assert out.status == 4 and out.json["runs"][0]["status"] == "not-loaded", out.text
    assert len(kept(lab)) == 5 and counts(lab)["metrics"] == 1
    # It may again: what waited goes first, and its window is not asked for twice.
    again = lab.purser("run", "--json")
    assert again.status == 0, again.err
    assert kept(lab) == []
    assert counts(lab) == {"jobs": JOBS, "metrics": 3, "dead": 0}


def test_a_schema_newer_than_the_program_keeps_the_results(filled):
    lab = filled
    assert lab.purser("run").status == 0
    database = lab.state / "sink/purser.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE purser_schema SET version = version + 1000")
    out = lab.purser("run", "--json")
    (run,) = out.json["runs"]
    assert out.status == 4 and run["status"] == "not-loaded" and run["outputKept"], out.text
    assert "newer" in run["message"], run["message"]
    assert len(kept(lab)) == 5
    assert lab.purser("check").status == 4
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE purser_schema SET version = version - 1000")
    again = lab.purser("run", "--json")
    collected, fresh = again.json["runs"]
    assert again.status == 0 and collected["id"] == run["id"] and collected["status"] == "ok", again.text
    assert fresh["since"] == collected["until"] == run["until"], "the next window begins where the collected one ends"
    assert kept(lab) == [] and counts(lab) == {"jobs": JOBS, "metrics": 3, "dead": 0}


def test_a_failed_script_does_not_move_the_window_on(filled):
    lab = filled
    assert lab.purser("run").status == 0
    (lab.folder / "files/jobs/script.py").write_text(SCRIPT + "raise SystemExit(1)\n")
    assert lab.purser("run").status == 1
    (lab.folder / "files/jobs/script.py").write_text(SCRIPT)
    assert lab.purser("run").status == 0
    (first, second, third) = windows(lab)
    assert second[0] == first[1] and third[0] == first[1] and third[1] > second[1]


@pytest.fixture
def on_postgres(lab, postgres):
    lab.more = f"sink: {{postgres: {{dsn: {json.dumps(postgres.cluster.dsn(postgres.name))}}}}}\n"
    lab.source("api", "api.test")
    lab.retriever("jobs", script=SCRIPT, sources=["api"])
    yield lab, postgres
    try:
        postgres.cluster.start()
    except subprocess.CalledProcessError:
        pass  # it runs


def test_postgres_gone_before_and_during_a_run(on_postgres):
    lab, postgres = on_postgres
    postgres.cluster.stop("immediate")
    before = lab.purser("run", "--json")
    assert before.status == 4 and before.json["runs"][0]["status"] == "not-loaded", before.text
    assert len(kept(lab)) == 5
    postgres.cluster.start()
    assert lab.purser("run").status == 0 and kept(lab) == []
    # Gone while the script runs.
    (lab.folder / "files/jobs/script.py").write_text(SCRIPT + "print('LEFT', flush=True)\nimport time\ntime.sleep(3)\n")
    purser = lab.start("run", stderr=subprocess.PIPE)
    for line in purser.stderr:
        if b"LEFT" in line:
            break
    postgres.cluster.stop("immediate")
    purser.stderr.read()
    assert purser.wait(60) == 4
    postgres.cluster.start()
    (lab.folder / "files/jobs/script.py").write_text(SCRIPT)
    assert lab.purser("run").status == 0 and kept(lab) == []
    assert postgres.query("SELECT count(*), count(DISTINCT external_id) FROM ci_job") == [(str(JOBS), str(JOBS))]
    assert postgres.query("SELECT count(*) FROM dead_letter") == [("0",)]


def processes_of(purser):
    """purser, its roles and its runners, and who they are."""
    found = {"purser": [purser.pid]} if purser.poll() is None else {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{pid}/cmdline") as file:
                name = file.read().split("\0")[0]
        except OSError:
            continue
        if parent == purser.pid and name.startswith("purser-"):
            found.setdefault(name, []).append(int(pid))
    return found


KILLS = 50


def test_every_row_once_whatever_is_killed_when(prefix):
    """50 kills at random moments of supervisor, keeper, gate, runner and clerk; then one run that nobody disturbs."""
    chance = random.Random(os.environ.get("PURSER_TEST_SEED", "18"))
    kinds = ["purser", "purser-keeper", "purser-gate", "purser-exec", "purser-clerk"]
    killed = dict.fromkeys(kinds, 0)
    with lab_of(KINDS[0], prefix) as lab:
        lab.source("api", "api.test")
        # Slowed down a little, so that a run has moments: the jobs of this run and no other are its own.
        lab.retriever("jobs", sources=["api"], script="""
import json, os, time
run = os.environ["PURSER_UNTIL"]
for part in range(3):
    time.sleep(0.03)
    with open(f"{os.environ['OUTPUTDIR']}/jobs-{part}.ndjson", "w") as file:
        file.write("".join(json.dumps({"type": "job", "scope": "a/b", "id": f"{run}-{part}-{n}", "name": "unit",
                                       "status": "completed"}) + "\\n" for n in range(3000)))
print("LEFT", run, flush=True)
""")
        deadline = time.monotonic() + 300  # a machine with much else to do
        while sum(killed.values()) < KILLS and time.monotonic() < deadline:
            purser = lab.start("run", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            want = min(kinds, key=lambda kind: (killed[kind], chance.random()))
            until = time.monotonic() + chance.uniform(0.0, 0.35)
            while purser.poll() is None and (time.monotonic() < until or want not in processes_of(purser)):
                time.sleep(0.002)
            for pid in processes_of(purser).get(want, []):
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed[want] += 1
                except ProcessLookupError:
                    pass
            purser.wait(60)
        assert sum(killed.values()) >= KILLS and min(killed.values()) > 3, killed
        # Orphans of the last one that was killed may end only while the next run looks: what they leave is the run's after that.
        for _ in range(2):
            last = lab.purser("run", "--json")
            assert last.status == 0, last.text
        # A line that a kill has cut off was not said.
        left = {said for log in (lab.state / "runs").glob("*/log") for said in re.findall(r"LEFT (\S+Z)$", log.read_text(), re.MULTILINE)}
        rows = lab.rows("SELECT external_id AS id FROM ci_job")
        assert len(rows) == len({row["id"] for row in rows})
        per_run = {}
        for row in rows:
            run = row["id"].rsplit("-", 2)[0]
            per_run[run] = per_run.get(run, 0) + 1
        assert len(left) > 5 and {run: per_run.get(run) for run in left} == dict.fromkeys(left, 9000)
        assert kept(lab) == [] and lab.rows("SELECT file, reason FROM dead_letter WHERE line = 0") == []
        audit = lab.purser("audit", "verify")
        assert audit.status == 0, audit.text
