"""The audit of many pods: what their agents have printed, in a log's export, is verified as a machine's files are."""
import random

import pytest
from databases import Postgres
from lab import Lab
from pod import Pod
from pod import Pod
from promise import as_root, wait_until
from test_pod import end, hunter, pod, ready, with_api  # noqa: F401

pytestmark = [pytest.mark.plain, as_root]


def one_pod(pod, name):
    """One pod's life: (its run's id, what its log has with `kubectl logs --prefix`)."""
    pod.next_pod()
    pod.name = name
    agent = ready(pod)
    assert pod.collect("one").wait().status == 0
    end(agent)
    lines = [f"[pod/{name}/agent] 2026-01-01T00:00:00Z {line}" for line in agent.text.splitlines()]
    return agent.audit("seal")[0]["run"], lines


@pytest.fixture(scope="module")
def three(prefix, cluster):
    with Pod(prefix, Postgres(cluster)) as pod:
        with_api(pod)
        hunter(pod)
        pod.logs = [one_pod(pod, f"purser-2900000{n}-x") for n in range(3)]
        yield pod


def verify(pod, lines, *words, config=True, secret=None):
    path = pod.folder / "export.log"
    path.write_text("".join(line + "\n" for line in lines))
    key = pod.folder / "key"
    key.write_bytes(secret or (pod.folder / "audit.key").read_bytes())
    key.chmod(0o600)
    place = pod.folder / "verify.yaml"
    place.write_text(f"state: {pod.folder}/verifier\nsink: {{postgres: {{dsn: '{pod.database.setup['dsn']}'}}}}\n")
    return Lab.purser(pod, "audit", "verify", "--export", *words, "--key", key, path, *(["--file", place] if config else []))


def all_lines(pod):
    return [line for _, lines in pod.logs for line in lines]


def test_three_pods_in_any_order_are_whole(three):
    lines = all_lines(three)
    random.Random(1).shuffle(lines)
    done = verify(three, ["starting", *lines, *lines[:5]])
    assert done.status == 0, done.text
    assert "of 3 pods, each as it was written, none missing" in done.out and "Runs that are missing: 0" in done.out
    assert "Runs that are sealed: 3; of these, the sink has 3" in done.out, done.out


def test_a_pod_whose_lines_are_missing_is_named_by_its_run(three):
    lines = three.logs[0][1] + three.logs[2][1]
    done = verify(three, lines)
    assert done.status == 1 and f"run {three.logs[1][0]} is missing" in done.err, done.text
    assert "Runs that are missing: 1" in done.out
    done = verify(three, three.logs[0][1])  # the others ended after the last line of this export
    assert done.status == 0, done.text
    done = verify(three, three.logs[0][1], "--since", "1h")
    assert done.status == 1 and all(f"run {run} is missing" in done.err for run, _ in three.logs[1:]), done.text


@pytest.mark.parametrize("how", ["taken out", "altered", "cut off", "put in"])
def test_a_line_that_was_touched_is_found_with_its_pod(three, how):
    run, lines = three.logs[1]
    at = next(n for n, line in enumerate(lines) if '"event":"request"' in line)
    touched = list(lines)
    if how == "taken out":
        del touched[at]
    elif how == "altered":
        touched[at] = touched[at].replace('"status":200', '"status":201')
    elif how == "cut off":
        touched = [line for line in lines if '"event":"seal"' not in line]
    else:
        touched.insert(at, lines[at].replace('"n":', '"n":9'))
    assert touched != lines
    done = verify(three, three.logs[0][1] + touched + three.logs[2][1])
    assert done.status == 1 and "purser-29000001-x" in done.err, done.text
    assert "purser-29000000-x" not in done.err and "purser-29000002-x" not in done.err


def test_without_the_sink_the_lines_alone_are_verified(three):
    done = verify(three, all_lines(three), "--offline", config=False)
    assert done.status == 0 and "was not asked" in done.out, done.text
    assert verify(three, all_lines(three), "--offline", config=False, secret=b"0" * 32).status == 1


def test_of_nothing_it_is_not_said_that_it_is_whole(three):
    for words in ([], ["--offline"], ["--offline", "--since", "1h"]):
        for lines in ([], ["error: no such container"]):
            done = verify(three, lines, *words)
            assert done.status == 1 and "no record of an audit" in done.err and "NOT as they were written" in done.out, done.text
    done = verify(three, [], "--since", "2100-01-01")
    assert done.status == 0, "no pod has run since"


def test_an_agent_that_was_killed_has_a_chain_of_its_own_and_so_has_the_next(pod):
    hunter(pod, script="call(); time.sleep(1000)")
    agent = ready(pod)
    one = pod.collect("one")
    wait_until(lambda: pod.api.requests and agent.audit("request"))
    agent.kill()
    one.wait()
    again = pod.agent()
    end(again)
    chains = {entry["chain"] for entry in agent.wait().audit() + again.audit()}
    assert len(chains) == 2
    done = verify(pod, [*agent.text.splitlines(), *again.text.splitlines()])
    assert done.status == 0 and "has no seal" in done.out, done.text
