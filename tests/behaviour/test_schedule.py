"""`purser schedule`: a missed run is caught up at once (which is what these tests wait for, and not for minutes), runs of one
retriever never overlap, SIGTERM drains, and months of runs cost no descriptor and leave no zombie."""
import datetime
import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest
from people import KINDS, lab_of
from scheduled import PATIENCE, Scheduled, push_back

SCRIPT = """
import os, time
open(os.environ["OUTPUTDIR"] + "/a.dat", "w").write("1")
print("BEGAN", os.environ["PURSER_SINCE"], flush=True)
"""


@pytest.fixture(params=KINDS)
def planned(request, prefix):
    """A retriever that has run once, and whose stream ended three hours ago: a run every minute was missed since."""
    with lab_of(request.param, prefix) as lab:
        lab.retriever("each", script=SCRIPT, schedule="* * * * *", jitter="0s")
        assert lab.purser("run").status == 0
        push_back(lab)
        yield lab


def windows(lab):
    """[(since, until)]: what each run was asked for."""
    reports = [json.loads(path.read_text()) for path in (lab.state / "runs").glob("*/run.json")]
    return [[datetime.datetime.fromisoformat(report[key].replace("Z", "+00:00")) for key in ("since", "until")] for report in reports]


def test_one_missed_run_is_caught_up_with_the_whole_window(planned):
    began = datetime.datetime.now()
    schedule = Scheduled(planned)
    schedule.wait_for("was missed and is caught up now")
    schedule.wait_for("each: ok")
    assert schedule.end() == 0, schedule.err
    lengths = [end - begin for begin, end in windows(planned)]
    caught_up = [length for length in lengths if datetime.timedelta(hours=2.9) < length < datetime.timedelta(hours=3.1)]
    assert len(caught_up) == 1, "three hours missed are one run"
    minutes = datetime.datetime.now().minute - began.minute  # each that has come meanwhile is a run
    assert schedule.err.count("each: starting") <= 1 + minutes % 60
    # Nothing was missed since: nothing starts before its time.
    again = Scheduled(planned)
    time.sleep(0.5)
    second = datetime.datetime.now().second
    assert again.end() == 0
    assert "starting" not in again.err or second < 2


def test_sigterm_lets_the_running_script_end_and_loads_its_rows(planned):
    (planned.folder / "files/each/script.py").write_text(SCRIPT + "time.sleep(1.5)\nprint('ENDED', flush=True)\n")
    schedule = Scheduled(planned)
    schedule.wait_for("BEGAN")
    assert schedule.end() == 0
    assert "ENDED" in schedule.err and planned.last_run("each")[0]["status"] == "ok"
    assert len(planned.rows("SELECT * FROM metric_sample")) == 2


def test_a_second_sigterm_ends_the_script_and_its_rows_are_loaded(planned):
    (planned.folder / "files/each/script.py").write_text(SCRIPT + "time.sleep(600)\n")
    schedule = Scheduled(planned)
    schedule.wait_for("BEGAN")
    schedule.process.send_signal(signal.SIGTERM)
    schedule.wait_for("second signal ends the scripts")
    assert schedule.end() == 0
    report, _ = planned.last_run("each")
    assert report["status"] == "failed" and report["signal"] == signal.SIGTERM and report["rows"] == 1, report


def test_a_script_that_takes_longer_than_its_period_never_runs_twice_at_once(prefix):
    """Over a real minute: the retriever that is idle starts, the one that is busy does not."""
    with lab_of(KINDS[0], prefix) as lab:
        lab.retriever("each", script=SCRIPT, schedule="* * * * *", jitter="0s")
        assert lab.purser("run").status == 0
        push_back(lab)
        lab.retriever("each", script=SCRIPT + "time.sleep(600)\n", schedule="* * * * *", jitter="0s")
        lab.retriever("idle", script=SCRIPT, schedule="* * * * *", jitter="0s")
        schedule = Scheduled(lab)
        schedule.wait_for("each: starting")
        schedule.wait_for("idle: starting", patience=65)
        assert datetime.datetime.now().second < 5, "its time is the full minute"
        schedule.wait_for("idle: ok")
        assert schedule.err.count("each: starting") == 1
        schedule.process.send_signal(signal.SIGTERM)
        schedule.wait_for("second signal")
        assert schedule.end() == 0


