"""Jobs and tests: the slow, the failing and the flaky."""
from panels import (GREEN, RED, RESULT_COLOURS, YELLOW, coloured, dashboard as made, interval, linked, of_ci, only, panel,
                    quantiles, thresholds, unit, wilson)

ALL = ("source", "scope", "workflow", "branch")
ENDED = f"""FROM metrics_job
WHERE $__timeFilter(completed_at){only(*ALL)}"""
PASSED = ENDED.replace("WHERE", "WHERE passed = 1 AND")
TESTED = f"""FROM metrics_test
WHERE $__timeFilter(at){only(*ALL)}"""
FLAKY = [unit("share", "percentunit", decimals=1), unit("at least", "percentunit", decimals=1)]


def flaky(what, group, time, facts):
    """Revisions at which it both failed and passed, of those at which it had an outcome."""
    return f"""WITH seen AS (
  SELECT {group}, max(passed) - min(passed) AS flaky, max({time}) AS last
  {facts} AND passed IS NOT NULL AND revision IS NOT NULL
  GROUP BY source, scope, {group}, revision)
SELECT {what}, count(*) AS revisions, sum(flaky) AS flaky, sum(flaky)::float8 / count(*) AS share,
  {wilson('sum(flaky)', 'count(*)')} AS "at least"
FROM seen
GROUP BY {group}
HAVING sum(flaky) > 0
ORDER BY "at least" DESC, {group}
LIMIT 50"""


def failing(what, group, facts):
    return f"""SELECT {what}, count(*) FILTER (WHERE passed = 0) AS failed, count(passed) AS outcomes,
  1 - avg(passed)::float8 AS share, {wilson('count(*) FILTER (WHERE passed = 0)', 'count(passed)')} AS "at least"
{facts}
GROUP BY {group}
HAVING count(*) FILTER (WHERE passed = 0) > 0
ORDER BY "at least" DESC, {group}
LIMIT 50"""


def slowest(what, group, facts):
    return f"""SELECT {what}, count(*) AS passed,
  {quantiles('duration_s')},
  sum(duration_s) AS total
{facts} AND duration_s IS NOT NULL
GROUP BY {group}
HAVING count(*) >= 5
ORDER BY p50 DESC, {group}
LIMIT 50"""


SECONDS = [unit(name, "s") for name in ("p50", "p95", "p99", "total")]


def stats():
    return [
        panel("stat", "Jobs", "Jobs that ended in this time; every attempt counts.", "jobs",
              f"SELECT nullif(count(*), 0) AS jobs\n{ENDED}", width=6, height=4, decimals=0),
        panel("stat", "Job success rate", "Jobs that succeeded, of those that succeeded, failed or timed out; every attempt "
              "counts.", "success-rate", f"SELECT avg(passed)::float8 AS rate\n{ENDED}", width=6, height=4,
              measure="percentunit", levels=thresholds(RED, (0.8, YELLOW), (0.95, GREEN)), least=0, most=1, decimals=1),
        panel("stat", "Time of machines", "The durations of all jobs together, whatever their result.", "duration",
              f"SELECT sum(duration_s) AS total\n{ENDED}", width=6, height=4, measure="s"),
        panel("stat", "Tests", "Test results in this time.", "tests", f"SELECT nullif(count(*), 0) AS tests\n{TESTED}",
              width=6, height=4, decimals=0),
    ]


def series():
    return [
        panel("bars", "Jobs by result", "Jobs that ended, by their result; every attempt counts.", "jobs",
              f"SELECT $__timeGroupAlias(completed_at, $interval), status AS metric, count(*) AS jobs\n{ENDED}\n"
              "GROUP BY 1, 2\nORDER BY 1, 2", stacked=True, decimals=0, overrides=coloured(RESULT_COLOURS)),
        panel("timeseries", "Job duration", "Of the jobs that succeeded.", "duration",
              f"SELECT $__timeGroupAlias(completed_at, $interval),\n  {quantiles('duration_s')}\n{PASSED}\n"
              "GROUP BY 1\nORDER BY 1", measure="s", least=0),
    ]


def job_tables():
    return [
        panel("table", "Slowest jobs", "By the median of those that succeeded; at least five of them.", "duration",
              slowest("workflow, job", "workflow, job", PASSED), height=10, overrides=SECONDS),
        panel("table", "Most failing jobs", "Sorted by what the share is at least, so that 1 failure of 1 does not stand "
              "before 80 of 100.", "most-failing", failing("workflow, job", "workflow, job", ENDED), height=10,
              overrides=FLAKY),
    ]


def flaky_tables():
    return [
        panel("table", "Flaky jobs", "They both failed and succeeded at one commit (or, where it is not known, in the attempts "
              "of one run). Sorted by what the share of such commits is at least.", "flaky",
              flaky("workflow, job", "workflow, job", "completed_at", ENDED), height=10, overrides=FLAKY),
        panel("table", "Flaky tests", "They both failed and passed at one commit. Sorted by what the share of such commits is "
              "at least.", "flaky", flaky("suite, test", "suite, test", "at", TESTED), height=10, overrides=FLAKY),
    ]


def test_tables():
    return [
        panel("table", "Most failing tests", "Sorted by what the share is at least.", "most-failing",
              failing("suite, test", "suite, test", TESTED), height=10, overrides=FLAKY),
        panel("table", "Slowest tests", "By the median of those that passed; at least five of them.", "tests",
              slowest("suite, test", "suite, test", TESTED.replace("WHERE", "WHERE passed = 1 AND")), height=10,
              overrides=SECONDS),
    ]


def last():
    return [
        panel("table", "Last failed jobs", "The newest first.", "jobs",
              "SELECT completed_at AS ended, workflow, job, branch, status AS result, runner, duration_s AS duration, url AS "
              f"open\n{ENDED} AND passed = 0\nORDER BY completed_at DESC, job_id\nLIMIT 50", width=24,
              overrides=[unit("duration", "s"), linked("open")]),
    ]


def dashboard(uid):
    return made(uid, "CI jobs and tests", "Which jobs and tests are slow, which fail, and which are flaky.",
                [*of_ci("metrics_job"), interval()],
                [stats(), series(), job_tables(), flaky_tables(), test_tables(), last()])
