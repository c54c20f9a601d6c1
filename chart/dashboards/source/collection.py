"""The health of the collection itself: is what the other dashboards show complete and fresh?"""
from panels import (GREEN, RED, YELLOW, choice, coloured, dashboard as made, interval, only, override, panel, thresholds,
                    unit)

ENDED = f"""FROM metrics_collection
WHERE $__timeFilter(ended_at){only('retriever')}"""
SOURCES = ENDED.replace("metrics_collection", "metrics_collection_source")
STATUS = {"ok": GREEN, "failed": RED, "timed-out": "dark-red", "not-prepared": "orange", "not-started": "purple"}
DAY = 86400


def streams():
    return [
        panel("table", "Lag of each retriever", "How far behind now its results end. Empty: it has never succeeded. The last "
              "run may have failed while the lag is still small.", "lag",
              f"""SELECT retriever, lag_s AS lag, until_at AS until, last_run_at AS "last run", last_status AS "ended as",
  last_ok_at AS "last success"
FROM metrics_stream
WHERE true{only('retriever')}
ORDER BY lag_s DESC NULLS FIRST, retriever""", width=16, height=8,
              overrides=[override("lag", unit="s", thresholds=thresholds(GREEN, (3600, YELLOW), (DAY, RED)),
                                  custom__cellOptions={"type": "color-text"})]),
        panel("stat", "Runs that succeeded", "Of the retrievers' own runs that ended in this time.", "collection-runs",
              f"SELECT avg(passed)::float8 AS rate\n{ENDED}", width=4, height=8, measure="percentunit",
              levels=thresholds(RED, (0.9, YELLOW), (0.99, GREEN)), least=0, most=1, decimals=1),
        panel("stat", "Rejected rows", "Lines and files that could not be loaded: purser's table dead_letter says which and "
              "why, until retain.deadLetters is over.", "rejected-rows",
              f"""SELECT sum(rejected) AS rejected
FROM metrics_load
WHERE $__timeFilter(observed_at){only('retriever')}""", width=4, height=8,
              levels=thresholds(GREEN, (1, YELLOW), (100, RED)), decimals=0),
    ]


def runs():
    return [
        panel("bars", "Runs by how they ended", "not-prepared: the environment could not be built; not-started: purser or the "
              "machine.", "collection-runs",
              f"SELECT $__timeGroupAlias(ended_at, $interval), status AS metric, count(*) AS runs\n{ENDED}\nGROUP BY 1, 2\n"
              "ORDER BY 1, 2", stacked=True, decimals=0, overrides=coloured(STATUS)),
        panel("timeseries", "How long runs took", "From the run's start to its script's end; the longest in the interval.",
              "collection-runs", f"SELECT $__timeGroupAlias(ended_at, $interval), retriever AS metric, max(duration_s) AS "
              f"longest\n{ENDED} AND duration_s IS NOT NULL\nGROUP BY 1, 2\nORDER BY 1, 2", measure="s", least=0),
    ]


def calls():
    return [
        panel("bars", "Refused calls by code", "What policies, budgets and hosts have refused. docs/refusals.md has each code "
              "and its cure.", "refusals", f"""SELECT $__timeGroupAlias(ended_at, $interval), code AS metric, sum(refused) AS refused
FROM metrics_collection_refusal
WHERE $__timeFilter(ended_at){only('retriever')}
GROUP BY 1, 2
ORDER BY 1, 2""", width=8, stacked=True, decimals=0),
        panel("timeseries", "Calls by source", "Calls that retrievers made to each source.", "calls",
              f"SELECT $__timeGroupAlias(ended_at, $interval), source AS metric, sum(requests) AS calls\n{SOURCES}\n"
              "GROUP BY 1, 2\nORDER BY 1, 2", width=8, least=0),
        panel("bars", "Calls that the source failed", "It could not be reached, or broke off: 502 and 504 of purser's own.",
              "calls", f"SELECT $__timeGroupAlias(ended_at, $interval), source AS metric, sum(failed) AS failed\n{SOURCES}\n"
              "GROUP BY 1, 2\nORDER BY 1, 2", width=8, stacked=True, least=0, decimals=0),
    ]


