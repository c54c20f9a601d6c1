"""What each panel must show, computed from Facts in plain Python by docs/metrics.md: no SQL, no view."""
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from math import sqrt

from grafana import SECONDS

STATUS = {"passed": "success", "failed": "failure"}
OUTCOME = {"success": 1, "failure": 0, "timed_out": 0}


def status(fact):
    said = fact.values.get("conclusion") or fact.values.get("status")
    return STATUS.get(said, said)


def passed(fact):
    return OUTCOME.get(status(fact))


def span(begin, end):
    return (end - begin).total_seconds() if begin and end and end >= begin else None


def duration(fact):
    return span(fact.started_at, fact.completed_at)


def wait(job):
    return None if status(job) == "skipped" else span(job.queued_at, job.started_at)


def queue_of(job):
    named = [label[len("queue="):] for label in job.labels if label.startswith("queue=")]
    return named[0] if named else ",".join(sorted(job.labels)) or None


def known(values):
    return [value for value in values if value is not None]


def mean(values):
    values = known(values)
    return sum(values) / len(values) if values else None


def total(values):
    values = known(values)
    return sum(values) if values else None


def quantile(values, share):
    """Between the two nearest of the sorted values, by how near they are."""
    values = sorted(known(values))
    if not values:
        return None
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def quantiles(values):
    values = list(values)
    return {name: quantile(values, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}


def wilson(part, whole):
    """Wilson's score interval, its lower end, in its textbook form: centre less margin."""
    z, share = 1.96, part / whole
    centre = share + z * z / (2 * whole)
    margin = z * sqrt((share * (1 - share) + z * z / (4 * whole)) / whole)
    return (centre - margin) / (1 + z * z / whole)


def groups(facts, key):
    found = defaultdict(list)
    for fact in facts:
        found[key(fact)].append(fact)
    return found


def red_periods(attempts):
    """Per branch of a workflow, in the order of their ends: red from the first failure to the next success."""
    seen = [run for run in attempts if passed(run) is not None and run.branch is not None]
    for (_, _, workflow, branch), runs in groups(seen, lambda run: (run.source, run.scope, run.name, run.branch)).items():
        period = None
        for run in sorted(runs, key=lambda run: (run.completed_at, run.id, run.attempt)):
            if passed(run) == 0:
                period = period or {"workflow": workflow, "branch": branch, "red_at": run.completed_at, "green_at": None,
                                    "failures": 0, "_run": run}
                period["failures"] += 1
            elif period:
                yield {**period, "green_at": run.completed_at}
                period = None
        if period:
            yield period


@dataclass
class Reference:
    """Facts within a time range, by chosen variables, in intervals."""
    facts: object
    since: datetime
    until: datetime
    chosen: dict
    interval: str

    def __post_init__(self):
        self.length = int(self.interval[:-1]) * SECONDS[self.interval[-1]]
        self.run_of = {(run.source, run.scope, run.id, run.attempt): run for run in self.facts.runs}
        newest = {}
        for run in self.facts.runs:
            key = run.source, run.scope, run.id
            newest[key] = max(newest.get(key, run), run, key=lambda run: run.attempt)
        self.last_attempts = list(newest.values())

    def within(self, time):
        return time is not None and self.since <= time <= self.until

    def allows(self, **values):
        return all(name not in self.chosen or value in self.chosen[name] for name, value in values.items())

    def bucket(self, time):
        return time.timestamp() // self.length * self.length

    # The rows of each kind that the variables and the time let through

    def runs(self, all_attempts=False):
        return [run for run in (self.facts.runs if all_attempts else self.last_attempts)
                if self.within(run.completed_at) and self.allows(source=run.source, scope=run.scope, workflow=run.name,
                                                                 branch=run.branch)]

    def run(self, job):
        return self.run_of[job.source, job.scope, job.run_id, job.run_attempt]

    def jobs(self, time="completed_at", branches=True):
        return [job for job in self.facts.jobs
                if self.within(job.values[time]) and self.allows(source=job.source, scope=job.scope, workflow=job.workflow)
                and (not branches or self.allows(branch=self.run(job).branch))]

    def job_of(self, test):
        if not hasattr(self, "_job"):
            self._job = {(job.source, job.scope, job.id): job for job in self.facts.jobs}
        return self._job[test.source, test.scope, test.job_id]

    def tests(self):
        return [test for test in self.facts.tests
                if self.within(test.at) and self.allows(source=test.source, scope=test.scope,
                                                        workflow=self.job_of(test).workflow,
                                                        branch=self.run(self.job_of(test)).branch)]

    def revision(self, job):
        return self.run(job).commit or "run " + job.run_id

    def periods(self):
        for period in red_periods(self.facts.runs):
            run = period.pop("_run")
            if self.allows(source=run.source, scope=run.scope, workflow=run.name, branch=run.branch):
                yield period

    # Shapes of answers

    def per_interval(self, facts, time, answer):
        return [{"time": at, **answer(some)} for at, some in groups(facts, lambda fact: self.bucket(time(fact))).items()]

    def per_interval_and(self, facts, time, metric, name, number):
        return [{"time": at, "metric": which, name: number(some)} for (at, which), some in
                groups(facts, lambda fact: (self.bucket(time(fact)), metric(fact))).items()]


def completed(fact):
    return fact.completed_at
