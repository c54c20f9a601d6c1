"""The answer of each panel of the CI dashboards, by dashboard and title: functions of a Reference."""
from metrics_reference import (completed, duration, groups, known, mean, passed, quantile, quantiles, queue_of,
                               status, total, wait, wilson)

PANELS = {}


def of(dashboard, title):
    def keep(function):
        PANELS[f"purser-{dashboard}", title] = function
        return function
    return keep


def rate(facts):
    return mean(map(passed, facts))


def successes(facts):
    return [fact for fact in facts if passed(fact) == 1]


def failures(facts):
    return [fact for fact in facts if passed(fact) == 0]


# CI overview

of("ci-overview", "Runs")(lambda r: [{"runs": len(r.runs()) or None}])
of("ci-overview", "Success rate")(lambda r: [{"rate": rate(r.runs())}])
of("ci-overview", "Success rate over time")(
    lambda r: r.per_interval([run for run in r.runs() if passed(run) is not None], completed,
                             lambda runs: {"rate": rate(runs)}))
of("ci-overview", "Median duration")(lambda r: [{"p50": quantile(map(duration, successes(r.runs())), 0.5)}])
of("ci-overview", "First attempt")(lambda r: [{"rate": rate(run for run in r.runs(True) if run.attempt == 1)}])
of("ci-overview", "Runs by result")(lambda r: r.per_interval_and(r.runs(), completed, status, "runs", len))
of("ci-overview", "Duration")(lambda r: r.per_interval(successes(r.runs()), completed,
                                                       lambda runs: quantiles(map(duration, runs))))


@of("ci-overview", "Red branches")
def red_branches(r):
    any_outcome = [run for run in r.runs(True) if passed(run) is not None and run.branch is not None]
    red = [period for period in r.periods() if not period["green_at"] and r.within(period["red_at"])]
    return [{"red": len(red) if any_outcome else None}]


@of("ci-overview", "Time to green")
def time_to_green(r):
    ended = [period for period in r.periods() if r.within(period["green_at"])]

    def lengths(periods):
        return [(period["green_at"] - period["red_at"]).total_seconds() for period in periods]

    return [{"time": at, "p50": quantile(lengths(some), 0.5), "longest": max(lengths(some))}
            for at, some in groups(ended, lambda period: r.bucket(period["green_at"])).items()]


@of("ci-overview", "Workflows")
def workflows(r):
    return [{"workflow": name, "runs": len(runs), "success rate": rate(runs),
             "retried": sum(run.attempt > 1 for run in runs), **quantiles(map(duration, successes(runs)))}
            for name, runs in groups(r.runs(), lambda run: run.name).items()]


@of("ci-overview", "Red periods")
def red_period_table(r):
    overlapping = [period for period in r.periods()
                   if period["red_at"] <= r.until and (period["green_at"] or r.until) >= r.since]
    overlapping.sort(key=lambda period: (period["green_at"] is None, period["green_at"] or period["red_at"],
                                         period["red_at"]), reverse=True)
    return [{"workflow": period["workflow"], "branch": period["branch"], "red since": period["red_at"],
             "green at": period["green_at"], "failures": period["failures"],
             "length": (period["green_at"] - period["red_at"]).total_seconds() if period["green_at"] else "until now"}
            for period in overlapping[:100]]


@of("ci-overview", "Last failed runs")
def last_failed_runs(r):
    newest = sorted(failures(r.runs()), key=lambda run: (-run.completed_at.timestamp(), run.id))[:50]
    return [{"ended": run.completed_at, "workflow": run.name, "branch": run.branch, "result": status(run),
             "attempt": run.attempt, "duration": duration(run), "run": run.url} for run in newest]


@of("ci-overview", "Deployments by environment and result")
def deployments(r):
    some = [one for one in r.facts.deployments
            if r.within(one.at) and r.allows(source=one.source, scope=one.scope, branch=one.branch)]
    return r.per_interval_and(some, lambda one: one.at, lambda one: f"{one.environment} {status(one)}", "deployments", len)


# Jobs and tests

of("ci-jobs", "Jobs")(lambda r: [{"jobs": len(r.jobs()) or None}])
of("ci-jobs", "Job success rate")(lambda r: [{"rate": rate(r.jobs())}])
of("ci-jobs", "Time of machines")(lambda r: [{"total": total(map(duration, r.jobs()))}])
of("ci-jobs", "Tests")(lambda r: [{"tests": len(r.tests()) or None}])
of("ci-jobs", "Jobs by result")(lambda r: r.per_interval_and(r.jobs(), completed, status, "jobs", len))
of("ci-jobs", "Job duration")(lambda r: r.per_interval(successes(r.jobs()), completed,
                                                       lambda jobs: quantiles(map(duration, jobs))))


def slowest(facts, key, names, length):
    rows = []
    for group, some in groups([fact for fact in successes(facts) if length(fact) is not None], key).items():
        if len(some) >= 5:
            rows.append({**dict(zip(names, group)), "passed": len(some), **quantiles(map(length, some)),
                         "total": total(map(length, some))})
    return sorted(rows, key=lambda row: (-row["p50"], *(row[name] for name in names)))[:50]


