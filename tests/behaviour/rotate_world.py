"""Rotations in each place where a token may lie: the keyring, a file, KV 1 and KV 2 of a real OpenBao, a Secret of a real API
server. What is given out, what is staged beside it, who holds the lock; a process that dies at a system call; who asks
meanwhile. For test_rotate*.py, test_revoke.py and test_promise_17_rotation.py."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from bao import Bao, Refused
from hunt import needles, search_files
from kube import Kube
from lab import Finished
from promise import new_token, wait_until
from providers import BUILDKITE, Buildkite

GOES_ON = {"--resume", "--abort", "--status", "--dry-run", "--command"}


class Rotation:
    """A source whose token is OLD, with NEW made at the provider already: of the keyring, or of a file."""

    kind = Buildkite
    login = ()  # of the person, for a store

    def __init__(self, lab, store):
        self.lab, self.store, self.yaml = lab, store, lab.folder / "purser.yaml"
        self.old, self.new = new_token(), new_token()
        self.api = self.kind(lab, self.old, self.new)
        self.file = lab.folder / "token"
        self.make()

    def make(self):
        self.lab.source("ci", BUILDKITE, token=self.old, provider="buildkite")
        if self.store == "file":
            self.file.write_text(self.old + "\n")
            self.file.chmod(0o640)
            self.lab.sources["ci"]["token"] = {"file": str(self.file)}
            self.lab.write()

    # The command

    def words(self, *args, command="rotate", login=None):
        given = [] if command == "revoke" or set(args) & GOES_ON else ["--from-stdin"]
        login = self.login if login is None else login
        return [str(word) for word in [*self.lab.words(command, "ci", *login, *given, *args)[:-1], self.yaml]]

    def rotate(self, *args, token=None, env=None, timeout=100, **more):
        done = subprocess.run(self.words(*args, **more), input=(token or self.new).encode(), capture_output=True, timeout=timeout,
                              env={**os.environ, **(env or {})}, cwd=self.lab.folder)
        return Finished(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), self.lab)

    def start(self, *args, before=(), env=None):
        """One that is not waited for; `before` are the words of who starts it."""
        process = subprocess.Popen([*map(str, before), *self.words(*args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})}, cwd=self.lab.folder)
        self.lab.processes.append(process)
        process.stdin.write(self.new)
        process.stdin.close()
        process.stdin = None
        return process

    def elsewhere(self):
        """Another machine from here on: with a state folder of its own, and nothing else in common but the store."""
        self.lab.state, first = self.lab.folder / "state-elsewhere", self.lab.state
        self.yaml = self.lab.folder / "elsewhere.yaml"
        self.yaml.write_text((self.lab.folder / "purser.yaml").read_text().replace(str(first), str(self.lab.state)))
        return first

    def back(self, first):
        self.lab.state, self.yaml = first, self.lab.folder / "purser.yaml"

    # What there is

    def used(self):
        """What a run is given: the API says which token came."""
        before = len(self.api.used)
        done = self.lab.run_script("""
            import os, urllib.request
            ask = urllib.request.Request("https://api.buildkite.com/v2/organizations",
                                         headers={"Authorization": "Bearer " + os.environ["BUILDKITE_TOKEN"]})
            urllib.request.urlopen(ask)
            """, name="look", sources=["ci"])
        assert len(self.api.used) > before, done.text
        return self.api.used[-1][0]

    current = used

    def journal(self):
        path = self.lab.state / "rotate/ci.journal"
        return [line.split(" ", 4) for line in path.read_text().splitlines()] if path.exists() else []

    def steps(self):
        return [line[2] for line in self.journal()]

    def age(self):
        """As if the lock's holder had not been heard of for two minutes; the kernel's lock ends with its holder."""

    def nothing_staged(self):
        assert not list(self.lab.folder.glob("token.purser-[now]*"))
        if not (self.lab.state / "keyring").exists():  # another machine's, for a file
            return
        program = self.lab.prefix / "libexec/purser/purser-token"
        done = subprocess.run([program, "list", "--json", "--path", self.lab.state / "keyring", "--key-file",
                               self.lab.state / "keyring.key"], capture_output=True, text=True)
        assert [entry["name"] for entry in json.loads(done.stdout)] == ["ci"], done.stderr

    def told(self):
        """What was written down of it outside the two files that are its own."""
        return ""

    def check_ended(self, kept):
        """One token lives, it is the one in the store, nothing else is there, and no secret was written."""
        assert self.current() == kept
        assert list(self.api.tokens) == [kept]
        self.nothing_staged()
        self.check_no_secret()

    def check_no_secret(self):
        wanted = {}
        for token in (self.old, self.new):  # of a very long one its two ends, which is quicker
            wanted |= needles(token[:64]) | needles(token[-64:])
        assert not [needle for needle in wanted if needle in self.told().encode()]
        for state in self.lab.folder.glob("state*"):
            assert search_files(state, wanted)[0] == []

    def check_one_works(self, done, told=True):
        """After whatever has happened, and --resume or --abort: the token in the store works, and no other; nothing is
        staged; the journal ends. Only where nothing had been staged the new one still lives: then the person is told."""
        kept = self.current()
        assert kept in self.api.tokens, done.text
        self.nothing_staged()
        steps = self.steps()
        assert not steps or steps[-1] == "end", (steps, done.text)
        if len(self.api.tokens) > 1:
            assert kept == self.old and "switch" not in steps, (steps, done.text)
            assert not told or "stage" not in steps or "nothing had been changed" in done.out or \
                "nothing is staged" in done.out, (steps, done.text)
        self.check_no_secret()

    def again(self):
        """From the beginning, with two other tokens."""
        self.old, self.new = new_token(), new_token()
        for name in ("rotate", "keyring", "keyring.key", "keyring.lock"):
            path = self.lab.state / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for path in self.lab.folder.glob("token*"):
            path.unlink()
        self.api.restart(self.old, self.new)
        self.make()
        return self


class Shared(Rotation):
    """In a store that other machines share: its lock is let go by its holder, or taken over after a minute."""

    def __init__(self, lab, server, name):
        self.server, self.name = server, name
        super().__init__(lab, None)

    @property
    def beside(self):
        """What lies beside the token."""
        return {"hosts": self.api.host, "other": "stays as it is"}

    def make(self):
        self.put(token=self.old, **self.beside)

    def again(self):
        self.old, self.new = new_token(), new_token()
        shutil.rmtree(self.lab.state / "rotate", ignore_errors=True)
        self.api.restart(self.old, self.new)
        self.make()
        return self

    def current(self):
        return (self.data() or {}).get("token")

    def check_ended(self, kept):
        assert self.data() == {"token": kept, **self.beside}
        super().check_ended(kept)


class VaultRotation(Shared):
    """KV 2. Agents may read the secret, and nothing else."""

    engine = 2

    def __init__(self, lab, bao, name="api", refresh="4s"):
        self.refresh, self.bao = refresh, bao
        self.paths(name)
        super().__init__(lab, bao, name)
        self.set_up()

    def paths(self, name):
        self.main, self.side_path = f"secret/data/ci/{name}", f"secret/data/ci/{name}.purser-rotation"
        self.gone = f"secret/destroy/ci/{name}.purser-rotation"

    def rights(self):
        """As docs/rotation.md has it."""
        return {self.main: ["read", "update"], self.side_path: ["create", "read", "update"], self.gone: ["update"]}

    def mount(self):
        if "secret/" not in self.bao.call("GET", "sys/mounts")["data"]:
            self.bao.kv()

    def put(self, **data):
        self.mount()
        self.bao.put(f"ci/{self.name}", **data)

    def set_up(self):
        lab, bao = self.lab, self.bao
        bao.policy(f"agent-{self.name}", **{self.main: ["read"]})
        bao.policy(f"writer-{self.name}", **self.rights())
        role, secret = bao.approle(policy=f"agent-{self.name}", name=f"purser-{self.name}")
        self.writer = lab.folder / "writer"
        for path, text in ((lab.folder / "secret-id", secret), (self.writer, self.token_of("writer"))):
            path.write_text(text + "\n")
            path.chmod(0o600)
        self.login = ["--vault-token", self.writer]
        lab.source("ci", self.api.host, token=None, provider=self.api.provider)
        lab.sources["ci"]["token"] = {"vault": {"path": self.main, "key": "token"}}
        settings = {"address": bao.address, "caFile": str(bao.ca), "refresh": self.refresh,
                    "auth": {"approle": {"roleId": role, "secretId": {"file": str(lab.folder / "secret-id")}}}}
        lab.more = f"vault: {json.dumps(settings)}\n"
        lab.write()

    def token_of(self, who):
        return self.bao.call("POST", "auth/token/create", {"policies": [f"{who}-{self.name}"], "ttl": "1h"})["auth"]["client_token"]

    def read(self, path):
        try:
            data = self.bao.call("GET", path)["data"]
            return data["data"] if self.engine == 2 else data
        except Refused as refused:
            assert refused.status == 404
            return None

    def data(self):
        return self.read(self.main)

    def side(self):
        """The lock and the story; in KV 2 with what is staged."""
        return self.read(self.side_path)

    def write_side(self, data):
        self.bao.call("POST", self.side_path, {"data": data})

    @staticmethod
    def aged(data):
        return {**data, "beat": str(int(data["beat"]) - 120_000_000)}

    def age(self):
        """By check-and-set, as all writes here: the dead one's last may be under way still."""
        def done():
            try:
                found = self.bao.call("GET", self.side_path)["data"]
                if found["data"]["holder"]:
                    self.bao.call("POST", self.side_path, {"data": self.aged(found["data"]),
                                                           "options": {"cas": found["metadata"]["version"]}})
            except Refused as refused:
                assert refused.status in (400, 404), refused
                return refused.status == 404
            return True
        wait_until(done)

    def holder(self):
        return (self.side() or {}).get("holder", "")

    def told(self):
        return (self.side() or {}).get("journal", "")

    def nothing_staged(self):
        """Of the versions that held tokens none is left; what was made anew is the story, and no lock."""
        side = self.side()
        if side is None:
            return
        assert side["holder"] == "" and not {"old", "new", "first"} & set(side)
        for version in self.bao.call("GET", f"secret/metadata/ci/{self.name}.purser-rotation")["data"]["versions"]:
            kept = self.read(f"{self.side_path}?version={version}") or {}  # or it is destroyed
            assert "old" not in kept and "new" not in kept, version


