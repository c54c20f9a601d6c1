"""The clerk: what a run left is loaded once, whatever dies when; bad input costs itself only (promises 18, 19)."""

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from clerk_driver import (DATA, FULL, OK, OUTAGE, SCHEMA, SECOND, UNTIL, Clerk, end_run, load, loaded, memfile, output)
from databases import TABLES, Cluster, Postgres, Sqlite
from ipc import Type, pack, receive, send

NOW = int(time.time() * SECOND)


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster()
    yield cluster
    cluster.end()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    if request.param == "sqlite":
        return Sqlite(tmp_path)
    return Postgres(request.getfixturevalue("cluster"))


@pytest.fixture
def postgres(cluster):
    return Postgres(cluster)


@pytest.fixture
def clerk(database):
    with Clerk(**database.setup) as clerk:
        yield clerk


def job(n=1, **more):
    line = {"type": "job", "source": "github", "scope": "linkerd/linkerd2", "id": n, "attempt": 1, "name": "Unit tests",
            "status": "completed", "conclusion": "success", "started_at": "2020-06-05T14:11:38Z"}
    line.update(more)
    return json.dumps(line) + "\n"


def everything(database, but=()):
    """All rows of all tables; a table that is not there counts as empty."""
    return {table: sorted(database.query(f"SELECT * FROM {table}")) for table in TABLES if table not in but}


def dead_reasons(database):
    return [row[0] for row in database.query("SELECT reason FROM dead_letter ORDER BY purser_run, file, line")]


def one(database, sql):
    (row,) = database.query(sql)
    return row[0] if len(row) == 1 else row


# --- once ------------------------------------------------------------------------------------------------------------

MIXED = (job(1) + job(2) + '{"type": "metric", "name": "m", "value": 1.5, "labels": {"b": 1, "a": 2}}\n' + "rubbish\n" +
         '{"type": "run", "scope": "s", "id": "r", "commit": "abc"}\n'
         '{"type": "test", "scope": "s", "job_id": 1, "suite": "x", "name": "t", "status": "passed"}\n'
         '{"type": "deployment", "scope": "s", "id": 1, "environment": "prod", "status": "in_progress"}\n'
         '{"type": "queue", "scope": "s", "name": "q", "at": 1591366298, "waiting": 3}\n')


def test_loading_the_same_run_twice_changes_nothing(database, clerk):
    first = clerk.ingest_bytes(MIXED)
    assert (first.result, first.loaded["rows"], first.loaded["dead"]) == (OK, 7, 1)
    before = everything(database)
    again = clerk.ingest_bytes(MIXED)
    assert (again.loaded["rows"], again.loaded["unchanged"], again.loaded["dead"]) == (0, 7, 0)
    assert everything(database) == before


def test_the_same_file_in_an_older_run_changes_no_row(database, clerk):
    clerk.ingest_bytes(MIXED, observed=NOW)
    kept = "ingest_ledger", "dead_letter"
    before = everything(database, but=kept)
    older = clerk.ingest_bytes(MIXED, run="run-0", observed=NOW - SECOND)
    assert (older.loaded["rows"], older.loaded["unchanged"]) == (0, 7)
    assert everything(database, but=kept) == before


def test_a_row_is_replaced_only_by_one_observed_later(database, clerk):
    name = "SELECT name FROM ci_job"
    clerk.ingest_bytes(job(name="second"), run="b", observed=NOW - 5 * SECOND)
    clerk.ingest_bytes(job(name="first"), run="a", observed=NOW - 6 * SECOND)
    assert one(database, name) == "second"
    clerk.ingest_bytes(job(name="third"), run="c", observed=NOW - 4 * SECOND)
    assert one(database, name) == "third"


def test_later_is_never_beyond_the_databases_now(database, clerk):
    clerk.ingest_bytes(job(name="from a clock that is ahead"), run="a", observed=NOW + 10**9 * SECOND)
    time.sleep(0.02)
    clerk.ingest_bytes(job(name="right"), run="b", observed=int(time.time() * SECOND))
    assert one(database, "SELECT name FROM ci_job") == "right"


def test_of_one_run_the_later_line_counts_in_one_batch_and_across_files(database, clerk):
    clerk.ingest_bytes(job(status="queued", conclusion=None) + job(status="in_progress", conclusion=None))
    assert one(database, "SELECT status FROM ci_job") == "running"
    clerk.ingest_bytes(job(), name="later.ndjson", observed=NOW)
    assert one(database, "SELECT count(*) FROM ci_job") == "1"


