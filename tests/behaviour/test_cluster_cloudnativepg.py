"""`database.kind: cloudnativepg` with the real operator, from `helm install` to rows in a cluster that it runs, restarts and switches
over. Its operand is Debian's PostgreSQL (tests/cluster/images)."""
import json
import subprocess
from datetime import datetime, timezone

import pytest
from cluster_probes import listening
from cluster_servers import CloudNativePG
from cluster_world import merged
from test_cluster_releases import SMALL

pytestmark = pytest.mark.cluster

# Names its window; calls the API once; leaves one row, while the database is as the test wants it.
NAMING = """
import os, time, urllib.request
from pathlib import Path
print("SINCE", os.environ["PURSER_SINCE"], "UNTIL", os.environ["PURSER_UNTIL"], flush=True)
request = urllib.request.Request("https://api.github.com/repos/linkerd/linkerd2",
                                 headers={"Authorization": "Bearer " + os.environ["GITHUB_TOKEN"]})
assert urllib.request.urlopen(request).status == 200
time.sleep(float(os.environ.get("NAP", "0")))
Path(os.environ["OUTPUTDIR"], "answers.dat").write_text("1\\n")
"""


def retriever(name, minute, **more):
    return {"name": name, "schedule": f"{minute} 0 1 1 *", "script": {"name": "naming.py"}, "sources": ["github"], **more}


RETRIEVERS = [retriever("quick", 1), retriever("slow", 2, env=[{"name": "NAP", "value": "6"}])]


def database(instances=1, **spec):
    return {"database": {"kind": "cloudnativepg", "cloudnativepg": {
        "instances": instances, "imageName": "localhost/tests/cnpg-postgres:15", "storage": {"size": "1Gi", "storageClass": "tests"},
        "spec": spec}}}


VALUES = merged(SMALL, {"suspend": True, "retrievers": RETRIEVERS, **database(),
                        "files": {each["name"]: {"naming.py": NAMING} for each in RETRIEVERS}})
del VALUES["files"]["once"]


@pytest.fixture(scope="module")
def operator(kubernetes):
    return CloudNativePG(kubernetes)


def authority(folder):
    """What a Secret of a CA has: an EC key, as the operator wants it, and its certificate."""
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=own", "-keyout", folder / "pkcs8", "-out", folder / "ca.crt"], check=True, capture_output=True)
    subprocess.run(["openssl", "ec", "-in", folder / "pkcs8", "-out", folder / "ca.key"], check=True, capture_output=True)
    return {name: (folder / name).read_text() for name in ("ca.crt", "ca.key")}


def ready(space, instances=1):
    """Once the operator says so of all its instances."""
    def found():
        status = space.get("cluster.postgresql.cnpg.io/ci-purser-db").get("status", {})
        return status.get("readyInstances") == instances and status.get("phase") == "Cluster in healthy state" and status["currentPrimary"]
    return space.world.until("the cluster is ready", found, 400, every=1)


def reader(space):
    """The pod that Space.reader_sees asks in."""
    listening(space, "reader", 8080, image="localhost/tests/postgres:1")


@pytest.fixture(scope="module")
def space(operator, kubernetes):
    for number in range(2):
        operator.volume(f"cnpg-{number}")
    with kubernetes.space("cnpg") as space:
        try:
            space.secret("github-token", token=kubernetes.tokens["github"].read_text())
            space.notes = space.install(VALUES)
            ready(space)
            reader(space)
            space.first = space.finished(begin(space, "first", "quick"))
            yield space
        except BaseException:
            print(operator.log())
            raise


def primary(space):
    return space.get("cluster.postgresql.cnpg.io/ci-purser-db")["status"]["currentPrimary"]


def rows(space, sql):
    """As the superuser, in the primary."""
    return space.rows(sql, primary(space), "postgres")


