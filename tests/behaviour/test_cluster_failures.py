"""What goes wrong in a cluster ends as documented, with the reason where a person looks for it: in the pod's description, or its
log. One release; each retriever has a schedule of its own, so a CronJob, whose Jobs the tests start by hand."""
import json
import time

import pytest
from cluster_world import LATE, merged
from test_cluster_releases import ONCE, SMALL

pytestmark = pytest.mark.cluster

SLOW = ONCE.replace("\nassert", "\nimport time; print('BEGUN', flush=True); time.sleep(float(os.environ.get('NAP', '600')))\nassert")
BAD = ONCE + "raise SystemExit(3)\n"


def retriever(name, minute, file="once.py", **more):
    return {"name": name, "schedule": f"{minute} 0 1 1 *", "script": {"name": file}, "sources": ["github"], **more}


RETRIEVERS = [
    retriever("good", 1), retriever("bad", 1, "bad.py"),
    retriever("absent", 2, sources=["absent"]),
    retriever("empty", 3, sources=["empty"]),
    retriever("vaulted", 4, sources=["vaulted"]),
    retriever("no-python", 5, image={"name": "purser", "tag": "0.1.0"}),
    retriever("killed", 6, "slow.py"),
    retriever("deadline", 7, "slow.py"),
    retriever("deleted", 8, "slow.py"),
    retriever("later", 9, "slow.py", env=[{"name": "NAP", "value": "12"}]),
    retriever("late", 11, "late.py", sources=["late"]),
    retriever("told", 10, "slow.py", env=[{"name": "NAP", "value": "4"}]),
]
VALUES = merged(SMALL, {
    "suspend": True,
    "sources": [
        *SMALL["sources"],
        {"name": "absent", "provider": "gitlab", "token": {"secretName": "not-there"}},
        {"name": "empty", "provider": "circleci", "token": {"secretName": "empty-token", "secretValue": ""}},
        {"name": "late", "provider": "github", "apiUrl": f"https://{LATE}", "token": {"secretName": "github-token"}},
        {"name": "vaulted", "provider": "buildkite", "token": {"vault": {"path": "secret/data/x", "key": "token"}}}],
    "vault": {"address": "https://vault.stand-ins.svc:8200", "role": "purser"},
    "retrievers": RETRIEVERS,
    "files": {each["name"]: {"once.py": ONCE, "bad.py": BAD, "slow.py": SLOW,
                               "late.py": ONCE.replace("api.github.com", LATE)} for each in RETRIEVERS},
})
del VALUES["files"]["once"]


@pytest.fixture(scope="module")
def space(kubernetes):
    with kubernetes.space("failures") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(VALUES)
        space.cronjobs = {}
        for job in space.get("cronjobs")["items"]:
            for container in job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]:
                space.cronjobs[container["name"]] = job["metadata"]["name"]
        # What ends by itself is begun together.
        for name in ("good", "absent", "empty", "vaulted", "no-python", "late"):
            begin(space, name)
        yield space


def begin(space, name, **more):
    """A Job of this retriever's CronJob; `more`: of the Job's spec."""
    made = json.loads(space.kubectl("create", "job", name, f"--from=cronjob/{space.cronjobs[name]}", "--dry-run=client", "-o", "json"))
    made["spec"].update(more)
    space.kubectl("apply", "-f", "-", input=json.dumps(made))


def begun(space, name):
    """Once its script runs."""
    def printed():
        return "BEGUN" in space.kubectl("logs", f"job/{name}", "-c", name, check=False).stdout
    space.world.until(f"{name} runs", printed)


def described(space, job):
    return space.kubectl("describe", "pods", "-l", f"batch.kubernetes.io/job-name={job}")


def test_one_failing_retriever_fails_the_job_and_the_rows_of_the_other_are_loaded(space):
    assert space.finished("good") == "Failed"
    assert space.ended("good", "bad")["exitCode"] == 3
    assert space.ended("good", "good")["exitCode"] == 0
    assert space.rows("SELECT retriever, status FROM collection_run WHERE retriever IN ('good', 'bad') ORDER BY 1") == \
        [("bad", "failed"), ("good", "ok")]
    # What a failed run left is loaded too; only its window is not done.
    assert space.rows("SELECT count(*) FROM metric_sample WHERE retriever = 'good'") == [("1",)]
    assert space.rows("SELECT retriever FROM stream_state WHERE retriever IN ('good', 'bad') AND until_at IS NOT NULL") == [("good",)]


