"""examples/vault and examples/kubernetes as they stand, from policy and role in the store to rows in the database. Only where GitHub
is dialled, and which CA it shows, is added: a stand-in on this machine that answers 401 to anything but the token."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from bao import Bao, program
from kube import BINARIES, Kube
from lab import Answer
from promise import new_token

EXAMPLES = Path(__file__).parents[2] / "examples"
RUNS = [{"id": n, "run_attempt": 1, "name": "Unit tests", "status": "completed", "conclusion": "success",
         "created_at": "2026-01-02T03:04:05Z"} for n in range(1, 8)]


def github(lab, token):
    def answer(request):
        if request.header("Authorization") != f"Bearer {token}":
            return Answer(401, b'{"message": "Bad credentials"}')
        assert request.target.startswith("/repos/linkerd/linkerd2/actions/runs?")
        return Answer(200, json.dumps({"workflow_runs": RUNS}).encode())
    return lab.upstream("api.github.com", answer)


def example(lab, name, more=""):
    """A copy of the example in the laboratory, its state there too."""
    shutil.copytree(EXAMPLES / name, lab.folder, dirs_exist_ok=True)
    server = lab.upstreams["api.github.com"]
    text = (lab.folder / "purser.yaml").read_text().replace("  provider: github\n", (
        f"  provider: github\n  connectTo: 127.0.0.1:{server.port}\n  caFile: ca.pem\n"
        "  allowPrivateAddresses: [127.0.0.1]\n"), 1)
    (lab.folder / "purser.yaml").write_text(f"{text}state: {lab.state}\n{more}")


def arrived(lab):
    return lab.rows("SELECT source, scope, name, count(*) AS n FROM ci_run GROUP BY 1, 2, 3")


ROWS = [{"source": "github", "scope": "linkerd/linkerd2", "name": "Unit tests", "n": len(RUNS)}]


def test_the_vault_example_brings_its_rows(lab):
    token, bao = new_token(), Bao()
    try:
        github(lab, token)
        example(lab, "vault")
        env = {**os.environ, "BAO_ADDR": bao.address, "BAO_CACERT": str(bao.ca), "BAO_TOKEN": bao.root, "BAO": str(program())}
        done = subprocess.run([EXAMPLES / "vault/setup", lab.folder], input=token.encode(), env=env, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        ours = {"VAULT_ADDR": bao.address, "VAULT_CACERT": str(bao.ca)}
        ran = lab.purser("run", env=ours)
        assert ran.status == 0, ran.text
        assert arrived(lab) == ROWS
        assert bao.accessors() == []
    finally:
        bao.close()


@pytest.mark.cluster
def test_the_kubernetes_example_brings_its_rows(lab):
    token, kube = new_token(), Kube()
    try:
        github(lab, token)
        certificate, key = kube.admin
        kubectl = [BINARIES / "kubectl", f"--server={kube.address}", f"--certificate-authority={kube.ca}",
                   f"--client-certificate={certificate}", f"--client-key={key}"]
        (lab.folder / "github-token").write_text(token)
        for words in (["apply", "-f", EXAMPLES / "kubernetes/rbac.yaml"],
                      ["-n", "ci-metrics", "create", "secret", "generic", "github-token",
                       f"--from-file=token={lab.folder}/github-token", "--from-literal=hosts=api.github.com"]):
            done = subprocess.run([str(word) for word in [*kubectl, *words]], capture_output=True, text=True,
                                  env={"HOME": str(lab.folder), "PATH": os.environ["PATH"]})
            assert done.returncode == 0, done.stderr
        mounted = lab.folder / "mounted"
        mounted.write_text(kube.token("ci-metrics", "purser"))
        # What a pod has at fixed places; the rest it is told by its environment.
        example(lab, "kubernetes", f"kubernetes: {{caFile: {kube.ca}, tokenFile: {mounted}}}\n")
        ran = lab.purser("run", env={"KUBERNETES_SERVICE_HOST": kube.host, "KUBERNETES_SERVICE_PORT": str(kube.port),
                                     "POD_NAMESPACE": "ci-metrics"})
        assert ran.status == 0, ran.text
        assert arrived(lab) == ROWS
    finally:
        kube.close()