class Kv1Rotation(VaultRotation):
    """No check-and-set: the lock is a secret of its own."""

    engine = 1

    def paths(self, name):
        self.main, self.staged, self.side_path = (f"kv/ci/{name}{end}" for end in ("", ".purser-rotation", ".purser-lock"))

    def rights(self):
        return {self.main: ["read", "update"], self.staged: ["create", "read", "update", "delete"],
                self.side_path: ["create", "read", "update", "delete"]}

    def mount(self):
        if "kv/" not in self.bao.call("GET", "sys/mounts")["data"]:
            self.bao.kv(version=1, mount="kv")

    def put(self, **data):
        self.mount()
        self.bao.call("POST", self.main, data)

    def age(self):
        data = self.side()
        if data and data["holder"]:
            self.bao.call("POST", self.side_path, self.aged(data))

    def nothing_staged(self):
        assert self.read(self.staged) is None and self.holder() == ""


def role_of(name):
    """The Role of docs/rotation.md."""
    side = f"{name}.purser-rotation"
    return [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get", "patch"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [side], "verbs": ["get", "create", "patch", "delete"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [side],
             "verbs": ["get", "create", "update"]}]


class SecretRotation(Shared):
    """A Secret. Agents' account may get it; a rotator's Role names each object that it may write."""

    secrets, leases = "/api/v1/namespaces/ci/secrets", "/apis/coordination.k8s.io/v1/namespaces/ci/leases"

    def __init__(self, lab, kube, name="github"):
        self.main, self.side, self.lease = (f"{self.secrets}/{name}", f"{self.secrets}/{name}.purser-rotation",
                                            f"{self.leases}/{name}.purser-rotation")
        self.kube = kube
        for account in ("purser", "rotator"):
            kube.account("ci", f"{account}-{name}")
        super().__init__(lab, kube, name)
        self.role("rotator", role_of(name))
        self.agent, self.rotator = lab.folder / "agent-token", lab.folder / "rotator-token"
        for path, account in ((self.agent, "purser"), (self.rotator, "rotator")):
            path.write_text(kube.token("ci", f"{account}-{name}"))
            path.chmod(0o600)
        self.login = self.login_of(self.kubeconfig("rotator", self.rotator))
        lab.source("ci", BUILDKITE, token=None, provider="buildkite")
        lab.sources["ci"]["token"] = {"kubernetes": {"secretName": name, "key": "token"}}
        self.agents(refresh="2s")

    def agents(self, refresh, verbs=("get",)):
        self.role("purser", [{**role_of(self.name)[0], "verbs": list(verbs)}])
        settings = {"address": self.kube.address, "caFile": str(self.kube.ca), "namespace": "ci", "tokenFile": str(self.agent),
                    "refresh": refresh}
        self.lab.more = f"kubernetes: {json.dumps(settings)}\n"
        self.lab.write()

    def role(self, account, rules):
        self.kube.make("/apis/rbac.authorization.k8s.io/v1/namespaces/ci/roles", "Role", f"{account}-{self.name}", rules=rules)

    def kubeconfig(self, name, token, inline=False):
        path = self.lab.folder / f"{name}.kubeconfig"
        ca = base64.b64encode(self.kube.ca.read_bytes()).decode()
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "elsewhere",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "not-ours"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.kube.address, "certificate-authority-data": ca}}],
            "users": [{"name": "u", "user": {"token": token.read_text()} if inline else {"tokenFile": str(token)}}]}))
        path.chmod(0o600)
        return path

    @staticmethod
    def login_of(kubeconfig):
        return ["--kubeconfig", kubeconfig, "--context", "here"]

    def put(self, **data):
        self.kube.secret("ci", self.name, **data)

    def get(self, path):
        try:
            return self.kube.call("GET", path)
        except Refused as refused:
            assert refused.status == 404
            return None

    def data(self, path=None):
        got = self.get(path or self.main)
        return got and {key: base64.b64decode(value).decode() for key, value in got.get("data", {}).items()}

    def holder(self):
        return (self.get(self.lease) or {"spec": {}})["spec"].get("holderIdentity", "")

    def age(self):
        if self.holder():
            past = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - 120))
            self.kube.call("PATCH", self.lease, {"spec": {"renewTime": past}})

    def told(self):
        return json.dumps(self.get(self.lease))

    def nothing_staged(self):
        assert self.get(self.side) is None and self.holder() == ""

    def take_away(self):
        for path in (self.side, self.lease, self.main):
            try:
                self.kube.call("DELETE", path)
            except Refused as refused:
                assert refused.status == 404