def test_a_file_that_grew_is_read_on_from_where_it_ended(database, clerk):
    clerk.ingest_bytes(job(1) + job(2))
    more = clerk.ingest_bytes(job(1) + job(2) + job(3))
    assert (more.loaded["rows"], more.loaded["unchanged"]) == (1, 2)
    assert one(database, "SELECT count(*) FROM ci_job") == "3"


def test_two_clerks_with_the_same_run_load_each_row_once(database):
    data = "".join(job(n) for n in range(4000))
    with Clerk(**database.setup) as first:
        assert first.ask(Type.CLERK_MIGRATE).result == OK

    def work():
        with Clerk(**database.setup) as clerk:
            for _ in range(3):
                if clerk.ingest_bytes(data).result == OK:
                    break

    threads = [threading.Thread(target=work) for _ in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert one(database, "SELECT count(*) FROM ci_job") == "4000"
    assert one(database, "SELECT sum(new_or_changed), count(*) FROM ingest_ledger") == ("4000", "1")


def test_clerks_that_start_together_on_an_empty_database_all_load(database):
    results = []

    def work(n):
        with Clerk(**database.setup) as clerk:
            results.append(clerk.ingest_bytes(job(n), run=f"run-{n}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert [r.result for r in results] == [OK] * 4, results
    assert one(database, "SELECT count(*) FROM ci_job") == "4"


def files_of(run):
    """20 files of a run: each is a transaction of its own, two of them with two tables and a dead letter."""
    files = {f"{n}.ndjson": "".join(job(f"{run}-{n}-{i}") for i in range(200)) for n in range(18)}
    files["mixed.ndjson"] = job(f"{run}-mixed") + "rubbish\n" + '{"type":"run","scope":"s","id":"%s"}\n' % run
    files["number.dat"] = "7"
    return files, {"ci_job": 18 * 200 + 1, "ci_run": 1, "metric_sample": 1, "dead_letter": 1}


def send_run(clerk, run, **more):
    files, _ = files_of(run)
    gate = clerk.start_run(run=run, retriever=run, sources=("github",), advance=True, **more)
    for name, data in files.items():
        output(gate, name, data)
    end_run(gate, len(files))
    return gate


def test_killed_at_random_moments_while_loading_every_row_is_there_once(database):
    """50 clerks killed; each run is then loaded by the next."""
    chance = random.Random(3)
    for run in "first", "measure":
        begun = time.monotonic()
        with Clerk(**database.setup) as clerk:
            send_run(clerk, run)
            assert clerk.answer().result == OK
            whole = time.monotonic() - begun
    cut_off = 0
    for n in range(50):
        run = f"kill-{n}"
        _, expected = files_of(run)
        victim = Clerk(**database.setup)
        killer = threading.Timer(chance.uniform(0, 1) * whole, victim.process.kill)
        killer.start()
        try:
            gate = send_run(victim, run)
            if victim.answer().result is None:
                cut_off += 1
            gate.close()
        except OSError:
            cut_off += 1
        killer.join()
        victim.close()
        with Clerk(**database.setup) as clerk:
            send_run(clerk, run)
            done = clerk.answer()
            assert done.result == OK, done
        counts = ", ".join(f"(SELECT count(*) FROM {table} WHERE purser_run = '{run}')" for table in expected)
        assert one(database, f"SELECT {counts}") == tuple(str(rows) for rows in expected.values()), run
    assert cut_off > 20, "the kills came too late to prove anything"
    total = one(database, "SELECT sum(new_or_changed), sum(dead) FROM ingest_ledger")
    assert total == (str(52 * (18 * 200 + 3)), "52")


def test_killed_inside_a_file_of_several_batches_it_goes_on_where_it_was(database, tmp_path):
    lines = 120_000
    path = tmp_path / "many.ndjson"
    path.write_text("".join(f'{{"type":"job","scope":"s","id":{n}}}\n' for n in range(lines)))
    fd = os.open(path, os.O_RDONLY)
    with Clerk(**database.setup) as clerk:
        clerk.ask(Type.CLERK_MIGRATE)
    for batches in (1, 2):
        victim = Clerk(**database.setup)
        send(victim.control, Type.CLERK_INGEST, load(file="many.ndjson"), [fd])
        while int(one(database, "SELECT count(*) FROM ingest_ledger")) < batches:
            time.sleep(0.01)
        victim.process.kill()
        victim.close()
    with Clerk(**database.setup) as clerk:
        done = clerk.ask(Type.CLERK_INGEST, load(file="many.ndjson"), [fd])
    os.close(fd)
    assert done.result == OK and done.loaded["unchanged"] >= 100_000
    assert done.loaded["rows"] + done.loaded["unchanged"] == lines
    assert one(database, "SELECT count(*), count(DISTINCT external_id) FROM ci_job") == (str(lines), str(lines))
    assert one(database, "SELECT sum(new_or_changed) FROM ingest_ledger") == str(lines)


# --- a run -----------------------------------------------------------------------------------------------------------

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


# --- bad input -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("content, reason", [
    ("", "empty"), (" \n", "empty"), ("12 13", "more than one"), ("12\n13\n", "more than one"), ("nan", "not a number"),
    ("-NaN", "not a number"), ("inf", "not a number"), ("0x10", "not a number"), ("1e999", "outside"),
    ("-1e999", "outside"), ("1e-999", "outside"), ("twelve", "not a number"), ("1,5", "not a number"),
    ("1.5.2", "not a number"), ("1_000", "not a number"), ("e5", "not a number"), (".", "not a number"),
    ("1\x002", "not a number"), (b"\xff1", "not a number"), ("1" * 5000, "bytes where")])
def test_dat_that_is_no_number_is_a_dead_letter_and_never_0(tmp_path, content, reason):
    database = Sqlite(tmp_path)
    with Clerk(**database.setup) as clerk:
        done = clerk.ingest_bytes(content, name="build/time.dat")
    assert (done.result, done.loaded["rows"], done.loaded["dead"]) == (OK, 0, 1)
    assert one(database, "SELECT count(*) FROM metric_sample") == "0"
    assert reason in dead_reasons(database)[0]


@pytest.mark.parametrize("content, value", [
    ("0", 0.0), ("-0", 0.0), ("42\n", 42.0), (" 1.5e3\r\n", 1500.0), (".5", 0.5), ("5.", 5.0), ("+7", 7.0),
    ("\ufeff9", 9.0), ("1e-300", 1e-300), ("0e999", 0.0)])
def test_dat_with_one_number_is_a_sample_of_the_end_of_the_window(tmp_path, content, value):
    database = Sqlite(tmp_path)
    with Clerk(**database.setup) as clerk:
        clerk.ingest_bytes(content, name="build/time.dat")
    assert database.query("SELECT name, at, value FROM metric_sample") == [
        ("build/time", "2020-09-13T12:26:40.000Z", str(value if str(value) != "-0.0" else 0.0))] or value == 0.0


NAMES = ["; DROP TABLE ci_job; --.dat", "a'b\"c.dat", "déjà vu/日本.dat", "sp ace\t\x1b[31m.dat", "x" * 900 + ".dat",
         "%s%n.dat", "$(id).dat", "\\.dat", "nan.dat"]


def test_a_metrics_name_is_the_files_whatever_it_is_made_of(database, clerk):
    gate = clerk.start_run()
    for n, name in enumerate(NAMES):
        output(gate, name, str(n))
    output(gate, b"\xff\xfe/not utf-8.dat", "99")
    output(gate, b"\xff" * 1000 + b".dat", "100")
    end_run(gate, len(NAMES) + 2)
    assert clerk.answer().loaded["rows"] == len(NAMES) + 2
    rows = {row[0] for row in database.query("SELECT name FROM metric_sample")}
    assert {name.removesuffix(".dat") for name in NAMES} <= rows
    assert "\\xff\\xfe/not utf-8" in rows or "\\xFF\\xFE/not utf-8" in rows


BAD_LINES = [
    ("rubbish", "not JSON"), ("[1]", "not a JSON object"), ("{}", "`type` is missing"), ('{"type": 3}', "must be text"),
    ('{"type": "nonsense"}', "unknown `type`"), ('{"type": "job", "scope": "s"}', "`id` is missing"),
    ('{"type": "job", "id": 1}', "`scope` is missing"), (job(1, id="").strip(), "`id` is empty"),
    (job(1, id=1.5).strip(), "`id` must be text"), (job(1, id=True).strip(), "`id` must be text"),
    (job(1, source="gitlab").strip(), "not granted"), (job(1, attempt="x").strip(), "whole number"),
    (job(1, started_at="yesterday").strip(), "must be a time"), (job(1, started_at="2020-06-05T14:11:38").strip(), "offset"),
    (job(1, started_at=-1).strip(), "must be a time"), (job(1, started_at=1591366298000).strip(), "must be a time"),
    (job(1, id="x" * 1025).strip(), "at most 1024"), (job(1, url="x" * 65537).strip(), "at most 65536"),
    (job(1, other="x" * 65537).strip(), "no column takes"), (job(1, labels=True).strip(), "must be a list"),
    ('{"type": "job", "id": 1, "id": 2, "scope": "s"}', "duplicate"),
    ('{"type": "job", "scope": "s", "id": 123456789012345678901234567890}', "too big"),
    ('{"type": "metric", "name": "m", "value": 1e999}', "overflow"), ('{"type": "metric", "name": "m", "value": NaN}', "JSON"),
    ('{"type": "metric", "name": "m"}', "`value` is missing"), ('{"type": "metric", "name": "m", "value": "1"}', "number"),
    ('{"type": "metric", "name": "m", "value": 1, "labels": [1]}', "must be an object"),
    ('{"type": "test", "scope": "s", "name": "t"}', "needs an `id`"),
    ('{"type": "job", "scope": "a\\u0000b", "id": 1}', "\\u0000"), ('{"type": "job", "scope": "a\x00b", "id": 1}', "JSON"),
    ('{"type": "job", "scope": "\\ud800", "id": 1}', "not JSON"), (b'{"type": "job", "scope": "\xff\xfe", "id": 1}', "not JSON"),
    ('{"type": "job", "scope": "s", "id": 1, "x": ' + "[" * 40 + "]" * 40 + "}", "deeper"),
    ('{"type": "job", "scope": "s", "id": 1, "x": ' + "[" * 100000, "not JSON"),
    ('{"type": "job", "scope": "s", "id": 1, "x": [' + "0," * 400000 + "0]}", "no column takes"),
    (job(1, x="y" * (1 << 20)).strip(), "longer than 1048576"), ("x" * (3 << 20), "longer than 1048576"),
]


def test_each_bad_line_is_a_dead_letter_with_its_reason_and_every_other_line_loads(database, clerk):
    data = b""
    for n, (line, _) in enumerate(BAD_LINES):
        data += (line.encode() if isinstance(line, str) else line) + b"\n" + job(1000 + n).encode()
    done = clerk.ingest_bytes(data)
    assert done.result == OK, done
    assert one(database, "SELECT count(*) FROM ci_job") == str(len(BAD_LINES))
    found = {int(line): (reason, content) for line, reason, content in
             database.query("SELECT line, reason, content FROM dead_letter")}
    for n, (line, reason) in enumerate(BAD_LINES):
        assert reason in found.pop(2 * n + 1, ("nothing",))[0], (n, line[:60])
    assert not found
    assert done.loaded["dead"] == len(BAD_LINES)
    assert max(int(n) for (n,) in database.query("SELECT length(content) FROM dead_letter")) <= 4 * 4096


@pytest.mark.parametrize("tail, rows, dead", [("", 1, 0), (job(2).strip(), 2, 0), (job(2)[:-9], 1, 1), ("\n\n  \n", 1, 0),
                                              ("\r\n" + job(2).strip() + "\r\n", 2, 0)])
def test_a_last_line_without_end_loads_if_it_is_whole(tmp_path, tail, rows, dead):
    database = Sqlite(tmp_path)
    with Clerk(**database.setup) as clerk:
        done = clerk.ingest_bytes("\ufeff" + job(1) + tail)
    assert (done.loaded["rows"], done.loaded["dead"]) == (rows, dead)


def test_dead_letters_of_one_file_are_bounded_and_counted(database, clerk):
    done = clerk.ingest_bytes("x\n" * 5000 + job(1))
    assert (done.loaded["dead"], done.loaded["rows"]) == (5000, 1)
    assert one(database, "SELECT count(*) FROM dead_letter") == "1000"


def hostile_descriptors(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "plain").write_text("1")
    yield "a fifo", os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK), "not a plain file"
    yield "a folder", os.open(tmp_path, os.O_RDONLY), "not a plain file"
    yield "a socket", socket.socket(socket.AF_UNIX).detach(), "not a plain file"
    yield "a device", os.open("/dev/zero", os.O_RDONLY), "not a plain file"
    yield "a pipe", os.pipe()[0], "not a plain file"
    yield "a link", os.open("/proc/self/exe", os.O_PATH | os.O_NOFOLLOW), "not a plain file"
    yield "a path only", os.open(tmp_path / "plain", os.O_PATH), "writing only"
    yield "written only", os.open(tmp_path / "plain", os.O_WRONLY), "writing only"


