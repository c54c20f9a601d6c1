"""Workflow runs of one repository since the last time, a row each. Nothing in it knows purser."""
import json
import os
import urllib.request

API, REPOSITORY = "https://api.github.com", os.environ["REPOSITORY"]
request = urllib.request.Request(f"{API}/repos/{REPOSITORY}/actions/runs?per_page=100&created=>={os.environ['PURSER_SINCE']}",
                                 headers={"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}"})
with urllib.request.urlopen(request) as answer, open(f"{os.environ['OUTPUTDIR']}/runs.ndjson", "w") as out:
    for run in json.load(answer)["workflow_runs"]:
        print(json.dumps({"type": "run", "scope": REPOSITORY, "id": str(run["id"]), "attempt": run["run_attempt"],
                          "name": run["name"], "status": run["status"], "conclusion": run["conclusion"],
                          "created_at": run["created_at"]}), file=out)