# Fixtures, for the tests' own files to import


@pytest.fixture(scope="module")
def bao_server():
    made = Bao()
    yield made
    made.close()


@pytest.fixture(scope="module")
def kube_server():
    made = Kube()
    yield made
    made.close()


@pytest.fixture(params=["keyring", "file"])
def rotation(lab, request):
    return Rotation(lab, request.param)


@pytest.fixture
def keyring(lab):
    return Rotation(lab, "keyring")


@pytest.fixture
def vault(lab, bao_server):
    yield VaultRotation(lab, bao_server)
    bao_server.reset()


@pytest.fixture
def kv1(lab, bao_server):
    yield Kv1Rotation(lab, bao_server)
    bao_server.reset()


@pytest.fixture
def kube(lab, kube_server):
    made = SecretRotation(lab, kube_server)
    yield made
    made.take_away()


# Deaths

# What changes the disk, and what a provider or a store sees: each is a place to die before; the next one is the place after.
CALLS = ("fsync", "rename", "unlink", "ftruncate", "sendto")


def killed_at(rotation, call, number, *args, command="rotate"):
    """Runs a rotation (or --resume) that dies before its `number`th such call: True if it did, False if it ended first."""
    words = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}", "-o",
             "/dev/null", *rotation.words(*args, command=command)]
    done = subprocess.run(words, input=rotation.new.encode(), capture_output=True, timeout=100, cwd=rotation.lab.folder)
    assert done.returncode in (0, 1, -9), done
    return done.returncode == -9


