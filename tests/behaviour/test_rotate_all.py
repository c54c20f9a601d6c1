"""`purser rotate --all`, rotation by `purser schedule`, and what `purser status` tells of tokens that will die."""

import json
import signal
import time

import pytest
from lab import Answer
from promise import new_token, wait_until
from providers import Buildkite, Circleci, Gitlab


class Kept:
    """One source at a provider of its own, whose command prints the token that was made for it."""

    def __init__(self, lab, name, kind=Buildkite, **keys):
        self.lab, self.name, self.old, self.new = lab, name, new_token(), new_token()
        host = f"{name}.test"
        self.api = type(name, (kind,), {"host": host})(lab, self.old, self.new)
        self.made = lab.folder / f"{name}.made"
        self.made.write_text(self.new + "\n")
        if "command" in keys.setdefault("rotate", {"command": ["cat", str(self.made)]}):
            keys["rotate"]["command"] = keys["rotate"]["command"] or ["cat", str(self.made)]
        base = {"buildkite": "/v2", "gitlab": "/api/v4", "circleci": "/api/v2"}[kind.provider]
        lab.source(name, host, token=self.old, provider=kind.provider, apiUrl=f"https://{host}{base}", **keys)


def rows(done):
    """The table at the end: {source: (result, sentence)}."""
    lines = done.out[done.out.index("SOURCE "):].splitlines()[1:]
    return {line.split()[0]: (line.split()[1], " ".join(line.split()[2:])) for line in lines}


def test_each_in_turn_and_one_that_fails_does_not_stop_the_others(lab):
    first, broken, last = Kept(lab, "first"), Kept(lab, "broken"), Kept(lab, "last")
    broken.made.unlink()
    done = lab.purser("rotate", "--all")
    assert done.status == 1, done.text
    assert {name: row[0] for name, row in rows(done).items()} == {"first": "rotated", "broken": "failed", "last": "rotated"}
    assert "the command failed" in rows(done)["broken"][1] and "1 of 3 sources failed" in done.err
    assert list(first.api.tokens) == [first.new] and list(last.api.tokens) == [last.new]
    assert broken.old in broken.api.tokens
    broken.made.write_text(broken.new)
    again = lab.purser("rotate", "--all", "--older-than", "30d")
    assert again.status == 0 and {row[0] for row in rows(again).values()} == {"young"}, again.text


def test_what_was_left_half_way_is_gone_on_with_and_what_needs_a_person_is_skipped(lab):
    half, typed = Kept(lab, "half"), Kept(lab, "typed", rotate={"olderThan": "30d"})
    half.api.mishap = "500"
    assert lab.purser("rotate", "half").status == 1
    lab.sources["minted"] = {"name": "minted", "apiUrl": "https://minted.test", "auth": "bearer", "policy": "lab-all", "token": {
        "oauth2": {"tokenUrl": "https://minted.test/token", "clientId": "c", "clientSecret": {"keyring": "half"}}}}
    lab.sources["again"] = {**lab.sources["half"], "name": "again"}
    lab.write()
    done = lab.purser("rotate", "--all")
    assert done.status == 0, done.text
    told = rows(done)
    assert {name: row[0] for name, row in told.items()} == {"half": "rotated", "typed": "skipped", "minted": "skipped",
                                                            "again": "skipped"}
    assert "its token is that of half" in told["again"][1] and "nobody is there to type" in told["typed"][1]
    assert list(half.api.tokens) == [half.new] and typed.api.revoked == []


def test_one_command_for_all_is_told_the_source_and_json_is_an_object_a_line(lab):
    kept = [Kept(lab, name, rotate={}) for name in ("one", "two")]
    done = lab.purser("rotate", "--all", "--json", "--command", f"cat {lab.folder}/$PURSER_SOURCE.made")
    assert done.status == 0, done.text
    told = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["source"], row["result"]) for row in told[-1]["sources"]] == [("one", "rotated"), ("two", "rotated")]
    assert {line["source"] for line in told[:-1]} == {"one", "two"}
    for one in kept:
        assert list(one.api.tokens) == [one.new]
        assert one.new not in done.text and one.old not in done.text


@pytest.mark.parametrize("words, sentence", [
    ((), "Say which source, or --all"),
    (("--all", "one"), "need not be named"),
    (("--all", "--from-stdin"), "One standard input"),
    (("--all", "--abort"), "of one source"),
])
def test_what_cannot_be_said_together(lab, words, sentence):
    Kept(lab, "one")
    done = lab.purser("rotate", *words)
    assert done.status == 2 and sentence in done.err, done.text