def test_a_keeper_that_dies_ends_the_schedule_with_a_failure(planned):
    """So that the service manager starts it anew; what is running ends, and what it left is kept."""
    (planned.folder / "files/each/script.py").write_text(SCRIPT + "time.sleep(600)\n")
    schedule = Scheduled(planned)
    schedule.wait_for("BEGAN")
    keeper = subprocess.run(["pgrep", "-P", str(schedule.process.pid), "purser-keeper"], capture_output=True, text=True)
    os.kill(int(keeper.stdout), signal.SIGKILL)
    assert schedule.process.wait(PATIENCE) == 1
    assert "keeper was killed by signal 9" in schedule.err
    (planned.folder / "files/each/script.py").write_text(SCRIPT)
    assert planned.purser("run").status == 0
    assert len(planned.rows("SELECT * FROM metric_sample")) == 3


def test_a_retriever_without_its_token_is_not_planned_and_the_others_are(planned):
    planned.source("api", "api.test", token=None)
    planned.retriever("lacking", script=SCRIPT, schedule="* * * * *", sources=["api"])
    schedule = Scheduled(planned)
    schedule.wait_for("each: ok")
    assert schedule.end() == 0 and "lacking is not run" in schedule.err and "lacking: starting" not in schedule.err


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_twenty_runs_leave_no_descriptor_no_process_and_no_socket(planned):
    """Twenty retrievers whose run was missed are as good as twenty runs of one; a later one shows what stays open."""
    for n in range(20):
        planned.retriever(f"r{n}", script=SCRIPT, schedule="* * * * *", jitter="0s", limits={"time": "30s"})
    assert planned.purser("run", timeout=120).status == 0
    push_back(planned)
    names = [f"r{n}" for n in range(20)]
    idle = Scheduled(planned, "each")
    idle.wait_for("each: ok")
    wait_until_idle(idle.process.pid)
    before = descriptors(idle.process.pid)
    assert idle.end() == 0
    push_back(planned)
    schedule = Scheduled(planned, *names)
    schedule.wait_for(": ok after", times=20)
    wait_until_idle(schedule.process.pid)
    assert descriptors(schedule.process.pid) <= before, os.listdir(f"/proc/{schedule.process.pid}/fd")
    children = subprocess.run(["ps", "--ppid", str(schedule.process.pid), "-o", "stat=,comm="], capture_output=True,
                              text=True).stdout.split("\n")
    assert [line.split()[1] for line in children if line] == ["purser-keeper"], children
    assert schedule.end() == 0


def wait_until_idle(pid):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        children = subprocess.run(["ps", "--ppid", str(pid), "-o", "comm="], capture_output=True, text=True).stdout.split()
        if children == ["purser-keeper"]:
            time.sleep(0.1)
            return
        time.sleep(0.05)


def test_status_shows_the_next_run_with_its_jitter(prefix):
    with lab_of(KINDS[-1], prefix) as lab:
        lab.retriever("spread", script=SCRIPT, schedule="0 4 * * *", timeZone="Asia/Kathmandu", jitter="30m")
        lab.retriever("exact", script=SCRIPT, schedule="0 4 * * *", timeZone="Asia/Kathmandu", jitter="0s")
        lab.retriever("by-hand", script=SCRIPT)
        status = json.loads(lab.purser("status", "--json").out)
        times = {name: when and datetime.datetime.fromisoformat(when.replace("Z", "+00:00"))
                 for name, when in status["nextRuns"].items()}
        assert times["by-hand"] is None
        assert (times["exact"].hour, times["exact"].minute) == (22, 15)
        later = (times["spread"] - times["exact"]) % datetime.timedelta(days=1)
        assert datetime.timedelta(0) < later <= datetime.timedelta(minutes=30)
        assert times["spread"] == datetime.datetime.fromisoformat(
            json.loads(lab.purser("status", "--json").out)["nextRuns"]["spread"].replace("Z", "+00:00"))


def test_what_the_sink_did_not_take_is_loaded_before_the_next_run(prefix):
    with lab_of(KINDS[0], prefix) as lab:
        lab.retriever("each", script=SCRIPT, schedule="* * * * *", jitter="0s")
        assert lab.purser("run").status == 0
        with sqlite3.connect(lab.state / "sink/purser.db") as connection:
            connection.execute("UPDATE purser_schema SET version = version + 1000")
        lost = lab.purser("run", "--json")
        assert lost.status == 4
        with sqlite3.connect(lab.state / "sink/purser.db") as connection:
            connection.execute("UPDATE purser_schema SET version = version - 1000")
        push_back(lab)
        schedule = Scheduled(lab)
        schedule.wait_for("loading what the run")
        schedule.wait_for("each: ok", times=2)
        assert schedule.end() == 0, schedule.err
        assert len(lab.rows("SELECT * FROM metric_sample")) == 3