def begin(space, name, retriever, changed=lambda made: made):
    """A Job of the CronJob that has this retriever."""
    cronjob = next(each["metadata"]["name"] for each in space.get("cronjobs")["items"]
                   if each["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["name"] == retriever)
    made = space.kubectl("create", "job", name, f"--from=cronjob/{cronjob}", "--dry-run=client", "-o", "json")
    space.kubectl("apply", "-f", "-", input=changed(made))
    return name


def window(space, job, retriever):
    """(since, until) that the script was told."""
    def told():
        said = [line for line in space.kubectl("logs", f"job/{job}", "-c", retriever, check=False).stdout.splitlines() if "SINCE" in line]
        return said and said[0].split()
    words = space.world.until(f"{job} runs", told)
    return words[words.index("SINCE") + 1], words[words.index("UNTIL") + 1]


def test_a_run_loads_its_rows_and_only_the_owner_role_owns_the_tables(space):
    assert space.first == "Complete"
    assert rows(space, "SELECT retriever, name, value FROM metric_sample") == [("quick", "answers", "1")]
    assert rows(space, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == [("purser_owner",)]
    assert rows(space, "SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname IN ('purser', 'purser_owner') ORDER BY rolname") == \
        [("t", "f"), ("f", "f")]
    rights = "SELECT " + ", ".join(f"has_table_privilege('purser', 'metric_sample', '{right}')" for right in (
        "SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"))
    assert rows(space, rights) == [("t", "t", "t", "f", "f")]


def test_a_server_that_the_operators_ca_does_not_vouch_for_gets_no_rows(space):
    """The same Job, but with the CA of somebody else in place of the operator's."""
    space.world.apply({"kind": "Secret", "metadata": {"name": "another-ca", "namespace": space.name},
                       "stringData": {"ca.crt": (space.world.stand_in / "ca.pem").read_text()}})
    begin(space, "deceived", "quick", lambda made: made.replace('"ci-purser-db-ca"', '"another-ca"'))
    assert space.finished("deceived") == "Failed"
    assert "certificate verify failed" in space.ended("deceived", "init")["message"]


def test_grafanas_role_sees_the_views_alone_once_the_data_source_has_the_ca(space):
    sees = space.reader_sees
    assert "data source is without it" in space.notes
    assert "certificate" in sees("SELECT 1")[1]
    assert "data source is without it" not in space.install(VALUES, command="upgrade")
    assert sees("SELECT count(*) > 0 FROM metrics_value") == ("t", "")
    for table in "metric_sample", "dead_letter":
        assert "permission denied" in sees(f"SELECT count(*) FROM {table}")[1]
    assert "read-only" in sees("CREATE TABLE t (a int)")[1]
    assert "permission denied" in sees("SET TRANSACTION READ WRITE; CREATE TABLE t (a int)")[1]
    assert "permission denied" in sees("SET TRANSACTION READ WRITE; CREATE TEMPORARY TABLE t (a int)")[1]
    assert sees("SHOW statement_timeout") == ("30s", "")
    assert "no encryption" in sees("SELECT 1", "sslmode=disable")[1]


LOADED = "SELECT count(*) FROM collection_run WHERE retriever = 'slow' AND status = 'ok'"


def ends(space, job):
    """Where the next run's window may begin. A run whose database was away ends with its row loaded; or as docs/kubernetes.md says,
    and its window is the next run's (but for a row that was there already when the word of it was lost)."""
    since, until = window(space, job, "slow")
    if space.finished(job, 400) == "Complete":
        return [until]
    ended = space.ended(job, "slow")
    assert ended["exitCode"] == 121 and "the next run" in ended["message"], ended
    return [since, until]


def loses_nothing(space, job, before):
    """The windows of the runs that were loaded follow each other, and each has its row."""
    goes_on = ends(space, job)
    ready(space, space.instances)
    assert space.finished(begin(space, f"{job}-next", "slow")) == "Complete"
    assert window(space, f"{job}-next", "slow")[0] in goes_on
    loaded = rows(space, LOADED)
    assert rows(space, "SELECT count(*) FROM metric_sample WHERE retriever = 'slow'") == loaded
    assert int(loaded[0][0]) - before in ([2] if len(goes_on) == 1 else [1, 2])


def test_a_primary_that_goes_in_mid_run_loses_no_row(space):
    space.instances = 1
    begin(space, "restarted", "slow")
    window(space, "restarted", "slow")
    gone = primary(space)
    uid = space.get(f"pod/{gone}")["metadata"]["uid"]
    space.kubectl("delete", "pod", gone, "--wait=false", "--grace-period=1")
    loses_nothing(space, "restarted", 0)
    assert space.get(f"pod/{primary(space)}")["metadata"]["uid"] != uid


def test_a_switchover_in_mid_run_loses_no_row(space):
    before = int(rows(space, LOADED)[0][0])
    space.instances = 2
    space.install(merged(VALUES, database(2)), command="upgrade")
    first = ready(space, 2)
    other = next(each["metadata"]["name"] for each in space.get("pods", "-l", "cnpg.io/cluster=ci-purser-db")["items"]
                 if each["metadata"]["name"] != first)
    begin(space, "switched", "slow")
    window(space, "switched", "slow")
    # As `kubectl cnpg promote` asks for it.
    space.kubectl("patch", "cluster.postgresql.cnpg.io/ci-purser-db", "--subresource=status", "--type=merge", "-p", json.dumps({
        "status": {"targetPrimary": other, "phase": "Switchover in progress", "phaseReason": f"Switching over to {other}",
                   "targetPrimaryTimestamp": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}))
    space.world.until("the other instance is the primary", lambda: primary(space) == other, 240)
    loses_nothing(space, "switched", before)


def test_a_new_installation_takes_the_cluster_over(space):
    before = rows(space, "SELECT count(*) FROM metric_sample")
    password = space.get("secret/ci-purser-db-reader")["data"]
    space.helm("uninstall", "ci", "--wait")
    assert "data source is without it" not in space.install(merged(VALUES, database(2)))
    assert space.get("secret/ci-purser-db-reader")["data"] == password
    assert space.finished(begin(space, "again", "quick")) == "Complete"
    assert int(rows(space, "SELECT count(*) FROM metric_sample")[0][0]) == int(before[0][0]) + 1
    assert space.reader_sees("SELECT count(*) > 1 FROM metrics_value") == ("t", "")


def test_a_ca_of_ones_own_is_in_the_data_source_from_the_first_installation_on(operator, kubernetes):
    operator.volume("cnpg-own")
    with kubernetes.space("cnpg-own") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.world.apply({"kind": "Secret", "metadata": {"name": "own-ca", "namespace": space.name},
                           "stringData": authority(kubernetes.folder / "own-ca")})
        assert "data source is without it" not in space.install(merged(VALUES, database(certificates={"serverCASecret": "own-ca"})))
        ready(space)
        reader(space)
        assert space.finished(begin(space, "first", "quick")) == "Complete"
        assert space.reader_sees("SELECT count(*) FROM metrics_value") == ("1", "")
