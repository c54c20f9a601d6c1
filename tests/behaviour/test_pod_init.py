"""purser init: all is well, or one sentence in its log and in the pod's termination message."""
import pytest
from promise import as_root
from test_pod import hunter, pod  # noqa: F401

pytestmark = [pytest.mark.plain, as_root]


def refused(pod, status, *words):
    """init ends with this status, and one sentence, in its log and in its termination message."""
    init = pod.init()
    assert init.status == status, init.text
    errors = [line.removeprefix("purser: error: ") for line in init.err.splitlines() if line.startswith("purser: error:")]
    assert errors == [init.message] and not (pod.volumes / "bin/purser-exec").exists(), init.text
    for word in words:
        assert word in init.message, init.message
    return init


def test_init_names_a_fault_of_the_configuration(pod):
    hunter(pod)
    pod.more += "snik: {}\n"
    pod.write()
    refused(pod, 3, "/etc/purser/purser.yaml:", "snik")


def test_init_names_a_policy_whose_tests_fail(pod):
    hunter(pod)
    text = (pod.folder / "policy/lab-all.yaml").read_text()
    pod.policy("lab-all", text.replace("expect: allow", "expect: deny"))
    pod.write()
    refused(pod, 3, "lab-all", "GET /x")


def test_init_names_a_token_that_is_not_there(pod):
    hunter(pod)
    (pod.token_files / "api").unlink()
    refused(pod, 5, "token api:", "/tokens/api")


def test_init_names_a_database_that_cannot_be_reached(pod):
    hunter(pod)
    pod.database.cluster.stop()
    try:
        refused(pod, 4, "database PostgreSQL:")
    finally:
        pod.database.cluster.start()


def test_init_refuses_a_sink_that_would_end_with_the_pod(pod):
    hunter(pod)
    pod.more = ""
    pod.write()
    refused(pod, 3, "would end with the pod", "postgres")


def test_init_makes_the_schema_and_leaves_purser_exec_whole(pod):
    hunter(pod)
    assert pod.init().status == 0 and pod.init().status == 0
    assert pod.database.query("SELECT count(*) FROM metric_sample") == [("0",)]
    program = pod.volumes / "bin/purser-exec"
    assert program.stat().st_mode & 0o777 == 0o555
    assert program.read_bytes() == (pod.folder / "tree/libexec/purser/purser-exec").read_bytes()
