"""docs/outages.md: a store that fails when a run ends; and that all of its rows are tests."""
import re
import time
from pathlib import Path

import pytest
from lab import Answer
from outages_world import ASK, bao, begin, configure, finish, server, start  # noqa: F401
from promise import HOST, wait_until


@pytest.mark.parametrize("how", ["down", "slow", "sealed"])
def test_end_a_store_that_is_away_does_not_hold_up_or_fail_the_run(lab, bao, how):
    begin(lab, ASK + "time.sleep(3)\n")
    configure(lab, bao, refresh="60s", maxStale="60s")
    process = start(lab)
    wait_until(lambda: lab.upstreams[HOST].requests, what="the request")
    {"down": bao.stop, "slow": bao.freeze, "sealed": bao.seal}[how]()
    try:
        began = time.monotonic()
        text = finish(process)
        assert process.returncode == 0 and time.monotonic() - began < 12, text
        report, _ = lab.last_run()
        assert report["status"] == "ok"
    finally:
        if how == "down":
            bao.start()
        bao.thaw()
        if how != "slow":
            bao.unseal()


# What is shown


def test_token_list_says_how_each_token_stands_and_nothing_of_it(lab, bao):
    lab.upstream("other.test", lambda request: Answer(200, b"other"))
    lab.source("other", "other.test", token="token-of-the-keyring-123")
    listed = lab.purser("token", "list", "--json")
    assert listed.status == 0, listed.text
    vault, keyring = listed.json["sources"]
    assert vault["store"] == "vault" and int(vault["version"]) > 0 and vault["fetched"] and vault["renewed"] == 0
    assert vault["calls"] == 2 and vault["expires"] is None and keyring["store"] == "keyring"
    text = lab.purser("token", "list").text
    assert "SOURCE" in text and bao.token_of_ci not in text + listed.text and "token-of-the" not in text + listed.text


def test_token_list_asks_the_purser_that_runs(lab, bao):
    begin(lab, "time.sleep(8)\n" + ASK)
    process = start(lab)
    wait_until(lambda: (lab.state / "tokens.json").exists() and lab.purser("token", "list", "--json").json["sources"][0][
        "calls"] >= 3, what="a second read, seen from outside")
    finish(process)
    assert bao.token_of_ci not in (lab.state / "tokens.json").read_text()


def test_every_row_of_the_table_is_tested():
    rows = re.findall(r"`(test_[a-z_0-9]+)`", (Path(__file__).parents[2] / "docs/outages.md").read_text())
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert rows and all(f"def {row}(" in tests for row in rows), rows
