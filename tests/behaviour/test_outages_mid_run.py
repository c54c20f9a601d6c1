"""docs/outages.md: a store that fails while a script runs."""
import threading
import time

import pytest
from lab import Answer
from outages_world import LOOP, SPOILT, Front, Wire, bao, begin, configure, finish, server, start  # noqa: F401
from promise import HOST, new_token, said, wait_until


def run_through(lab, seconds, break_it):
    """What the script saw, and when the store was broken."""
    begin(lab, LOOP.format(seconds=seconds))
    process = start(lab)
    wait_until(lambda: len(lab.upstreams[HOST].requests) > 3, what="the first requests")
    broken = time.monotonic()
    break_it()
    text = finish(process)
    return said(text), broken, text


@pytest.mark.parametrize("how", ["down", "sealed", "slow"])
def test_mid_run_a_stale_token_is_used_no_longer_than_max_stale(lab, bao, how):
    breaks = {"down": bao.stop, "sealed": bao.seal, "slow": bao.freeze}
    try:
        seen, broken, text = run_through(lab, 14, breaks[how])
    finally:
        if how == "down":
            bao.start()
        bao.thaw()
        if how != "slow":
            bao.unseal()
    first_failure = next(s["at"] for s in seen if s["status"] != 200)
    assert 2 < first_failure - broken < 6, text
    last = seen[-1]
    assert last["status"] == 502 and "token-missing" in last["body"] and "maxStale" in last["body"], last


def test_mid_run_a_store_that_comes_back_is_used_again(lab, bao):
    def away_for_eight_seconds():
        bao.stop()
        threading.Timer(8, lambda: (bao.start(), bao.unseal())).start()

    seen, _, text = run_through(lab, 26, away_for_eight_seconds)
    states = [s["status"] for s in seen]
    assert states[0] == 200 and 502 in states and states[-1] == 200, text


@pytest.mark.parametrize("what", ["5xx", "429", "not JSON", "cut off", "10 MB"])
def test_mid_run_spoilt_answers_leave_the_token_until_max_stale(lab, bao, what):
    front = Front(bao, None)
    configure(lab, bao, front.address)
    seen, broken, text = run_through(lab, 8, lambda: setattr(front, "spoil", SPOILT[what][0]))
    front.close()
    failed = next(s["at"] for s in seen if s["status"] != 200)
    assert 2 < failed - broken < 6 and seen[-1]["status"] == 502, text
    assert SPOILT[what][1] in text, "the log says why, once"


def test_mid_run_a_store_whose_handshake_fails_breaks_off_no_answer_of_an_api(lab, bao):
    """Both are spoken to by one OpenSSL. The answers come in pieces of TLS records, so that most reads have to wait for more."""
    lab.upstreams[HOST].close()
    lab.upstream(HOST, lambda request: Answer(200, b"x" * 100_000))
    store, api = Wire(bao.port), Wire(lab.upstreams[HOST].port, 1000, 0.0005)
    lab.sources["api"]["connectTo"] = f"127.0.0.1:{api.port}"
    configure(lab, bao, f"https://localhost:{store.port}", maxStale="60s")
    begin(lab, """
client, end = Client(), time.monotonic() + 8
while time.monotonic() < end:
    reply = client.ask()
    say(status=reply.status, whole=reply.whole)
""")
    process = start(lab)
    wait_until(lambda: len(lab.upstreams[HOST].requests) > 3, what="the first requests")
    store.cut()
    text = finish(process)
    store.close()
    api.close()
    assert store.refused > 3, text
    assert {(s["status"], s["whole"]) for s in said(text)} == {(200, True)}, text
    assert lab.upstreams[HOST].connections == 1


def test_mid_run_a_403_leaves_the_token_until_max_stale(lab, bao):
    try:
        seen, broken, text = run_through(lab, 8, lambda: bao.policy("purser", **{"secret/data/other": ["read"]}))
    finally:
        bao.policy("purser", **{"secret/data/ci/*": ["read"]})
    failed = next(s["at"] for s in seen if s["status"] != 200)
    assert 2 < failed - broken < 6, text


def test_mid_run_a_deleted_secret_is_used_no_more(lab, bao):
    seen, broken, text = run_through(lab, 6, lambda: bao.call("DELETE", "secret/data/ci/api"))
    failed = next(s for s in seen if s["status"] != 200)
    assert failed["at"] - broken < 2.5 and "deleted" in failed["body"], text


def test_mid_run_a_changed_secret_is_used_without_a_failure(lab, bao):
    old, new = bao.token_of_ci, new_token()
    lab.upstreams[HOST].close()
    lab.upstream(HOST, lambda request: Answer(200, {f"Bearer {old}": b"old", f"Bearer {new}": b"new"}[
        request.header("Authorization")]))
    lab.sources["api"]["connectTo"] = f"127.0.0.1:{lab.upstreams[HOST].port}"
    lab.write()
    seen, _, text = run_through(lab, 6, lambda: bao.put("ci/api", token=new))
    assert {s["status"] for s in seen} == {200}, text
    bodies = [s["body"] for s in seen]
    assert bodies[0] == "old" and bodies[-1] == "new" and bodies == sorted(bodies, reverse=True)
