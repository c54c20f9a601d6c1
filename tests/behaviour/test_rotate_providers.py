"""Rotation with each kind of provider, and of a person at a terminal."""

import time

import pytest
from promise import new_token
from providers import Buildkite, Circleci, Gitlab
from test_token import Terminal


def source(lab, kind, **keys):
    old, new = new_token(), new_token()
    api = kind(lab, old, new)
    lab.source("ci", kind.host, token=old, provider=kind.provider, **keys)
    return api, old, new


@pytest.mark.parametrize("kind", [Buildkite, Gitlab])
def test_a_provider_that_retires_by_itself(lab, kind):
    api, old, new = source(lab, kind)
    done = lab.purser("rotate", "ci", "--from-stdin", stdin=new)
    assert done.status == 0, done.text
    assert api.revoked == [old] and list(api.tokens) == [new]


def test_gitlabs_scopes_and_expiry_are_told_and_compared(lab):
    api, old, new = source(lab, Gitlab)
    told = lab.purser("rotate", "ci", "--dry-run").out
    assert "may: read_builds" in told and "expires 2027-10-28T00:00:00Z" in told
    api.add(new, scopes=["read_builds", "api"])
    done = lab.purser("rotate", "ci", "--from-stdin", stdin=new)
    assert done.status == 1 and "may do more than the old one: api" in done.err and api.revoked == []


def test_a_provider_without_such_a_call_leaves_it_to_the_person_and_resume_confirms(lab):
    api, old, new = source(lab, Circleci)
    done = lab.purser("rotate", "ci", "--from-stdin", stdin=new)
    assert done.status == 1 and "delete it in the settings of circleci now" in done.out, done.text
    assert "delete it at the provider, then `purser rotate ci --resume` confirms it" in done.err
    again = lab.purser("rotate", "ci", "--resume")
    assert again.status == 1 and "still works" in again.err, "it is not called retired"
    del api.tokens[old]
    done = lab.purser("rotate", "ci", "--resume")
    assert done.status == 0 and "the only one that works" in done.out, done.text


def test_revoke_without_such_a_call_asks_the_person_and_confirms(lab):
    api, old, _ = source(lab, Circleci)
    done = lab.purser("revoke", "ci")
    assert done.status == 1 and "delete it at the provider now" in done.err, done.text
    del api.tokens[old]
    assert lab.purser("revoke", "ci").status == 0


def test_a_person_at_a_terminal_types_it_unseen_and_is_waited_for(lab):
    api, old, new = source(lab, Circleci)
    terminal = Terminal(*map(str, lab.words("rotate", "ci")))
    terminal.wait_for("(not shown)")
    assert not terminal.echoes()
    terminal.type(new + "\n")
    terminal.wait_for("delete it in the settings of circleci now")
    time.sleep(3)
    del api.tokens[old]
    terminal.wait_for("the only one that works", seconds=20)
    assert terminal.end() == 0
    assert new.encode() not in terminal.shown and old.encode() not in terminal.shown


def test_a_keyring_with_a_passphrase_is_asked_for_it_once(lab):
    api, old, new = source(lab, Buildkite)
    for name in ("keyring", "keyring.key"):
        (lab.state / name).unlink()
    lab.more = "keyring: {passphrase: true}\n"
    lab.write()
    terminal = Terminal("/bin/sh", "-c", f"echo {old} | " + " ".join(map(str, lab.words("token", "set", "ci"))))
    for question in ("new keyring", "again"):
        terminal.wait_for(question)
        terminal.type("correct horse\n")
    assert terminal.end() == 0, terminal.shown
    (lab.folder / "fresh").write_text(new)
    terminal = Terminal(*map(str, lab.words("rotate", "ci", "--command", f"cat {lab.folder}/fresh")))
    terminal.wait_for("Passphrase of the keyring")
    terminal.type("correct horse\n")
    terminal.wait_for("the only one that works", seconds=200)
    assert terminal.end() == 0
    assert terminal.shown.count(b"Passphrase") == 1 and b"horse" not in terminal.shown
    assert list(api.tokens) == [new]
