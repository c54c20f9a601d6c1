"""CI data for the metrics' tests: the real jobs of the quickstart, and what they have not: branches, commits, attempts,
waits, labels, agents, tests, queues, deployments. That is derived from the jobs by fixed rules, made here.

`Facts` is what the tests compute with, in plain Python; `lines()` is the same as results of a retriever.
"""
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from zlib import crc32

QUICKSTART = Path(__file__).resolve().parents[2] / "examples/quickstart"
SINCE, UNTIL = datetime(2020, 5, 5, tzinfo=timezone.utc), datetime(2020, 6, 7, tzinfo=timezone.utc)


def stand_in():
    loader = SourceFileLoader("stand_in", str(QUICKSTART / "stand-in"))
    module = module_from_spec(spec_from_loader("stand_in", loader))
    loader.exec_module(module)
    return module


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def stamp(time):
    return time and time.strftime("%Y-%m-%dT%H:%M:%SZ")


def dice(text, sides):
    return crc32(text.encode()) % sides


@dataclass
class Fact:
    """A row of a kind; members by name, None where there is none."""
    values: dict

    def __getattr__(self, name):
        return self.values[name]


@dataclass
class Facts:
    runs: list = field(default_factory=list)
    jobs: list = field(default_factory=list)
    tests: list = field(default_factory=list)
    queues: list = field(default_factory=list)
    deployments: list = field(default_factory=list)
    metrics: list = field(default_factory=list)

    def lines(self):
        for kind, facts in (("run", self.runs), ("job", self.jobs), ("test", self.tests), ("queue", self.queues),
                            ("deployment", self.deployments), ("metric", self.metrics)):
            for fact in facts:
                line = {key: stamp(value) if isinstance(value, datetime) else value for key, value in fact.values.items()
                        if not key.startswith("_")}
                yield json.dumps({"type": kind, **line}) + "\n"


def status_of(jobs, name):
    if any(job["Conclusion"] == "failure" for job in jobs):
        return "timed_out" if dice(name, 29) == 0 else "failure"
    return "cancelled" if dice(name, 23) == 0 else "success"


def add_job(facts, run, raw, number, shift=timedelta(), conclusion=None):
    identity = f"{run.id}/{run.attempt}/{number}"
    started, completed = moment(raw["Started"]) + shift, moment(raw["Completed"]) + shift
    skipped = raw["Conclusion"] == "skipped"
    facts.jobs.append(Fact({
        "source": run.source, "scope": run.scope, "id": identity, "attempt": 1, "run_id": run.id,
        "run_attempt": run.attempt, "name": raw["Job"], "workflow": run.name, "status": "completed",
        "conclusion": conclusion or raw["Conclusion"],
        # A provider's clocks disagree now and then: queued after it was started.
        "queued_at": started - timedelta(seconds=dice(identity, 300) - (20 if dice(identity, 11) == 0 else 0)),
        "started_at": started, "completed_at": completed,
        "runner": None if skipped else f"agent-{dice(identity, 5)}", "url": f"https://ci.example/{identity}",
        "labels": [["queue=large", "arch=arm"], ["self-hosted", "linux"], []][dice(raw["Job"], 3)]}))
    for test in range(3) if number == 0 else ():
        unit = f"{identity}/{test}"
        facts.tests.append(Fact({
            "source": run.source, "scope": run.scope, "job_id": identity, "suite": "unit", "name": f"test {test}",
            "status": ["failed", "skipped", "passed"][min(dice(unit, 9), 2)], "duration_s": dice(unit, 1000) / 100,
            "at": completed}))


def add_run(facts, module, name, number, jobs):
    identity = f"{module.slug(name)}-{number}"
    started, completed = map(moment, module.times(jobs))
    run = Fact({
        "source": "github" if module.is_github(jobs) else "buildkite",
        "scope": "linkerd/linkerd2" if module.is_github(jobs) else f"linkerd/{module.slug(name)}",
        "id": identity, "attempt": 1, "name": name,
        "branch": [None, "main", "main", "stable-2.7", "o'neill/fix"][dice(identity, 5)],
        "commit": None if dice(identity, 6) == 0 else f"c{number // 2}", "event": "push", "status": "completed",
        "conclusion": status_of(jobs, identity), "created_at": started, "started_at": started,
        "completed_at": completed, "url": f"https://ci.example/{identity}"})
    facts.runs.append(run)
    for at, job in enumerate(jobs):
        add_job(facts, run, job, at)
    if run.conclusion in ("failure", "timed_out") and dice(identity, 3) == 0:  # somebody has pressed Re-run
        hour = timedelta(hours=1)
        again = Fact({**run.values, "attempt": 2, "conclusion": "success", "started_at": started + hour,
                      "completed_at": completed + hour})
        facts.runs.append(again)
        for at, job in enumerate(jobs):
            add_job(facts, again, job, at, hour, "success" if job["Conclusion"] == "failure" else None)
    if name == "Release" and run.conclusion in ("success", "failure"):
        facts.deployments.append(Fact({
            "source": run.source, "scope": run.scope, "id": identity, "environment": ["production", "staging"][number % 2],
            "status": run.conclusion, "at": completed, "branch": run.branch}))


def real_facts():
    module, facts = stand_in(), Facts()
    raw = json.loads((QUICKSTART / "data/linkerd-ci-jobs.json").read_text())
    for name, runs in module.runs_of(raw).items():
        for number, jobs in enumerate(reversed(runs)):
            add_run(facts, module, name, number, jobs)
    at = SINCE
    while at < UNTIL:
        for queue in ("large", "small"):
            seed = f"{queue}{at}"
            facts.queues.append(Fact({"source": "buildkite", "scope": "linkerd/agents", "name": queue, "at": at,
                                      "waiting": dice(seed, 40), "running": None if dice(seed, 7) == 0 else dice(seed, 9),
                                      "agents": 10 - dice(seed, 4)}))
        facts.metrics.append(Fact({"name": "coverage", "value": 70 + dice(str(at), 300) / 10, "at": at,
                                   "labels": {"language": "go"}}))
        facts.metrics.append(Fact({"name": "open_requests", "value": dice(f"o{at}", 50), "at": at, "labels": {}}))
        at += timedelta(hours=5)
    return facts
