"""The chart in a real cluster, from `helm install` and the CronJob that fires by itself to rows in the database."""
import json

import pytest
import yaml
from helm import CHART, VALUES, script_of

pytestmark = pytest.mark.cluster

# A script that calls an API once.
ONCE = """
import os, urllib.request
from pathlib import Path
request = urllib.request.Request("https://api.github.com/repos/linkerd/linkerd2",
                                 headers={"Authorization": "Bearer " + os.environ["GITHUB_TOKEN"]})
assert urllib.request.urlopen(request).status == 200
Path(os.environ["OUTPUTDIR"], "answers.dat").write_text("1\\n")
"""
SMALL = {"sources": [{"name": "github", "apiUrl": "https://api.github.com", "token": {"secretName": "github-token"}}],
         "retrievers": [{"name": "once", "script": {"name": "once.py"}, "sources": ["github"]}], "files": {"once": {"once.py": ONCE}}}


def agent_went_by_itself(space, job):
    """Not killed at the end of the grace period; how many seconds that takes, bench/run pod says."""
    return space.state(job, "agent")["terminated"]["exitCode"] == 0


def test_the_first_charts_example_runs_by_itself(kubernetes):
    """Its values as they stand, but for the tokens, and a schedule of each minute: pip, PyGithub and pybuildkite in an image
    that has only Python; names and addresses of the APIs and of the index are those of the real ones."""
    values = yaml.safe_load((VALUES / "first.yaml").read_text())
    for source in values["sources"]:
        source["token"]["secretValue"] = kubernetes.tokens[source["name"]].read_text()
    values["schedule"] = "* * * * *"
    scripts = [*script_of("github-actions"), *script_of("buildkite")]
    with kubernetes.space("first") as space:
        said = space.install(values, *scripts)
        assert "WARNING: the tokens of github, buildkite" in said
        job = kubernetes.until("the CronJob fires", lambda: next(iter(space.get("jobs")["items"]), None), 90)["metadata"]["name"]
        # The next minute's would come while this test looks.
        values["suspend"] = True
        space.install(values, *scripts, command="upgrade")
        assert space.finished(job, 300) == "Complete"
        assert space.rows("SELECT count(*) FROM ci_job") == [("9224",)]
        assert space.rows("SELECT DISTINCT retriever FROM metric_sample ORDER BY 1") == [("buildkite",), ("github-actions",)]
        assert agent_went_by_itself(space, job)
        # Standard output has the audit alone; `kubectl logs` shows standard error's lines between.
        audit = [json.loads(line) for line in space.logs(job, "agent").splitlines() if line.startswith('{"n":')]
        assert {"github", "buildkite"} <= {entry.get("source") for entry in audit}
        for token in kubernetes.tokens.values():
            for container in ("agent", "github-actions", "buildkite"):
                assert token.read_text() not in space.logs(job, container)
        # As the warning says: out of the values, and still there.
        for source in values["sources"]:
            del source["token"]["secretValue"]
        assert "WARNING" not in space.install(values, *scripts, command="upgrade")
        assert space.get("secret/github-secret")["data"]["secret"]
        # The secrets' names, which a script of this kind likes to look at, are refused by the provider's policy.
        assert "path-denied" in space.logs(job, "agent")


def test_every_part_of_the_chart_is_taken_by_the_api_server(kubernetes):
    with kubernetes.space("full") as space:
        words = ["--values", VALUES / "full.yaml", "--set", "suspend=true,priorityClassName="]
        space.helm("install", "ci", CHART, *words)
        assert len(space.get("cronjobs")["items"]) == 3
        space.helm("upgrade", "ci", CHART, *words, "--set", "job.activeDeadlineSeconds=60")
        space.helm("rollback", "ci", "1")
        assert {job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] for job in space.get("cronjobs")["items"]} == {1200}


def test_helm_test_runs_one_retriever(kubernetes):
    with kubernetes.space("by-hand") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(SMALL)
        assert space.get("jobs")["items"] == []
        said = space.helm("test", "ci", "--logs", "--timeout", "240s")
        assert "once | purser: 1 rows loaded" in said, said
        assert space.rows("SELECT retriever, name, value FROM metric_sample") == [("once", "answers", "1")]
        assert space.rows("SELECT DISTINCT retriever FROM metrics_value") == [("once",)]