def limits():
    return [
        panel("timeseries", "Rate limit left", "Of each of the provider's own limits, the least share that was left at the end "
              "of a run in the interval.", "rate-limit-left",
              f"""SELECT $__timeGroupAlias(ended_at, $interval), concat_ws(' ', source, nullif(limit_name, '')) AS metric,
  min(remaining::float8 / limit_of) AS left
FROM metrics_collection_limit
WHERE $__timeFilter(ended_at) AND limit_of > 0 AND remaining IS NOT NULL{only('retriever')}
GROUP BY 1, 2
ORDER BY 1, 2""", measure="percentunit", least=0, most=1),
        panel("table", "Rate limits now", "As the last run of this time was told; reserved is what purser leaves for people.",
              "rate-limit-left", f"""SELECT DISTINCT ON (source, limit_name) source, limit_name AS "limit", limit_of AS "of", remaining, reserved,
  reset_at AS reset, ended_at AS told
FROM metrics_collection_limit
WHERE $__timeFilter(ended_at){only('retriever')}
ORDER BY source, limit_name, ended_at DESC"""),
    ]


def rows_and_tokens():
    return [
        panel("bars", "Rows loaded", "New or changed, there already, and rejected.", "rows",
              f"""SELECT $__timeGroupAlias(observed_at, $interval), sum(new_or_changed) AS "new or changed", sum(unchanged) AS unchanged,
  sum(rejected) AS rejected
FROM metrics_load
WHERE $__timeFilter(observed_at){only('retriever')}
GROUP BY 1
ORDER BY 1""", width=8, stacked=True, decimals=0, overrides=coloured({"rejected": RED})),
        panel("table", "Rejected rows by retriever", "Of the loads in this time.", "rejected-rows",
              f"""SELECT retriever, sum(rejected) AS rejected, sum(new_or_changed + unchanged) AS loaded,
  max(observed_at) FILTER (WHERE rejected > 0) AS last
FROM metrics_load
WHERE $__timeFilter(observed_at){only('retriever')}
GROUP BY retriever
ORDER BY rejected DESC, retriever""", width=8),
        panel("table", "Age of each source's token", "Since it was put into its store, as the last run of this time knew it. "
              "Empty: the store does not say.", "token-age", f"""SELECT source, extract(epoch FROM now() - token_set_at)::float8 AS age, token_set_at AS "set at"
FROM (SELECT DISTINCT ON (source) source, token_set_at
  {SOURCES}
  ORDER BY source, ended_at DESC) AS newest
ORDER BY age DESC NULLS FIRST, source""", width=8,
              overrides=[override("age", unit="s", thresholds=thresholds(GREEN, (90 * DAY, YELLOW), (365 * DAY, RED)),
                                  custom__cellOptions={"type": "color-text"})]),
    ]


def last():
    return [
        panel("table", "Last runs that did not succeed", "Their logs: purser status, and the folder of the run.",
              "collection-runs", f"SELECT ended_at AS ended, retriever, status AS \"ended as\", exit_status, duration_s AS "
              f"duration, requests, refused, rejected, purser_run AS run\n{ENDED} AND passed = 0\nORDER BY ended_at DESC\n"
              "LIMIT 50", width=24, overrides=[unit("duration", "s")]),
    ]


def dashboard(uid):
    return made(uid, "CI collection", "Whether what the other dashboards show is complete and fresh.",
                [choice("retriever", "Retriever", """SELECT retriever FROM metrics_stream
UNION SELECT retriever FROM metrics_load WHERE $__timeFilter(observed_at)
ORDER BY 1"""), interval("1h")],
                [streams(), runs(), calls(), limits(), rows_and_tokens(), last()], time="now-7d")