def test_what_is_no_plain_file_is_refused_and_the_rest_loads(database, clerk, tmp_path):
    gate = clerk.start_run()
    expected, sent = {}, 1
    for name, fd, reason in hostile_descriptors(tmp_path):
        output(gate, name + ".dat", fd)
        expected[name + ".dat"] = reason
        sent += 1
    for name in ("notes.txt", "dump.json", "core", ".dat2"):
        output(gate, name, "1")
        expected[name] = "does not end in"
        sent += 1
    output(gate, "good.dat", "1")
    end_run(gate, sent)
    done = clerk.answer()
    assert done.result == OK and done.loaded["rows"] == 1, done
    found = dict(database.query("SELECT file, reason FROM dead_letter"))
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in found[name], name


def test_a_run_that_leaves_too_much_loads_what_is_within_its_limits(database, clerk, tmp_path):
    huge = tmp_path / "huge.ndjson"
    with open(huge, "wb") as file:
        file.truncate(1 << 30)
    gate = clerk.start_run(output_bytes=1000, output_files=5)
    output(gate, "huge.ndjson", os.open(huge, os.O_RDONLY))
    for n in range(10):
        output(gate, f"{n}.dat", "1")
    end_run(gate, 11)
    done = clerk.answer()
    assert (done.result, done.loaded["rows"], done.loaded["dead"]) == (OK, 4, 1 + 6)
    reasons = dict(database.query("SELECT file, reason FROM dead_letter"))
    assert "no more than 1000" in reasons["huge.ndjson"] and "more than 5 files" in reasons["4.dat"]


