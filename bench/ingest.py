"""1,000,000 job records into the sink, against the database's own bulk loader and the same keyed table."""
import csv
import io
import itertools
import json
import os
import subprocess
import time

from measure import BenchError, Child, median, wait_until
from place import TOP

ROWS = 1_000_000
ROUNDS = 3
BIN = "/usr/lib/postgresql/15/bin"


def jobs_file(place):
    """The real jobs of the quickstart's data, repeated with other ids until there are enough."""
    path = place.folder / "jobs.ndjson"
    if path.exists():
        return path
    real = json.loads((TOP / "examples/quickstart/data/linkerd-ci-jobs.json").read_text())
    with open(path, "w") as out:
        for number, job in zip(range(ROWS), itertools.cycle(real)):
            out.write(json.dumps({
                "type": "job", "source": "bench", "scope": "linkerd/linkerd2", "id": str(number), "attempt": 1,
                "run_id": str(number // 8), "run_attempt": 1, "name": job["Job"], "workflow": job["Workflow"],
                "status": "completed", "conclusion": job["Conclusion"], "queued_at": job["Started"],
                "started_at": job["Started"], "completed_at": job["Completed"],
                "url": f"https://ci.example/jobs/{number}"}) + "\n")
    return path


def timed(words, **options):
    began = time.monotonic()
    done = subprocess.run([str(word) for word in words], capture_output=True, **options)
    spent = time.monotonic() - began
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")[-800:]
        raise BenchError(f"{words[0]} ended with {done.returncode}: {said}")
    return spent


def expect_rows(count):
    if int(count) != ROWS:
        raise BenchError(f"{count.strip()} of {ROWS} rows are there")


class Postgres:
    """A server of our own on a socket, gone with the block."""

    def __init__(self, place):
        self.place, self.folder = place, place.folder / "postgres"
        self.folder.mkdir()
        os.chmod(self.folder, 0o755)
        place.run(["chown", "postgres:", self.folder])

    def as_postgres(self, words):
        return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", *words]

    def __enter__(self):
        self.place.run(self.as_postgres([f"{BIN}/initdb", "-D", self.folder / "data", "-A", "trust", "--no-sync"]),
                       cwd="/")
        self.server = Child(self.as_postgres([f"{BIN}/postgres", "-D", self.folder / "data", "-k", self.folder,
                                              "-c", "listen_addresses=", "-c", "max_wal_size=8GB"]),
                            self.place.folder / "postgres.log", cwd="/")
        wait_until("PostgreSQL", lambda: subprocess.run([f"{BIN}/pg_isready", "-q", "-h", self.folder]).returncode == 0)
        self.sql("postgres", "CREATE DATABASE ours", "CREATE DATABASE theirs")
        return self

    def __exit__(self, *problem):
        self.server.__exit__(*problem)

    def psql(self, database, *words):
        return ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", "postgres", "-d", database, *words]

    def sql(self, database, *statements):
        return self.place.run(self.psql(database, *itertools.chain(*(("-c", text) for text in statements))))


def postgres(place, wanted):
    if not wanted("ingest-postgres"):
        return
    data, ready = jobs_file(place), place.folder / "ready.csv"
    with Postgres(place) as server:
        more = f"sink: {{postgres: {{dsn: \"host={server.folder} dbname=ours user=postgres\"}}}}\n"
        load = ingest_command(place, "ingest-postgres", more, data)
        timed(load)
        expect_rows(server.sql("ours", "SELECT count(*) FROM ci_job"))
        columns = server.sql("ours", "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE "
                             "attrelid = 'ci_job'::regclass AND attnum > 0 AND attgenerated = ''").strip()
        server.sql("ours", f"\\copy ci_job ({columns}) TO '{ready}' CSV")
        schema = place.run([f"{BIN}/pg_dump", "-h", server.folder, "-U", "postgres", "--schema-only", "ours"])
        place.run(server.psql("theirs"), input=schema.encode())
        ours, theirs = [], []
        for _ in range(ROUNDS):
            for database in ("ours", "theirs"):
                server.sql(database, "TRUNCATE ci_job, ingest_ledger", "CHECKPOINT")
            ours.append(timed(load))
            expect_rows(server.sql("ours", "SELECT count(*) FROM ci_job"))
            server.sql("ours", "CHECKPOINT")
            theirs.append(timed(server.psql("theirs", "-c", f"\\copy ci_job ({columns}) FROM '{ready}' CSV")))
            expect_rows(server.sql("theirs", "SELECT count(*) FROM ci_job"))
    yield "ingest-postgres", median(ours), median(theirs), "\\copy", "s"


def ingest_command(place, name, more, data):
    config = place.configure(name, ["unix:1:1"], more=more)
    return [place.purser, "ingest", "--file", config, "--retriever", "bench", data]


def sqlite(place, wanted):
    if not wanted("ingest-sqlite"):
        return
    data, ready = jobs_file(place), place.folder / "ready-sqlite.csv"
    load = ingest_command(place, "ingest-sqlite", "", data)
    sink = place.folder / "ingest-sqlite/state/sink"
    database, other = sink / "purser.db", place.folder / "theirs.db"
    ours, theirs = [], []
    for _ in range(ROUNDS):
        for old in sink.glob("purser.db*") if sink.exists() else ():
            old.unlink()
        ours.append(timed(load))
        expect_rows(place.run(["sqlite3", database, "SELECT count(*) FROM ci_job"]))
        if not ready.exists():
            write_csv(place, database, ready)
        other.unlink(missing_ok=True)
        place.run(["sqlite3", other], input=place.run(["sqlite3", database, ".schema ci_job"]).encode())
        theirs.append(timed(["sqlite3", "-csv", other, f".import {ready} ci_job"]))
        expect_rows(place.run(["sqlite3", other, "SELECT count(*) FROM ci_job"]))
    yield "ingest-sqlite", median(ours), median(theirs), ".import", "s"


def write_csv(place, database, ready):
    rows = place.run(["sqlite3", "-csv", database, "SELECT * FROM ci_job"])
    if next(csv.reader(io.StringIO(rows[:4096]))) == []:
        raise BenchError("the table is empty")
    ready.write_text(rows)
