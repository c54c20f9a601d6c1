"""A token of Vault's KV 2 that becomes another version: agents read the secret once an interval, whoever uses it, and find the
new one without a restart; also after OpenBao was away for a while."""

import signal
import time

import pytest
from lab import Answer
from outages_world import LOOP, bao, begin, configure, server  # noqa: F401  (fixtures)
from promise import HOST, new_token, said, wait_until

PATHS = ("secret/data/ci/api", "secret/data/ci/other")


@pytest.fixture
def versions(lab, bao):  # noqa: F811
    """Three sources of two secrets, whose API takes whatever there is, and tells which it was."""
    tokens = [bao.token_of_ci, new_token()]
    bao.put("ci/other", token=tokens[1])
    lab.upstreams[HOST].close()
    lab.upstream(HOST, lambda request: Answer(200, str(tokens.index(
        (request.header("Authorization") or "").removeprefix("Bearer "))).encode()))
    for name, path in (("api", PATHS[0]), ("twin", PATHS[0]), ("other", PATHS[1])):
        lab.source(name, HOST, token=None, tokenEnv=["API_TOKEN"])
        lab.sources[name]["token"] = {"vault": {"path": path}}
    configure(lab, bao, refresh="1s", maxStale="120s")
    for name in ("api", "twin", "other"):
        begin(lab, "ME = %r\n" % name + LOOP.format(seconds=300).replace("say(", "say(me=ME, "), name=name, sources=[name])
    return tokens


def now_used(lab, log):
    """{retriever: the token that its last call was made with}; every call has succeeded."""
    calls = said(log.read_text(errors="replace"))
    assert {call["status"] for call in calls} <= {200}, calls[-3:]
    return {call["me"]: int(call["body"]) for call in calls}


def test_a_new_version_is_noticed_by_one_read_of_each_path_an_interval_also_after_an_outage(lab, bao, versions):  # noqa: F811
    log = lab.folder / "load.log"
    with open(log, "wb") as out:
        process = lab.start("run", stdout=out, stderr=out)
    wait_until(lambda: now_used(lab, log) == {"api": 0, "twin": 0, "other": 1}, 60)

    def reads():
        return {path: len(bao.seen(path)) for path in PATHS}

    def bounded(begun, before):
        """No more than one read of each path an interval: 0.8 s at least, and the one that was under way."""
        most = (time.monotonic() - begun) / 0.8 + 2
        assert all(reads()[path] - before[path] <= most for path in PATHS), (before, reads(), most)

    begun, before = time.monotonic(), reads()
    versions.append(new_token())
    bao.put("ci/api", token=versions[2])
    wait_until(lambda: now_used(lab, log) == {"api": 2, "twin": 2, "other": 1}, 30)
    time.sleep(4)
    assert all(reads()[path] > before[path] for path in PATHS)
    bounded(begun, before)

    def failures():
        return len([event for event in lab.audit("token.fetch") if event.get("code") and event["source"] == "other"])

    begun, before = time.monotonic(), failures()
    bao.stop()
    wait_until(lambda: failures() >= before + 4, 60)
    tried = failures() - before
    assert time.monotonic() - begun > 0.5 * (2 ** (tried - 1) - 1), "after 1 s, 2, 4 ..., each half of it at least"
    bao.start()
    bao.unseal()
    begun, before = time.monotonic(), reads()
    versions.append(new_token())
    bao.put("ci/other", token=versions[3])
    wait_until(lambda: now_used(lab, log) == {"api": 2, "twin": 2, "other": 3}, 60)
    bounded(begun, before)
    assert len(bao.seen("auth/approle/login")) < 10
    process.send_signal(signal.SIGINT)  # ends the scripts
    process.wait(60)
    rotated = [event["source"] for event in lab.audit("token.rotate")]
    assert sorted(rotated) == ["api", "other", "twin"]
