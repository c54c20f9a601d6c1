-- The views that people and Grafana read: what each number means is docs/metrics.md, and it is computed here.
-- A reader gets these and no table: never dead_letter (what a script has written by mistake), and no free text
-- (extra, a test's message). Words with a dollar: sql.h.

-- Runs: every attempt, and (metrics_run) the last attempt of each.
CREATE VIEW metrics_run_attempt AS
SELECT source, scope, external_id AS run_id, attempt, name AS workflow, branch, commit_sha, event,
    status, $passed(status) AS passed, created_at, started_at, completed_at,
    $span(started_at; completed_at) AS duration_s, url, retriever
FROM ci_run;

CREATE VIEW metrics_run AS
SELECT * FROM metrics_run_attempt AS a
WHERE NOT EXISTS (SELECT 1 FROM ci_run AS later WHERE later.source = a.source AND later.scope = a.scope
    AND later.external_id = a.run_id AND later.attempt > a.attempt);

CREATE VIEW metrics_run_daily AS
WITH finished AS (
    SELECT *, $day(completed_at) AS day, CASE WHEN passed = 1 THEN duration_s END AS success_s
    FROM metrics_run WHERE completed_at IS NOT NULL AND status NOT IN ('running', 'queued'))
SELECT day, source, scope, workflow, count(*) AS runs,
    count(*) FILTER (WHERE status = 'success') AS success,
    count(*) FILTER (WHERE status = 'failure') AS failure,
    count(*) FILTER (WHERE status = 'timed_out') AS timed_out,
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE status NOT IN ('success', 'failure', 'timed_out', 'cancelled')) AS other,
    count(*) FILTER (WHERE attempt > 1) AS retried,
    CAST(avg(passed) AS $real) AS success_rate,
    $quantile(0.5; success_s) AS p50_s,
    $quantile(0.95; success_s) AS p95_s,
    $quantile(0.99; success_s) AS p99_s
FROM $ranked(finished; day, source, scope, workflow; success_s) AS finished
GROUP BY day, source, scope, workflow;

-- How long a branch stays red: from the first attempt that fails after one that passed, to the next that passes.
CREATE VIEW metrics_red_period AS
WITH outcome AS (
    SELECT *, lag(passed) OVER (PARTITION BY source, scope, workflow, branch
        ORDER BY completed_at, run_id, attempt) AS passed_before
    FROM metrics_run_attempt
    WHERE passed IS NOT NULL AND completed_at IS NOT NULL AND branch IS NOT NULL),
numbered AS (
    SELECT *, sum(CASE WHEN passed = 0 AND coalesce(passed_before, 1) = 1 THEN 1 ELSE 0 END)
        OVER (PARTITION BY source, scope, workflow, branch ORDER BY completed_at, run_id, attempt) AS period
    FROM outcome),
periods AS (
    SELECT source, scope, workflow, branch, period,
        min(CASE WHEN passed = 0 THEN completed_at END) AS red_at,
        min(CASE WHEN passed = 1 THEN completed_at END) AS green_at,
        count(*) FILTER (WHERE passed = 0) AS failures
    FROM numbered WHERE period > 0 GROUP BY source, scope, workflow, branch, period)
SELECT source, scope, workflow, branch, red_at, green_at, failures, $span(red_at; green_at) AS red_s
FROM periods;

-- Jobs, every attempt. PostgreSQL leaves out the join where nobody asks for a column of the run.
CREATE VIEW metrics_job AS
SELECT j.source, j.scope, j.external_id AS job_id, j.attempt, j.run_id, j.workflow, j.name AS job,
    r.branch, r.commit_sha, coalesce(r.commit_sha, 'run ' || j.run_id) AS revision,
    j.status, $passed(j.status) AS passed, j.queued_at, j.started_at, j.completed_at,
    CASE WHEN j.status <> 'skipped' THEN $span(j.queued_at; j.started_at) END AS wait_s,
    $span(j.started_at; j.completed_at) AS duration_s,
    $either((SELECT coalesce(min(substr(label, 7)) FILTER (WHERE label LIKE 'queue=%'),
            string_agg(label, ',' ORDER BY label COLLATE "C"))
        FROM jsonb_array_elements_text(CASE WHEN jsonb_typeof(j.labels) = 'array' THEN j.labels END) AS label);
        (SELECT coalesce(min(CASE WHEN value LIKE 'queue=%' THEN substr(value, 7) END), group_concat(value, ','))
        FROM (SELECT value
            FROM json_each(CASE WHEN json_type(j.labels) = 'array' THEN j.labels ELSE '[]' END)
            ORDER BY value))) AS queue,
    j.runner, j.url, j.retriever
