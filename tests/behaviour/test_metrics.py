"""Every panel's query, asked as Grafana asks it, of a PostgreSQL that the real clerk has loaded, as the reader; and its answer
computed another way. The views, in both databases."""
import json
import math
import re
from datetime import datetime, timedelta

import pytest
from clerk_driver import OK, SECOND, Clerk
from databases import Postgres, Sqlite
from grafana import TOP, dashboards, statement
from ipc import Type
from metrics_panels import PANELS
from metrics_reference import (Reference, duration, groups, passed, quantiles, queue_of, red_periods, status, wait, wilson)
from metrics_world import SINCE, UNTIL, real_facts

NARROW = {"source": ["buildkite"], "scope": ["linkerd/kind-integration", "linkerd/unit-tests", "linkerd/agents"],
          "workflow": ["KinD integration"], "branch": ["main", "o'neill/fix"], "queue": ["large"], "metric": ["coverage"],
          "retriever": ["github"], "interval": "6h"}
SELECTIONS = {"all": ({}, SINCE, UNTIL), "some": (NARROW, SINCE + timedelta(days=9, hours=3), UNTIL - timedelta(days=8)),
              "none": ({}, UNTIL + timedelta(days=30), UNTIL + timedelta(days=31))}
OF_CI = [(board, panel) for board in dashboards() for panel in board["panels"] if board["uid"] != "purser-ci-collection"]


@pytest.fixture(scope="module")
def facts():
    return real_facts()


@pytest.fixture(scope="module")
def loaded(cluster, facts):
    """A PostgreSQL with the schema that a DBA gets printed, loaded as purser_loader."""
    database = Postgres(cluster)
    with Clerk(path="/nonexistent/x.db") as clerk:
        database.query(clerk.ask(Type.CLERK_SCHEMA).text)
    with Clerk(dsn=cluster.dsn(database.name, "purser_loader"), migrate=False) as clerk:
        load_facts(clerk, facts)
    database.query("ANALYZE")
    yield database
    database.query("DROP OWNED BY purser_owner, purser_loader, purser_reader CASCADE;"
                   "DROP ROLE purser_owner, purser_loader, purser_reader")


def load_facts(clerk, facts):
    done = clerk.ingest_bytes("".join(facts.lines()), sources=("github", "buildkite"),
                              until=int(UNTIL.timestamp()) * SECOND)
    assert done.result == OK and done.loaded["dead"] == 0, done
    assert done.loaded["rows"] == sum(len(kind) for kind in vars(facts).values())


def answer(database, sql):
    """As the reader, in the order of the answer."""
    ((text,),) = database.cluster.query(database.name, f"SELECT coalesce(json_agg(row_to_json(q)), '[]') FROM ({sql}) AS q",
                                        user="purser_reader")
    return json.loads(text)


def comparable(value):
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return value
    return value.timestamp() if isinstance(value, datetime) else value


def key_of(row):
    return json.dumps([round(float(value), 3) if isinstance(value, (int, float)) else value
                       for _, value in sorted(row.items())])


def same(ours, theirs):
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-6)
    return ours == theirs


def assert_same(ours, theirs):
    """The same rows, in whatever order; numbers as near as floating point is."""
    ours, theirs = ([{name: comparable(value) for name, value in row.items()} for row in rows] for rows in (ours, theirs))
    assert len(ours) == len(theirs), (ours[:3], theirs[:3])
    for one, other in zip(sorted(ours, key=key_of), sorted(theirs, key=key_of)):
        assert one.keys() == other.keys()
        assert all(same(one[name], other[name]) for name in one), (one, other)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("board, panel", OF_CI, ids=[f"{board['uid']}-{panel['title']}" for board, panel in OF_CI])
def test_a_panel_shows_what_the_documents_define(loaded, facts, board, panel, selection):
    chosen, since, until = SELECTIONS[selection]
    sql = statement(panel["targets"][0]["rawSql"], board, chosen, since, until)
    shown = answer(loaded, sql)
    reference = Reference(facts, since, until, chosen, chosen.get("interval", interval_of(board)))
    expected = PANELS[board["uid"], panel["title"]](reference)
    if panel["title"] == "Red periods":  # one that lasts is counted until now
        for row in shown:
            row["length"] = row["length"] if row["green at"] else "until now"
    assert_same(shown, expected)
    if selection == "none" and panel["title"] != "Red periods":  # no data is not zero; what is red stays so
        assert all(value is None for row in shown for value in row.values()), shown
    elif selection == "all":
        assert shown and any(value is not None for row in shown for value in row.values())
    if panel["targets"][0]["format"] == "time_series":  # Grafana makes a series of each metric only of rows in their order
        times = [row["time"] for row in shown]
        assert times == sorted(times) and None not in times


def interval_of(board):
    return next(one["current"]["value"] for one in board["templating"]["list"] if one["type"] == "interval")