def after_a_death(rotation, *words):
    """What comes next when the dead one's lock is old: the call that takes it may still be under way, and come in after that."""
    for _ in range(5):
        rotation.age()
        done = rotation.rotate(*words)
        if "is being rotated by" not in done.err:
            break
    return done


def go_on(rotation, *words):
    done = after_a_death(rotation, *words)
    if done.status == 0 or "no rotation of ci is under way" in done.err:
        return done
    # A new one that was retired, or an old one: the other way is the only one, and was gone.
    assert "is kept" in done.out, done.text
    return done


# Who asks meanwhile

# What a script with requests does, on connections of its own: Python reads its CA anew for each urlopen().
SESSION = """
import os, ssl, time, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()))

def ask(url, token, body=None):
    return opener.open(urllib.request.Request(url, data=body, headers={"Authorization": "Bearer " + os.environ[token]}))
"""

LOAD = SESSION + """
end = time.time() + float(os.environ["SECONDS"])
asked = 0
while time.time() < end:
    ask("https://api.buildkite.com/v2/organizations", "BUILDKITE_TOKEN").read()
    asked += 1
    time.sleep(0.2)
print("ASKED", asked)
"""


def start_load(lab, seconds, n=3, script=LOAD):
    """Retrievers that fail with their first request that does; what they say is in load.log."""
    for i in range(n):
        lab.retriever(f"load{i}", script=script, sources=["ci"], env=[{"name": "SECONDS", "value": str(seconds)}])
    lab.retrievers = [one for one in lab.retrievers if one["name"].startswith("load")]
    lab.write()
    with open(lab.folder / "load.log", "wb") as log:
        return lab.start("run", stdout=log, stderr=log)


