"""The private key of a GitHub App: several may live at once, GitHub has no call that deletes one."""

import json
import re
import subprocess
import time

import pytest
from hunt import needles, search_files
from lab import Answer
from promise import HOST
from test_minted import GitHub, Keys, app, run
from test_token import Terminal


class Apps(GitHub):
    """GitHub's endpoints for an App, which takes what any of its keys has signed."""

    def __init__(self, lab, *keys, **more):
        self.alive = list(keys)
        super().__init__(lab, keys[0], **more)

    def signed(self, jwt):
        for keys in self.alive:
            try:
                claims = keys.claims(jwt)
            except AssertionError:
                continue
            now = time.time() + self.clock
            if claims["iss"] == "4711" and claims["iat"] <= now < claims["exp"] <= now + 600:
                return keys
        return None

    def route(self, request, sent):
        if request.target == "/app" and request.method == "GET":
            return Answer(200, b'{"id": 4711, "slug": "ci"}') if self.signed(sent) else Answer(401, b'{"message": "A JSON web token could not be decoded"}')
        return super().route(request, sent)

    def mint(self, request, jwt):
        keys = self.signed(jwt)
        if not keys:
            return Answer(401, b'{"message": "A JSON web token could not be decoded"}')
        self.keys = keys
        return super().mint(request, jwt)


def key(lab, name):
    """A second one, of the same kind."""
    (lab.folder / name).mkdir()
    made = Keys.__new__(Keys)
    made.private, made.public, made.kind = lab.folder / name / "rsa.key", lab.folder / name / "rsa.pub", "rsa"
    lab.openssl("genrsa", "-traditional", "-out", str(made.private), "2048")
    lab.openssl("pkey", "-in", str(made.private), "-pubout", "-out", str(made.public))
    made.private.chmod(0o600)
    return made


def fingerprint(keys):
    """As GitHub's documentation has it."""
    der = subprocess.run(["openssl", "rsa", "-in", keys.private, "-pubout", "-outform", "DER"], capture_output=True, check=True).stdout
    digest = subprocess.run(["openssl", "sha256", "-binary"], input=der, capture_output=True, check=True).stdout
    return subprocess.run(["openssl", "base64"], input=digest, capture_output=True, check=True).stdout.decode().strip()


class World:
    def __init__(self, lab, store="file", clock=0):
        self.lab = lab
        self.old, self.new = Keys(lab, "rsa"), key(lab, "new")
        self.old_pem, self.new_pem = self.old.private.read_text(), self.new.private.read_text()
        self.github = Apps(lab, self.old, self.new, clock=clock)
        kept = lab.folder / "app.key"
        kept.write_text(self.old_pem)
        kept.chmod(0o600)
        self.old.private.unlink()
        app(lab, self.old)
        lab.sources["api"]["provider"] = "github"
        lab.sources["api"].pop("auth")
        lab.sources["api"]["token"]["githubApp"]["privateKey"] = {"file": str(kept)} if store == "file" else {"keyring": "app-key"}
        lab.write()
        self.kept = kept
        if store == "keyring":
            kept.unlink()
            done = lab.purser("token", "set", "app-key", stdin=self.old_pem)
            assert done.status == 0, done.text

    def rotate(self, *args, pem=None, **more):
        given = [] if set(args) & {"--resume", "--abort", "--dry-run", "--command"} else ["--from-stdin"]
        return self.lab.purser("rotate", "api", *given, *args, stdin=pem or self.new_pem, **more)

    def mints(self):
        """With which key a run's token is minted now."""
        done = run(self.lab)
        assert [s["status"] for s in done.said] == [200], done.text
        return self.github.keys