def test_dry_run_of_all_changes_nothing(lab):
    kept = [Kept(lab, "one"), Kept(lab, "two", kind=Circleci)]
    done = lab.purser("rotate", "--all", "--dry-run")
    assert done.status == 0 and {row[0] for row in rows(done).values()} == {"nothing"}, done.text
    assert all(one.old in one.api.tokens and one.api.revoked == [] for one in kept)


@pytest.mark.parametrize("rotate, sentence", [
    ({"schedule": "0 3 * * 1"}, "where a new token comes from"),
    ({"schedule": "0 3 * *", "command": ["x"]}, "schedule"),
    ({"olderThan": "1s", "command": ["x"]}, "'olderThan'"),
    ({"commmand": ["x"]}, "commmand"),
])
def test_what_is_wrong_in_the_configuration_is_told_with_its_place(lab, rotate, sentence):
    Kept(lab, "one", rotate={})
    lab.sources["one"]["rotate"] = rotate
    lab.write()
    done = lab.purser("check")
    assert done.status == 3 and sentence in done.err and "purser.yaml:2:" in done.err, done.text


def test_the_schedule_rotates_by_its_cron_line_and_a_running_retriever_sees_nothing_of_it(lab):
    """Over a real minute."""
    kept = Kept(lab, "one", rotate={"schedule": "* * * * *", "command": []})
    rotated = Kept(lab, "failing", rotate={"schedule": "* * * * *", "command": ["false"]})
    lab.retriever("each", script="""
        import os, time, urllib.request
        for _ in range(300):
            ask = urllib.request.Request("https://one.test/v2/organizations",
                                         headers={"Authorization": "Bearer " + os.environ["BUILDKITE_TOKEN"]})
            urllib.request.urlopen(ask).read()
            time.sleep(0.05)
        """, sources=["one"], schedule="* * * * *", jitter="0s")
    with open(lab.folder / "err", "wb") as err:
        schedule = lab.start("schedule", stderr=err)
    wait_until(lambda: kept.api.revoked, patience=150, what="a rotation by the clock")
    for said in ("the only one that works", "failing: its token was not rotated: the command failed (status 1)"):
        wait_until(lambda: said in (lab.folder / "err").read_text(), what=said)
    assert list(kept.api.tokens) == [kept.new] and kept.api.revoked == [kept.old]
    wait_until(lambda: len([token for token, _ in kept.api.used if token == kept.new]) > 20)
    assert {status for _, status in kept.api.used} == {200}
    assert rotated.old in rotated.api.tokens
    schedule.send_signal(signal.SIGINT)
    assert schedule.wait(40) == 0
    text = (lab.folder / "err").read_text()
    assert kept.old not in text and kept.new not in text


def test_status_tells_the_next_rotation_and_warns_before_a_token_dies(lab):
    kept = Kept(lab, "one", kind=Gitlab, rotate={"schedule": "0 3 * * *", "command": []})
    assert "Next rotation (of `purser schedule`): " in lab.purser("status").out
    soon = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 5 * 86400))
    answer = kept.api.answer
    kept.api.upstream.close()
    days = [soon]

    def dies(request):
        reply = answer(request)
        return Answer(reply.status, reply.body.replace(b"2027-10-28", days[0].encode()), reply.headers)

    lab.upstream("one.test", dies)
    lab.sources["one"]["connectTo"] = f"127.0.0.1:{lab.upstreams['one.test'].port}"
    lab.write()
    assert lab.purser("rotate", "one", "--older-than", "1d").status == 0  # young: asked, and left as it is
    said = lab.purser("status")
    assert f"WARNING: it expires in 4d" in said.out and "`purser rotate one`" in said.out, said.text
    told = lab.purser("status", "--json").json["tokens"][0]
    assert told["expires"] == f"{soon}T00:00:00Z" and told["nextRotation"].endswith("T03:00:00Z")
    days[0] = "2035-01-01"
    assert lab.purser("rotate", "one").status == 0
    said = lab.purser("status").out
    assert "It expires at 2035-01-01T00:00:00Z." in said and "WARNING" not in said
    days[0] = "2020-01-01"
    kept.made.write_text(kept.new)
    lab.purser("rotate", "one", "--older-than", "1d")
    assert "WARNING: it has expired" in lab.purser("status").out
    known = json.loads((lab.state / "rotate/one.json").read_text())
    assert set(known) == {"source", "asked", "account", "expires"}
