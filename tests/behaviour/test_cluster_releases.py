"""The chart in a real cluster: what `helm install`, `upgrade`, `rollback` and `uninstall` come to, from the CronJob that fires by
itself to rows in the database."""
import base64
import json
import subprocess
from datetime import datetime

import pytest
import yaml
from cluster_world import USUAL, merged
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


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def took_to_complete(space, job):
    """Seconds from the end of the last retriever to the Job's completion, as Kubernetes says."""
    ended = max(moment(each["state"]["terminated"]["finishedAt"]) for each in space.pod(job)["status"]["containerStatuses"])
    return (moment(space.get(f"job/{job}")["status"]["completionTime"]) - ended).total_seconds()


def test_the_first_charts_example_runs_by_itself(kubernetes):
    """Its values as they stand, but for the tokens, and a schedule of each minute: pip, PyGithub and pybuildkite in an image
    that has only Python; names and addresses of the APIs and of the index are those of the real ones."""
    values = yaml.safe_load((VALUES / "first.yaml").read_text())
    for source in values["sources"]:
        source["token"]["secretValue"] = kubernetes.tokens[source["name"]].read_text()
    values["schedule"] = "* * * * *"
    with kubernetes.space("first") as space:
        said = space.install(values, *script_of("github-actions"), *script_of("buildkite"))
        assert "WARNING: the tokens of github, buildkite" in said
        job = kubernetes.until("the CronJob fires", lambda: next(iter(space.get("jobs")["items"]), None), 90)["metadata"]["name"]
        # The next minute's would come while this test looks.
        space.kubectl("patch", "cronjob/ci-purser", "-p", '{"spec": {"suspend": true}}')
        assert space.finished(job, 300) == "Complete"
        assert space.rows("SELECT count(*) FROM ci_job") == [("9224",)]
        assert space.rows("SELECT DISTINCT retriever FROM metric_sample ORDER BY 1") == [("buildkite",), ("github-actions",)]
        assert took_to_complete(space, job) <= 10
        # Standard output has the audit alone; `kubectl logs` shows standard error's lines between.
        audit = [json.loads(line) for line in space.logs(job, "agent").splitlines() if line.startswith('{"n":')]
        assert {"github", "buildkite"} <= {entry.get("source") for entry in audit}
        for token in kubernetes.tokens.values():
            for container in ("agent", "github-actions", "buildkite"):
                assert token.read_text() not in space.logs(job, container)
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
        said = space.helm("test", "ci", "--logs", "--timeout", "120s")
        assert "once | purser: 1 rows loaded" in said, said
        assert space.rows("SELECT retriever, name, value FROM metric_sample") == [("once", "answers", "1")]
        assert space.rows("SELECT DISTINCT retriever FROM metrics_value") == [("once",)]


def reader_sees(space, sql):
    """What Grafana's role is told, with the data source's own password, over TLS."""
    secret = space.get("secret/ci-purser-grafana-datasource")["data"]["ci-purser-datasource.yaml"]
    source = yaml.safe_load(base64.b64decode(secret))["datasources"][0]
    done = space.kubectl(
        "exec", "-i", "ci-purser-postgresql-0", "--", "sh", "-c", "cat >/tmp/ca; IFS= read -r PGPASSWORD </tmp/ca; export PGPASSWORD;"
        "sed -i 1d /tmp/ca; psql -XAt \"$1\" -c \"$2\"", "sh",
        f"host={source['url'].split(':')[0]} user={source['user']} dbname={source['jsonData']['database']} sslmode=verify-full "
        "sslrootcert=/tmp/ca", sql, check=False,
        input=f"{source['secureJsonData']['password']}\n{source['secureJsonData']['tlsCACert']}")
    return done.stdout.strip(), done.stderr.strip()


def test_upgrade_rollback_and_a_new_installation_keep_rows_and_credentials(kubernetes):
    data = kubernetes.folder / "volume"
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    kubernetes.apply({"kind": "PersistentVolume", "metadata": {"name": "kept"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": str(data)}}})
    more = {"database": {"bundled": {"persistence": {"enabled": True, "size": "1Gi", "storageClass": "by-hand"}}}}

    def credentials(space):
        return space.get("secret/ci-purser-postgresql")["data"]

    with kubernetes.space("kept") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(merged(SMALL, more))
        first = credentials(space)
        assert space.run("one") == "Complete"
        space.install(merged(SMALL, merged(more, {"database": {"bundled": {"podAnnotations": {"restart": "yes"}}}})), command="upgrade")
        assert space.run("two") == "Complete"
        space.helm("rollback", "ci", "1")
        space.kubectl("rollout", "status", "statefulset/ci-purser-postgresql", "--timeout=120s")
        space.helm("uninstall", "ci", "--wait")
        space.install(merged(SMALL, more))
        assert credentials(space) == first
        assert space.run("three") == "Complete"
        assert space.rows("SELECT count(*) FROM metric_sample") == [("3",)]

        assert reader_sees(space, "SELECT count(*) FROM metrics_value") == ("3", "")
        for table in ("metric_sample", "dead_letter"):
            assert "permission denied" in reader_sees(space, f"SELECT count(*) FROM {table}")[1]
        assert "read-only" in reader_sees(space, "CREATE TEMPORARY TABLE t (a int)")[1]
        assert reader_sees(space, "SHOW statement_timeout") == ("30s", "")


def test_without_native_sidecars_the_agent_ends_by_itself(kubernetes):
    with kubernetes.space("old") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(merged(SMALL, {"agent": {"nativeSidecar": False}}))
        assert space.run("one") == "Complete"
        assert took_to_complete(space, "one") <= 10
        assert space.rows("SELECT count(*) FROM metric_sample") == [("1",)]


def test_three_pods_at_once_load_each_of_their_rows_once_and_their_audits_verify_together(kubernetes, prefix, tmp_path):
    with kubernetes.space("three") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(SMALL)
        jobs = [space.job(f"run-{number}") for number in range(3)]
        assert [space.finished(job) for job in jobs] == ["Complete"] * 3
        assert space.rows("SELECT count(*), count(DISTINCT purser_run) FROM collection_run") == [("3", "3")]
        # As docs/kubernetes.md has it: one key for all pods, so their lines can be verified together.
        (tmp_path / "audit.key").write_bytes(base64.b64decode(space.get("secret/ci-purser-audit")["data"]["audit.key"]))
        (tmp_path / "audit.key").chmod(0o600)
        log = space.kubectl("logs", "-l", "app.kubernetes.io/component=retrievers", "-c", "agent", "--prefix", "--tail=-1")

        def verify(text):
            return subprocess.run([prefix / "bin/purser", "audit", "verify", "--export", "--offline", "--key", tmp_path / "audit.key",
                                   "--file", tmp_path / "purser.yaml", "-"], input=text, capture_output=True, text=True)
        (tmp_path / "purser.yaml").write_text("sources: []\n")
        whole = verify(log)
        assert whole.returncode == 0, whole.stdout + whole.stderr
        assert verify(log.replace('"method":"GET"', '"method":"PUT"', 1)).returncode == 1


def test_the_api_server_turns_down_a_pod_that_is_not_restricted(kubernetes):
    """That the namespaces of these tests enforce it: the rest of them would not notice otherwise."""
    with kubernetes.space("strict") as space:
        done = space.kubectl("run", "root", "--image=python:3.13-slim", "--restart=Never", check=False)
        assert 'violates PodSecurity "restricted' in done.stderr
    assert USUAL["schedule"] == "never"
