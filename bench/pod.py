"""What purser costs a pod, in a real cluster: from the pod's creation to the script's start with its credential, from the script's
end to the Job's completion, memory beside the script; against the same pod with `bao agent` as its sidecar, which writes the token
into a file. Same OpenBao, same login (kubernetes), same image and script, in turns; purser's pod loads its rows, too."""
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from measure import BenchError, children, median, pss_bytes
from place import TOP

ROUNDS = 5
SCRIPT = """
import os, time
from pathlib import Path
while not (os.environ.get("GITHUB_TOKEN") or Path("/secrets/token").exists()):
    time.sleep(0.005)
print("HAVE", time.time(), flush=True)
time.sleep(6)
Path(os.environ.get("OUTPUTDIR", "/tmp"), "one.dat").write_text("1\\n")
print("END", time.time(), flush=True)
"""
AGENT = """
vault {
  address = "https://vault.vault.svc:8200"
  ca_cert = "/ca/ca.crt"
}
auto_auth {
  method "kubernetes" {
    config = { role = "purser", token_path = "/var/run/secrets/vault/token" }
  }
}
template {
  contents = "{{ with secret \\"secret/data/ci/github\\" }}{{ .Data.data.token }}{{ end }}"
  destination = "/secrets/token"
}
"""
IMAGE = "localhost/tests/python:1"
CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
            "runAsUser": 65600}


def world():
    """The tests' own cluster, with a database and OpenBao in it."""
    for words in (["tests/setup", "cluster", "image"], ["tests/cluster/build"], ["tests/cluster/images"]):
        subprocess.run([TOP / words[0], *words[1:]], check=True, stdout=sys.stderr)
    sys.path.insert(0, str(TOP / "tests/behaviour"))
    import cluster_world
    from cluster_servers import Vault
    os.environ.setdefault(cluster_world.FOLDER, f"/tmp/purser-bench-{os.getpid()}")
    made = cluster_world.World(Path(os.environ[cluster_world.FOLDER]))
    made.end = cluster_world.end
    try:
        made.start(TOP / "build/stage/usr/local", level="18")
        made.vault = Vault(made)
    except BaseException:
        made.end()
        raise
    return made


def purser_side(space):
    space.install({
        "sources": [{"name": "github", "provider": "github", "token": {"vault": {"path": "secret/data/ci/github", "key": "token"}}}],
        "retrievers": [{"name": "script", "sources": ["github"], "script": {"name": "main.py"}, "image": IMAGE}],
        "files": {"script": {"main.py": SCRIPT}}, "serviceAccount": {"name": "purser"},
        "vault": {"address": "https://vault.vault.svc:8200", "ca": {"configMap": "vault-ca"}, "role": "purser"}})
    return json.loads(space.kubectl("create", "job", "x", "--from=cronjob/ci-purser", "--dry-run=client", "-o", "json"))


def agent_side(space):
    mounts = [{"name": name, "mountPath": path} for name, path in (("secrets", "/secrets"), ("ca", "/ca"), ("config", "/config"),
                                                                    ("token", "/var/run/secrets/vault"), ("home", "/home"))]
    spec = {"restartPolicy": "Never", "serviceAccountName": "purser", "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 20, "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "initContainers": [{"name": "agent", "image": "localhost/tests/openbao:1", "restartPolicy": "Always", "securityContext": CONFINED,
                                "command": ["bao", "agent", "-config=/config/agent.hcl"], "volumeMounts": mounts,
                                "env": [{"name": "HOME", "value": "/home"}, {"name": "SKIP_SETCAP", "value": "1"}]}],
            "containers": [{"name": "script", "image": IMAGE, "command": ["python3", "-c", SCRIPT], "securityContext": CONFINED,
                            "volumeMounts": [mounts[0], {"name": "tmp", "mountPath": "/tmp"}]}],
            "volumes": [{"name": "secrets", "emptyDir": {"medium": "Memory"}}, {"name": "home", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}},
                        {"name": "ca", "configMap": {"name": "vault-ca"}}, {"name": "config", "configMap": {"name": "agent"}},
                        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault"}}]}}]}
    space.world.apply({"kind": "ConfigMap", "metadata": {"name": "agent", "namespace": space.name}, "data": {"agent.hcl": AGENT}})
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": space.name},
            "spec": {"backoffLimit": 0, "template": {"spec": spec}}}


class Completion(threading.Thread):
    """When the API server tells of a Job's completion: its own times are whole seconds."""

    def __init__(self, space, name):
        super().__init__(daemon=True)
        self.words, self.at, self.name = space.world.words("kubectl", "-n", space.name, "wait", "--for=condition=Complete",
                                                           f"job/{name}", "--timeout=90s"), None, name
        self.start()

    def run(self):
        if subprocess.run(self.words, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0:
            self.at = time.time()


def memory(world_, space, job):
    """PSS of the agent's processes, and what its cgroup is charged."""
    from cluster_world import cluster
    status = next(each for each in space.pod(job)["status"]["initContainerStatuses"] if each["name"] == "agent")
    pid = int(cluster("pid", status["containerID"], capture_output=True, text=True).stdout)
    charged = None
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        for name in (f"/sys/fs/cgroup/memory{path}/memory.usage_in_bytes", f"/sys/fs/cgroup{path}/memory.current"):
            if kinds in ("", "memory") and os.path.exists(name):
                charged = int(Path(name).read_text())
    return pss_bytes(children(pid)), charged


def one_round(space, job, name):
    """(pod to credential in s, end to completion in s, PSS in bytes, cgroup in bytes)"""
    made = {**job, "metadata": {"name": name, "namespace": space.name}}
    began = time.time()
    space.kubectl("create", "-f", "-", input=json.dumps(made))
    completion = Completion(space, name)
    said = re.compile(r"(HAVE|END) ([0-9.]+)")

    def told(word):
        log = space.kubectl("logs", f"job/{name}", "-c", "script", check=False).stdout
        return next((float(at) for which, at in said.findall(log) if which == word), None)
    have = space.world.until(f"{name} has its credential", lambda: told("HAVE"), 90)
    time.sleep(1)
    pss, charged = memory(space.world, space, name)
    completion.join(100)
    if completion.at is None:
        raise BenchError(f"the Job {name} did not complete")
    end = told("END")
    space.kubectl("delete", f"job/{name}", "--wait=true")
    return have - began, completion.at - end, pss, charged


def beside_agent(place, wanted):
    if not wanted("pod"):
        return
    made = world()
    try:
        with made.space("bench") as space:
            made.vault.set_up(space, "purser", made.tokens["github"].read_text())
            sides = [purser_side(space), agent_side(space)]
            rounds = [[one_round(space, job, f"{side}-{n}") for side, job in zip(("purser", "agent"), sides)] for n in range(ROUNDS)]
        for k, (what, scale, unit) in enumerate((("credential", 1, "s"), ("complete", 1, "s"), ("pss", 1 / 2**20, "MiB"),
                                                 ("cgroup", 1 / 2**20, "MiB"))):
            ours, theirs = ([each[side][k] for each in rounds] for side in (0, 1))
            if None not in ours + theirs:
                yield f"pod-{what}", median(ours) * scale, median(theirs) * scale, "bao agent", unit
        yield "pod-image", layers(made.folder / "image") / 1e6, None, None, "MB"
    finally:
        made.end()


def layers(folder):
    return sum(path.stat().st_size for path in (folder / "blobs/sha256").iterdir())