@pytest.mark.parametrize("store", ["file", "keyring"])
def test_the_new_key_is_proven_by_minting_and_the_old_one_deleted_by_hand(lab, store):
    world = World(lab, store)
    assert world.mints() is world.old
    minted = len(world.github.minted)
    done = world.rotate()
    assert done.status == 1, done.text
    assert len(world.github.minted) == minted + 1 and world.github.revoked[-1] == world.github.minted[-1], "for the proof alone"
    print_ = fingerprint_of(world.old_pem, lab)
    assert f"the old token (SHA256:{print_}), by hand: delete it in the settings of the GitHub App now" in done.out, done.out
    assert "delete it at the provider, then `purser rotate api --resume` confirms it" in done.err
    assert world.mints() is world.new, "agents use the new one meanwhile"
    again = world.rotate("--resume")
    assert again.status == 1 and "still works" in again.err, "it is not called retired"
    world.github.alive.remove(world.old)
    done = world.rotate("--resume")
    assert done.status == 0 and "the only one that works" in done.out, done.text
    if store == "file":
        assert world.kept.read_text() == world.new_pem
    journal = (lab.state / "rotate/api.journal").read_text()
    for pem in (world.old_pem, world.new_pem):
        secret = "".join(pem.splitlines()[3:9])
        assert secret[:40] not in journal + done.text
        assert [hit for hit in search_files(lab.state, needles(secret))[0]] == []


def fingerprint_of(pem, lab):
    path = lab.folder / "print.key"
    path.write_text(pem)
    keys = Keys.__new__(Keys)
    keys.private = path
    found = fingerprint(keys)
    path.unlink()
    return found


@pytest.mark.parametrize("what, sentence", [
    ("no key", "no private key that can sign"),
    ("another app's", "does not work"),
    ("no installation", "minted no token"),
])
def test_a_key_that_proves_nothing_changes_nothing(lab, what, sentence):
    world = World(lab)
    pem = world.new_pem
    if what == "no key":
        pem = "ghp_a-personal-token-of-somebody"
    elif what == "another app's":
        world.github.alive.remove(world.new)
    else:
        world.github.mint = lambda request, jwt: Answer(404, b'{"message": "Not Found"}')
    done = world.rotate(pem=pem)
    assert done.status == 1 and sentence in done.text, done.text
    assert world.kept.read_text() == world.old_pem and not list(lab.folder.glob("app.key.purser-[no]*"))
    assert "switch" not in done.out


def test_abort_goes_back_to_the_old_key(lab):
    world = World(lab)
    assert world.rotate().status == 1
    world.github.alive.remove(world.new)  # which the person deletes at GitHub
    done = world.rotate("--abort")
    assert done.status == 0 and world.kept.read_text() == world.old_pem, done.text
    assert world.mints() is world.old


def test_a_clock_that_is_wrong_calls_no_key_dead(lab):
    """An hour ahead: GitHub takes no JWT of ours, and says what time it is."""
    world = World(lab, clock=3600)
    done = world.rotate()
    assert done.status == 1 and "the old one still works" in done.err, done.text
    world.github.alive.remove(world.old)
    assert world.rotate("--resume").status == 0


def test_a_command_prints_it_and_dry_run_and_all_know_it(lab):
    world = World(lab)
    dry = world.rotate("--dry-run")
    assert dry.status == 0 and "account 4711" in dry.out, dry.text
    lab.sources["api"]["rotate"] = {"command": ["cat", str(world.new.private)]}
    lab.write()
    done = lab.purser("rotate", "--all", "--json")
    result = json.loads(done.out.splitlines()[-1])["sources"][0]
    assert done.status == 1 and "still works" in result["message"], done.text
    assert world.kept.read_text() == world.new_pem
    world.github.alive.remove(world.old)
    again = lab.purser("rotate", "--all")
    assert again.status == 0 and re.search(r"^api +rotated", again.out, re.M), again.text


def test_a_key_is_not_typed_and_the_terminal_is_told_how_to_give_it(lab):
    world = World(lab)
    terminal = Terminal(*map(str, lab.words("rotate", "api")))
    terminal.wait_for("--from-stdin")
    assert terminal.end() == 1
    assert world.kept.read_text() == world.old_pem
