"""A rotation where nobody sits and the keyring does not open: no terminal to ask for its passphrase on, a wrong one, a key that is
missing, wrong, or that others may read. It ends with a sentence and a status, and has touched nothing: not the keyring, not the
provider, and what would have made a new token was not asked for one."""

import os
import re
import subprocess

import pytest
from promise import new_token, wait_until
from providers import BUILDKITE, Buildkite
from test_token import Terminal

PASSPHRASE = "correct horse"


class Closed:
    """A source whose token is in a keyring, and a command that would print a new one, and leaves a trace."""

    def __init__(self, lab):
        self.lab, self.old, self.new = lab, new_token(), new_token()
        self.api = Buildkite(lab, self.old, self.new)
        self.keyring, self.key, self.trace = lab.state / "keyring", lab.state / "keyring.key", lab.folder / "asked-for-one"
        (lab.folder / "new").write_text(self.new)
        lab.source("ci", BUILDKITE, token=self.old, provider="buildkite",
                   rotate={"schedule": "* * * * *", "command": ["/bin/sh", "-c", f"touch {self.trace}; cat {lab.folder}/new"]})

    def with_passphrase(self):
        self.keyring.unlink()
        self.key.unlink()
        self.lab.more = "keyring: {passphrase: true}\n"
        self.lab.write()
        (self.lab.folder / "old").write_text(self.old)
        status, shown = self.at_terminal("token set ci --host " + BUILDKITE, ("new keyring", PASSPHRASE), ("again", PASSPHRASE),
                                         stdin=self.lab.folder / "old")
        assert status == 0, shown
        return self

    def at_terminal(self, command, *answers, stdin="/dev/null"):
        command, *args = command.split()
        terminal = Terminal("/bin/sh", "-c", " ".join(map(str, self.lab.words(command, *args))) + f" <{stdin}")
        for question, answer in answers:
            terminal.wait_for(question, seconds=60)
            terminal.type(answer + "\n")
        return terminal.end(), terminal.shown.decode()

    def alone(self, *args):
        """As cron has it: no terminal at all."""
        return subprocess.run([str(word) for word in self.lab.words("rotate", *args)], stdin=subprocess.DEVNULL, timeout=100,
                              capture_output=True, text=True, cwd=self.lab.folder, start_new_session=True)

    def all_there_is(self):
        return self.keyring.read_bytes(), self.key.read_bytes() if self.key.exists() else None

    def untouched(self, before):
        assert self.all_there_is() == before
        assert not self.trace.exists(), "nobody was asked for a new token"
        assert self.api.asked == 0 and self.api.used == [] and self.api.revoked == []
        journal = self.lab.state / "rotate/ci.journal"
        assert not journal.exists() or journal.read_text() == ""
        assert not [path for path in self.lab.state.rglob("*") if path.is_file() and self.old.encode() in path.read_bytes()]


@pytest.fixture
def closed(lab):
    return Closed(lab)


@pytest.mark.parametrize("way", [("ci",), ("--all",), ("ci", "--resume")])
def test_no_terminal_to_ask_for_the_passphrase_on(closed, way):
    before = closed.with_passphrase().all_there_is()
    done = closed.alone(*way)
    assert done.returncode == 1, done
    assert "there is no terminal to ask for the passphrase on: use a key file where nobody sits" in done.stdout + done.stderr
    closed.untouched(before)


@pytest.mark.parametrize("said, sentence", [("battery staple", "the passphrase is wrong"), ("", "the passphrase is empty")])
def test_a_passphrase_that_is_not_the_keyrings(closed, said, sentence):
    before = closed.with_passphrase().all_there_is()
    status, shown = closed.at_terminal("rotate ci", ("of the keyring", said))
    assert status == 1 and sentence in shown, shown
    closed.untouched(before)


def lose(key):
    key.rename(key.with_name("aside"))


def replace(key):
    key.write_bytes(os.urandom(32))


def open_up(key):
    key.chmod(0o644)


def cut(key):
    key.write_bytes(b"")


@pytest.mark.parametrize("spoil, sentence", [(lose, "is missing"), (replace, "the key file is wrong"), (open_up, "0644"),
                                             (cut, "key file")])
@pytest.mark.parametrize("way", [("ci",), ("--all",)])
def test_a_key_file_that_does_not_open_the_keyring(closed, spoil, sentence, way):
    spoil(closed.key)
    before = closed.all_there_is()
    done = closed.alone(*way)
    assert done.returncode == 1 and sentence in done.stdout + done.stderr, done
    closed.untouched(before)


@pytest.mark.long
def test_the_schedule_says_so_in_its_log_and_goes_on(closed):
    """Over a real minute. Its keeper was given the passphrase; a rotation beside it has nobody to ask."""
    before = closed.with_passphrase().all_there_is()
    closed.lab.retriever("once-a-year", script="print('ran')\n", sources=["ci"], schedule="0 0 1 1 *")
    log = closed.lab.folder / "log"
    words = " ".join(map(str, closed.lab.words("schedule")))
    terminal = Terminal("/bin/sh", "-c", f"echo $$ >{closed.lab.folder}/pid; exec {words} 2>{log}")
    terminal.wait_for("of the keyring", seconds=60)
    terminal.type(PASSPHRASE + "\n")
    sentence = re.compile("ci: its token was not rotated: .*the keyring has a passphrase, and nobody is there to type it")
    wait_until(lambda: log.exists() and sentence.search(log.read_text()), patience=200, what="a rotation by the clock")
    closed.untouched(before)
    os.kill(int((closed.lab.folder / "pid").read_text()), 15)
    assert terminal.end() == 0, log.read_text()
    assert closed.old not in log.read_text() and PASSPHRASE not in log.read_text()
