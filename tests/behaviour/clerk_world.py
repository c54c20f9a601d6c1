"""What every test of the clerk has: both databases, a clerk, and a few lines of results."""

import json
import time

import pytest

from clerk_driver import SECOND, Clerk
from databases import TABLES, Cluster, Postgres, Sqlite

NOW = int(time.time() * SECOND)


@pytest.fixture(scope="session")
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


MIXED = (job(1) + job(2) + '{"type": "metric", "name": "m", "value": 1.5, "labels": {"b": 1, "a": 2}}\n' + "rubbish\n" +
         '{"type": "run", "scope": "s", "id": "r", "commit": "abc"}\n'
         '{"type": "test", "scope": "s", "job_id": 1, "suite": "x", "name": "t", "status": "passed"}\n'
         '{"type": "deployment", "scope": "s", "id": 1, "environment": "prod", "status": "in_progress"}\n'
         '{"type": "queue", "scope": "s", "name": "q", "at": 1591366298, "waiting": 3}\n')
