"""A pod that is told to end, at every phase: what is under way is loaded, or dropped in time and collected again."""
import signal
import time

import pytest
from promise import as_root, role, wait_until
from test_pod import end, hunter, pod, ready, runs  # noqa: F401

pytestmark = [pytest.mark.plain, as_root]


def test_told_to_end_while_it_waits_for_its_agent(pod):
    hunter(pod)
    assert pod.init().status == 0
    pod.volume("run-one")
    one = pod.collect("one")
    time.sleep(0.5)
    one.signal(signal.SIGTERM)
    assert one.wait(3).status == 143, one.text


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


def test_told_to_end_while_it_loads_it_loads_first(pod):
    hunter(pod, script="leave()")
    agent = ready(pod)
    holder = pod.database.hold("metric_sample")
    one = pod.collect("one")
    wait_until(lambda: pod.database.holds_up("metric_sample"))
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
    holder = pod.database.hold("metric_sample")
    one = pod.collect("one")
    wait_until(lambda: pod.database.holds_up("metric_sample"))
    assert end(agent, patience=6) < 4.5, agent.text
    assert one.wait(5).status == 121 and "collects this window again" in one.message, one.text
    holder.communicate("COMMIT;\n")
    assert "no more time" in agent.err
    assert pod.database.query("SELECT count(*) FROM metric_sample") == [("0",)]
    pod.next_pod()
    agent = pod.agent()
    assert pod.collect("one").wait().status == 0
    end(agent)
    assert pod.database.query("SELECT value FROM metric_sample") == [("1",)]


def test_past_a_deadline_with_every_retriever_killed_the_agent_goes_within_two_seconds(pod):
    hunter(pod, script="leave()")
    agent = ready(pod)
    holder = pod.database.hold("metric_sample")
    one = pod.collect("one")
    wait_until(lambda: pod.database.holds_up("metric_sample"))
    one.kill()
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