@pytest.mark.parametrize("name, secret", [("absent", "not-there"), ("empty", "empty-token")])
def test_a_token_that_is_not_there_is_what_init_says(space, name, secret):
    """An empty secretValue, as the first chart's own values.yaml had it, is none: the Secret is yours to make."""
    assert space.finished(name) == "Failed"
    ended = space.ended(name, "init")
    assert ended["exitCode"] != 0 and secret in ended["message"], ended
    assert secret in described(space, name)
    assert "running" not in (space.state(name, name) or {})


def test_a_store_that_is_down_is_what_init_says(space):
    assert space.finished("vaulted") == "Failed"
    assert "vault.stand-ins.svc" in space.ended("vaulted", "init")["message"]


def test_an_api_whose_certificate_is_only_valid_from_tomorrow_is_what_the_pods_description_says(space):
    """What a node sees whose clock is a day behind: here the API server's answers tell that the node's clock is right."""
    assert space.finished("late") == "Failed"
    said = described(space, "late")
    assert f"the certificate of {LATE} has expired or is not yet valid: it is valid from 20" in said, said
    assert "this machine's clock says 20" in said and "that agrees with the clock of the Kubernetes API at" in said, said


def test_an_image_without_python_is_what_its_container_says(space):
    assert space.finished("no-python") == "Failed"
    ended = space.ended("no-python", "no-python")
    assert ended["exitCode"] == 123 and "python3" in ended["message"] and "image" in ended["message"]


def test_an_agent_that_is_killed_fails_the_job_and_its_window_is_not_done(space):
    begin(space, "killed")
    begun(space, "killed")
    pod = space.pod("killed")
    agent = next(each for each in pod["status"]["initContainerStatuses"] if each["name"] == "agent")
    space.world.kill(agent["containerID"])
    assert space.finished("killed") == "Failed"
    assert space.ended("killed", "killed")["exitCode"] not in (0, None)
    for table in "metric_sample", "stream_state":
        assert space.rows(f"SELECT count(*) FROM {table} WHERE retriever = 'killed'") == [("0",)]


def test_a_job_past_its_deadline_ends_and_says_so(space):
    begin(space, "deadline", activeDeadlineSeconds=15)
    began = time.monotonic()
    assert space.finished("deadline", 90) == "Failed"
    assert "DeadlineExceeded" in space.kubectl("describe", "job/deadline")
    gone = lambda: not space.get("pods", "-l", "batch.kubernetes.io/job-name=deadline")["items"]  # noqa: E731
    space.world.until("the pod is gone", gone, 60)
    assert time.monotonic() - began < 75


def test_a_job_that_is_deleted_in_mid_run_leaves_nothing_behind_and_the_rows_of_what_had_ended(space):
    begin(space, "deleted")
    begun(space, "deleted")
    space.kubectl("delete", "job/deleted", "--wait=true", "--timeout=60s")
    space.world.until("the pod is gone", lambda: not space.get("pods", "-l", "batch.kubernetes.io/job-name=deleted")["items"], 60)
    assert space.rows("SELECT count(*) FROM stream_state WHERE retriever = 'deleted' AND until_at IS NOT NULL") == [("0",)]


def test_a_pod_that_is_evicted_while_its_script_ends_loads_its_rows(space):
    """As a drained node does it: the script has its grace, and what it leaves is loaded before the pod goes."""
    begin(space, "told")
    begun(space, "told")
    name = space.pod("told")["metadata"]["name"]
    space.world.kubectl("create", "--raw", f"/api/v1/namespaces/{space.name}/pods/{name}/eviction", "-f", "-", input=json.dumps(
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": space.name}}))
    gone = lambda: not space.get("pods", f"--field-selector=metadata.name={name}")["items"]  # noqa: E731
    space.world.until("the pod is gone", gone, 60)
    assert space.rows("SELECT status FROM collection_run WHERE retriever = 'told'") != []


def test_a_database_that_goes_in_mid_run_fails_the_job_and_both_say_so(space):
    begin(space, "later")
    begun(space, "later")
    space.kubectl("scale", "statefulset/ci-purser-postgresql", "--replicas=0")
    ended = space.ended("later", "later")
    assert ended["exitCode"] == 121 and "could not be loaded" in ended["message"] and "the next run" in ended["message"], ended
    assert space.finished("later") == "Failed"
    space.world.until("the agent's log names the database", lambda: "ci-purser-postgresql" in space.logs("later", "agent"), 30)