VARIABLES = [(board, one) for board in dashboards() for one in board["templating"]["list"] if one["type"] == "query"]


@pytest.mark.parametrize("board, variable", VARIABLES, ids=[f"{board['uid']}-{one['name']}" for board, one in VARIABLES])
def test_a_variable_offers_what_is_there(loaded, facts, board, variable):
    offered = [next(iter(row.values())) for row in answer(loaded, statement(variable["query"], board, {}, SINCE, UNTIL))]
    there = {"source": {run.source for run in facts.runs}, "scope": {run.scope for run in facts.runs},
             "workflow": {run.name for run in facts.runs}, "branch": {run.branch for run in facts.runs} - {None},
             "queue": {"large", "small"}, "retriever": {"github"}, "metric": {"coverage", "open_requests"}}
    if board["uid"] == "purser-ci-collection":
        assert offered == [], "what `ingest` loads is no run, and was loaded at another time"
    else:
        assert offered == sorted(there[variable["name"]])


def test_every_panel_has_an_answer_to_compare_with_and_every_answer_a_panel():
    assert {(board["uid"], panel["title"]) for board, panel in OF_CI} == set(PANELS)
    assert len(OF_CI) == len(PANELS), "two panels of one dashboard have the same title"


# The views, in both databases


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def full(request, facts, tmp_path_factory):
    database = Postgres(request.getfixturevalue("cluster")) if request.param == "postgres" else \
        Sqlite(tmp_path_factory.mktemp("metrics"))
    with Clerk(**database.setup) as clerk:
        load_facts(clerk, facts)
    return database


def rows(database, sql, *names):
    """As numbers where they are."""
    def read(cell):
        if re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell):
            return float(cell)
        return None if cell == "" else cell
    return [dict(zip(names, map(read, row))) for row in database.query(sql)]


def test_view_of_the_days_of_runs(full, facts):
    reference = Reference(facts, SINCE, UNTIL, {}, "1d")
    expected = [{"day": str(day), "workflow": workflow, "runs": len(runs),
                 "success": sum(status(run) == "success" for run in runs),
                 "failure": sum(status(run) == "failure" for run in runs),
                 "timed_out": sum(status(run) == "timed_out" for run in runs),
                 "cancelled": sum(status(run) == "cancelled" for run in runs),
                 "retried": sum(run.attempt > 1 for run in runs),
                 "success_rate": share(runs), **quantiles(duration(run) for run in runs if passed(run) == 1)}
                for (day, _, _, workflow), runs in
                groups(reference.last_attempts, lambda run: (run.completed_at.date(), run.source, run.scope, run.name)).items()]
    assert_same(rows(full, "SELECT day, workflow, runs, success, failure, timed_out, cancelled, retried, success_rate, p50_s,"
                     " p95_s, p99_s FROM metrics_run_daily", *expected[0]), expected)
    assert rows(full, "SELECT sum(other), max(other) FROM metrics_run_daily", "sum", "max") == [{"sum": 0, "max": 0}]


def share(runs):
    outcomes = [passed(run) for run in runs if passed(run) is not None]
    return sum(outcomes) / len(outcomes) if outcomes else None


def test_view_of_red_periods(full, facts):
    expected = [{"workflow": period["workflow"], "branch": period["branch"], "failures": period["failures"],
                 "red_s": (period["green_at"] - period["red_at"]).total_seconds() if period["green_at"] else None}
                for period in red_periods(facts.runs)]
    assert any(one["red_s"] is None for one in expected) and len(expected) > 50
    assert_same(rows(full, "SELECT workflow, branch, failures, red_s FROM metrics_red_period", *expected[0]), expected)


def test_view_of_queue_waits(full, facts):
    waited = [job for job in facts.jobs if wait(job) is not None]
    assert len(waited) < len(facts.jobs), "some waits are not known"
    expected = [{"day": str(day), "queue": queue, "jobs": len(jobs), **quantiles(map(wait, jobs))}
                for (day, _, _, queue), jobs in
                groups(waited, lambda job: (job.started_at.date(), job.source, job.scope, queue_of(job))).items()]
    assert {one["queue"] for one in expected} == {"large", "linux,self-hosted", None}
    assert_same(rows(full, "SELECT day, queue, jobs, p50_s, p95_s, p99_s FROM metrics_queue_wait_daily", *expected[0]),
                expected)


