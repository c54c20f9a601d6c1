"""Runs: how many, how well, how long, and how long a branch stays red."""
from panels import (GREEN, RED, RESULT_COLOURS, YELLOW, coloured, dashboard as made, interval, linked, of_ci, only, panel,
                    quantiles, thresholds, unit)

ALL = ("source", "scope", "workflow", "branch")
RATE = thresholds(RED, (0.8, YELLOW), (0.95, GREEN))
ENDED = f"""FROM metrics_run
WHERE $__timeFilter(completed_at) AND status NOT IN ('running', 'queued'){only(*ALL)}"""
PASSED = ENDED.replace("status NOT IN ('running', 'queued')", "passed = 1")
DEPLOYED = only("source", "scope", "branch")


def stats():
    return [
        panel("stat", "Success rate", "Runs that succeeded, of those that succeeded, failed or timed out. A run counts once, "
              "by its last attempt.", "success-rate", f"SELECT avg(passed)::float8 AS rate\n{ENDED}",
              width=5, height=5, measure="percentunit", levels=RATE, least=0, most=1, decimals=1),
        panel("stat", "First attempt", "The same by the first attempt of each run: what people waited for before anybody "
              "pressed Re-run. What lies between the two is the part that only a retry turned green.", "success-rate",
              f"""SELECT avg(passed)::float8 AS rate
FROM metrics_run_attempt
WHERE attempt = 1 AND $__timeFilter(completed_at){only(*ALL)}""",
              width=5, height=5, measure="percentunit", levels=RATE, least=0, most=1, decimals=1),
        panel("stat", "Runs", "Runs that ended in this time, whatever their result.", "runs",
              f"SELECT nullif(count(*), 0) AS runs\n{ENDED}", width=4, height=5, decimals=0),
        panel("stat", "Median duration", "Of the runs that succeeded, from start to end of the last attempt.", "duration",
              f"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS p50\n{PASSED}",
              width=5, height=5, measure="s"),
        panel("stat", "Red branches", "Branches of a workflow whose last outcome is a failure that began in this time, as of "
              "now.", "time-to-green", f"""SELECT CASE WHEN EXISTS (SELECT 1 FROM metrics_run_attempt
    WHERE $__timeFilter(completed_at) AND passed IS NOT NULL AND branch IS NOT NULL{only(*ALL)})
  THEN (SELECT count(*) FROM metrics_red_period
    WHERE green_at IS NULL AND $__timeFilter(red_at){only(*ALL)}) END AS red""",
              width=5, height=5, levels=thresholds(GREEN, (1, RED)), decimals=0),
    ]


def series():
    return [
        panel("bars", "Runs by result", "Runs that ended, by their result; at the length 1d a bar is a day in UTC.", "runs",
              f"SELECT $__timeGroupAlias(completed_at, $interval), status AS metric, count(*) AS runs\n{ENDED}\n"
              "GROUP BY 1, 2\nORDER BY 1, 2", stacked=True, decimals=0, overrides=coloured(RESULT_COLOURS)),
        panel("timeseries", "Success rate over time", "By the last attempt of each run. An interval in which nothing succeeded, failed "
              "or timed out has no point.", "success-rate",
              f"SELECT $__timeGroupAlias(completed_at, $interval), avg(passed)::float8 AS rate\n"
              f"{ENDED.replace('status NOT IN', 'passed IS NOT NULL AND status NOT IN')}\nGROUP BY 1\nORDER BY 1",
              measure="percentunit", least=0, most=1),
    ]


def durations():
    return [
        panel("timeseries", "Duration", "Of the runs that succeeded: half were as fast as p50, 95 of 100 as p95.", "duration",
              f"SELECT $__timeGroupAlias(completed_at, $interval),\n  {quantiles('duration_s')}\n{PASSED}\n"
              "GROUP BY 1\nORDER BY 1", measure="s", least=0),
        panel("timeseries", "Time to green", "How long branches had been red that turned green in the interval: from the end "
              "of the first attempt that failed to that of the next that succeeded. Runs without a branch are left out.",
              "time-to-green", f"""SELECT $__timeGroupAlias(green_at, $interval),
  percentile_cont(0.5) WITHIN GROUP (ORDER BY red_s) AS p50, max(red_s) AS longest
FROM metrics_red_period
WHERE $__timeFilter(green_at){only(*ALL)}
GROUP BY 1
ORDER BY 1""", measure="s", least=0),
    ]


def tables():
    return [
        panel("table", "Workflows", "Each workflow's runs in this time; retried are those with more than one attempt.",
              "duration", f"""SELECT workflow, count(*) AS runs, avg(passed)::float8 AS "success rate",
  count(*) FILTER (WHERE attempt > 1) AS retried,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) FILTER (WHERE passed = 1) AS p50,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_s) FILTER (WHERE passed = 1) AS p95,
  percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_s) FILTER (WHERE passed = 1) AS p99
{ENDED}
GROUP BY workflow
ORDER BY runs DESC, workflow""", height=10,
              overrides=[unit("success rate", "percentunit", decimals=1), *(unit(name, "s") for name in ("p50", "p95", "p99"))]),
        panel("table", "Red periods", "Periods that overlap this time, those that last still first. Without an end, the "
              "branch is red now and the length counts until now.", "time-to-green",
              f"""SELECT workflow, branch, red_at AS "red since", green_at AS "green at", failures,
  coalesce(red_s, extract(epoch FROM now() - red_at)::float8) AS length
FROM metrics_red_period
WHERE red_at <= $__timeTo() AND coalesce(green_at, $__timeTo()) >= $__timeFrom(){only(*ALL)}
ORDER BY green_at DESC NULLS FIRST, red_at DESC
LIMIT 100""", height=10, overrides=[unit("length", "s")]),
    ]


def last():
    return [
        panel("table", "Last failed runs", "The newest first, by their last attempt.", "runs",
              f"SELECT completed_at AS ended, workflow, branch, status AS result, attempt, duration_s AS duration, url AS run\n"
              f"{ENDED.replace('status NOT IN', 'passed = 0 AND status NOT IN')}\nORDER BY completed_at DESC, run_id\nLIMIT 50",
              overrides=[unit("duration", "s"), linked("run")]),
        panel("bars", "Deployments by environment and result", "Deployments at the time that the provider gives them.",
              "deployments", f"""SELECT $__timeGroupAlias(at, $interval), coalesce(environment, '(none)') || ' ' || status AS metric,
  count(*) AS deployments
FROM metrics_deployment
WHERE $__timeFilter(at){DEPLOYED}
GROUP BY 1, 2
ORDER BY 1, 2""", stacked=True, decimals=0),
    ]


def dashboard(uid):
    return made(uid, "CI overview", "Runs of all CI systems: results, durations, and how long branches stay red.",
                [*of_ci(), interval()], [stats(), series(), durations(), tables(), last()])
