"""The clerk and a run: streams, ends, and its own life (promises 18, 19)."""

import subprocess

import pytest

from clerk_driver import DATA, OK, SECOND, UNTIL, Clerk, end_run, loaded, output
from clerk_world import NOW, dead_reasons, one
from ipc import Type, pack, receive, send


def stream(clerk, retriever="github"):
    return clerk.ask(Type.CLERK_STREAM, pack(("text", retriever))).stream


def test_a_run_that_succeeded_moves_its_stream_and_never_back(database, clerk):
    assert stream(clerk) == 0
    for until, expected in ((UNTIL, UNTIL), (UNTIL - 5 * SECOND, UNTIL), (UNTIL + SECOND, UNTIL + SECOND)):
        gate = clerk.start_run(run=f"r{until}", advance=True, until=until)
        output(gate, "a.dat", "1")
        end_run(gate, 1)
        assert clerk.answer().result == OK
        assert loaded(receive(gate)[1])["rows"] == 1
        assert stream(clerk) == expected


def test_a_run_by_a_clock_that_is_wrong_moves_its_stream_no_further_than_the_databases_now(database, clerk):
    """It would collect nothing until then. SQLite's now is the wrong clock's: there the next run puts it right."""
    ahead = NOW + 86400 * SECOND
    if database.kind == "sqlite":
        gate = clerk.start_run(run="r0", advance=True, until=NOW - 86400 * SECOND)
        end_run(gate, 0)
        assert clerk.answer().result == OK
        database.query("UPDATE stream_state SET until_at = '2999-01-01T00:00:00.000Z'")
    else:
        gate = clerk.start_run(run="r0", advance=True, until=ahead)
        end_run(gate, 0)
        assert clerk.answer().result == OK and NOW - 3600 * SECOND <= stream(clerk) < ahead
        database.query("UPDATE stream_state SET until_at = '2999-01-01T00:00:00Z'")
    gate = clerk.start_run(run="r1", advance=True, until=NOW - SECOND)
    end_run(gate, 0)
    assert clerk.answer().result == OK and abs(stream(clerk) - (NOW - SECOND)) < SECOND


@pytest.mark.parametrize("end", [{"status": 3}, {"status": -1, "signal": 9}, {"timed_out": True}, {"outputs": 2}])
def test_a_run_that_failed_loads_what_there_is_and_leaves_its_stream(database, clerk, end):
    gate = clerk.start_run(advance=True)
    output(gate, "a.dat", "1")
    end_run(gate, **{"outputs": 1, **end})
    done = clerk.answer()
    assert done.result == (DATA if "outputs" in end else OK), done
    assert one(database, "SELECT value FROM metric_sample") in ("1", "1.0")
    assert stream(clerk) == 0


def test_a_gate_that_dies_before_the_end_is_a_failure_that_can_be_loaded_again(database, clerk):
    gate = clerk.start_run(advance=True)
    output(gate, "a.dat", "1")
    gate.close()
    done = clerk.answer()
    assert done.result == DATA and done.loaded["result"] == 1 and "stopped coming" in done.sentence
    gate = clerk.start_run(advance=True)
    output(gate, "a.dat", "1")
    end_run(gate, 1)
    assert clerk.answer().loaded["unchanged"] == 1
    assert stream(clerk) == UNTIL


def test_what_the_runner_refused_is_a_dead_letter(database, clerk):
    for _ in range(2):
        gate = clerk.start_run()
        send(gate, Type.OUTPUT_REFUSED, pack(("text", "shadow.dat"), ("text", "a link; links are not followed")))
        end_run(gate, 0)
        assert clerk.answer().result == OK
    assert dead_reasons(database) == ["a link; links are not followed"]


@pytest.mark.parametrize("path", ["../x.dat", "/etc/shadow", "a/../b.dat", "", "a//b.dat"])
def test_an_output_with_an_impossible_name_ends_the_load(database, clerk, path):
    gate = clerk.start_run()
    output(gate, path, "1")
    done = clerk.answer()
    assert done.result == DATA and done.loaded["result"] == 1
    assert one(database, "SELECT count(*) FROM metric_sample") == "0"


def test_a_broken_command_ends_the_clerk_and_stop_ends_it_well(database):
    with Clerk(**database.setup) as clerk:
        assert clerk.ask(Type.CLERK_PRUNE, b"\x07").result is None
    assert clerk.process.returncode == 76
    with Clerk(**database.setup) as clerk:
        send(clerk.control, Type.STOP)
        assert clerk.process.wait(5) == 0


def test_started_by_hand_it_says_who_starts_it(tmp_path):
    from clerk_driver import program
    done = subprocess.run([program()], capture_output=True, text=True, close_fds=True)
    assert done.returncode == 64 and "purser --help" in done.stderr
