"""Tokens from Secrets of a real API server, through purser run: by the pod's service account, by a kubeconfig, minted."""
import base64
import json
import os
import subprocess
import time

import pytest
from bao import Bao
from hunt import needles, search_files
from kube import ISSUER, Kube
from lab import Answer
from promise import HOST, new_token, said, wait_until, with_inside

pytestmark = pytest.mark.cluster
ASK = "reply = Client().ask()\nsay(status=reply.status, body=reply.body.decode())\n"


@pytest.fixture(scope="module")
def api_server():
    made = Kube()
    yield made
    made.close()


@pytest.fixture
def kube(api_server, lab):
    """A namespace with a Secret, and a service account that may get it; its token is mounted as kubelet does it."""
    api_server.token_of_ci = new_token()
    api_server.account("ci", "purser", secrets=["github"])
    api_server.secret("ci", "github", token=api_server.token_of_ci, hosts=HOST)
    lab.mounted = Mounted(lab.folder / "serviceaccount")
    lab.mounted.swap(token=api_server.token("ci", "purser"), namespace="ci")
    return api_server


class Mounted:
    """A projected volume: files are links into ..data, which is a link that is replaced in one step."""

    def __init__(self, folder):
        self.folder, self.turn = folder, 0
        folder.mkdir()

    def swap(self, **files):
        self.turn += 1
        (inner := self.folder / f"..turn-{self.turn}").mkdir()
        for name, text in files.items():
            (inner / name).write_text(text)
            (inner / name).chmod(0o600)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        (self.folder / "..next").symlink_to(inner.name)
        os.replace(self.folder / "..next", self.folder / "..data")


def accepts(*tokens):
    def answer(request):
        sent = (request.header("Authorization") or "").removeprefix("Bearer ")
        return Answer(200, f"token {tokens.index(sent)}".encode()) if sent in tokens else Answer(401, b"no")
    return answer


def source(lab, token=None, answer=None):
    lab.upstream(HOST, answer)
    lab.source("api", HOST, token=None, tokenEnv=["API_TOKEN"])
    lab.sources["api"]["token"] = token or {"kubernetes": {"secretName": "github", "key": "token"}}
    lab.write()


def in_pod(lab, kube, **keys):
    settings = {"address": kube.address, "caFile": str(kube.ca), "namespace": "ci",
                "tokenFile": str(lab.mounted.folder / "token"), **keys}
    lab.more = f"kubernetes: {json.dumps(settings)}\n"
    lab.write()


def run(lab, script=ASK, **options):
    with_inside(lab, "script")
    lab.retriever("script", "import time\nfrom inside import *\n" + script, sources=["api"])
    done = lab.purser("run", "script", **options)
    done.said = said(done.text)
    return done


def works(done, which=0):
    assert done.status == 0 and [(s["status"], s["body"]) for s in done.said] == [(200, f"token {which}")], done.text


def test_a_secret_comes_by_name_with_the_pods_own_token(lab, kube):
    source(lab, answer=accepts(kube.token_of_ci))
    in_pod(lab, kube)
    works(run(lab))
    report, _ = lab.last_run()
    assert report["sources"][0]["storeCalls"] == 1
    assert "kubernetes github, version" in lab.audit("token.fetch")[0]["message"]
    for secret in (kube.token_of_ci, (lab.mounted.folder / "token").read_text().split(".")[2]):
        assert search_files(lab.state, needles(secret))[0] == []


def test_in_a_pod_nothing_has_to_be_configured_but_the_secret(lab, kube):
    source(lab, answer=accepts(kube.token_of_ci))
    lab.more = f"kubernetes: {json.dumps({'caFile': str(kube.ca), 'tokenFile': str(lab.mounted.folder / 'token')})}\n"
    lab.write()
    works(run(lab, env={"KUBERNETES_SERVICE_HOST": kube.host, "KUBERNETES_SERVICE_PORT": str(kube.port),
                        "POD_NAMESPACE": "ci"}))


def test_a_neighbours_secret_is_refused_by_rbac_and_said_so(lab, kube):
    kube.secret("ci", "neighbour", token=new_token())
    source(lab, token={"kubernetes": {"secretName": "neighbour"}}, answer=accepts(kube.token_of_ci))
    in_pod(lab, kube)
    done = run(lab)
    assert done.status == 5 and "resourceNames: [neighbour], verbs: [get]" in done.text, done.text
    assert lab.upstreams[HOST].requests == []


