"""The clerk: what a run left is loaded once, whatever dies when (promise 18)."""

import contextlib
import os
import random
import threading
import time

import pytest
from clerk_driver import OK, SECOND, Clerk, end_run, load, loaded, output
from clerk_world import MIXED, NOW, everything, job, one
from databases import Postgres
from ipc import Type, send


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


@pytest.mark.parametrize("owner", ["", "owner_of_all"])
def test_pursers_that_begin_together_on_an_empty_database_all_bring_it_up_to_date_and_let_the_reader_read(cluster, owner):
    """As the pods of several Jobs do after a first `helm install`: of two that grant the same at once the server turns one down."""
    database = Postgres(cluster)
    cluster.query("postgres", "CREATE ROLE reader_of_all LOGIN; CREATE ROLE owner_of_all; CREATE ROLE loader_of_all LOGIN NOINHERIT "
                              "IN ROLE owner_of_all")
    try:
        for space in range(4):
            cluster.query(database.name, f"CREATE SCHEMA s{space} AUTHORIZATION {owner or 'loader_of_all'}; GRANT USAGE ON SCHEMA s{space} "
                                         f"TO loader_of_all; ALTER DATABASE {database.name} SET search_path = s{space}")
            with contextlib.ExitStack() as stack:
                clerks = [stack.enter_context(Clerk(dsn=cluster.dsn(database.name, "loader_of_all"), owner=owner,
                                                    reader="reader_of_all")) for _ in range(8)]
                for clerk in clerks:
                    send(clerk.control, Type.CLERK_MIGRATE, b"")
                results = [clerk.answer() for clerk in clerks]
            assert [done.result for done in results] == [OK] * 8, results
            assert cluster.query(database.name, f"SELECT count(*) FROM s{space}.metrics_job", user="reader_of_all") == [("0",)]
    finally:
        cluster.query("postgres", f"DROP DATABASE {database.name} WITH (FORCE); DROP ROLE loader_of_all, owner_of_all, reader_of_all")


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

    def load(run):
        """How long it has taken: the machine's load changes meanwhile."""
        with Clerk(**database.setup) as clerk:
            begun = time.monotonic()
            send_run(clerk, run)
            done = clerk.answer()
            assert done.result == OK, done
            return time.monotonic() - begun

    load("first")
    whole = load("measure")
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
        whole = load(run)
        counts = ", ".join(f"(SELECT count(*) FROM {table} WHERE purser_run = '{run}')" for table in expected)
        assert one(database, f"SELECT {counts}") == tuple(str(rows) for rows in expected.values()), run
    assert cut_off > 10, "the kills came too late to prove anything"
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
