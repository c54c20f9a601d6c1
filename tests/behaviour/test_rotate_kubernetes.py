"""Rotation of a token in a Secret of a real API server: resourceVersion as check-and-set, the Lease that is the lock, and
rights: agents that can only read, and a rotator whose Role names each object that it may write."""

import base64
import json
import os
import signal
import subprocess
import threading
import time

import pytest
from bao import Refused
from hunt import Memory, needles, search_files
from kube import Kube
from promise import new_token, stopped_at, wait_until
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
    def __init__(self, lab, kube):
        self.lab, self.kube, self.file = lab, kube, lab.folder / "purser.yaml"
        self.old, self.new = new_token(), new_token()
        self.api = Buildkite(lab, self.old, self.new)
        kube.account("ci", "purser")
        kube.account("ci", "rotator")
        self.role("rotator", ROLE)
        kube.secret("ci", "github", token=self.old, hosts=BUILDKITE, other="stays as it is")
        self.agent = lab.folder / "agent-token"
        for path, name in ((self.agent, "purser"), (lab.folder / "rotator-token", "rotator")):
            path.write_text(kube.token("ci", name))
            path.chmod(0o600)
        self.config = self.kubeconfig("rotator", lab.folder / "rotator-token")
        lab.source("ci", BUILDKITE, token=None, provider="buildkite")
        lab.sources["ci"]["token"] = {"kubernetes": {"secretName": "github", "key": "token"}}
        self.agents(refresh="2s")

    def agents(self, refresh, verbs=("get",)):
        self.role("purser", [{**ROLE[0], "verbs": list(verbs)}])
        settings = {"address": self.kube.address, "caFile": str(self.kube.ca), "namespace": "ci", "tokenFile": str(self.agent),
                    "refresh": refresh}
        self.lab.more = f"kubernetes: {json.dumps(settings)}\n"
        self.lab.write()

    def role(self, name, rules):
        self.kube.make("/apis/rbac.authorization.k8s.io/v1/namespaces/ci/roles", "Role", name, rules=rules)

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
        return [str(word) for word in [*self.lab.words(command, "ci", *login, *given, *args)[:-1], self.file]]

    def rotate(self, *args, timeout=100, **more):
        return subprocess.run(self.words(*args, **more), input=self.new, capture_output=True, text=True, timeout=timeout,
                              cwd=self.lab.folder)

    def start(self, *args, before=()):
        process = subprocess.Popen([*before, *self.words(*args)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, cwd=self.lab.folder)
        self.lab.processes.append(process)
        process.stdin.write(self.new)
        process.stdin.close()
        process.stdin = None
        return process

    def elsewhere(self):
        """Another machine from here on: with a state folder of its own, and nothing else in common but the store."""
        self.lab.state, first = self.lab.folder / "state-elsewhere", self.lab.state
        self.file = self.lab.folder / "elsewhere.yaml"
        self.file.write_text((self.lab.folder / "purser.yaml").read_text().replace(str(first), str(self.lab.state)))
        return first

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
        text = "".join(path.read_text() for path in self.lab.folder.glob("state*/rotate/*")) + json.dumps(self.get(LEASE))
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
    kube.role("rotator", rules)
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
    assert f"process {first.pid} on " in json.loads(kube.rotate("--status", "--json").stdout)["heldBy"]
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
    """Also not the write that it is about to make, where its successor has had nothing to write: the Secret is touched."""
    release = threading.Event()
    kube.api.hold = 1, release
    first = kube.start("--wait", "0")
    wait_until(lambda: kube.api.asked > 1)
    os.kill(first.pid, signal.SIGSTOP)
    kube.api.hold = None
    release.set()
    version = kube.get(MAIN)["metadata"]["resourceVersion"]
    kube.age()
    done = kube.rotate("--abort", "--wait", "0")
    assert done.returncode == 0, done.stderr
    with pytest.raises(Refused) as refused:
        kube.kube.call("PATCH", MAIN, {"metadata": {"resourceVersion": version}, "data": {"token": ""}})
    assert refused.value.status == 409
    os.kill(first.pid, signal.SIGCONT)
    said = first.communicate(timeout=30)[1]
    assert first.returncode == 1 and "the rotation was taken over" in said
    kube.check_ended(kube.old)


def test_a_write_of_one_that_gave_up_comes_too_late(kube):
    """What was asked and got no answer may be carried out later. So who goes on, though the lock was let go, makes it fail."""
    kube.api.mishap = "500"
    assert kube.rotate("--wait", "0").returncode == 1
    assert kube.holder() == "" and kube.current() == kube.new
    versions = {path: kube.get(path)["metadata"]["resourceVersion"] for path in (MAIN, SIDE)}
    kube.api.mishap = "500"
    assert kube.rotate("--resume", "--wait", "0").returncode == 1
    for path, version in versions.items():
        with pytest.raises(Refused) as refused:
            kube.kube.call("PATCH", path, {"metadata": {"resourceVersion": version}, "data": {"token": ""}})
        assert refused.value.status == 409
    assert kube.rotate("--resume", "--wait", "0").returncode == 0
    kube.check_ended(kube.new)


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_what_is_staged_replaces_only_what_was_looked_at(kube, how):
    """Stopped between that and the write."""
    def begin(words):
        kube.again()
        return kube.start("--wait", "0", before=words)

    first, inner = stopped_at(begin, lambda: kube.get(SIDE), lambda: kube.data(SIDE) == {})
    if how == "changed":
        kube.kube.call("PATCH", SIDE, {"metadata": {"annotations": {"by": "somebody else"}}})
    else:
        kube.kube.call("DELETE", SIDE)
    os.kill(inner, signal.SIGCONT)
    said = first.communicate(timeout=100)[1]
    assert first.returncode == 1 and "github.purser-rotation in namespace ci was changed meanwhile by somebody else" in said, said
    kube.age()
    assert kube.current() == kube.old and kube.get(SIDE) is None and set(kube.api.tokens) == {kube.old, kube.new}
    assert kube.rotate("--wait", "0").returncode == 0
    kube.check_ended(kube.new)


def test_several_at_once_of_one_machine_and_of_another(kube):
    several = [kube.start("--wait", "0") for _ in range(2)]
    kube.elsewhere()
    several += [kube.start("--wait", "0") for _ in range(2)]
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
        here = kube.elsewhere()
        told = json.loads(kube.rotate("--status", "--json").stdout)
        assert told["underWay"] and [line["step"] for line in told["journal"]][:5] == ["begin", "get", "stage", "prove", "switch"]
        assert told["journal"][0]["message"].startswith("process ") and told["heldBy"] is None
        done = kube.rotate(way, "--wait", "0")
        assert done.returncode == 0, done.stderr
        kube.lab.state, kube.file = here, kube.lab.folder / "purser.yaml"
        assert "no rotation is under way" in kube.rotate("--status").stdout, "the first machine knows that it has ended"
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
    left = kube.data()
    assert left.pop("token.purser-revoked").startswith("20")
    assert left == {"hosts": BUILDKITE, "other": "stays as it is"}
    assert kube.new not in kube.api.tokens and kube.get(SIDE) is None


ASK = """
import json, os, time, urllib.error, urllib.request
end, last, heard = time.time() + 90, None, 0
while time.time() < end and heard < int(os.environ["ANSWERS"]):  # as many as the test waits for
    ask = urllib.request.Request("https://api.buildkite.com/v2/organizations",
                                 headers={"Authorization": "Bearer " + os.environ["BUILDKITE_TOKEN"]})
    try:
        now = [200, str(urllib.request.urlopen(ask).status)]
    except urllib.error.HTTPError as error:
        now = [error.code, json.load(error).get("purser")]
    if now != last:
        print("NOW", *now, round(time.time(), 2), flush=True)
        heard += 1
    last = now
    time.sleep(0.02)
"""


def heard(log):
    """[(status, code, when)]: each change that the retriever has seen"""
    lines = [line.split("NOW ")[1].split() for line in log.read_text().splitlines() if "NOW " in line]
    return [(int(status), code, float(when)) for status, code, when in lines]


@pytest.mark.parametrize("verbs, refresh, most", [(("get", "watch"), "10m", 1.5), (("get",), "2s", 4)])
def test_a_revocation_reaches_who_runs_as_a_mark(kube, verbs, refresh, most):
    """Within a second where they may watch, else at their next read; and the provider has not even retired it. The same
    token is not given out again, whoever puts it back; another one is."""
    kube.agents(refresh, verbs)
    kube.api.mishap = "lies"
    kube.lab.retriever("ask", script=ASK, sources=["ci"], env=[{"name": "ANSWERS", "value": "3"}])
    log = kube.lab.folder / "load.log"
    with open(log, "wb") as out:
        load = kube.lab.start("run", stdout=out, stderr=out)
    wait_until(lambda: len(kube.api.used) > 20)
    time.sleep(2.5)
    began = time.time()
    done = kube.rotate(command="revoke")
    assert done.returncode == 1 and "gives it out no more, but the old token still works" in done.stderr, done.stderr
    withdrawn = time.time()
    wait_until(lambda: len(heard(log)) == 2, 10)
    status, code, when = heard(log)[1]
    assert (status, code) == (403, "token-revoked") and began < when < began + most + (withdrawn - began), heard(log)
    marked = kube.data()["token.purser-revoked"]
    kube.kube.call("PATCH", MAIN, {"data": {"token": base64.b64encode(kube.old.encode()).decode()}})
    time.sleep(1.2 if "watch" in verbs else 2.2)
    kube.kube.call("PATCH", MAIN, {"data": {"token": base64.b64encode(kube.new.encode()).decode()}})
    wait_until(lambda: len(heard(log)) == 3, 30)
    assert load.wait(60) == 0, log.read_text()
    assert [(status, code) for status, code, _ in heard(log)] == [(200, "200"), (403, "token-revoked"), (200, "200")]
    assert [token for token, _ in kube.api.used if token != kube.old] and {s for _, s in kube.api.used} == {200}
    assert kube.old[:8] not in marked
    assert "token-revoked" in [event.get("code") for event in kube.lab.audit("token.fetch")]


@pytest.mark.parametrize("way, probes", [("--resume", 1), ("--abort", 1), ("--resume", 3)])
def test_the_store_stopped_at_a_step(kube, way, probes):
    """Before the new one is proven, before the old one is tried for the last time."""
    release = threading.Event()
    kube.api.hold = probes, release
    process = kube.start("--wait", "0")
    wait_until(lambda: kube.api.asked > probes)
    kube.kube.stop_server()
    kube.api.hold = None
    release.set()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "cannot be reached" in said, said
    kube.kube.start()
    kube.age()
    done = kube.rotate(way, "--wait", "0")
    assert done.returncode == 0, done.stderr
    kube.check_ended(kube.old if way == "--abort" else kube.new)


@pytest.mark.parametrize("way, numbers", [
    ("--resume", [16, 30, 44]),
    pytest.param("--resume", range(1, 100, 2), marks=pytest.mark.long),
    pytest.param("--abort", range(2, 100, 2), marks=pytest.mark.long),
])
def test_killed_before_a_send_it_ends_with_one_working_token(kube, way, numbers):
    """Each call to the API server, and to the provider, is a send."""
    places = 0
    for number in numbers:
        kube.again()
        words = ["strace", "-f", "-qq", "-e", "trace=sendto", "-e", f"inject=sendto:signal=KILL:when={number}", "-o",
                 "/dev/null", *kube.words("--wait", "0")]
        if subprocess.run(words, input=kube.new, capture_output=True, text=True, cwd=kube.lab.folder).returncode != -9:
            break
        places += 1
        kube.age()
        done = kube.rotate(way, "--wait", "0")
        kept = kube.current()
        assert kept in kube.api.tokens and kube.get(SIDE) is None, done.stderr
        assert len(kube.api.tokens) == 1 or kept == kube.old, done.stderr
    assert places == len(numbers) or places > 15


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
