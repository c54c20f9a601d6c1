"""What goes wrong in a pod: each ends with a sentence, in time, and with no row lost or doubled."""
import json
import os
import signal
import time

import pytest
from hunt import Memory, needles, search_files
from lab import Answer
from promise import as_root, below, new_token, role, wait_until
from test_pod import end, hunter, pod, ready, runs  # noqa: F401
from upstream import Authority

pytestmark = [pytest.mark.plain, as_root]


def test_a_token_that_has_gone_is_what_the_retriever_says(pod):
    hunter(pod)
    assert pod.init().status == 0
    (pod.token_files / "api").unlink()
    agent = pod.agent()
    one = pod.collect("one").wait(20)
    assert one.status == 123 and "token that it needs is not there" in one.message, one.text
    assert "/tokens/api" in agent.err
    end(agent)
    assert runs(pod) == [("one", "no-token")], agent.text


def test_a_database_that_has_gone_before_a_run_lets_it_not_begin(pod):
    hunter(pod)
    agent = ready(pod)
    pod.database.cluster.stop()
    try:
        agent.signal(signal.SIGKILL)
        agent.wait()
        agent = pod.agent()
        one = pod.collect("one").wait(40)
        assert one.status == 123 and not pod.api.requests, one.text + agent.text
        assert "database" in one.message.lower() or "sink" in one.message.lower() or "connect" in one.message.lower(), one.text
        assert end(agent) < 4, agent.text
    finally:
        pod.database.cluster.start()


def test_a_database_that_has_gone_during_a_run_is_a_failure_and_the_window_is_collected_again(pod):
    hunter(pod, script="print('SINCE', os.environ['PURSER_SINCE']); call(); leave()")
    agent = ready(pod)
    assert pod.collect("one").wait().status == 0
    end(agent)
    pod.next_pod()
    hunter(pod, script="print('SINCE', os.environ['PURSER_SINCE']); call(); leave(); time.sleep(2)")
    agent = pod.agent(env={"PURSER_TEST_SINK_PATIENCE_S": "2"})
    one = pod.collect("one")
    wait_until(lambda: len(pod.api.requests) == 2)
    pod.database.cluster.stop("immediate")
    assert one.wait(60).status == 121, one.text + agent.text
    assert "the next run collects this window again" in one.message, one.text
    since = [line.split("SINCE ")[1] for line in one.text.splitlines() if "SINCE" in line]
    assert end(agent) < 4, agent.text
    pod.database.cluster.start()
    pod.next_pod()
    agent = pod.agent()
    again = pod.collect("one").wait(60)
    assert again.status == 0, again.text + agent.text
    assert since == [line.split("SINCE ")[1] for line in again.text.splitlines() if "SINCE" in line]


def test_a_database_that_is_away_for_a_moment_is_waited_for(pod):
    hunter(pod, script="call(); leave(); print('LEFT', flush=True); time.sleep(1)")
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: "LEFT" in one.text)
    pod.database.cluster.stop("immediate")
    time.sleep(3)
    assert one.status is None
    pod.database.cluster.start()
    assert one.wait(20).status == 0 and "1 rows loaded" in one.text, one.text + agent.text
    end(agent)
    assert runs(pod) == [("one", "ok")], agent.text


def test_an_agent_that_is_killed_ends_its_runs_and_the_next_one_serves_who_comes(pod):
    hunter(pod, "one", "call(); leave(); time.sleep(1000)")
    hunter(pod, "two")
    hunter(pod, "done", "leave()")
    agent = ready(pod)
    one, done = pod.collect("one"), pod.collect("done")
    wait_until(lambda: pod.api.requests)
    assert done.wait().status == 0, done.text
    agent.kill()
    assert one.wait(20).status == 121 and "gate has ended" in one.message, one.text
    agent.wait()
    agent = pod.agent()
    two = pod.collect("two").wait()
    assert two.status == 0, two.text + agent.text
    for name in ("one", "done"):
        again = pod.collect(name).wait()
        assert again.status == 123 and "has had its run" in again.message, again.text
    end(agent)
    assert sorted(pod.database.query("SELECT retriever FROM metric_sample")) == [("done",), ("two",)]
    assert runs(pod) == [("done", "ok"), ("one", "failed"), ("two", "ok")], agent.text


def test_a_gate_that_is_killed_ends_only_its_own_run(pod):
    hunter(pod, "one", "call('/one'); leave(); time.sleep(1000)")
    hunter(pod, "two", "call('/two'); time.sleep(2); leave()")
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: pod.api.requests)
    gate = role(agent.process, "purser-gate")
    two = pod.collect("two")
    wait_until(lambda: len(pod.api.requests) == 2)
    os.kill(gate, signal.SIGKILL)
    assert one.wait(20).status == 121 and two.wait(20).status == 0, one.text + two.text + agent.text
    end(agent)
    assert runs(pod) == [("one", "failed"), ("two", "ok")], agent.text