def test_a_file_that_shrinks_or_grows_while_it_is_sent_is_bounded(database, clerk, tmp_path):
    path = tmp_path / "moving.ndjson"
    path.write_text("".join(job(n) for n in range(20000)))
    stop = threading.Event()

    def writer():
        with open(path, "r+") as file:
            while not stop.is_set():
                file.truncate(1000)
                file.seek(0, 2)
                file.write("x" * 100000)
                file.flush()

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        done = clerk.ingest(path)
    finally:
        stop.set()
        thread.join()
    assert done.result == OK
    assert clerk.process.poll() is None


# --- CSV -------------------------------------------------------------------------------------------------------------

def test_csv_has_the_fields_of_ndjson(database, clerk):
    done = clerk.ingest_bytes('\ufeffscope,id,name,conclusion,started_at,labels,colour\r\n'
                              's,1,"a, ""b""\nc",failure,2020-06-05T16:11:38+02:00,"x,y",red\r\n'
                              's,2,,,,"[""z""]",\r\n', name="out/jobs.csv")
    assert (done.loaded["rows"], done.loaded["dead"]) == (2, 0), done
    rows = database.query("SELECT external_id, name, status, conclusion_original, labels, extra FROM ci_job ORDER BY 1")
    assert [tuple(cell.replace(" ", "") for cell in row) for row in rows] == [
        ("1", 'a,"b"\nc', "failure", "failure", '["x","y"]', '{"colour":"red"}'),
        ("2", "", "unknown", "", '["z"]', "")]


