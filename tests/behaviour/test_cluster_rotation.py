"""Rotation in a cluster: a Job of its own, with an account of its own, replaces a token in its Secret."""
import base64
import contextlib
import os
import secrets
from pathlib import Path

import pytest
import yaml
from cluster_world import FOLDER, GATEWAY
from helm import VALUES, of_kind, pods, render
from lab import Upstream
from netns import setns
from providers import Gitlab

pytestmark = pytest.mark.cluster


def test_only_the_rotations_account_may_write_and_only_what_is_rotated():
    objects = render("--values", VALUES / "rotation.yaml")
    may = {name: [(rule["resources"][0], rule["resourceNames"], rule["verbs"]) for rule in role["rules"]]
           for name, role in of_kind(objects, "Role").items()}
    assert all(set(verbs) <= {"get", "watch"} for _, _, verbs in may["ci-purser"])
    written = {(kind, name) for kind, names, verbs in may["ci-purser-rotate"] for name in names if set(verbs) - {"get"}}
    assert written == {(kind, name) for secret in ("gitlab-token", "buildkite-token") for kind, name in
                       [("secrets", secret), ("secrets", f"{secret}.purser-rotation"), ("leases", f"{secret}.purser-rotation")]}
    accounts = {name: pod["serviceAccountName"] for name, pod in pods(objects) if "serviceAccountName" in pod}
    assert accounts == {"ci-purser": "ci-purser", "ci-purser-test": "ci-purser", "ci-purser-rotate-gitlab": "ci-purser-rotate",
                        "ci-purser-rotate-buildkite": "ci-purser-rotate"}


def test_agents_do_not_know_of_it_and_each_rotation_knows_one_source():
    configs = {name: yaml.safe_load(of["data"]["purser.yaml"]) for name, of in
               of_kind(render("--values", VALUES / "rotation.yaml"), "ConfigMap").items() if "purser.yaml" in of["data"]}
    assert not any("rotate" in source for source in configs["ci-purser-config"]["sources"])
    assert [source["name"] for source in configs["ci-purser-rotate-gitlab"]["sources"]] == ["gitlab"]
    assert configs["ci-purser-rotate-buildkite"]["sources"][0]["rotate"]["command"] == ["/usr/local/bin/new-token"]


class Node:
    """Where a stand-in lives: in the cluster's network, with a certificate of its stand-ins' CA."""

    def __init__(self, kubernetes, folder):
        self.kubernetes, self.folder, self.running = kubernetes, folder, []

    def certificate(self, names):
        self.kubernetes.certify("stand-in", *names, folder=self.folder)
        return self.folder / "stand-in.pem", self.folder / "stand-in.key"

    def upstream(self, host, answer):
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{Path(os.environ[FOLDER]).name}") as here:
            setns(here.fileno())
            try:
                self.running.append(Upstream(self, [host], answer, address=(GATEWAY, 0)))
            finally:
                setns(home.fileno())
        return self.running[-1]


@contextlib.contextmanager
def node(kubernetes, folder):
    made = Node(kubernetes, folder)
    try:
        yield made
    finally:
        for upstream in made.running:
            upstream.close()


ASK = """
import os, urllib.request
from pathlib import Path
request = urllib.request.Request("https://gitlab.com/api/v4/projects/1/pipelines",
                                 headers={"Authorization": "Bearer " + os.environ["GITLAB_TOKEN"]})
assert urllib.request.urlopen(request).status == 200
Path(os.environ["OUTPUTDIR"], "answers.dat").write_text("1\\n")
"""


def test_a_job_replaces_the_token_in_its_secret_and_the_next_run_uses_it(kubernetes, tmp_path):
    old = "glpat-" + secrets.token_hex(12)
    with node(kubernetes, tmp_path) as here, kubernetes.space("rotation") as space:
        gitlab = Gitlab(here, old, scopes=("read_api", "self_rotate"))
        space.secret("gitlab-token", token=old, hosts="gitlab.com")
        space.install({
            "sources": [{"name": "gitlab", "provider": "gitlab", "token": {"secretName": "gitlab-token"},
                         "connectTo": f"{GATEWAY}:{gitlab.upstream.port}", "allowPrivateAddresses": [f"{GATEWAY}/32"],
                         "rotate": {"schedule": "0 3 1 1 *", "fromProvider": True, "acceptLoss": True}}],
            "kubernetes": {"refresh": "10s"}, "networkPolicy": {"ports": [gitlab.upstream.port]},
            "retrievers": [{"name": "ask", "script": {"name": "ask.py"}, "sources": ["gitlab"]}], "files": {"ask": {"ask.py": ASK}}})
        assert space.run("before") == "Complete"
        assert space.finished(space.job("rotate", cronjob="ci-purser-rotate-gitlab")) == "Complete", space.logs("rotate", "rotate")
        (new,) = gitlab.tokens
        assert new != old and len(gitlab.questions) == 1
        data = space.get("secret/gitlab-token")["data"]
        assert base64.b64decode(data["token"]).decode() == new and base64.b64decode(data["hosts"]).decode() == "gitlab.com"
        left = [each["metadata"]["name"] for each in space.get("secrets")["items"]]
        assert "gitlab-token.purser-rotation" not in left
        assert old not in space.logs("rotate", "rotate") and new not in space.logs("rotate", "rotate")
        assert space.run("after") == "Complete"
        assert [status for token, status in gitlab.used if token == new] == [200]
        assert space.kept_from() == set(), "NetworkPolicies let through what all three Jobs need"
        # An agent's account could not have done it.
        who = f"--as=system:serviceaccount:{space.name}:ci-purser"
        for verb, answer in (("get", "yes"), ("patch", "no"), ("update", "no"), ("delete", "no")):
            said = space.kubectl("auth", "can-i", verb, "secret/gitlab-token", who, check=False)
            assert said.stdout.strip() == answer, verb
