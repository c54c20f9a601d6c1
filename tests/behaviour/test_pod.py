"""A pod's three programs, init, agent and purser-exec, as real processes behind a pod's walls: what ends well, and how."""
import json
import os
import signal
import time
from pathlib import Path

import pytest
from lab import Answer
from pod import FIRST_RETRIEVER, Pod
from promise import as_root, new_token, wait_until

pytestmark = [pytest.mark.plain, as_root]

CALL = """
import json, os, pathlib, sys, time, urllib.request

def call(path="/x"):
    request = urllib.request.Request("https://api.test" + path, headers={"Authorization": "Bearer " + os.environ["API_TOKEN"]})
    with urllib.request.urlopen(request) as answer:
        return answer.read()

def leave(name="m.dat", text="1"):
    pathlib.Path(os.environ["OUTPUTDIR"], name).write_text(text)
"""


def with_api(pod):
    pod.token = new_token()
    pod.api = pod.upstream("api.test", lambda request: Answer(200, b'{"ok": 1}'))
    pod.source("api", "api.test", token=pod.token, tokenEnv=["API_TOKEN"])


@pytest.fixture
def pod(prefix, postgres):
    with Pod(prefix, postgres) as pod:
        with_api(pod)
        yield pod


def hunter(pod, name="one", script="call(); leave()", **keys):
    pod.retriever(name, CALL + script, sources=["api"], **keys)


def ready(pod, *words):
    """After init has said that all is well."""
    init = pod.init()
    assert init.status == 0, init.text
    return pod.agent(*words)


def runs(pod):
    return [row for row in pod.database.query("SELECT retriever, status FROM collection_run ORDER BY retriever")]


def end(agent, patience=20):
    began = time.monotonic()
    agent.signal(signal.SIGTERM)
    agent.wait(patience)
    return time.monotonic() - began


def test_rows_are_in_the_database_when_the_container_has_ended(pod):
    hunter(pod)
    agent = ready(pod)
    one = pod.collect("one").wait()
    assert one.status == 0, one.text + agent.text
    assert "1 rows loaded" in one.text
    assert pod.database.query("SELECT retriever, name, value FROM metric_sample") == [("one", "m", "1")]
    assert pod.api.requests[0].header("Authorization") == f"Bearer {pod.token}"
    assert end(agent) < 2 and agent.status == 0, agent.text
    assert runs(pod) == [("one", "ok")]


def test_the_audit_is_all_that_standard_output_has(pod):
    hunter(pod)
    agent = ready(pod)
    pod.collect("one").wait()
    end(agent)
    assert all(line.startswith('{"n":') for line in agent.out.splitlines()), agent.out
    assert [entry["decision"] for entry in agent.audit("request")] == ["allowed"]
    assert agent.audit("seal") and pod.database.query("SELECT count(*) FROM audit_seal") == [("1",)]


def test_several_retrievers_at_once_each_with_its_own_lease_and_gate(pod):
    names = ["one", "two", "three"]
    for name in names:
        hunter(pod, name, "call('/' + os.environ['PURSER_RETRIEVER']); time.sleep(1); leave(); "
                          "print('PORT', os.environ['HTTPS_PROXY'].rsplit(':', 1)[1])")
    agent = ready(pod)
    containers = [pod.collect(name) for name in names]
    for container in containers:
        assert container.wait().status == 0, container.text
    assert sorted(request.target for request in pod.api.requests) == ["/one", "/three", "/two"]
    assert len({line.split("PORT ")[1] for one in containers for line in one.text.splitlines() if "PORT" in line}) == 3
    assert sorted(pod.database.query("SELECT retriever FROM metric_sample")) == sorted((name,) for name in names)
    assert end(agent) < 2, agent.text


def test_a_retriever_sees_nothing_of_the_agent_or_of_another(pod):
    hunter(pod, "other")
    hunter(pod, "one", """
seen = [name for place in ("/var/lib/purser", "/tokens", "/etc/purser", "/run/purser/other", "/run/purser/one",
                           "/var/run/secrets") for name in [place] if os.path.exists(place)]
print("SEEN", seen, sorted(os.listdir("/run/purser")), sorted(os.listdir("/purser/bin")), os.getuid())
leave()
""")
    agent = ready(pod)
    one = pod.collect("one").wait()
    assert f"SEEN [] ['http', 'run'] ['purser-exec'] {FIRST_RETRIEVER + 1}" in one.text, one.text
    assert agent.status is None


def test_a_script_that_fails_is_what_its_container_says_and_the_others_load(pod):
    hunter(pod, "bad", "leave(); sys.exit(7)")
    hunter(pod, "good")
    agent = ready(pod)
    bad, good = pod.collect("bad"), pod.collect("good")
    assert bad.wait().status == 7 and good.wait().status == 0, bad.text + good.text
    end(agent)
    assert runs(pod) == [("bad", "failed"), ("good", "ok")], agent.text