def test_bad_csv_costs_its_own_lines(database, clerk):
    done = clerk.ingest_bytes("type,scope,id\njob,s,1\njob,s\njob,s,2,3\nnonsense,s,1\njob,\"s,2\njob,s,3\n"
                              "job,s\"x,4\njob,s,5\n\n", name="x.csv")
    assert done.result == OK
    assert [row[0] for row in database.query("SELECT external_id FROM ci_job ORDER BY 1")] == ["1", "3", "5"]
    assert [row[0] for row in database.query("SELECT line FROM dead_letter ORDER BY line")] == ["3", "4", "5", "6", "8"]


@pytest.mark.parametrize("header, reason", [("scope,id", "nothing says"), ("type,id,id", "twice"), ("type,,id", "without a name"),
                                            ('type,"id', "quotes"), ("type," + "x," * 300 + "y", "more than 256")])
def test_csv_with_a_bad_header_is_one_dead_letter(tmp_path, header, reason):
    database = Sqlite(tmp_path)
    with Clerk(**database.setup) as clerk:
        done = clerk.ingest_bytes(header + "\njob,s,1\n", name="x.csv")
    assert (done.result, done.loaded["rows"], done.loaded["dead"]) == (OK, 0, 1)
    assert reason in dead_reasons(database)[0]


# --- the schema ------------------------------------------------------------------------------------------------------

WIDE = {
    "run": dict(id="r", attempt=2, name="n", branch="b", commit="c", event="e", status="completed", conclusion="failure",
                created_at="2020-06-05T14:11:38Z", started_at="2020-06-05T14:11:39.5Z", completed_at=1591366298, url="u", x=1),
    "job": dict(id="j", attempt=2, run_id=5, run_attempt=3, name="n", workflow="w", status="s", conclusion="PASSED",
                queued_at="2020-06-05T14:11:38Z", started_at="2020-06-05T14:11:38Z", completed_at="2020-06-05T14:11:38Z",
                runner="r", url="u", labels=["a"], x=[1]),
    "test": dict(id="t", job_id="j", suite="s", name="n", status="skipped", duration_s=1.25, at="2020-06-05T14:11:38Z",
                 message="m", x={}),
    "deployment": dict(id="d", environment="e", status="success", at="2020-06-05T14:11:38Z", branch="b", commit="c", url="u",
                       x=None),
    "queue": dict(name="q", at="2020-06-05T14:11:38Z", waiting=1, running=2, agents=3, x="y"),
    "metric": dict(name="m", value=-1.5, at="2020-06-05T14:11:38Z", labels={"b": 1, "a": 2}, x="y"),
}


