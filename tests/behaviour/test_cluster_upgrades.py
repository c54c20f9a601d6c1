"""Releases in a real cluster, over time: upgrade, rollback, a new installation over what an old one left; several pods at once; and a
cluster without native sidecars."""
import base64
import subprocess

import pytest
from cluster_probes import listening
from cluster_world import merged
from test_cluster_releases import SMALL, agent_went_by_itself

pytestmark = pytest.mark.cluster


def test_upgrade_rollback_and_a_new_installation_keep_rows_and_credentials(kubernetes):
    data = kubernetes.folder / "volume"
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    kubernetes.apply({"kind": "PersistentVolume", "metadata": {"name": "kept"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": str(data)}}})
    more = {"networkPolicy": {"databaseClients": [{"podSelector": {"matchLabels": {"app": "reader"}}}]},
            "database": {"bundled": {"persistence": {"enabled": True, "size": "1Gi", "storageClass": "by-hand"}}}}

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
        space.kubectl("rollout", "status", "statefulset/ci-purser-postgresql", "--timeout=240s")
        space.helm("uninstall", "ci", "--wait")
        space.install(merged(SMALL, more))
        assert credentials(space) == first
        assert space.run("three") == "Complete"
        assert space.rows("SELECT count(*) FROM metric_sample") == [("3",)]

        listening(space, "reader", 8080, labels={"app": "reader"}, image="localhost/tests/postgres:1")
        assert space.reader_sees("SELECT count(*) FROM metrics_value") == ("3", "")
        for table in ("metric_sample", "dead_letter"):
            assert "permission denied" in space.reader_sees(f"SELECT count(*) FROM {table}")[1]
        assert "read-only" in space.reader_sees("CREATE TEMPORARY TABLE t (a int)")[1]
        assert space.reader_sees("SHOW statement_timeout") == ("30s", "")


def test_without_native_sidecars_the_agent_ends_by_itself(kubernetes):
    with kubernetes.space("old") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(merged(SMALL, {"agent": {"nativeSidecar": False}}))
        assert space.run("one") == "Complete"
        assert agent_went_by_itself(space, "one")
        assert space.rows("SELECT count(*) FROM metric_sample") == [("1",)]


def test_three_pods_at_once_load_each_of_their_rows_once_and_their_audits_verify_together(kubernetes, prefix, tmp_path):
    with kubernetes.space("three") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        # Before the database is there: init waits for it.
        space.install(merged(SMALL, {"init": {"wait": "5m"}}), wait=False)
        jobs = [space.job(f"run-{number}") for number in range(3)]
        assert [space.finished(job, 600) for job in jobs] == ["Complete"] * 3
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