def failing(facts, key, names):
    rows = []
    for group, some in groups(facts, key).items():
        outcomes, failed = known(map(passed, some)), len(failures(some))
        if failed:
            rows.append({**dict(zip(names, group)), "failed": failed, "outcomes": len(outcomes),
                         "share": failed / len(outcomes), "at least": wilson(failed, len(outcomes))})
    return sorted(rows, key=lambda row: (-row["at least"], *(row[name] for name in names)))[:50]


def flaky(r, facts, key, names, revision):
    rows = []
    seen = groups([fact for fact in facts if passed(fact) is not None],
                  lambda fact: (fact.source, fact.scope, *key(fact), revision(fact)))
    by_name = groups(seen.items(), lambda entry: entry[0][2:2 + len(names)])
    for group, revisions in by_name.items():
        both = sum({passed(fact) for fact in facts} == {0, 1} for _, facts in revisions)
        if both:
            rows.append({**dict(zip(names, group)), "revisions": len(revisions), "flaky": both,
                         "share": both / len(revisions), "at least": wilson(both, len(revisions))})
    return sorted(rows, key=lambda row: (-row["at least"], *(row[name] for name in names)))[:50]


def of_job(job):
    return job.workflow, job.name


def of_test(test):
    return test.suite, test.name


JOB, TEST = ("workflow", "job"), ("suite", "test")
of("ci-jobs", "Slowest jobs")(lambda r: slowest(r.jobs(), of_job, JOB, duration))
of("ci-jobs", "Most failing jobs")(lambda r: failing(r.jobs(), of_job, JOB))
of("ci-jobs", "Flaky jobs")(lambda r: flaky(r, r.jobs(), of_job, JOB, r.revision))
of("ci-jobs", "Flaky tests")(lambda r: flaky(r, r.tests(), of_test, TEST, lambda test: r.revision(r.job_of(test))))
of("ci-jobs", "Most failing tests")(lambda r: failing(r.tests(), of_test, TEST))
of("ci-jobs", "Slowest tests")(lambda r: slowest(r.tests(), of_test, TEST, lambda test: test.duration_s))


@of("ci-jobs", "Last failed jobs")
def last_failed_jobs(r):
    newest = sorted(failures(r.jobs()), key=lambda job: (-job.completed_at.timestamp(), job.id))[:50]
    return [{"ended": job.completed_at, "workflow": job.workflow, "job": job.name, "branch": r.run(job).branch,
             "result": status(job), "runner": job.runner, "duration": duration(job), "open": job.url} for job in newest]


# Queues and agents


def waited(r):
    return [job for job in r.jobs("started_at", branches=False) if wait(job) is not None]


def queue_name(job):
    return queue_of(job) or "(none)"


def started(job):
    return job.started_at


of("ci-queues", "Queue wait")(lambda r: r.per_interval(waited(r), started, lambda jobs: quantiles(map(wait, jobs))))
of("ci-queues", "Queue wait by queue, p95")(
    lambda r: r.per_interval_and(waited(r), started, queue_name, "p95", lambda jobs: quantile(map(wait, jobs), 0.95)))
of("ci-queues", "Queues")(
    lambda r: [{"queue": name, "jobs": len(jobs), **quantiles(map(wait, jobs)), "longest": max(map(wait, jobs))}
               for name, jobs in groups(waited(r), queue_name).items()])


@of("ci-queues", "Who ran the jobs")
def agents(r):
    ran = [job for job in r.jobs(branches=False) if job.runner]
    return [{"agent": name, "jobs": len(jobs), "busy": total(map(duration, jobs)),
             "failed share": None if rate(jobs) is None else 1 - rate(jobs), "last seen": max(map(completed, jobs))}
            for name, jobs in groups(ran, lambda job: job.runner).items()]


def sampled(name, count, number, column):
    def answer(r):
        some = [one for one in r.facts.queues if r.within(one.at) and one.values[count] is not None and
                r.allows(source=one.source, scope=one.scope, queue=one.name)]
        return r.per_interval_and(some, lambda one: one.at, lambda one: one.name, column,
                                  lambda ones: number([one.values[count] for one in ones]))
    of("ci-queues", name)(answer)


sampled("Waiting jobs", "waiting", max, "waiting")
sampled("Running jobs", "running", mean, "running")
sampled("Agents", "agents", min, "agents")


# Single numbers


def measured(r):
    return [one for one in r.facts.metrics if r.within(one.at) and r.allows(retriever="github", metric=one.name)]


def labels_text(labels):
    return "{" + ", ".join(f'"{key}": "{value}"' for key, value in labels.items()) + "}"


@of("ci-values", "Newest values")
def newest_values(r):
    newest = [max(some, key=lambda one: one.at) for some in groups(measured(r), lambda one: one.name).values()]
    return [{"retriever": "github", "metric": one.name, "labels": labels_text(one.labels), "value": one.value, "at": one.at}
            for one in newest]


@of("ci-values", "$metric")
def each_metric(r):
    return r.per_interval_and(measured(r), lambda one: one.at,
                              lambda one: "github" + (" " + labels_text(one.labels) if one.labels else ""), "value",
                              lambda ones: mean(one.value for one in ones))
