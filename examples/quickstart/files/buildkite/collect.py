"""Collects the builds and jobs of a Buildkite organisation: NDJSON for the tables, .dat for single numbers."""
import json
import os
from pathlib import Path

from pybuildkite.buildkite import Buildkite

ORGANIZATION = os.environ.get("ORGANIZATION", "linkerd")
MOST_PAGES = int(os.environ.get("MOST_PAGES", "1000"))


def build_record(scope, build):
    return {
        "type": "run", "source": "buildkite", "scope": scope, "id": str(build["number"]), "attempt": 1,
        "name": build["pipeline"]["name"], "branch": build["branch"], "commit": build["commit"],
        "event": build["source"], "status": "completed" if build["finished_at"] else "in_progress",
        "conclusion": build["state"], "created_at": build["created_at"], "started_at": build["started_at"],
        "completed_at": build["finished_at"], "url": build["web_url"],
    }


def job_record(scope, build, job):
    return {
        "type": "job", "source": "buildkite", "scope": scope, "id": job["id"], "attempt": 1,
        "run_id": str(build["number"]), "run_attempt": 1, "name": job["name"], "workflow": build["pipeline"]["name"],
        "status": "completed" if job["finished_at"] else "in_progress", "conclusion": job["state"],
        "queued_at": job["runnable_at"], "started_at": job["started_at"], "completed_at": job["finished_at"],
        "runner": (job["agent"] or {}).get("name"), "url": build["web_url"], "labels": job["agent_query_rules"],
    }


def pages(call):
    """Every item of every page of a list."""
    page = 1
    for _ in range(MOST_PAGES):
        answer = call(page=page, with_pagination=True)
        yield from answer.body
        page = answer.next_page
        if not page:
            return


def main():
    output = Path(os.environ["OUTPUTDIR"])
    buildkite = Buildkite()
    buildkite.set_access_token(os.environ["BUILDKITE_TOKEN"])
    jobs = failed = 0
    with open(output / "jobs.ndjson", "w") as out:
        for pipeline in pages(lambda **page: buildkite.pipelines().list_pipelines(ORGANIZATION, **page)):
            slug = pipeline["slug"]
            scope = f"{ORGANIZATION}/{slug}"
            for build in pages(lambda **page: buildkite.builds().list_all_for_pipeline(ORGANIZATION, slug, **page)):
                out.write(json.dumps(build_record(scope, build)) + "\n")
                for job in build["jobs"]:
                    if job["type"] != "script":
                        continue
                    jobs += 1
                    failed += job["state"] == "failed"
                    out.write(json.dumps(job_record(scope, build, job)) + "\n")
            print(f"{scope}: {jobs} jobs so far")
    (output / "buildkite_jobs.dat").write_text(f"{jobs}\n")
    (output / "buildkite_failed_jobs.dat").write_text(f"{failed}\n")


if __name__ == "__main__":
    main()
