"""Promises 18 and 19: a role of purser's that is killed in mid-run is a clear error for the script and a failure for who
waits, in bounded time; and what the run had left is loaded once, by the next `purser run`.

The processes are found below the purser that the test started, and killed by their id.
"""
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lab import Answer, Lab
from promise import api, below, new_token, role, run, said, wait_until, with_inside

BOUND = 15  # seconds in which a purser that has lost a role must have ended
ROWS = 3000
WRITES = f"""
    from inside import *
    import time
    with open(os.environ["OUTPUTDIR"] + "/m.ndjson", "w") as out:
        for n in range({ROWS}):
            out.write('{{"type":"metric","name":"m%d","value":0}}\\n' % n)
"""
ASKS = WRITES + """
    client = Client()
    say(first=client.ask().short)
    say(second=once())
    try:
        say(third=client.ask().short)
    except (OSError, EOFError) as fault:
        say(third={"status": 0, "code": type(fault).__name__, "reason": str(fault)})
    time.sleep(60)
"""


@pytest.fixture
def started(lab):
    """A purser under way: the second request is held up at the upstream until the test lets it go."""
    lab.held = False

    def answer(request):
        if len(lab.upstreams["api.test"].requests) > 1 and lab.held:
            time.sleep(5)
        return Answer(200, b"ok")

    api(lab, answer)
    with_inside(lab, "script")
    return lab


def begin(lab, script, **words):
    lab.retriever("script", script, sources=["api"], limits={"grace": "1s"})
    return lab.start("run", "script", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **words)


def ended(process, begun):
    text = process.communicate(timeout=BOUND)[0]
    assert time.monotonic() - begun < BOUND
    return process.returncode, text


def rows(lab):
    return lab.rows("SELECT count(*) AS n, count(DISTINCT name) AS d FROM metric_sample")[0]


def then_all_rows_are_there_once(lab):
    """The next run says what it loads for the one before, and a third finds nothing to do."""
    lab.retriever("script", "pass", sources=["api"])
    done = lab.purser("run", "script")
    assert "loading what the run" in done.text, done.text
    assert rows(lab) == {"n": ROWS, "d": ROWS}, done.text
    assert "loading what the run" not in lab.purser("run", "script").text
    assert rows(lab) == {"n": ROWS, "d": ROWS}


@pytest.mark.parametrize("victim", ["purser-keeper", "purser-gate"])
def test_a_role_that_dies_in_mid_run_is_told_and_nothing_hangs_and_no_row_is_lost(started, victim):
    lab = started
    lab.held = True
    process = begin(lab, ASKS)
    wait_until(lambda: len(lab.upstreams["api.test"].requests) > 1, what="the request that is held up")
    logs = (lab.state / "runs").glob
    wait_until(lambda: any("first" in log.read_text() for log in logs("*/log")), what="the first answer, in the run's log")
    begun = time.monotonic()
    os.kill(role(process, victim), signal.SIGKILL)
    status, text = ended(process, begun)
    assert status != 0
    assert victim.removeprefix("purser-") in text and "killed by signal 9" in text, text
    answers = {name: what for entry in said(text) for name, what in entry.items()}
    assert answers["first"]["status"] == 200
    for name in answers.keys() - {"first"}:  # a 502 from the gate with its code; or, of a gate that is gone, a closed connection
        assert answers[name]["status"] in (0, 502), text
        if victim == "purser-keeper" and answers[name]["status"]:
            assert answers[name]["code"] == "keeper-gone", text
    report, _ = lab.last_run("script")
    assert report["status"] != "ok" and victim.removeprefix("purser-") in report["message"], report
    assert below(process.pid) == {}, "nothing is left running"
    then_all_rows_are_there_once(lab)