def test_view_of_jobs_and_of_flaky_ones(full, facts):
    reference = Reference(facts, SINCE, UNTIL, {}, "1d")
    for view, kind, key, revision in (
            ("metrics_flaky_job", facts.jobs, lambda job: (job.source, job.scope, job.workflow, job.name), reference.revision),
            ("metrics_flaky_test", facts.tests, lambda test: (test.source, test.scope, test.suite, test.name),
             lambda test: reference.revision(reference.job_of(test)))):
        names = ("source", "scope", "workflow", "job") if view == "metrics_flaky_job" else ("source", "scope", "suite", "test")
        expected = []
        for group, some in groups([fact for fact in kind if passed(fact) is not None], key).items():
            by_revision = groups(some, revision).values()
            both = sum({passed(fact) for fact in facts} == {0, 1} for facts in by_revision)
            expected.append({**dict(zip(names, group)), "revisions": len(by_revision), "flaky_revisions": both,
                             "flaky_rate": both / len(by_revision), "flaky_rate_low": wilson(both, len(by_revision))})
        assert sum(one["flaky_revisions"] for one in expected) > 20
        assert_same(rows(full, f"SELECT {', '.join(expected[0])} FROM {view}", *expected[0]), expected)
    summary = rows(full, "SELECT sum(jobs), sum(passed), sum(failed) FROM metrics_job_summary", "jobs", "passed", "failed")
    outcomes = [passed(job) for job in facts.jobs]
    assert summary == [{"jobs": len(outcomes), "passed": outcomes.count(1), "failed": outcomes.count(0)}]


def view_names():
    return re.findall(r"^CREATE VIEW (\w+)", (TOP / "src/clerk/views.sql").read_text(), re.MULTILINE)


def test_an_empty_database_has_no_data_and_no_zeros(database, clerk):
    assert clerk.ask(Type.CLERK_MIGRATE).result == OK
    assert len(view_names()) == 19
    for view in view_names():
        assert database.query(f"SELECT * FROM {view}") == []


# Who may read


def test_the_reader_sees_the_views_and_nothing_else(loaded):
    def refused(sql):
        loaded.cluster.query(loaded.name, sql, user="purser_reader", check=False)
        return loaded.cluster.error

    tables = [row[0] for row in loaded.query("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                                             "'purser'::regnamespace")]
    assert "dead_letter" in tables and "ci_job" in tables
    for table in tables:
        assert f"permission denied for table {table}" in refused(f"SELECT * FROM {table}")
        assert f"permission denied for table {table}" in refused(f"SELECT count(*) FROM purser.{table}")
    for view in view_names():
        assert refused(f"SELECT * FROM {view} LIMIT 1") == ""
    for sql in ("DELETE FROM metrics_value", "UPDATE metrics_value SET value = 0",
                "INSERT INTO metrics_queue (queue) VALUES ('x')"):
        assert "permission denied for view" in refused(f"SET default_transaction_read_only = off; {sql}"), sql
    assert "permission denied for schema" in refused("SET default_transaction_read_only = off; CREATE TABLE mine (x int)")
    assert "read-only transaction" in refused("CREATE TABLE mine (x int)")
    assert answer(loaded, "SELECT current_setting('statement_timeout') AS t") == [{"t": "30s"}]
    loaded.query("ALTER ROLE purser_reader SET statement_timeout = '100ms'")
    assert "statement timeout" in refused("SELECT pg_sleep(5)")
    loaded.query("ALTER ROLE purser_reader SET statement_timeout = '30s'")


def test_a_reader_role_is_given_the_views_and_one_that_is_not_there_is_named(cluster, postgres):
    with Clerk(**postgres.setup, reader="grafana") as clerk:
        for ask in (Type.CLERK_CHECK, Type.CLERK_MIGRATE):
            done = clerk.ask(ask)
            assert done.result != OK and "there is no role grafana" in done.sentence, done
    postgres.query("CREATE ROLE grafana LOGIN; CREATE ROLE owner_of_views; CREATE ROLE carrier LOGIN NOINHERIT;"
                   "GRANT owner_of_views TO carrier; CREATE SCHEMA ci AUTHORIZATION owner_of_views;"
                   "GRANT USAGE ON SCHEMA ci TO carrier; ALTER ROLE carrier SET search_path = ci")
    with Clerk(dsn=cluster.dsn(postgres.name, "carrier"), owner="owner_of_views", reader="grafana") as clerk:
        for _ in range(2):
            done = clerk.ask(Type.CLERK_MIGRATE)
            assert done.result == OK, done
    assert cluster.query(postgres.name, "SELECT count(*) FROM ci.metrics_job", user="grafana") == [("0",)]
    cluster.query(postgres.name, "SELECT count(*) FROM ci.dead_letter", user="grafana", check=False)
    assert "permission denied" in cluster.error
    postgres.query("REVOKE SELECT ON ci.metrics_job FROM grafana")
    with Clerk(dsn=cluster.dsn(postgres.name, "carrier"), owner="owner_of_views", reader="grafana", migrate=False) as clerk:
        done = clerk.ask(Type.CLERK_MIGRATE)
        assert done.result != OK and "may not read 1 of the views" in done.sentence, done
    postgres.query("DROP OWNED BY carrier, owner_of_views, grafana CASCADE; DROP ROLE carrier, owner_of_views, grafana")