def test_every_field_of_every_type_arrives_in_its_column(database, clerk):
    lines = "".join(json.dumps({"type": type_, **({} if type_ == "metric" else {"scope": "s"}), **fields}) + "\n"
                    for type_, fields in WIDE.items())
    done = clerk.ingest_bytes(lines)
    assert (done.loaded["rows"], done.loaded["dead"]) == (6, 0), dead_reasons(database)
    for table in TABLES[:6]:
        (row,) = database.query(f"SELECT * FROM {table}")
        assert "" not in [cell for cell, name in zip(row, range(99)) if table != "metric_sample"], (table, row)
    status = database.query("SELECT status, status_original, conclusion_original FROM ci_job")
    assert status == [("success", "s", "PASSED")]
    hour = "2020-06-05T14:11:39.500Z" if database.kind == "sqlite" else "2020-06-05 14:11:39.5+00"
    database.kind == "postgres" and database.query(f"ALTER DATABASE {database.name} SET timezone = 'UTC'")
    assert one(database, "SELECT started_at FROM ci_run") == hour


def test_a_schema_newer_than_the_program_is_refused_and_left_alone(database, clerk):
    clerk.ingest_bytes(job(1))
    database.query("INSERT INTO purser_schema SELECT 99, applied_at FROM purser_schema")
    before = everything(database)
    with Clerk(**database.setup) as newer:
        for done in (newer.ingest_bytes(job(2)), newer.ask(Type.CLERK_CHECK), newer.ask(Type.CLERK_MIGRATE)):
            assert done.result == SCHEMA and "use a newer purser" in done.sentence
    assert everything(database) == before


def test_migrate_false_creates_nothing_and_says_what_to_do(database):
    with Clerk(migrate=False, **database.setup) as clerk:
        done = clerk.ingest_bytes(job(1))
    if database.kind == "sqlite":
        assert done.result != OK and not database.path.exists()
    else:
        assert done.result == SCHEMA and "schema --sql" in done.sentence
        assert one(database, "SELECT to_regclass('ci_job') IS NULL") == "t"


def test_check_changes_nothing(database, clerk):
    done = clerk.ask(Type.CLERK_CHECK)
    assert done.result == OK and done.text.endswith("\n")
    if database.kind == "sqlite":
        assert not database.path.exists()
    else:
        assert one(database, "SELECT to_regclass('purser_schema') IS NULL") == "t"
    clerk.ask(Type.CLERK_MIGRATE)
    assert "schema version 1" in clerk.ask(Type.CLERK_CHECK).text


def test_prune_shows_first_and_then_removes_what_is_old(database, clerk):
    day = 86400 * SECOND
    clerk.ingest_bytes(job(1) + "rubbish\n", run="old", observed=NOW - 10 * day)
    clerk.ingest_bytes(job(2) + "rubbish\n", run="new", observed=NOW)
    before = everything(database)
    expected = {"ci_job": 1, "ingest_ledger": 1, "dead_letter": 1}
    for dry_run in (1, 0):
        done = clerk.ask(Type.CLERK_PRUNE, pack(("u8", dry_run), ("u64", 5 * day), ("u64", 5 * day)))
        assert done.result == OK
        assert {table: rows for table, rows in done.rows.items() if rows} == expected
        assert (everything(database) == before) == bool(dry_run)
    assert clerk.count()["ci_job"] == 1
    done = clerk.ask(Type.CLERK_PRUNE, pack(("u8", 0), ("u64", 0), ("u64", 0)))
    assert done.result == OK and done.rows == {}


# --- PostgreSQL: outages and rights ----------------------------------------------------------------------------------

