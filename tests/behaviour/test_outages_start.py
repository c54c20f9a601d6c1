"""docs/outages.md: a store that fails when a run starts."""
import json
import re
import time

import pytest
from lab import Answer
from outages_world import ASK, SPOILT, Front, bao, begin, configure, finish, server, start, throttled  # noqa: F401
from promise import HOST, said, wait_until
from upstream import Authority


@pytest.mark.parametrize("how", ["down", "sealed"])
def test_start_a_store_that_comes_back_within_half_a_minute_is_waited_for(lab, bao, how):
    begin(lab, ASK)
    bao.stop() if how == "down" else bao.seal()
    process = start(lab)
    try:
        time.sleep(2.5)
        assert process.poll() is None and not lab.upstreams[HOST].requests
    finally:
        if how == "down":
            bao.start()
        bao.unseal()
    text = finish(process)
    assert process.returncode == 0 and [s["status"] for s in said(text)] == [200], text
    assert re.search("cannot be reached" if how == "down" else "503.*sealed", text), "the log says it once"


def test_start_a_store_that_stays_down_fails_its_runs_after_half_a_minute_and_no_other(lab, bao):
    lab.upstream("other.test", lambda request: Answer(200, b"other"))
    lab.source("other", "other.test", token="token-of-the-keyring-123")
    begin(lab, ASK)
    begin(lab, "reply = Client(way='base').ask('/other/x') if False else None\nsay(other=1)\n", "other", ["other"])
    bao.stop()
    try:
        began = time.monotonic()
        process = start(lab)
        wait_until(lambda: any(json.loads(path.read_text())["status"] == "ok"
                               for path in (lab.state / "runs").glob("*/run.json")), patience=15,
                   what="the other retriever's run")
        assert process.poll() is None
        text = finish(process)
        assert 25 < time.monotonic() - began < 60 and process.returncode == 5, text
        assert "source api has no token" in text and "cannot be reached" in text
    finally:
        bao.start()
        bao.unseal()


def test_start_a_store_whose_every_read_hangs_holds_up_nobody_else(lab, bao):
    lab.upstream("other.test", lambda request: Answer(200, b"other"))
    lab.source("other", "other.test", token="token-of-the-keyring-123")
    begin(lab, ASK)
    begin(lab, "say(other=1)\n", "other", ["other"])
    bao.freeze()
    try:
        process = start(lab)
        wait_until(lambda: any(json.loads(path.read_text())["status"] == "ok"
                               for path in (lab.state / "runs").glob("*/run.json")), patience=15,
                   what="the other retriever's run")
        assert process.poll() is None
    finally:
        bao.thaw()
    text = finish(process)
    assert process.returncode == 0 and {"status": 200, "body": "ok"} in said(text), text


@pytest.mark.parametrize("what", ["403", "404"])
def test_start_a_definite_no_is_told_at_once(lab, bao, what):
    lab.sources["api"]["token"] = {"vault": {"path": "secret/data/elsewhere" if what == "403" else "secret/data/ci/none"}}
    lab.write()
    begin(lab, ASK)
    began = time.monotonic()
    text = finish(process := start(lab))
    assert process.returncode == 5 and f"({what})" in text and time.monotonic() - began < 15, text


@pytest.mark.parametrize("what", ["10 MB", "cut off", "not JSON"])
def test_start_an_answer_that_is_none_is_refused_with_a_sentence(lab, bao, what):
    spoil, says = SPOILT[what]
    front = Front(bao, spoil)
    configure(lab, bao, front.address)
    begin(lab, ASK)
    text = finish(process := start(lab), 90)
    front.close()
    assert process.returncode == 5 and says in text and "xxxx" not in text, text


def test_start_429_is_waited_for_as_long_as_the_store_asks(lab, bao):
    front = Front(bao, throttled)
    configure(lab, bao, front.address)
    begin(lab, ASK)
    process = start(lab)
    wait_until(lambda: front.passed >= 2, what="the first read")
    began, front.spoil = time.monotonic(), None
    text = finish(process)
    assert process.returncode == 0 and time.monotonic() - began > 1.5, text


@pytest.mark.parametrize("what, says", [("wrong CA", "a private CA is named by caFile"),
                                        ("expired", "it was valid until 20.*, and this machine's clock says 20.*set it right"),
                                        ("of tomorrow", "it is valid from 20.* on, and this machine's clock says 20.*set it right")])
def test_start_a_certificate_that_cannot_be_verified_sends_nothing(lab, bao, what, says, tmp_path):
    authority = Authority(tmp_path / "ca")
    front = Front(bao, None, authority.leaf("localhost", expired=what == "expired", tomorrow=what == "of tomorrow"))
    configure(lab, bao, front.address, ca=bao.ca if what == "wrong CA" else authority.bundle)
    begin(lab, ASK)
    text = finish(process := start(lab), 90)
    front.close()
    assert process.returncode == 5 and "cannot be verified" in text and re.search(says, text), text
    assert ("waiting for it" in text) == (what != "wrong CA"), "who signed it does not change; a clock may be set right"
    assert front.passed == 0
