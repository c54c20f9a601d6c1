"""The clerk and its databases: schema, outages, rights, full disks."""

import contextlib
import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from clerk_driver import FULL, OK, OUTAGE, REFUSED, SCHEMA, SECOND, Clerk, load, loaded, memfile
from clerk_world import MIXED, NOW, dead_reasons, everything, job, one
from databases import TABLES, Sqlite
from ipc import Type, pack
from ports import free_port
from promise import wait_until

SCHEMA_VERSION = re.search(r"SCHEMA_VERSION (\d+)", (Path(__file__).parents[2] / "src/clerk/schema.h").read_text())[1]

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
    database.query("INSERT INTO purser_schema SELECT 99, max(applied_at) FROM purser_schema")
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
    assert f"schema version {SCHEMA_VERSION}" in clerk.ask(Type.CLERK_CHECK).text


def seal(number, head=b"\1" * 32, installation="mine", run="run-1", observed=NOW):
    return pack(("text", installation), ("u64", number), ("text", head), ("text", run), ("text", "github"), ("i64", observed))


def test_heads_of_the_audit_are_kept_as_they_came_first(database, clerk):
    for record in (seal(7), seal(30, run="run-2"), seal(7, head=b"\2" * 32), seal(8, installation="other")):
        assert clerk.ask(Type.CLERK_SEAL, record).result == OK
    done = clerk.ask(Type.CLERK_SEALS, pack(("text", "mine")))
    assert done.result == OK
    assert [(number, head, run) for _, number, head, run, _, _ in done.seals] == [(7, "01" * 32, "run-1"), (30, "01" * 32, "run-2")]
    assert abs(done.seals[0][5] - NOW) < SECOND
    assert clerk.ask(Type.CLERK_SEALS, pack(("text", "nobody"))).seals == []
    database.query("UPDATE audit_seal SET head = 'rubbish' WHERE number = 30")
    assert clerk.ask(Type.CLERK_SEALS, pack(("text", "mine"))).seals[1][2] == "00" * 32, "which fits no record"
    day = 86400 * SECOND
    clerk.ask(Type.CLERK_SEAL, seal(1, observed=NOW - 10 * day))
    assert clerk.ask(Type.CLERK_PRUNE, pack(("u8", 0), ("u64", 0), ("u64", 0), ("u64", 5 * day))).rows == {"audit_seal": 1}
    assert one(database, "SELECT count(*) FROM audit_seal") == "3"


def test_a_schema_of_version_2_is_brought_up_to_date_with_its_rows(database, clerk):
    clerk.ingest_bytes(MIXED)
    before = everything(database)
    database.query("DROP TABLE audit_seal")
    database.query("DELETE FROM purser_schema WHERE version = 3")
    with Clerk(**{**database.setup, "migrate": False}) as refused:
        assert refused.ask(Type.CLERK_SEAL, seal(7)).result == SCHEMA
    with Clerk(**database.setup) as newer:
        assert newer.ask(Type.CLERK_SEAL, seal(7)).result == OK
        assert newer.ask(Type.CLERK_SEALS, pack(("text", "mine"))).seals[0][1] == 7
    assert everything(database) == before


def test_prune_shows_first_and_then_removes_what_is_old(database, clerk):
    day = 86400 * SECOND
    clerk.ingest_bytes(job(1) + "rubbish\n", run="old", observed=NOW - 10 * day)
    clerk.ingest_bytes(job(2) + "rubbish\n", run="new", observed=NOW)
    before = everything(database)
    expected = {"ci_job": 1, "ingest_ledger": 1, "dead_letter": 1}
    for dry_run in (1, 0):
        done = clerk.ask(Type.CLERK_PRUNE, pack(("u8", dry_run), ("u64", 5 * day), ("u64", 5 * day), ("u64", 0)))
        assert done.result == OK
        assert {table: rows for table, rows in done.rows.items() if rows} == expected
        assert (everything(database) == before) == bool(dry_run)
    assert clerk.count()["ci_job"] == 1
    done = clerk.ask(Type.CLERK_PRUNE, pack(("u8", 0), ("u64", 0), ("u64", 0), ("u64", 0)))
    assert done.result == OK and done.rows == {}