FROM ci_job AS j LEFT JOIN ci_run AS r ON r.source = j.source AND r.scope = j.scope
    AND r.external_id = j.run_id AND r.attempt = coalesce(j.run_attempt, 1);

CREATE VIEW metrics_job_summary AS
WITH finished AS (
    SELECT *, CASE WHEN passed = 1 THEN duration_s END AS success_s
    FROM metrics_job WHERE completed_at IS NOT NULL)
SELECT source, scope, workflow, job, count(*) AS jobs,
    count(*) FILTER (WHERE passed = 1) AS passed,
    count(*) FILTER (WHERE passed = 0) AS failed,
    1.0 - CAST(avg(passed) AS $real) AS failure_rate,
    $wilson(count(*) FILTER (WHERE passed = 0); count(passed)) AS failure_rate_low,
    $quantile(0.5; success_s) AS p50_s,
    $quantile(0.95; success_s) AS p95_s,
    $quantile(0.99; success_s) AS p99_s,
    sum(duration_s) AS total_s,
    max(completed_at) AS last_at
FROM $ranked(finished; source, scope, workflow, job; success_s) AS finished
GROUP BY source, scope, workflow, job;

CREATE VIEW metrics_queue_wait_daily AS
WITH waited AS (
    SELECT *, $day(started_at) AS day FROM metrics_job WHERE wait_s IS NOT NULL)
SELECT day, source, scope, queue, count(*) AS jobs,
    $quantile(0.5; wait_s) AS p50_s,
    $quantile(0.95; wait_s) AS p95_s,
    $quantile(0.99; wait_s) AS p99_s,
    max(wait_s) AS max_s
FROM $ranked(waited; day, source, scope, queue; wait_s) AS waited
GROUP BY day, source, scope, queue;

-- Flaky: it both failed and passed at one revision.
CREATE VIEW metrics_flaky_job AS
WITH seen AS (
    SELECT source, scope, workflow, job, revision, max(passed) - min(passed) AS flaky,
        max(completed_at) AS last_at
    FROM metrics_job WHERE passed IS NOT NULL AND revision IS NOT NULL
    GROUP BY source, scope, workflow, job, revision)
SELECT source, scope, workflow, job, count(*) AS revisions, sum(flaky) AS flaky_revisions,
    CAST(sum(flaky) AS $real) / count(*) AS flaky_rate,
    $wilson(sum(flaky); count(*)) AS flaky_rate_low,
    max(last_at) AS last_at
FROM seen GROUP BY source, scope, workflow, job;

-- A test's job by its last attempt. PostgreSQL is kept from reading all jobs to find those of a few days' tests.
CREATE VIEW metrics_test AS
SELECT t.source, t.scope, t.external_id AS test_id, t.job_id, t.suite, t.name AS test,
    j.workflow, j.name AS job, r.branch, r.commit_sha, coalesce(r.commit_sha, 'run ' || j.run_id) AS revision,
    t.status, $passed(t.status) AS passed, t.duration_s, t.at, t.retriever
FROM ci_test_result AS t
$either(LEFT JOIN LATERAL (SELECT a.workflow, a.name, a.run_id, a.run_attempt FROM ci_job AS a
        WHERE a.source = t.source AND a.scope = t.scope AND a.external_id = t.job_id
        ORDER BY a.attempt DESC LIMIT 1) AS j ON true;
    LEFT JOIN ci_job AS j ON j.source = t.source AND j.scope = t.scope AND j.external_id = t.job_id
        AND j.attempt = (SELECT max(a.attempt) FROM ci_job AS a
            WHERE a.source = t.source AND a.scope = t.scope AND a.external_id = t.job_id))
LEFT JOIN ci_run AS r ON r.source = t.source AND r.scope = t.scope
    AND r.external_id = j.run_id AND r.attempt = coalesce(j.run_attempt, 1);

CREATE VIEW metrics_flaky_test AS
WITH seen AS (
    SELECT source, scope, suite, test, revision, max(passed) - min(passed) AS flaky, max(at) AS last_at
    FROM metrics_test WHERE passed IS NOT NULL AND revision IS NOT NULL
    GROUP BY source, scope, suite, test, revision)
SELECT source, scope, suite, test, count(*) AS revisions, sum(flaky) AS flaky_revisions,
    CAST(sum(flaky) AS $real) / count(*) AS flaky_rate,
    $wilson(sum(flaky); count(*)) AS flaky_rate_low,
    max(last_at) AS last_at
