"""What goes wrong in a pod, at every phase: each ends with a sentence, in time, and with no row lost or doubled."""
import json
import os
import signal
import subprocess
import time

import pytest
from hunt import Memory, needles, search_files
from lab import Answer
from promise import as_root, below, new_token, role, wait_until
from test_pod import end, hunter, pod, ready, runs, with_wheels  # noqa: F401

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


# init


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


# The agent


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
    hunter(pod, script="print('SINCE', os.environ['PURSER_SINCE']); call(); leave(); time.sleep(2)")
    agent = pod.agent()
    one = pod.collect("one")
    wait_until(lambda: len(pod.api.requests) == 2)
    pod.database.cluster.stop("immediate")
    assert one.wait(60).status == 121, one.text + agent.text
    assert "the next run collects this window again" in one.message, one.text
    since = [line.split("SINCE ")[1] for line in one.text.splitlines() if "SINCE" in line]
    assert end(agent) < 4, agent.text
    pod.database.cluster.start()
    agent = pod.agent()
    again = pod.collect("one").wait(60)
    assert again.status == 0, again.text + agent.text
    assert since == [line.split("SINCE ")[1] for line in again.text.splitlines() if "SINCE" in line]


def test_an_agent_that_is_killed_ends_its_runs_and_the_next_one_serves_who_comes(pod):
    hunter(pod, "one", "call(); leave(); time.sleep(1000)")
    hunter(pod, "two")
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: pod.api.requests)
    agent.process.kill()
    assert one.wait(20).status == 121 and "gate has ended" in one.message, one.text
    agent.wait()
    agent = pod.agent()
    two = pod.collect("two").wait()
    assert two.status == 0, two.text + agent.text
    assert pod.database.query("SELECT retriever FROM metric_sample") == [("two",)]
    again = pod.collect("one").wait()
    assert again.status == 123 and "has had its run" in again.message, again.text
    end(agent)
    assert runs(pod) == [("one", "failed"), ("two", "ok")], agent.text


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
    one.process.kill()
    wait_until(lambda: "one: failed" in agent.err)
    assert end(agent) < 2
    assert runs(pod) == [("one", "failed")] and pod.database.query("SELECT count(*) FROM metric_sample") == [("0",)]


# Told to end, at every phase


def test_told_to_end_while_it_waits_for_its_agent(pod):
    hunter(pod)
    assert pod.init().status == 0
    pod.volume("run-one")
    one = pod.collect("one")
    time.sleep(0.5)
    one.signal(signal.SIGTERM)
    assert one.wait(3).status == 143, one.text


def test_an_agent_that_is_told_to_end_waits_for_a_runner_that_prepares_and_gives_it_no_run(pod):
    hunter(pod)
    how = with_wheels(pod, "tiny==1.0")
    agent = ready(pod)
    one = pod.collect("one", **how)
    wait_until(lambda: list((pod.volumes / "scratch-one").glob("purser-*/venv")))
    agent.signal(signal.SIGTERM)
    assert one.wait(60).status == 123 and "told to end before this run" in one.message, one.text
    assert agent.wait(5).status == 0 and not agent.audit("lease.issue"), agent.text


def test_told_to_end_while_the_script_runs_its_rows_are_loaded_and_its_status_is_its_own(pod):
    hunter(pod, script="""
import signal
signal.signal(signal.SIGTERM, lambda *_: (leave("b.dat", "2"), sys.exit(5)))
call()
leave()
time.sleep(1000)
""")
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: pod.api.requests)
    time.sleep(0.3)
    one.signal(signal.SIGTERM)
    agent.signal(signal.SIGTERM)  # as where there are no sidecars: all at once
    assert one.wait(10).status == 5 and "2 rows loaded" in one.text, one.text + agent.text
    assert agent.wait(5).status == 0, agent.text
    assert runs(pod) == [("one", "failed")]
    assert sorted(pod.database.query("SELECT name FROM metric_sample")) == [("b",), ("m",)]


def test_a_script_that_does_not_end_when_told_is_killed_after_its_grace(pod):
    hunter(pod, script="""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
call()
leave()
time.sleep(1000)
""", limits={"grace": "1s"})
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: pod.api.requests)
    one.signal(signal.SIGTERM)
    assert one.wait(10).status == 128 + signal.SIGKILL and "1 rows loaded" in one.text, one.text + agent.text


def block_loading(pod):
    """A lock by which nothing is loaded until it is given back: the process that has it."""
    cluster = pod.database.cluster
    holder = subprocess.Popen(["psql", "-X", "-q", "-h", cluster.folder, "-p", str(cluster.port), "-U", "postgres", "-d",
                               pod.database.name], stdin=subprocess.PIPE, text=True)
    holder.stdin.write("BEGIN; LOCK TABLE metric_sample IN ACCESS EXCLUSIVE MODE;\n")
    holder.stdin.flush()
    wait_until(lambda: pod.database.query("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted "
                                          "AND relation = 'metric_sample'::regclass") == [("1",)])
    return holder


def loading(pod):
    return pod.database.query("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'metric_sample'::regclass") != [
        ("0",)]


def test_told_to_end_while_it_loads_it_loads_first(pod):
    hunter(pod, script="leave()")
    agent = ready(pod)
    holder = block_loading(pod)
    one = pod.collect("one")
    wait_until(lambda: loading(pod))
    agent.signal(signal.SIGTERM)
    one.signal(signal.SIGTERM)
    time.sleep(2.5)
    assert agent.status is None and one.status is None
    holder.communicate("COMMIT;\n")
    assert one.wait(10).status == 0 and agent.wait(10).status == 0, one.text + agent.text
    assert runs(pod) == [("one", "ok")]


def test_when_two_seconds_are_left_it_drops_and_the_window_is_collected_again(pod):
    hunter(pod, script="leave()")
    agent = ready(pod, "--grace", "5s")
    holder = block_loading(pod)
    one = pod.collect("one")
    wait_until(lambda: loading(pod))
    assert end(agent, patience=6) < 4.5, agent.text
    assert one.wait(5).status == 121 and "collects this window again" in one.message, one.text
    holder.communicate("COMMIT;\n")
    assert "no more time" in agent.err
    assert pod.database.query("SELECT count(*) FROM metric_sample") == [("0",)]
    agent = pod.agent()
    assert pod.collect("one").wait().status == 0
    end(agent)
    assert pod.database.query("SELECT value FROM metric_sample") == [("1",)]


def test_past_a_deadline_with_every_retriever_killed_the_agent_goes_within_two_seconds(pod):
    hunter(pod, script="leave()")
    agent = ready(pod)
    holder = block_loading(pod)
    one = pod.collect("one")
    wait_until(lambda: loading(pod))
    one.process.kill()
    assert end(agent, patience=6) < 2, agent.text
    holder.communicate("COMMIT;\n")
    assert pod.database.query("SELECT count(*) FROM metric_sample") == [("0",)]


def test_told_to_end_with_nothing_under_way_the_agent_goes_at_once(pod):
    hunter(pod)
    agent = ready(pod)
    assert end(agent) < 1 and agent.status == 0, agent.text


def test_an_agent_that_is_told_to_end_while_it_begins_ends(pod):
    hunter(pod)
    assert pod.init().status == 0
    agent = pod.agent(ready=False)
    role(agent.process, "purser-keeper")
    agent.signal(signal.SIGTERM)
    assert agent.wait(10).status == 0, agent.text


# The token


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
