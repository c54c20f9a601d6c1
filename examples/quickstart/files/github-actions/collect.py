"""Collects the workflow runs and jobs of one GitHub repository: NDJSON for the tables, .dat for single numbers."""
import json
import os
import statistics
import sys
from pathlib import Path

from github import Auth, Github, GithubException

REPOSITORY = os.environ.get("REPOSITORY", "linkerd/linkerd2")
MOST_RUNS = int(os.environ.get("MOST_RUNS", "1000"))


def iso(moment):
    return moment and moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def run_record(run):
    return {
        "type": "run", "source": "github", "scope": REPOSITORY, "id": str(run.id), "attempt": run.run_attempt,
        "name": run.name, "branch": run.head_branch, "commit": run.head_sha, "event": run.event,
        "status": run.status, "conclusion": run.conclusion, "created_at": iso(run.created_at),
        "started_at": iso(run.run_started_at), "completed_at": iso(run.updated_at), "url": run.html_url,
    }


def job_record(run, job):
    return {
        "type": "job", "source": "github", "scope": REPOSITORY, "id": str(job.id), "attempt": job.run_attempt,
        "run_id": str(run.id), "run_attempt": run.run_attempt, "name": job.name, "workflow": run.name,
        "status": job.status, "conclusion": job.conclusion, "queued_at": iso(job.created_at),
        "started_at": iso(job.started_at), "completed_at": iso(job.completed_at), "runner": job.runner_name,
        "url": job.html_url, "labels": job.labels,
    }


def main():
    output = Path(os.environ["OUTPUTDIR"])
    github = Github(auth=Auth.Token(os.environ["GITHUB_TOKEN"]))
    repository = github.get_repo(REPOSITORY)
    jobs = []
    with open(output / "jobs.ndjson", "w") as out:
        for number, run in enumerate(repository.get_workflow_runs()):
            if number == MOST_RUNS:
                break
            out.write(json.dumps(run_record(run)) + "\n")
            for job in run.jobs():
                jobs.append(job)
                out.write(json.dumps(job_record(run, job)) + "\n")
    print(f"{REPOSITORY}: {len(jobs)} jobs")

    minutes = [(job.completed_at - job.started_at).total_seconds() / 60 for job in jobs if job.completed_at]
    (output / "github_jobs.dat").write_text(f"{len(jobs)}\n")
    (output / "github_failed_jobs.dat").write_text(f"{sum(job.conclusion == 'failure' for job in jobs)}\n")
    if minutes:
        (output / "github_median_job_minutes.dat").write_text(f"{statistics.median(minutes):.2f}\n")

    # A habit of many such scripts: a look at something that metrics have no need of.
    try:
        print(f"{REPOSITORY}: {len(list(repository.get_secrets()))} secrets")
    except GithubException as refused:
        print(f"the names of the secrets: {refused.status} {refused.data.get('message', '')}", file=sys.stderr)


if __name__ == "__main__":
    main()