def test_a_database_that_is_gone_before_during_or_after_a_batch_loses_and_doubles_nothing(cluster, postgres):
    lines = 60_000
    data = memfile("".join(f'{{"type":"job","scope":"s","id":{n}}}\n' for n in range(lines)))

    def ask(clerk):
        return clerk.ask(Type.CLERK_INGEST, load(file="many.ndjson"), [data])

    with Clerk(**postgres.setup) as clerk:
        assert clerk.ask(Type.CLERK_MIGRATE).result == OK
        cluster.stop()
        done = ask(clerk)  # before
        assert done.result == OUTAGE and done.loaded["result"] == 1 and done.sentence
        cluster.start()
        for pause in (0.05, 0.25, 0.5):  # during
            stopper = threading.Timer(pause, cluster.stop, ["immediate"])
            stopper.start()
            done = ask(clerk)
            stopper.join()
            assert done.result in (OK, OUTAGE)
            cluster.start()
        done = ask(clerk)
        assert done.result == OK, done
        assert done.loaded["rows"] + done.loaded["unchanged"] == lines
        assert one(postgres, "SELECT count(*) FROM ci_job") == str(lines)
        cluster.stop("immediate")  # after
        cluster.start()
        again = ask(clerk)
        assert again.loaded["rows"] == 0 and again.loaded["unchanged"] == lines
        assert one(postgres, "SELECT sum(new_or_changed) FROM ingest_ledger") == str(lines)
    os.close(data)


def test_a_backend_that_is_terminated_in_the_middle_is_an_outage_and_no_row_is_lost(postgres):
    data = memfile("".join(f'{{"type":"job","scope":"s","id":{n}}}\n' for n in range(40_000)))
    with Clerk(**postgres.setup) as clerk:
        clerk.ask(Type.CLERK_MIGRATE)
        ended = []
        for pause in (0.02, 0.1, 0.2):
            timer = threading.Timer(pause, postgres.query, [
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'purser'"
                f" AND datname = '{postgres.name}'"])
            timer.start()
            ended.append(clerk.ask(Type.CLERK_INGEST, load(file="x.ndjson"), [data]).result)
            timer.join()
        assert OUTAGE in ended
        assert clerk.ask(Type.CLERK_INGEST, load(file="x.ndjson"), [data]).result == OK
    os.close(data)
    assert one(postgres, "SELECT count(*) FROM ci_job") == "40000"


def test_the_password_comes_from_the_keeper_and_from_nowhere_else(cluster, postgres):
    cluster.query(postgres.name, "CREATE ROLE locked LOGIN PASSWORD 'correct horse' SUPERUSER")
    dsn = f"host=127.0.0.1 port={cluster.port} dbname={postgres.name}"
    for credential, user in ((b"correct horse", " user=locked"), (b'{"username": "locked", "password": "correct horse"}', "")):
        with Clerk(dsn=dsn.replace("127.0.0.1", "localhost") + user, credential=credential) as clerk:
            done = clerk.ingest_bytes(job(1))
            assert done.result == OK, done
    for credential, expected in ((b"wrong battery", "password authentication failed"), ("the keyring is shut", "keyring is shut"),
                                 (b'{"password": 3}', "JSON"), (b"", "empty")):
        with Clerk(dsn=dsn + " user=locked", credential=credential) as clerk:
            done = clerk.ingest_bytes(job(2))
            assert done.result in (OUTAGE, SCHEMA) and expected in done.sentence, done
            assert "battery" not in done.sentence
        assert "battery" not in clerk.errors
    with Clerk(dsn=dsn + " user=locked") as clerk:
        assert "no password supplied" in clerk.ingest_bytes(job(2)).sentence
    with Clerk(dsn=dsn + " user=locked password=correct") as clerk:
        assert "holds a password" in clerk.ingest_bytes(job(2)).sentence
    cluster.query(postgres.name, "DROP OWNED BY locked CASCADE; DROP ROLE locked")


def test_a_remote_server_is_verified_in_full_unless_the_dsn_says_otherwise(cluster, postgres):
    cluster.query(postgres.name, "CREATE ROLE remote LOGIN PASSWORD 'p' SUPERUSER")
    for host, more, expected in (("db.example", f"sslrootcert={cluster.ca}", None),
                                 ("db.example", "", "certificate verify failed"),
                                 ("other.example", f"sslrootcert={cluster.ca}", "does not match host name"),
                                 ("other.example", f"sslrootcert={cluster.ca} sslmode=verify-ca", None),
                                 ("other.example", "sslmode=verify-ca", "certificate verify failed"),
                                 ("other.example", "sslmode=require", None)):
        dsn = f"host={host} hostaddr=127.0.0.1 port={cluster.port} dbname={postgres.name} user=remote {more}"
        with Clerk(dsn=dsn, credential=b"p") as clerk:
            done = clerk.ask(Type.CLERK_CHECK)
        if expected:
            assert done.result == OUTAGE and expected in done.sentence, (dsn, done)
        else:
            assert done.result == OK and "with TLS" in done.text, (dsn, done)
    cluster.query(postgres.name, "DROP ROLE remote")