def test_a_keeper_that_is_killed_fails_its_runs_and_ends_the_agent(pod):
    hunter(pod, script="call(); leave(); time.sleep(1000)")
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: pod.api.requests)
    os.kill(role(agent.process, "purser-keeper"), signal.SIGKILL)
    assert one.wait(20).status != 0, one.text
    assert agent.wait(20).status == 1 and agent.message, agent.text


def test_a_retriever_that_is_killed_is_a_failed_run(pod):
    hunter(pod, script="call(); leave(); time.sleep(1000)")
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: pod.api.requests)
    one.kill()
    wait_until(lambda: "one: failed" in agent.err)
    assert end(agent) < 2
    assert runs(pod) == [("one", "failed")] and pod.database.query("SELECT count(*) FROM metric_sample") == [("0",)]


# Secrets


def test_no_copy_of_the_token_is_left_in_the_agent_or_has_ever_been_in_the_retriever(pod):
    pod.api.server.shutdown()
    pod.api = pod.upstream("api.test", lambda request: Answer(200, json.dumps({"you": pod.token}).encode()))
    pod.source("api", "api.test", token=pod.token, tokenEnv=["API_TOKEN"])
    hunter(pod, script="print('GOT', call().decode()); leave(); print('DONE', flush=True); time.sleep(1000)")
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: "DONE" in one.text)
    wanted, memory, looked = needles(pod.token), Memory(), []
    for container in (agent, one):
        for pid, name in below(container.process.pid).items():
            assert memory.search(pid, wanted) == [], name
            looked.append(name)
    assert {"purser-keeper", "purser-gate", "purser", "purser-exec", "script"} <= set(looked), looked
    for name in ("state", "output-one", "scratch-one", "run-one"):
        assert search_files(pod.volumes / name, wanted)[0] == []
    for text in (agent.text, one.text):
        assert not [needle for needle in wanted if needle in text.encode()]


def test_the_databases_password_is_in_no_process_or_volume_of_the_pod(pod):
    """A file of a Secret in init and agent alone; a clerk has it only while it loads."""
    password, cluster = new_token(), pod.database.cluster
    cluster.query("postgres", f"CREATE ROLE loader{pod.database.name} LOGIN PASSWORD '{password}'; "
                              f"ALTER DATABASE {pod.database.name} OWNER TO loader{pod.database.name}")
    cluster.query(pod.database.name, f"GRANT ALL ON SCHEMA public TO loader{pod.database.name}")
    (pod.token_files / "database").write_text(password)
    dsn = f"host=127.0.0.1 port={cluster.port} dbname={pod.database.name} user=loader{pod.database.name} sslmode=require"
    pod.more = (f"sink: {{postgres: {{dsn: '{dsn}', credentialFrom: {{file: /tokens/database}}}}}}\n"
                "audit: {keyFile: /etc/purser-audit/key}\n")
    hunter(pod, "one", "call(); leave()")
    hunter(pod, "two", "print('DONE', flush=True); time.sleep(1000)")
    agent = ready(pod)
    two = pod.collect("two")
    assert pod.collect("one").wait().status == 0, agent.text
    wait_until(lambda: "DONE" in two.text and "purser-clerk-pg" not in below(agent.process.pid).values())
    wanted, memory = needles(password), Memory()
    for container in (agent, two):
        for pid, name in below(container.process.pid).items():
            assert memory.search(pid, wanted) == [], name
    assert search_files(pod.volumes, wanted)[0] == []


def test_an_api_whose_certificate_is_only_valid_from_tomorrow_is_what_the_agent_says_last(pod):
    """What a node sees whose clock is a day behind: of no use to whoever wrote the script."""
    authority = Authority(pod.folder / "late")
    pod.api.context.load_cert_chain(*authority.leaf("api.test", tomorrow=True))
    (pod.token_files / "ca").write_bytes(authority.bundle.read_bytes())
    (pod.token_files / "ca").chmod(0o444)
    pod.sources["api"]["caFile"] = "/tokens/ca"
    hunter(pod)
    agent = ready(pod)
    one = pod.collect("one").wait()
    assert one.status not in (0, 123) and not pod.api.requests, one.text
    end(agent)
    assert agent.message.startswith("one: the certificate of api.test has expired or is not yet valid: it is valid from 20") \
        and "this machine's clock says 20" in agent.message and "set it right (NTP)" in agent.message, agent.text
    assert runs(pod) == [("one", "failed")], agent.text
