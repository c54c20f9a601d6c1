"""Rotation of a token in a Secret of a real API server: resourceVersion as check-and-set, the Lease that is the lock, and
rights: agents that can only read, and a rotator whose Role names each object that it may write."""

import base64
import json
import os
import signal
import subprocess
import time

import pytest
from bao import Refused
from hunt import Memory, needles, search_files
from kube import Kube
from promise import new_token, wait_until
from providers import BUILDKITE, Buildkite
from test_promise_17_rotation import start_load

pytestmark = pytest.mark.cluster
CORE, LEASES = "/api/v1/namespaces/ci/secrets", "/apis/coordination.k8s.io/v1/namespaces/ci/leases"
MAIN, SIDE, LEASE = f"{CORE}/github", f"{CORE}/github.purser-rotation", f"{LEASES}/github.purser-rotation"

# The Role of docs/rotation.md.
ROLE = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["github"], "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["github.purser-rotation"],
         "verbs": ["get", "create", "patch", "delete"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["github.purser-rotation"],
         "verbs": ["get", "create", "update"]}]


@pytest.fixture(scope="module")
def server():
    made = Kube()
    yield made
    made.close()


class SecretRotation:
    def __init__(self, lab, kube, refresh="2s"):
        self.lab, self.kube = lab, kube
        self.old, self.new = new_token(), new_token()
        self.api = Buildkite(lab, self.old, self.new)
        kube.account("ci", "purser", secrets=["github"])
        kube.account("ci", "rotator")
        self.role(ROLE)
        kube.secret("ci", "github", token=self.old, hosts=BUILDKITE, other="stays as it is")
        self.agent = lab.folder / "agent-token"
        for path, name in ((self.agent, "purser"), (lab.folder / "rotator-token", "rotator")):
            path.write_text(kube.token("ci", name))
            path.chmod(0o600)
        self.config = self.kubeconfig("rotator", lab.folder / "rotator-token")
        lab.source("ci", BUILDKITE, token=None, provider="buildkite")
        lab.sources["ci"]["token"] = {"kubernetes": {"secretName": "github", "key": "token"}}
        settings = {"address": kube.address, "caFile": str(kube.ca), "namespace": "ci", "tokenFile": str(self.agent),
                    "refresh": refresh}
        lab.more = f"kubernetes: {json.dumps(settings)}\n"
        lab.write()

    def role(self, rules):
        self.kube.make("/apis/rbac.authorization.k8s.io/v1/namespaces/ci/roles", "Role", "rotator", rules=rules)

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

    def words(self, *args, command="rotate", kubeconfig=None):
        given = [] if command == "revoke" or set(args) & {"--resume", "--abort", "--dry-run", "--status"} else ["--from-stdin"]
        login = ["--kubeconfig", kubeconfig or self.config, "--context", "here"] if kubeconfig != "none" else []
        return [str(word) for word in self.lab.words(command, "ci", *login, *given, *args)]

    def rotate(self, *args, timeout=100, **more):
        return subprocess.run(self.words(*args, **more), input=self.new, capture_output=True, text=True, timeout=timeout,
                              cwd=self.lab.folder)

    def start(self, *args):
        process = subprocess.Popen(self.words(*args), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, cwd=self.lab.folder)
        self.lab.processes.append(process)
        process.stdin.write(self.new)
        process.stdin.close()
        process.stdin = None
        return process

    def get(self, path):
        try:
            return self.kube.call("GET", path)
        except Refused as refused:
            assert refused.status == 404
            return None

    def data(self, path=MAIN):
        got = self.get(path)
        return got and {key: base64.b64decode(value).decode() for key, value in got.get("data", {}).items()}

    def current(self):
        return self.data().get("token")

    def holder(self):
        return (self.get(LEASE) or {"spec": {}})["spec"].get("holderIdentity", "")

    def age(self):
        """As if the holder had not been heard of for two minutes."""
        if self.holder():
            past = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - 120))
            self.kube.call("PATCH", LEASE, {"spec": {"renewTime": past}})

    def again(self):
        self.old, self.new = new_token(), new_token()
        self.api.tokens.clear()
        self.api.add(self.old)
        self.api.add(self.new)
        self.kube.secret("ci", "github", token=self.old, hosts=BUILDKITE, other="stays as it is")

    def check_ended(self, kept):
        assert self.data() == {"token": kept, "hosts": BUILDKITE, "other": "stays as it is"}
        assert list(self.api.tokens) == [kept]
        assert self.get(SIDE) is None and self.holder() == ""
        text = (self.lab.state / "rotate/ci.journal").read_text()
        assert self.old[:8] not in text and self.new[:8] not in text


@pytest.fixture
def kube(lab, server):
    yield SecretRotation(lab, server)
    for path in (SIDE, LEASE, MAIN):
        try:
            server.call("DELETE", path)
        except Refused as refused:
            assert refused.status == 404