@pytest.mark.parametrize("token, says", [
    ({"secretName": "github", "key": "other"}, "has no key \"other\"; it has: hosts, token"),
    ({"secretName": "github", "namespace": "elsewhere"}, "namespace elsewhere (403)"),
])
def test_what_is_not_there_is_named(lab, kube, token, says):
    source(lab, token={"kubernetes": token}, answer=accepts(kube.token_of_ci))
    in_pod(lab, kube)
    done = run(lab)
    assert done.status == 5 and says in done.text.replace("token, hosts", "hosts, token"), done.text


def test_a_changed_secret_and_a_replaced_service_account_token_are_seen_in_mid_run(lab, kube):
    newer = new_token()
    source(lab, answer=accepts(kube.token_of_ci, newer))
    in_pod(lab, kube, refresh="1s", maxStale="30s")
    kube.make("/api/v1/namespaces/ci/secrets", "Secret", "bound")
    bound = kube.call("POST", "/api/v1/namespaces/ci/serviceaccounts/purser/token", {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "bound"}}})["status"]["token"]
    lab.mounted.swap(token=bound)
    with_inside(lab, "script")
    lab.retriever("script", "import time\nfrom inside import *\nfor n in range(60):\n    body = Client().ask().body.decode()\n"
                            "    say(body=body)\n    if body == 'token 1': break\n    time.sleep(.5)\n", sources=["api"])
    process = lab.start("run", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: lab.upstreams[HOST].requests, what="the first request")
    lab.mounted.swap(token=kube.token("ci", "purser"))
    kube.call("DELETE", "/api/v1/namespaces/ci/secrets/bound")  # the first token is worth nothing any more
    kube.secret("ci", "github", token=newer)
    out, _ = process.communicate(timeout=90)
    bodies = [s["body"] for s in said(out.decode())]
    assert bodies[0] == "token 0" and bodies[-1] == "token 1" and set(bodies) == {"token 0", "token 1"}, out.decode()


def test_a_mounted_secret_is_followed_through_the_swap_of_its_link(lab, kube):
    newer = new_token()
    good = [kube.token_of_ci]
    mounted = Mounted(lab.folder / "secret")
    mounted.swap(token=good[0] + "\n")
    source(lab, token={"file": str(mounted.folder / "token")}, answer=lambda request: Answer(200) if request.header(
        "Authorization") == f"Bearer {good[0]}" else Answer(401))
    with_inside(lab, "script")
    lab.retriever("script", "import time\nfrom inside import *\nsay(status=Client().ask().status)\ntime.sleep(13)\n"
                            "say(status=Client().ask().status)\n", sources=["api"])
    process = lab.start("run", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: lab.upstreams[HOST].requests, what="the first request")
    mounted.swap(token=newer)
    good[0] = newer
    out, _ = process.communicate(timeout=90)
    assert [s["status"] for s in said(out.decode())] == [200, 200], out.decode()


# Outside a cluster


def kubeconfig(lab, kube, user, **cluster):
    path = lab.folder / "kubeconfig"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "ci"}}],
        "clusters": [{"name": "c", "cluster": {"server": kube.address, "certificate-authority": str(kube.ca), **cluster}}],
        "users": [{"name": "u", "user": user}]}))
    path.chmod(0o600)
    lab.more = f"kubernetes: {json.dumps({'kubeconfig': str(path)})}\n"
    lab.write()


def inline(path):
    return base64.b64encode(path.read_bytes()).decode()


@pytest.mark.parametrize("how", ["certificate", "certificate-data", "token", "tokenFile"])
def test_a_kubeconfig_logs_in(lab, kube, how):
    source(lab, answer=accepts(kube.token_of_ci))
    certificate, key = kube.admin
    user = {"certificate": {"client-certificate": str(certificate), "client-key": str(key)},
            "certificate-data": {"client-certificate-data": inline(certificate), "client-key-data": inline(key)},
            "token": {"token": kube.token("ci", "purser")},
            "tokenFile": {"tokenFile": "serviceaccount/token"}}[how]
    kubeconfig(lab, kube, user, **({"certificate-authority-data": inline(kube.ca)} if how == "certificate-data" else {}))
    works(run(lab))