def test_a_keeper_that_hangs_is_ended_and_the_run_with_it(started):
    """It neither dies nor answers: stopped, as a loop without end would have it. 20 s is its time; here 2."""
    lab = started
    process = begin(lab, ASKS, env={**os.environ, "PURSER_TEST_KEEPER_PATIENCE_MS": "2000"})
    wait_until(lambda: len(lab.upstreams["api.test"].requests) > 1, what="the second request")
    keeper = role(process, "purser-keeper")
    for _ in range(3):  # one that is only slow is left alone
        os.kill(keeper, signal.SIGSTOP)
        time.sleep(0.6)
        os.kill(keeper, signal.SIGCONT)
        time.sleep(0.6)
    assert role(process, "purser-keeper") == keeper
    os.kill(keeper, signal.SIGSTOP)
    begun = time.monotonic()
    status, text = ended(process, begun)
    assert time.monotonic() - begun > 1.4, "not before its time"
    assert status != 0 and "The keeper has not answered for 2 s: it is ended." in text, text
    report, _ = lab.last_run("script")
    assert report["status"] == "failed"
    assert report["message"] == "The keeper did not answer any more and was ended, so no call could be made any more."
    assert below(process.pid) == {}, "nothing is left running"
    then_all_rows_are_there_once(lab)


def test_a_clerk_that_dies_while_loading_loses_and_doubles_no_row(started):
    lab = started
    assert run(lab, "pass", sources=["api"]).status == 0, "so that the clerk we kill is the one that loads"
    process = begin(lab, WRITES + "\n    say(written=1)\n    time.sleep(0.3)")
    for line in process.stdout:
        if "SAID" in line:
            break
    clerk = role(process, "purser-clerk")
    begun = time.monotonic()
    os.kill(clerk, signal.SIGKILL)
    status, text = ended(process, begun)
    assert status != 0 and "clerk" in text and "kept" in text, text
    assert lab.last_run("script")[0]["outputKept"] is True
    then_all_rows_are_there_once(lab)


def test_a_runner_that_dies_takes_its_script_along_and_its_rows_are_collected(started):
    lab = started
    process = begin(lab, ASKS)
    while "third" not in process.stdout.readline():
        pass
    script = role(process, "script")
    begun = time.monotonic()
    os.kill(role(process, "purser-exec"), signal.SIGKILL)
    status, text = ended(process, begun)
    assert status != 0 and "runner" in text, text
    assert not Path(f"/proc/{script}").exists()
    then_all_rows_are_there_once(lab)


def test_purser_itself_killed_leaves_no_process_and_its_rows_are_collected(started):
    lab = started
    process = begin(lab, ASKS)
    while "third" not in process.stdout.readline():
        pass
    family = below(process.pid)
    assert len(family) == 5
    process.kill()
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), BOUND, "the end of all that it had started")
    then_all_rows_are_there_once(lab)


def test_the_next_run_of_a_machine_cleans_up_what_a_killed_purser_left_in_run(started):
    lab = started
    process = begin(lab, ASKS.replace('say(first', 'say(socket=os.environ["PURSER_SOCKET"])\n    say(first'))
    line = ""
    while "socket" not in line:
        line = process.stdout.readline()
    folder = Path(said(line)[0]["socket"]).parent.parent
    process.kill()
    process.wait()
    assert folder.exists()
    lab.retriever("script", "pass", sources=["api"])
    lab.purser("run", "script")
    assert not folder.exists(), "sockets of a purser that is gone do not pile up"


def test_two_pursers_on_one_machine_do_not_end_each_others_scripts(lab, prefix):
    """Each ends all that its retrievers' users have left: so two state folders may never share a user id."""
    with Lab(prefix) as other:
        api(lab, token=new_token())
        api(other, token=new_token())
        with_inside(lab, "script")
        process = begin(lab, "\n    from inside import *\n    import time\n    say(up=os.getuid())\n    time.sleep(1.5)\n    say(down=1)")
        line = process.stdout.readline()
        while "up" not in line:
            line = process.stdout.readline()
        done = run(other, "say(uid=os.getuid())")
        assert done.status == 0, done.text
        if os.geteuid() == 0:
            assert done.said[0]["uid"] != said(line)[0]["up"]
        text = process.communicate(timeout=BOUND)[0]
        assert process.returncode == 0 and "down" in text, text


def test_no_data_is_different_from_zero(lab):
    api(lab)
    done = run(lab, """
for name, text in {"zero": "0", "nothing": "", "text": "none", "nan": "nan"}.items():
    open(os.environ["OUTPUTDIR"] + f"/{name}.dat", "w").write(text)
""")
    assert done.status == 0, done.text
    assert lab.rows("SELECT name, value FROM metric_sample") == [{"name": "zero", "value": 0.0}]
    assert lab.rows("SELECT count(*) AS n FROM dead_letter")[0]["n"] == 3