def test_agents_see_the_new_token_without_a_failed_request(kube):
    load = start_load(kube.lab, 16, n=2)
    wait_until(lambda: len(kube.api.used) > 20)
    done = kube.rotate()
    assert done.returncode == 0, done.stderr
    mark = len(kube.api.used)
    assert load.wait(60) == 0, (kube.lab.folder / "load.log").read_text()
    assert {status for _, status in kube.api.used} == {200}
    assert kube.api.used[0][0] == kube.old and {token for token, _ in kube.api.used[mark:]} == {kube.new}
    kube.check_ended(kube.new)
    young = kube.rotate("--older-than", "30d")
    assert young.returncode == 0 and "so it stays" in young.stdout, young.stderr


def test_agents_can_only_read(kube):
    done = kube.rotate(kubeconfig="none")
    assert done.returncode == 1 and "(403)" in done.stderr, done.stderr
    assert kube.current() == kube.old and kube.api.revoked == [] and kube.get(SIDE) is None
    done = kube.rotate("--dry-run", kubeconfig="none")
    for right in ("patch secrets/github,", "create secrets/github.purser-rotation", "update leases/github.purser-rotation"):
        assert right in done.stderr, done.stderr
    assert "get secrets/github," not in done.stderr


@pytest.mark.parametrize("rule, verb", [(0, "patch"), (1, "create"), (1, "delete"), (2, "create"), (2, "update")])
def test_dry_run_says_which_right_the_role_lacks(kube, rule, verb):
    if (rule, verb) == (0, "patch"):
        assert kube.rotate("--dry-run").returncode == 0
    rules = json.loads(json.dumps(ROLE))
    rules[rule]["verbs"].remove(verb)
    kube.role(rules)
    kind = f"{rules[rule]['resources'][0]}/{rules[rule]['resourceNames'][0]}"
    end = time.monotonic() + 10  # the server's own view of its rules lags a moment behind
    while f"in namespace ci: {verb} {kind};" not in (done := kube.rotate("--dry-run")).stderr:
        assert time.monotonic() < end, done.stderr
    assert done.returncode == 1 and kube.get(SIDE) is None


def test_the_role_lets_nothing_be_made_but_what_it_names(kube):
    """Who may create any Secret may create one that is a token of any service account."""
    rotator = (kube.lab.folder / "rotator-token").read_text()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "another"}}
    with pytest.raises(Refused) as refused:
        kube.kube.call("POST", CORE, body, token=rotator)
    assert refused.value.status == 403
    assert kube.rotate("--wait", "0").returncode == 0
    kube.check_ended(kube.new)


@pytest.mark.parametrize("inline", [False, True])
def test_a_kubeconfig_with_its_own_parts_inside(kube, inline):
    config = kube.kubeconfig("other", kube.lab.folder / "rotator-token", inline=inline)
    seen = kube.lab.folder / "descriptors"
    done = kube.rotate("--wait", "0", kubeconfig=config)
    assert done.returncode == 0, done.stderr
    kube.check_ended(kube.new)
    kube.again()
    (kube.lab.folder / "fresh").write_text(kube.new)
    words = [word for word in kube.words("--wait", "0", kubeconfig=config) if word != "--from-stdin"]
    done = subprocess.run([*words, "--command", f"ls -l /proc/self/fd >{seen}; cat {kube.lab.folder}/fresh"],
                          capture_output=True, text=True, cwd=kube.lab.folder)
    assert done.returncode == 0 and "kubeconfig" not in seen.read_text(), done.stderr + seen.read_text()


def test_the_lease_names_its_holder_and_who_is_silent_is_taken_over(kube):
    first = kube.start("--wait", "60s")
    wait_until(lambda: kube.current() == kube.new)
    for args in ((), ("--resume",), ("--abort",)):
        done = kube.rotate(*args)
        assert done.returncode == 1 and f"is being rotated by process {first.pid} on " in done.stderr, done.stderr
    before = kube.get(LEASE)["spec"]["renewTime"]
    wait_until(lambda: kube.get(LEASE)["spec"]["renewTime"] != before, 15)
    first.kill()
    first.wait()
    assert "wait for it to end" in kube.rotate("--resume").stderr
    kube.age()
    done = kube.rotate()
    assert done.returncode == 1 and "so --resume or --abort takes over" in done.stderr, done.stderr
    done = kube.rotate("--resume", "--wait", "0")
    assert done.returncode == 0, done.stderr
    kube.check_ended(kube.new)


def test_one_that_was_taken_over_writes_nothing_more(kube):
    """Also not the write that it was about to make: its resourceVersion is an old one then."""
    first = kube.start("--wait", "5s")
    wait_until(lambda: kube.current() == kube.new)
    os.kill(first.pid, signal.SIGSTOP)
    version = kube.get(MAIN)["metadata"]["resourceVersion"]
    kube.age()
    done = kube.rotate("--abort", "--wait", "0")
    assert done.returncode == 0, done.stderr
    os.kill(first.pid, signal.SIGCONT)
    said = first.communicate(timeout=30)[1]
    assert first.returncode == 1 and "the rotation was taken over" in said
    kube.check_ended(kube.old)
    with pytest.raises(Refused) as refused:
        kube.kube.call("PATCH", MAIN, {"metadata": {"resourceVersion": version}, "data": {"token": ""}})
    assert refused.value.status == 409