@contextlib.contextmanager
def in_mid_load(postgres, do):
    """do() is done when a load has come to its first row's table, where it has to wait."""
    def when_it_waits():
        wait_until(lambda: postgres.holds_up("ci_job"))
        do()
    holder, doing = postgres.hold("ci_job"), threading.Thread(target=when_it_waits)
    doing.start()
    try:
        yield
        doing.join()
    finally:
        holder.communicate("COMMIT;\n")


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
        with in_mid_load(postgres, lambda: cluster.stop("immediate")):  # during
            assert ask(clerk).result == OUTAGE
        cluster.start()
        for pause in (0.05, 0.25, 0.5):
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
        with in_mid_load(postgres, lambda: postgres.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'purser'"
                f" AND datname = '{postgres.name}'")):
            assert clerk.ask(Type.CLERK_INGEST, load(file="x.ndjson"), [data]).result == OUTAGE
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
            assert done.result in (REFUSED, SCHEMA) and expected in done.sentence, done
            assert "battery" not in done.sentence
        assert "battery" not in clerk.errors
    with Clerk(dsn=dsn + " user=locked") as clerk:
        done = clerk.ingest_bytes(job(2))
        assert done.result == REFUSED and "no password supplied" in done.sentence, done
    with Clerk(dsn=dsn + " user=locked password=correct") as clerk:
        assert "holds a password" in clerk.ingest_bytes(job(2)).sentence
    cluster.query(postgres.name, "DROP OWNED BY locked CASCADE; DROP ROLE locked")


def test_a_unix_socket_is_reached_however_the_dsn_comes_to_it(cluster, postgres):
    """A clerk whose server is elsewhere has none; libpq takes one of these also as the second of two hosts."""
    tail = f"dbname={postgres.name} user=postgres"
    closed, folder = free_port(), str(cluster.folder)
    for dsn in (f"host={folder} port={cluster.port} {tail}", f"host=127.0.0.1,{folder} port={closed},{cluster.port} {tail}",
                f"postgresql://postgres@127.0.0.1:{closed},{folder.replace('/', '%2F')}:{cluster.port}/{postgres.name}"):
        with Clerk(dsn=dsn) as clerk:
            assert clerk.ask(Type.CLERK_CHECK).result == OK, dsn
    for empty in ("", "host=127.0.0.1, "):  # Debian's own folder
        with Clerk(dsn=f"{empty}port={closed} {tail}") as clerk:
            done = clerk.ask(Type.CLERK_CHECK)
        assert f'socket "/var/run/postgresql/.s.PGSQL.{closed}" failed: No such file' in done.sentence, done


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
            assert done.result == REFUSED and expected in done.sentence, (dsn, done)
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
        done = clerk.ask(Type.CLERK_PRUNE, pack(("u8", 0), ("u64", 1), ("u64", 1), ("u64", 1)))
        assert done.result == SCHEMA and "grants" in done.sentence
        assert clerk.ask(Type.CLERK_SEAL, seal(7)).result == OK
    for statement in ("UPDATE purser.audit_seal SET head = 'x'", "DELETE FROM purser.audit_seal"):
        cluster.query(postgres.name, statement, user="purser_loader", check=False)
        assert "permission denied" in cluster.error, "a head that is there stays"
    for statement in ("DROP TABLE purser.ci_job", "DELETE FROM purser.ci_job", "INSERT INTO purser.purser_schema VALUES (9, now())"):
        cluster.query(postgres.name, statement, user="purser_loader", check=False)
        assert "permission denied" in cluster.error or "must be owner" in cluster.error
    assert cluster.query(postgres.name, "SELECT count(*) FROM metrics_job", user="purser_reader") == [("2",)]
    cluster.query(postgres.name, "SELECT count(*) FROM ci_job", user="purser_reader", check=False)
    assert "permission denied" in cluster.error
    postgres.query("DROP OWNED BY purser_owner, purser_loader, purser_reader CASCADE;"
                   "DROP ROLE purser_owner, purser_loader, purser_reader")


def test_the_owner_role_owns_the_tables_and_the_loading_role_cannot_drop_them(cluster, postgres):
    postgres.query("CREATE ROLE keeper_of_tables; CREATE ROLE carrier LOGIN NOINHERIT; GRANT keeper_of_tables TO carrier;"
                   "GRANT CREATE, USAGE ON SCHEMA public TO keeper_of_tables")
    with Clerk(dsn=cluster.dsn(postgres.name, "carrier"), owner="keeper_of_tables") as clerk:
        assert clerk.ask(Type.CLERK_CHECK).result == OK
        assert clerk.ingest_bytes(MIXED).loaded["rows"] == 7
        assert clerk.ask(Type.CLERK_PRUNE, pack(("u8", 0), ("u64", 1), ("u64", 1), ("u64", 1))).result == OK
        assert clerk.ask(Type.CLERK_SEAL, seal(7)).result == OK
    cluster.query(postgres.name, "UPDATE audit_seal SET head = 'x'", user="carrier", check=False)
    assert "permission denied" in cluster.error
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