def test_the_printed_schema_gives_a_loader_that_loads_and_a_reader_that_reads(cluster, postgres):
    with Clerk(path="/nonexistent/x.db") as clerk:
        sql = clerk.ask(Type.CLERK_SCHEMA).text
    postgres.query(sql)
    setup = {"dsn": cluster.dsn(postgres.name, "purser_loader"), "migrate": False}
    with Clerk(**setup) as clerk:
        assert clerk.ask(Type.CLERK_CHECK).result == OK
        assert clerk.ingest_bytes(MIXED).loaded["rows"] == 7
        assert clerk.ingest_bytes(MIXED, run="again").result == OK
        done = clerk.ask(Type.CLERK_PRUNE, pack(("u8", 0), ("u64", 1), ("u64", 1)))
        assert done.result == SCHEMA and "grants" in done.sentence
    for statement in ("DROP TABLE purser.ci_job", "DELETE FROM purser.ci_job", "INSERT INTO purser.purser_schema VALUES (9, now())"):
        cluster.query(postgres.name, statement, user="purser_loader", check=False)
        assert "permission denied" in cluster.error or "must be owner" in cluster.error
    cluster.query(postgres.name, "ALTER ROLE purser_reader LOGIN")
    assert cluster.query(postgres.name, "SELECT count(*) FROM ci_job", user="purser_reader") == [("2",)]
    cluster.query(postgres.name, "DELETE FROM ci_job", user="purser_reader", check=False)
    assert "permission denied" in cluster.error
    postgres.query("DROP OWNED BY purser_owner, purser_loader, purser_reader CASCADE;"
                   "DROP ROLE purser_owner, purser_loader, purser_reader")


def test_the_owner_role_owns_the_tables_and_the_loading_role_cannot_drop_them(cluster, postgres):
    postgres.query("CREATE ROLE keeper_of_tables; CREATE ROLE carrier LOGIN NOINHERIT; GRANT keeper_of_tables TO carrier;"
                   "GRANT CREATE, USAGE ON SCHEMA public TO keeper_of_tables")
    with Clerk(dsn=cluster.dsn(postgres.name, "carrier"), owner="keeper_of_tables") as clerk:
        assert clerk.ask(Type.CLERK_CHECK).result == OK
        assert clerk.ingest_bytes(MIXED).loaded["rows"] == 7
        assert clerk.ask(Type.CLERK_PRUNE, pack(("u8", 0), ("u64", 1), ("u64", 1))).result == OK
    assert one(postgres, "SELECT tableowner FROM pg_tables WHERE tablename = 'ci_job'") == "keeper_of_tables"
    cluster.query(postgres.name, "DROP TABLE ci_job", user="carrier", check=False)
    assert "must be owner" in cluster.error
    postgres.query("DROP OWNED BY carrier, keeper_of_tables CASCADE; DROP ROLE carrier, keeper_of_tables")


def test_rights_that_are_missing_are_named(cluster, postgres):
    postgres.query("CREATE ROLE nobody_special LOGIN")
    with Clerk(dsn=cluster.dsn(postgres.name, "nobody_special")) as clerk:
        for done in (clerk.ask(Type.CLERK_CHECK), clerk.ingest_bytes(job(1))):
            assert done.result == SCHEMA and "schema --sql" in done.sentence, done
    postgres.query("DROP ROLE nobody_special")


# --- SQLite ----------------------------------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "purser-test", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_nothing_is_lost_or_doubled(small_disk):
    database = Sqlite(small_disk)
    data = "".join(job(n) for n in range(20000))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(4 << 20))
    with Clerk(**database.setup) as clerk:
        assert clerk.ingest_bytes(job(1), run="small").result == OK
        done = clerk.ingest_bytes(data)
        assert done.result == FULL and "room" in done.sentence, done
        assert one(database, "SELECT count(*) FROM ci_job") == "1"
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        assert clerk.ingest_bytes(data).result == OK
    assert one(database, "SELECT count(*) FROM ci_job") == "20000"


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough to be read as one" * 20, b"\0" * 8192])
def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path, content):
    path = tmp_path / "purser.db"
    path.write_bytes(content)
    with Clerk(path=path) as clerk:
        done = clerk.ingest_bytes(job(1))
    assert done.result == SCHEMA and str(path) in done.sentence
    assert path.read_bytes() == content


def test_a_missing_folder_is_an_outage_with_its_name(tmp_path):
    with Clerk(path=tmp_path / "not there" / "purser.db") as clerk:
        done = clerk.ingest_bytes(job(1))
    assert done.result == OUTAGE and "not there" in done.sentence


# --- the process -----------------------------------------------------------------------------------------------------

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