def rotate_under_load(rotation, rotations, retrievers, seconds, *words):
    """One after the other, for at most `seconds`, and no request fails: it would end its retriever. Each old token dies."""
    lab = rotation.lab
    del rotation.api.tokens[rotation.new]
    load = start_load(lab, seconds, n=retrievers)
    wait_until(lambda: len(rotation.api.used) > 20, patience=60)
    dead = []
    for _ in range(rotations):
        rotation.new = new_token()
        rotation.api.add(rotation.new)
        done = rotation.rotate(*words, timeout=120)
        assert done.status == 0, done.text
        dead.append(rotation.old)
        rotation.old = rotation.new
        assert list(rotation.api.tokens) == [rotation.new]
    mark = len(rotation.api.used)
    wait_until(lambda: len(rotation.api.used) > mark + 20, patience=60)
    assert load.poll() is None, "the load went on to the end"
    assert {status for _, status in rotation.api.used} == {200}, "not one failed request"
    used = [token for token, _ in rotation.api.used]
    assert set(used[mark:]) == {rotation.new} and len(set(used)) > min(rotations, 3)
    assert not set(dead) & set(rotation.api.tokens)
    load.send_signal(signal.SIGINT)  # ends the scripts, whose exit is not what is asked about here
    load.wait(60)
    assert lab.purser("audit", "verify").status == 0
    hits, _ = search_files(lab.state, needles(dead[-1]) | needles(rotation.new))
    assert hits == []


ASK = SESSION + """
import json
end, last, heard = time.time() + float(os.environ.get("SECONDS", "90")), None, 0
while time.time() < end and heard < int(os.environ["ANSWERS"]):  # as many as the test waits for
    try:
        now = [200, str(ask("https://api.buildkite.com/v2/organizations", "BUILDKITE_TOKEN").status)]
    except urllib.error.HTTPError as error:
        now = [error.code, json.load(error).get("purser")]
    if now != last:
        print("NOW", *now, round(time.time(), 2), flush=True)
        heard += 1
    last = now
    time.sleep(0.02)
"""


def heard(log):
    """[(status, code, when)]: each change that a retriever with ASK has seen"""
    lines = [line.split("NOW ")[1].split() for line in log.read_text().splitlines() if "NOW " in line]
    return [(int(status), code, float(when)) for status, code, when in lines]