@pytest.mark.parametrize("user, cluster, says", [
    ({"exec": {"command": "aws"}}, {}, "exec plugin"),
    ({"auth-provider": {"name": "oidc"}}, {}, "exec plugin"),
    ({"username": "u", "password": "open-sesame-1"}, {}, "password"),
    ({"token": "open-sesame-2"}, {"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
    ({}, {}, "neither a client certificate nor a token"),
    ({"token": "open-sesame-3"}, {"server": "http://k8s.test:8080"}, "plain http"),
])
def test_a_kubeconfig_that_purser_does_not_use_is_refused_with_a_sentence(lab, kube, user, cluster, says):
    source(lab, answer=accepts(kube.token_of_ci))
    kubeconfig(lab, kube, user, **cluster)
    done = run(lab)
    assert done.status == 3 and says in done.text and "open-sesame" not in done.text, done.text


# Minted by the API server


def test_a_token_request_mints_a_token_for_the_audience_alone(lab, kube):
    seen = []

    def answer(request):
        seen.append(request.header("Authorization").removeprefix("Bearer "))
        return Answer(200, b"token 0")
    kube.account("ci", "purser", secrets=["github"], tokens=["metrics"])
    kube.account("ci", "metrics")
    lab.mounted.swap(token=kube.token("ci", "purser"))
    source(lab, token={"kubernetesTokenRequest": {"serviceAccount": "metrics", "audiences": ["api.test"], "life": "10m"}},
           answer=answer)
    in_pod(lab, kube)
    works(run(lab))
    claims = json.loads(base64.urlsafe_b64decode(seen[0].split(".")[1] + "=="))
    assert claims["aud"] == ["api.test"] and claims["sub"] == "system:serviceaccount:ci:metrics"
    assert claims["exp"] - claims["iat"] == 600
    assert search_files(lab.state, needles(seen[0].split(".")[2]))[0] == []


# Vault's login by a JWT of the cluster


@pytest.fixture(scope="module")
def vault_server(api_server):
    made = Bao()
    made.kv()
    made.policy("purser", **{"secret/data/ci/*": ["read"]})
    api_server.account("vault", "reviewer")
    api_server.make("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "ClusterRoleBinding", "reviewer",
                    roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
                    subjects=[{"kind": "ServiceAccount", "name": "reviewer", "namespace": "vault"}])
    made.call("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
    made.call("POST", "auth/kubernetes/config", {
        "kubernetes_host": api_server.address, "kubernetes_ca_cert": api_server.ca.read_text(),
        "token_reviewer_jwt": api_server.token("vault", "reviewer"), "disable_iss_validation": True})
    made.call("POST", "auth/kubernetes/role/purser", {
        "bound_service_account_names": "purser", "bound_service_account_namespaces": "ci", "audience": "vault",
        "token_policies": "purser"})
    yield made
    made.close()


def by_kubernetes(lab, kube, vault, jwt):
    vault.put("ci/api", token=kube.token_of_ci)
    lab.mounted.swap(vault=jwt)
    source(lab, token={"vault": {"path": "secret/data/ci/api"}}, answer=accepts(kube.token_of_ci))
    auth = {"kubernetes": {"role": "purser", "tokenFile": str(lab.mounted.folder / "vault")}}
    lab.more = f"vault: {json.dumps({'address': vault.address, 'caFile': str(vault.ca), 'auth': auth})}\n"
    lab.write()


def test_vaults_login_by_kubernetes_with_a_jwt_for_vault_alone(lab, kube, vault_server):
    jwt = kube.token("ci", "purser", audiences=["vault"])
    by_kubernetes(lab, kube, vault_server, jwt)
    works(run(lab))
    assert vault_server.accessors() == []
    assert search_files(lab.state, needles(jwt.split(".")[2]))[0] == []


@pytest.mark.parametrize("audiences", [(), ("vault", ISSUER), (ISSUER,)])
def test_a_jwt_that_the_api_server_would_accept_is_never_sent(lab, kube, vault_server, audiences):
    jwt = kube.token("ci", "purser", audiences=audiences)
    assert kube.call("GET", "/api/v1/namespaces/ci/secrets/github", token=jwt), "the API server does accept it"
    by_kubernetes(lab, kube, vault_server, jwt)
    before = len(vault_server.seen())
    done = run(lab)
    assert done.status == 5 and "not for the audience" in done.text, done.text
    assert vault_server.seen()[before:] == []


def test_the_api_servers_outage_at_start_is_waited_out(lab, kube):
    source(lab, answer=accepts(kube.token_of_ci))
    in_pod(lab, kube)
    kube.stop()
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\n" + ASK, sources=["api"])
    process = lab.start("run", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(3)
    kube.start()
    out, _ = process.communicate(timeout=90)
    assert [s["body"] for s in said(out.decode())] == ["token 0"], out.decode()
