"""What a retriever's container installs before its script: without a lease, and whatever happens meanwhile."""
import signal

import pytest
from promise import as_root, wait_until
from test_pod import end, hunter, pod, ready, runs  # noqa: F401
from test_preparation import wheel

pytestmark = [pytest.mark.plain, as_root]


def with_wheels(pod, *requirements):
    """Wheels in the container's own folder, as a site's index would have them."""
    wheel(pod.folder / "wheels", "1.0", 41)
    (pod.folder / "files/one/requirements.txt").write_text("".join(line + "\n" for line in requirements))
    return {"flags": ["--requirements", "/files/requirements.txt"], "mounts": [f"{pod.folder / 'wheels'}:/wheels:ro"],
            "env": {"PIP_FIND_LINKS": "/wheels", "PIP_NO_INDEX": "1", "PIP_RETRIES": "0"}}


def test_requirements_are_installed_before_there_is_a_lease(pod):
    hunter(pod, script="import tiny; print('VALUE', tiny.VALUE, sys.prefix); call(); leave()")
    how = with_wheels(pod, "tiny==1.0")
    agent = ready(pod)
    one = pod.collect("one", **how)
    wait_until(lambda: list((pod.volumes / "scratch-one").glob("purser-*/venv")))
    assert not agent.audit("lease.issue")
    assert one.wait().status == 0, one.text
    assert "VALUE 41 /tmp/purser-" in one.text and "1 rows loaded" in one.text, one.text


def test_requirements_that_cannot_be_installed_are_a_failure_before_there_is_a_lease(pod):
    hunter(pod)
    how = with_wheels(pod, "tiny==3.0")
    agent = ready(pod)
    one = pod.collect("one", **how).wait()
    assert one.status == 123 and "could not be built from /files/requirements.txt" in one.message, one.text
    assert "No matching distribution" in one.text
    end(agent)
    assert not agent.audit("lease.issue") and runs(pod) == [("one", "not-prepared")], agent.text


def test_told_to_end_while_it_prepares_nothing_is_left_running(pod):
    hunter(pod)
    how = with_wheels(pod, "tiny==1.0")
    ready(pod)
    one = pod.collect("one", **how)
    wait_until(lambda: list((pod.volumes / "scratch-one").glob("purser-*/venv/bin")))
    one.signal(signal.SIGTERM)
    assert one.wait(10).status == 143, one.text


def test_requirements_that_are_not_there_need_no_python(pod):
    hunter(pod)
    ready(pod)
    one = pod.collect("one", "/purser/bin/purser-exec", "--version", bare=True,
                      flags=["--requirements", "/files/requirements.txt"]).wait()
    assert one.status == 0 and "purser-exec " in one.text, one.text


def test_an_agent_that_is_told_to_end_waits_for_a_runner_that_prepares_and_gives_it_no_run(pod):
    hunter(pod)
    how = with_wheels(pod, "tiny==1.0")
    agent = ready(pod)
    one = pod.collect("one", **how)
    wait_until(lambda: list((pod.volumes / "scratch-one").glob("purser-*/venv")))
    agent.signal(signal.SIGTERM)
    assert one.wait(60).status == 123 and "told to end before this run" in one.message, one.text
    assert agent.wait(5).status == 0 and not agent.audit("lease.issue"), agent.text


def test_an_agent_that_is_started_anew_while_a_retriever_prepares_serves_it(pod):
    hunter(pod, script="call(); leave()")
    how = with_wheels(pod, "tiny==1.0")
    agent = ready(pod)
    one = pod.collect("one", **how)
    wait_until(lambda: list((pod.volumes / "scratch-one").glob("purser-*/venv")))
    agent.kill()
    agent = pod.agent()
    assert one.wait().status == 0 and "1 rows loaded" in one.text, one.text + agent.text
    end(agent)
    assert runs(pod) == [("one", "ok")], agent.text