def test_an_image_without_python_is_told_so_in_one_sentence(pod):
    hunter(pod)
    agent = ready(pod)
    one = pod.collect("one", bare=True).wait()
    assert one.status == 123
    assert one.out.splitlines() == ["one | purser: There is no python3 in this container's image; name one that has Python "
                                    "in the retriever's `image: {name, tag}`, such as python:3-slim."], one.text
    assert one.message == one.out.splitlines()[0].split("purser: ")[1]
    end(agent)
    assert runs(pod) == [("one", "not-prepared")], agent.text


def test_whatever_a_script_leaves_running_ends_before_its_rows_are_loaded(pod):
    hunter(pod, script="""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
leave()
""")
    ready(pod)
    one = pod.collect("one").wait(20)
    assert one.status == 0 and "1 rows loaded" in one.text, one.text


def test_what_the_container_says_is_kept_but_for_what_leads_to_the_gate(pod):
    hunter(pod, script="""
print("SAID", json.dumps({name: os.environ.get(name) for name in
      ("FROM_IMAGE", "PATH", "NO_PROXY", "no_proxy", "PURSER_OTHER", "OUTPUTDIR", "HOME")}), os.environ["API_TOKEN"][:6],
      os.environ["HTTPS_PROXY"].split("@")[1].split(":")[0], os.getcwd() == os.environ["HOME"])
call()
leave()
""")
    ready(pod)
    env = {"FROM_IMAGE": "kept", "NO_PROXY": "*", "no_proxy": "*", "HTTPS_PROXY": "http://elsewhere:1", "PURSER_OTHER": "x",
           "API_TOKEN": "of-the-container", "PATH": "/opt/of-the-image/bin:/usr/bin:/bin"}
    one = pod.collect("one", env=env).wait()
    assert one.status == 0, one.text
    said = json.loads(one.text.split("SAID ")[1].split("}")[0] + "}")
    assert said["FROM_IMAGE"] == "kept" and said["PATH"].startswith("/opt/of-the-image/bin:")
    assert said["NO_PROXY"] == said["no_proxy"] == "" and said["PURSER_OTHER"] is None and said["OUTPUTDIR"] == "/output"
    assert said["HOME"].startswith("/tmp/purser-") and "} psl_1" in one.text and "127.0.0.1 True" in one.text, one.text


def test_without_an_agent_a_retriever_waits_and_then_says_so(pod):
    hunter(pod)
    assert pod.init().status == 0
    pod.volume("run-one")
    one = pod.collect("one", flags=["--wait", "1"]).wait()
    assert one.status == 122 and "Cannot reach the run's gate at /run/purser/run" in one.message, one.text


def test_a_retriever_may_be_there_before_its_agent(pod):
    hunter(pod)
    assert pod.init().status == 0
    one = pod.collect("one")
    time.sleep(1)
    agent = pod.agent()
    assert one.wait().status == 0, one.text + agent.text


def test_where_there_are_no_sidecars_the_agent_ends_with_the_last_retriever(pod):
    hunter(pod, "good")
    hunter(pod, "bare")
    hunter(pod, "killed", "time.sleep(1000)")
    agent = ready(pod, "--end-when-done")
    bare, good, killed = pod.collect("bare", bare=True), pod.collect("good"), pod.collect("killed")
    assert bare.wait().status == 123 and good.wait().status == 0
    wait_until(lambda: agent.audit("lease.issue") and len(agent.audit("lease.issue")) == 2)
    time.sleep(0.3)
    assert agent.status is None
    killed.kill()
    assert agent.wait(20).status == 0, agent.text
    assert runs(pod) == [("bare", "not-prepared"), ("good", "ok"), ("killed", "failed")], agent.text


def test_a_second_runner_gets_no_run(pod):
    hunter(pod)
    agent = ready(pod)
    assert pod.collect("one").wait().status == 0
    again = pod.collect("one").wait()
    assert again.status == 123 and "has had its run in this pod" in again.message, again.text
    assert agent.status is None and len(agent.audit("lease.issue")) == 1


def test_ready_tells_whether_the_agent_serves(pod):
    hunter(pod)
    assert pod.init().status == 0
    assert pod.purser_container("ready").wait().status == 1
    agent = pod.agent()
    assert pod.purser_container("ready").wait().status == 0
    end(agent)
    assert pod.purser_container("ready").wait().status == 1


def test_purser_exec_is_small_and_needs_nothing_of_an_image(pod, tmp_path):
    program = Path(os.environ["PURSER_PREFIX"]) / "libexec/purser/purser-exec"
    stripped = tmp_path / "purser-exec"
    assert os.spawnvp(os.P_WAIT, "strip", ["strip", "-o", str(stripped), str(program)]) == 0
    assert stripped.stat().st_size < 1_000_000
    hunter(pod)
    ready(pod)
    helped = pod.start_container("one", ["/purser/bin/purser-exec", "--version"],
                                 [f"{pod.volumes / 'bin'}:/purser/bin:ro"], bare=True).wait()
    assert helped.status == 0 and helped.text.startswith("purser-exec "), helped.text
