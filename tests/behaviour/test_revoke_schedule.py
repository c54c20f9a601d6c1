"""`purser revoke SOURCE` while `purser schedule` runs: who runs and who starts later are refused, `purser status` says it, and a
new token makes it work again; nothing is started anew."""

import pytest
from hunt import needles, search_files
from promise import wait_until
from rotate_world import ASK, Rotation, heard
from scheduled import Scheduled, push_back


def only_status(lab):
    return lab.purser("status").out, lab.purser("status", "--json").json["tokens"][0]


def test_a_schedule_that_is_started_while_it_is_revoked_waits_for_the_new_token(lab):
    """Each run is refused until then, and none is given up."""
    rotation = Rotation(lab, "keyring")
    lab.retriever("ask", script="print('RAN')\n", sources=["ci"], schedule="* * * * *", jitter="0s")
    assert lab.purser("run", "ask").status == 0
    push_back(lab)
    assert rotation.rotate(command="revoke").status == 0
    schedule = Scheduled(lab)
    schedule.wait_for("ask: no-token")
    assert "was revoked at 20" in schedule.err and "start purser again" not in schedule.err, schedule.err
    assert "RAN" not in schedule.err and schedule.end() == 0


@pytest.mark.long
def test_the_running_lease_and_each_later_one_are_refused_until_there_is_a_new_token(lab):
    """Over a real minute, which is when the next run starts."""
    rotation = Rotation(lab, "keyring")
    lab.retriever("ask", script=ASK, sources=["ci"], schedule="* * * * *", jitter="0s",
                  env=[{"name": "ANSWERS", "value": "1"}, {"name": "SECONDS", "value": "300"}])
    assert lab.purser("run", "ask").status == 0
    push_back(lab)
    lab.retrievers[0]["env"][0]["value"] = "3"
    lab.retriever("later", script="print('LATER RAN')\n", sources=["ci"], schedule="* * * * *", jitter="0s")
    schedule = Scheduled(lab)
    log = lab.folder / "schedule.err"
    wait_until(lambda: len(heard(log)) == 1 and len(rotation.api.used) > 20, 60)

    rotation.api.mishap = "lies"  # the provider still takes it, so that it is purser who refuses
    done = rotation.rotate(command="revoke")
    assert done.status == 1 and "gives it out no more, but the old token still works" in done.err, done.text
    wait_until(lambda: len(heard(log)) == 2, 30)
    assert heard(log)[1][:2] == (403, "token-revoked")
    used, before = len(rotation.api.used), log.read_text().count("later: ")
    text, token = only_status(lab)
    assert "A revocation was left half way" in text and token["revoking"] and token["revoked"], text
    assert rotation.rotate(command="revoke").status == 0
    text, token = only_status(lab)
    assert "It was revoked" in text and "`purser token set ci`" in text and "last rotation" not in text, text
    assert token["revoked"] and not token["revoking"] and "was revoked at 20" in token["missing"] and not token["rotated"], token

    wait_until(lambda: "later: no-token" in log.read_text()[before:], 90)
    assert "was revoked at 20" in log.read_text() and "LATER RAN" not in log.read_text().split("no-token")[-1]
    assert len(rotation.api.used) == used and rotation.old not in rotation.api.tokens

    assert lab.purser("token", "set", "ci", stdin=rotation.new).status == 0
    wait_until(lambda: len(heard(log)) == 3, 90)
    assert heard(log)[2][:2] == (200, "200") and {token for token, _ in rotation.api.used[used:]} == {rotation.new}
    text, token = only_status(lab)
    assert "revoked" not in text.split("Tokens:")[1] and not token["revoked"] and not token["missing"], text
    assert schedule.process.poll() is None and schedule.end() == 0
    assert lab.purser("audit", "verify").status == 0
    assert "token-revoked" in [event.get("code") for event in lab.audit("token.fetch")]
    assert search_files(lab.state, needles(rotation.old) | needles(rotation.new))[0] == []