FROM seen GROUP BY source, scope, suite, test;

CREATE VIEW metrics_deployment AS
SELECT source, scope, external_id AS deployment_id, environment, status, $passed(status) AS passed,
    at, branch, commit_sha, url, retriever
FROM ci_deployment;

CREATE VIEW metrics_queue AS
SELECT source, scope, name AS queue, at, waiting, running, agents, retriever FROM ci_queue_sample;

-- Single numbers: .dat files and lines of the type metric.
CREATE VIEW metrics_value AS
SELECT retriever, name AS metric, at, labels, value FROM metric_sample;

-- The collection itself.
CREATE VIEW metrics_load AS
SELECT purser_run, retriever, file, batch, observed_at, new_or_changed, unchanged, dead AS rejected
FROM ingest_ledger;

CREATE VIEW metrics_collection_source AS
SELECT c.purser_run, c.retriever, c.ended_at, $member(s.value; name) AS source,
    $number(s.value; requests) AS requests, $number(s.value; refused) AS refused,
    $number(s.value; failed) AS failed, $number(s.value; retried) AS retried,
    $number(s.value; receivedBytes) AS received_bytes, $number(s.value; redacted) AS redacted,
    CAST($member(s.value; tokenSet) AS $time) AS token_set_at
FROM collection_run AS c, $either(jsonb_array_elements; json_each)(c.sources) AS s;

-- What the provider had left of each of its limits when it last told.
CREATE VIEW metrics_collection_limit AS
SELECT c.purser_run, c.retriever, c.ended_at, $member(s.value; name) AS source, $member(l.value; name) AS limit_name,
    $number(l.value; limit) AS limit_of, $number(l.value; remaining) AS remaining,
    $number(l.value; reserved) AS reserved, CAST($member(l.value; reset) AS $time) AS reset_at
FROM collection_run AS c, $either(jsonb_array_elements; json_each)(c.sources) AS s,
    $either(jsonb_array_elements(s.value -> 'limits'); json_each(s.value, '$.limits')) AS l;

CREATE VIEW metrics_collection_refusal AS
SELECT c.purser_run, c.retriever, c.ended_at, r.key AS code, CAST(r.value AS $int) AS refused
FROM collection_run AS c, $either(jsonb_each_text; json_each)(c.refusals) AS r;

CREATE VIEW metrics_collection AS
SELECT c.purser_run, c.retriever, c.status, CASE c.status WHEN 'ok' THEN 1 ELSE 0 END AS passed, c.exit_status,
    c.started_at, c.ended_at, $span(c.started_at; c.ended_at) AS duration_s, c.since_at, c.until_at,
    (SELECT CAST(sum(s.requests) AS $int) FROM metrics_collection_source AS s
        WHERE s.purser_run = c.purser_run) AS requests,
    CASE WHEN c.refusals IS NOT NULL THEN (SELECT CAST(coalesce(sum(r.refused), 0) AS $int)
        FROM metrics_collection_refusal AS r WHERE r.purser_run = c.purser_run) END AS refused,
    (SELECT count(DISTINCT l.file) FROM ingest_ledger AS l WHERE l.purser_run = c.purser_run) AS files,
    (SELECT CAST(coalesce(sum(l.new_or_changed), 0) AS $int) FROM ingest_ledger AS l
        WHERE l.purser_run = c.purser_run) AS new_or_changed,
    (SELECT CAST(coalesce(sum(l.unchanged), 0) AS $int) FROM ingest_ledger AS l
        WHERE l.purser_run = c.purser_run) AS unchanged,
    (SELECT CAST(coalesce(sum(l.dead), 0) AS $int) FROM ingest_ledger AS l
        WHERE l.purser_run = c.purser_run) AS rejected
FROM collection_run AS c;

CREATE VIEW metrics_stream AS
WITH known AS (SELECT retriever FROM stream_state UNION SELECT retriever FROM collection_run),
newest AS (
    SELECT retriever, status, ended_at,
        row_number() OVER (PARTITION BY retriever ORDER BY ended_at DESC, purser_run DESC) AS nth
    FROM collection_run)
SELECT known.retriever, s.until_at, $span(s.until_at; $now) AS lag_s,
    newest.ended_at AS last_run_at, newest.status AS last_status,
    (SELECT max(c.ended_at) FROM collection_run AS c
        WHERE c.retriever = known.retriever AND c.status = 'ok') AS last_ok_at
FROM known LEFT JOIN stream_state AS s ON s.retriever = known.retriever
LEFT JOIN newest ON newest.retriever = known.retriever AND newest.nth = 1;