def test_two_at_once(kube):
    several = [kube.start("--wait", "0") for _ in range(4)]
    said = [process.communicate(timeout=60)[1] for process in several]
    ended = [process.returncode for process in several]
    assert ended.count(0) == 1, said
    for text in (text for text, status in zip(said, ended) if status):
        assert "is being rotated by process" in text or "already" in text or "changed meanwhile" in text, said
    kube.check_ended(kube.new)


def test_resume_and_abort_from_another_machine(kube):
    for way, kept in (("--resume", "new"), ("--abort", "old")):
        kube.api.mishap = "500"
        assert kube.rotate("--wait", "0").returncode == 1
        assert kube.holder() == "" and kube.data(SIDE) == {"old": kube.old, "new": kube.new}
        (kube.lab.state / "rotate/ci.journal").rename(kube.lab.folder / "elsewhere")
        done = kube.rotate(way, "--wait", "0")
        assert done.returncode == 0, done.stderr
        kube.check_ended(getattr(kube, kept))
        kube.again()


def test_what_somebody_writes_meanwhile_is_not_overwritten(kube):
    kube.api.mishap = "500"
    assert kube.rotate("--wait", "0").returncode == 1
    third = new_token()
    kube.api.add(third)
    kube.kube.secret("ci", "github", token=third)
    done = kube.rotate("--resume")
    assert done.returncode == 1 and "somebody has set it meanwhile" in done.stderr, done.stderr
    assert kube.rotate("--abort").returncode == 0
    assert kube.current() == third and kube.get(SIDE) is None


def test_two_tokens_in_one_secret_are_rotated_one_after_the_other(kube):
    kube.api.mishap = "500"
    assert kube.rotate("--wait", "0").returncode == 1
    kube.lab.sources["ci"]["token"]["kubernetes"]["key"] = "other"
    kube.lab.write()
    done = kube.rotate()
    assert done.returncode == 1 and "another key of the same Secret, token" in done.stderr, done.stderr


def test_a_secret_that_helm_made_is_warned_of(kube):
    kube.kube.call("PATCH", MAIN, {"metadata": {"annotations": {"meta.helm.sh/release-name": "metrics"}}})
    done = kube.rotate("--wait", "0")
    assert done.returncode == 0 and "Helm's release metrics, which may put the old token back" in done.stderr, done.stderr


def test_a_long_token_and_revoke(kube):
    kube.new = new_token(4000)
    kube.api.add(kube.new)
    assert kube.rotate("--wait", "0").returncode == 0
    assert kube.current() == kube.new
    done = kube.rotate(command="revoke")
    assert done.returncode == 0, done.stderr
    assert kube.data() == {"hosts": BUILDKITE, "other": "stays as it is"}
    assert kube.new not in kube.api.tokens and kube.get(SIDE) is None


@pytest.mark.parametrize("way", ["--resume", "--abort"])
def test_killed_before_each_send(kube, way):
    """Each call to the API server, and to the provider, is a send; every third one here."""
    places = 0
    for number in range(2 if way == "--resume" else 3, 90, 4):
        kube.again()
        words = ["strace", "-f", "-qq", "-e", "trace=sendto,write", "-e", "inject=sendto:signal=KILL:when=%d" % number, "-o",
                 "/dev/null", *kube.words("--wait", "0")]
        if subprocess.run(words, input=kube.new, capture_output=True, text=True, cwd=kube.lab.folder).returncode != -9:
            break
        places += 1
        kube.age()
        done = kube.rotate(way, "--wait", "0")
        kept = kube.current()
        assert kept in kube.api.tokens and kube.get(SIDE) is None, done.stderr
        assert len(kube.api.tokens) == 1 or kept == kube.old, done.stderr
    assert places > 5


@pytest.mark.plain
def test_in_the_middle_its_memory_holds_no_token_and_afterwards_no_file(kube):
    process = kube.start("--wait", "40s")
    wait_until(lambda: kube.current() == kube.new)
    time.sleep(1)
    login = (kube.lab.folder / "rotator-token").read_text().split(".")[2]
    wanted = needles(kube.old) | needles(kube.new) | needles(login)
    memory = Memory()
    os.kill(process.pid, signal.SIGSTOP)
    hits = memory.search(process.pid, wanted)
    os.kill(process.pid, signal.SIGCONT)
    assert memory.bytes > 1 << 20 and hits == [], hits
    process.kill()
    process.wait()
    kube.age()
    assert kube.rotate("--resume", "--wait", "0").returncode == 0
    assert search_files(kube.lab.state, wanted)[0] == []
