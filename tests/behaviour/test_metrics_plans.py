"""With a million jobs: the dashboards' queries read by index what lies in their time, not all that was ever collected."""
import re
from datetime import datetime, timedelta

import pytest
from clerk_driver import Clerk
from databases import Postgres
from grafana import dashboards, statement
from ipc import Type

MANY = 1_000_000
FILL = f"""SET search_path = purser;
INSERT INTO ci_run (source, scope, external_id, attempt, name, branch, commit_sha, status, started_at, completed_at, retriever,
  purser_run, observed_at)
SELECT 'github', 'org/' || n % 20, n, 1, 'workflow ' || n % 7, 'branch ' || n % 500, 'c' || n / 2,
  CASE WHEN n % 11 = 0 THEN 'failure' ELSE 'success' END, t, t + interval '10 min', 'r', 'p', now()
FROM (SELECT n, timestamptz '2024-01-01' + n * interval '8 min' AS t FROM generate_series(1, {MANY // 8}) AS n) AS q;
INSERT INTO ci_job (source, scope, external_id, attempt, run_id, run_attempt, name, workflow, status, queued_at, started_at,
  completed_at, runner, labels, retriever, purser_run, observed_at)
SELECT 'github', 'org/' || n / 8 % 20, n, 1, n / 8, 1, 'job ' || n % 40, 'workflow ' || n / 8 % 7,
  CASE WHEN n % 17 = 0 THEN 'failure' ELSE 'success' END, t, t + interval '30 s', t + interval '5 min', 'agent ' || n % 50,
  '["queue=a"]', 'r', 'p', now()
FROM (SELECT n, timestamptz '2024-01-01' + n * interval '1 min' AS t FROM generate_series(1, {MANY}) AS n) AS q;
INSERT INTO ci_test_result (source, scope, external_id, job_id, suite, name, status, at, retriever, purser_run, observed_at)
SELECT 'github', 'org/' || n / 8 % 20, 't' || n, n, 'unit', 'test ' || n % 90,
  CASE WHEN n % 19 = 0 THEN 'failure' ELSE 'success' END, timestamptz '2024-01-01' + n * interval '1 min', 'r', 'p', now()
FROM generate_series({MANY - 200_000}, {MANY}) AS n;
INSERT INTO metric_sample (retriever, name, at, labels_hash, value, labels, purser_run, observed_at)
SELECT 'r', 'metric ' || n % 50, timestamptz '2024-01-01' + n * interval '5 min', '', n, '{{}}', 'p', now()
FROM generate_series(1, 200000) AS n;
SET statement_timeout = 0;
"""


@pytest.mark.long
def test_with_a_million_jobs_no_panel_reads_them_all(cluster):
    """Of the tables that grow with each run, each panel reads by an index what lies in its time."""
    database = Postgres(cluster)
    with Clerk(path="/nonexistent/x.db") as clerk:
        database.query(clerk.ask(Type.CLERK_SCHEMA).text)
    database.query(FILL)
    database.query("VACUUM ANALYZE")
    until = datetime.fromisoformat("2025-10-01T00:00:00+00:00")
    narrow = {"branch": ["branch 7"], "workflow": ["workflow 3"], "scope": ["org/3"]}
    seen = set()
    for board in dashboards():
        asked = [panel["targets"][0]["rawSql"] for panel in board["panels"]]
        asked += [one["query"] for one in board["templating"]["list"] if one["type"] == "query"]
        for sql in asked:
            for chosen in ({}, narrow):
                plan = "\n".join(row[0] for row in cluster.query(
                    database.name, "EXPLAIN (COSTS OFF) " + statement(sql, board, chosen, until - timedelta(days=14), until),
                    user="purser_reader"))
                assert not re.search(r"Seq Scan on (ci_job|ci_test_result|metric_sample)\b", plan), plan
                seen |= set(re.findall(r"(?:on|using) (\w+_(?:times|at|completed|pkey))\b", plan))
    assert {"ci_job_times", "ci_test_result_at", "metric_sample_at", "ci_run_completed", "ci_run_pkey"} <= seen
    database.query("DROP OWNED BY purser_owner, purser_loader, purser_reader CASCADE;"
                   "DROP ROLE purser_owner, purser_loader, purser_reader")
    cluster.query("postgres", f"DROP DATABASE {database.name}")
