"""The clerk and hostile results: bad input costs itself only."""

import json
import os
import socket
import threading
import time

import pytest

from clerk_driver import OK, Clerk, end_run, loaded, output
from clerk_world import dead_reasons, job, one
from databases import Sqlite


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
    (job(1, started_at="9999-12-31T23:59:59-00:01").strip(), "must be a time"),
    (json.dumps({"type": "job", "scope": "s", "id": 1, "source": "一" * 340}, ensure_ascii=False), "一..."),
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
