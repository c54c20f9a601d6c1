"""Queues and agents: how long jobs wait, and for whom."""
from panels import dashboard as made, interval, of_ci, of_column, only, panel, quantiles, unit

JOBS = ("source", "scope", "workflow")
WAITED = f"""FROM metrics_job
WHERE $__timeFilter(started_at) AND wait_s IS NOT NULL{only(*JOBS)}"""
SAMPLED = f"""FROM metrics_queue
WHERE $__timeFilter(at){only('source', 'scope', 'queue')}"""
QUEUE = "coalesce(queue, '(none)')"


def waits():
    return [
        panel("timeseries", "Queue wait", "From the time that a job could run to its start, of all jobs that started.",
              "queue-wait", f"SELECT $__timeGroupAlias(started_at, $interval),\n  {quantiles('wait_s')}\n{WAITED}\n"
              "GROUP BY 1\nORDER BY 1", measure="s", least=0),
        panel("timeseries", "Queue wait by queue, p95", "A job's queue is its label queue=NAME, else its labels together; "
              "(none) has no labels.", "queue-wait",
              f"SELECT $__timeGroupAlias(started_at, $interval), {QUEUE} AS metric,\n"
              f"  percentile_cont(0.95) WITHIN GROUP (ORDER BY wait_s) AS p95\n{WAITED}\nGROUP BY 1, 2\nORDER BY 1, 2",
              measure="s", least=0),
    ]


def tables():
    return [
        panel("table", "Queues", "Jobs that started, and how long they had waited.", "queue-wait",
              f"SELECT {QUEUE} AS queue, count(*) AS jobs,\n  {quantiles('wait_s')},\n  max(wait_s) AS longest\n{WAITED}\n"
              "GROUP BY 1\nORDER BY p95 DESC, 1", height=9,
              overrides=[unit(name, "s") for name in ("p50", "p95", "p99", "longest")]),
        panel("table", "Who ran the jobs", "Busy is the durations of an agent's jobs together.", "agents",
              f"""SELECT runner AS agent, count(*) AS jobs, sum(duration_s) AS busy, 1 - avg(passed)::float8 AS "failed share",
  max(completed_at) AS "last seen"
FROM metrics_job
WHERE $__timeFilter(completed_at) AND runner IS NOT NULL{only(*JOBS)}
GROUP BY runner
ORDER BY busy DESC NULLS LAST, runner
LIMIT 100""", height=9, overrides=[unit("busy", "s"), unit("failed share", "percentunit", decimals=1)]),
    ]


def samples():
    return [
        panel("timeseries", "Waiting jobs", "As the provider counted them, by queue: the highest count in the interval.",
              "queue-samples", f"SELECT $__timeGroupAlias(at, $interval), queue AS metric, max(waiting) AS waiting\n"
              f"{SAMPLED} AND waiting IS NOT NULL\nGROUP BY 1, 2\nORDER BY 1, 2", width=8, least=0),
        panel("timeseries", "Running jobs", "As the provider counted them: the mean of the counts in the interval.",
              "queue-samples", f"SELECT $__timeGroupAlias(at, $interval), queue AS metric, avg(running)::float8 AS running\n"
              f"{SAMPLED} AND running IS NOT NULL\nGROUP BY 1, 2\nORDER BY 1, 2", width=8, least=0),
        panel("timeseries", "Agents", "As the provider counted them: the lowest count in the interval.", "queue-samples",
              f"SELECT $__timeGroupAlias(at, $interval), queue AS metric, min(agents) AS agents\n"
              f"{SAMPLED} AND agents IS NOT NULL\nGROUP BY 1, 2\nORDER BY 1, 2", width=8, least=0),
    ]


def dashboard(uid):
    queue = of_column("queue", "Sampled queue", "metrics_queue", "at", "source", "scope",
                      description="Of the counts that the provider gave; the waits of jobs are of all queues.")
    return made(uid, "CI queues and agents", "How long jobs wait, in which queue, and who runs them.",
                [*of_ci("metrics_job", branch=False), queue, interval("1h")], [waits(), tables(), samples()], time="now-7d")
