"""OpenBao in a cluster beyond reading a token: a Job that replaces one there, by a role of its own, and the database's credentials,
which are made for each pod, renewed while it runs and dropped with it."""
import json
import secrets
import subprocess

import pytest
import yaml
from cluster_servers import Database, Vault
from cluster_world import Failed
from helm import TOP, VALUES, of_kind, pods, render
from hunt import needles
from promise import new_token
from providers import BUILDKITE, Buildkite
from test_cluster_rotation import GATEWAY, node

pytestmark = pytest.mark.cluster

MAIN = "secret/data/ci/buildkite"
SIDE = f"{MAIN}.purser-rotation"


def test_a_rotation_in_vault_has_its_own_role_and_no_right_in_the_cluster():
    objects = render("--values", VALUES / "rotation-vault.yaml")
    configs = {name: yaml.safe_load(of["data"]["purser.yaml"]) for name, of in of_kind(objects, "ConfigMap").items()
               if "purser.yaml" in of["data"]}
    roles = {name: config["vault"]["auth"]["kubernetes"]["role"] for name, config in configs.items() if "vault" in config}
    assert roles == {"ci-purser-config": "purser", "ci-purser-test": "purser", "ci-purser-rotate-buildkite": "purser-rotate"}
    assert [source["name"] for source in configs["ci-purser-rotate-buildkite"]["sources"]] == ["buildkite"]
    written = {name for role in of_kind(objects, "Role").values() for rule in role["rules"] for name in rule["resourceNames"]
               if set(rule["verbs"]) - {"get", "watch"}}
    assert written == {"gitlab-token", "gitlab-token.purser-rotation"}, "the other source's, which is in a Secret"
    of = dict(pods(objects))
    assert of["ci-purser-rotate-buildkite"]["serviceAccountName"] == "ci-purser-rotate"
    assert {name: "--vault-auth" in pod["containers"][0]["command"] for name, pod in of.items() if "rotate" in name} == {
        "ci-purser-rotate-buildkite": True, "ci-purser-rotate-gitlab": False}

    def tokens(name):
        return [source["serviceAccountToken"].get("audience") for volume in of[name]["volumes"]
                for source in volume.get("projected", {}).get("sources", []) if "serviceAccountToken" in source]
    assert tokens("ci-purser-rotate-buildkite") == ["vault"], "the API server would not take it"
    assert tokens("ci-purser-rotate-gitlab") == [None]


# A program that prints the new token, as a team would have it in `rotation.image`; here it comes in a volume.
PRINTS = """
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>
int main(void)
{
    return sendfile(STDOUT_FILENO, open("/fresh/token", O_RDONLY), 0, 4096) > 0 ? 0 : 1;
}
"""

# Asks until it has seen enough, and leaves how often it was answered with something else than 200.
ASKS = """
import os, time, urllib.error, urllib.request
from pathlib import Path
failed = 0
while not Path("/tmp/enough").exists():
    request = urllib.request.Request("https://api.buildkite.com/v2/organizations/acme/builds",
                                     headers={"Authorization": "Bearer " + os.environ["BUILDKITE_TOKEN"]})
    try:
        failed += urllib.request.urlopen(request, timeout=60).status != 200
    except urllib.error.HTTPError:
        failed += 1
    time.sleep(0.3)
Path(os.environ["OUTPUTDIR"], "failed.dat").write_text(f"{failed}\\n")
"""


def put_program(space, folder):
    (folder / "prints.c").write_text(PRINTS)
    subprocess.run(["gcc", "-Os", "-s", "-static", "-o", folder / "prints", folder / "prints.c"], check=True)
    space.kubectl("create", "configmap", "prints", f"--from-file=prints={folder / 'prints'}")


def pasted(space):
    """What docs/kubernetes.md has a person paste, for this namespace."""
    page = (TOP / "docs/kubernetes.md").read_text()
    (block,) = [block for block in page.split("```")[1::2] if "role/purser-rotate" in block]
    return block.replace("bound_service_account_namespaces=ci-metrics", f"bound_service_account_namespaces={space.name}")


def login(vault, space, account, role):
    """Vault's token for who holds that account's."""
    jwt = space.kubectl("create", "token", account, "--audience=vault").strip()
    said = vault.bao("write", "-format=json", "auth/kubernetes/login", f"role={role}", "jwt=-", input=jwt)
    return json.loads(said)["auth"]["client_token"]


def found(text, *tokens):
    """Which of them stand in there, in whatever form."""
    data = text.encode()
    return [token for token in tokens if any(needle in data for needle in needles(token))]


def everything(space, but=()):
    """All objects of a namespace as they stand, the release's text, and all that its containers have said."""
    texts = [space.helm("get", "all", "ci")]
    for kind in ("pods,jobs,cronjobs,configmaps,events,serviceaccounts,roles,leases", "secrets"):
        texts += [json.dumps(each) for each in space.get(kind)["items"] if each["metadata"]["name"] not in but]
    for secret in space.get("secrets")["items"]:
        texts += [text for text in secret.get("data", {}).values() if secret["metadata"]["name"] not in but]
    for pod in space.get("pods")["items"]:
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            texts.append(space.kubectl("logs", pod["metadata"]["name"], "-c", container["name"], check=False).stdout)
    return "\n".join(texts)


def provider_says(kubernetes, port, token):
    """The status of a call with this token, over the cluster's own network."""
    done = subprocess.run(
        kubernetes.words("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", kubernetes.stand_in / "ca.pem",
                         "--connect-to", f"{BUILDKITE}:443:{GATEWAY}:{port}", "-K", "-", f"https://{BUILDKITE}/v2/access-token"),
        input=f'header = "Authorization: Bearer {token}"\n', capture_output=True, text=True, check=True)
    return done.stdout


def rotated_values(upstream):
    return {
        "sources": [{"name": "buildkite", "provider": "buildkite", "token": {"vault": {"path": MAIN, "key": "token"}},
                     "connectTo": f"{GATEWAY}:{upstream.port}", "allowPrivateAddresses": [f"{GATEWAY}/32"],
                     "rotate": {"schedule": "0 3 1 1 *", "command": ["/program/prints"]}}],
        "vault": {"address": "https://vault.rotated-vault.svc:8200", "ca": {"configMap": "vault-ca"}, "role": "purser",
                  "rotationRole": "purser-rotate", "refresh": "10s"},
        "rotation": {"extraVolumes": [{"name": "program", "configMap": {"name": "prints", "defaultMode": 0o555}},
                                      {"name": "fresh", "secret": {"secretName": "fresh", "defaultMode": 0o444}}],
                     "extraVolumeMounts": [{"name": "program", "mountPath": "/program"}, {"name": "fresh", "mountPath": "/fresh"}]},
        "networkPolicy": {"ports": [upstream.port]},
        "retrievers": [{"name": "ask", "script": {"name": "ask.py"}, "sources": ["buildkite"]}], "files": {"ask": {"ask.py": ASKS}}}


def test_a_job_replaces_the_token_in_vault_while_an_agent_elsewhere_goes_on_without_a_failed_request(kubernetes, tmp_path):
    old, new = new_token(), new_token()
    vault = Vault(kubernetes, "rotated-vault")
    with node(kubernetes, tmp_path) as here, kubernetes.space("rotated") as space:
        buildkite = Buildkite(here, old, new)
        vault.bao("auth", "enable", "kubernetes")
        vault.bao("write", "auth/kubernetes/config", "kubernetes_host=https://kubernetes.default.svc")
        vault.bao("kv", "put", "-mount=secret", "ci/buildkite", "token=-", f"hosts={BUILDKITE}", input=old)
        vault.bao("kv", "put", "-mount=secret", "ci/other", "token=of-somebody-else")
        vault.as_person("bash", "-euc", pasted(space))
        vault.certify(space)
        put_program(space, tmp_path)
        space.secret("fresh", token=new)
        space.install(rotated_values(buildkite.upstream))

        running = space.job("running")
        kubernetes.until("requests with the old token", lambda: (old, 200) in buildkite.used)
        assert space.finished(space.job("rotate", cronjob="ci-purser-rotate-buildkite")) == "Complete", space.logs("rotate", "rotate")
        kubernetes.until("requests with the new token", lambda: (new, 200) in buildkite.used)
        pod = space.pod(running)["metadata"]["name"]
        space.kubectl("exec", pod, "-c", "ask", "--", "touch", "/tmp/enough")
        assert space.finished(running) == "Complete"
        restarts = [each["restartCount"] for each in space.pod(running)["status"]["initContainerStatuses"]]
        assert restarts == [0, 0] and {status for _, status in buildkite.used} == {200}
        assert space.rows("SELECT value FROM metric_sample WHERE name = 'failed'") == [("0",)]

        # The old token is refused by its provider; what is in Vault now is the new one, and nothing is staged.
        assert buildkite.revoked == [old]
        assert [provider_says(kubernetes, buildkite.upstream.port, token) for token in (old, new)] == ["401", "200"]
        kept = json.loads(vault.bao("kv", "get", "-format=json", "-mount=secret", "ci/buildkite"))["data"]["data"]
        assert kept == {"token": new, "hosts": BUILDKITE}
        side = json.loads(vault.bao("read", "-format=json", SIDE))["data"]["data"]
        assert side["holder"] == "" and not {"old", "new"} & set(side) and not found(side["journal"], old, new)
        assert len(vault.listed("auth/token/accessors")) == 1, "every login was given back; this is the root's"

        # Who has written: the rotation's role alone, and it nothing else.
        wrote = {(entry["auth"]["metadata"]["role"], entry["request"]["path"]) for entry in vault.audit()
                 if entry["type"] == "response" and not entry.get("error") and "role" in entry.get("auth", {}).get("metadata", {})
                 and entry["request"]["operation"] in ("create", "update", "delete") and entry["request"]["path"].startswith("secret/")}
        assert wrote == {("purser-rotate", path) for path in (MAIN, SIDE, SIDE.replace("/data/", "/destroy/"))}

        text = everything(space, but=("fresh",))
        assert found(text, old, new) == [] and "token.rotate" in text, "the audit is among it, with the change that the agent saw"
        assert found(everything(space), old, new) == [new], "it can be found, in the Secret that the new one came from"


def test_neither_account_can_do_what_the_other_may(kubernetes):
    """Tried, with the policies and roles that docs/kubernetes.md has; no release is needed for that."""
    vault = Vault(kubernetes, "tried-vault")
    with kubernetes.space("tried") as space:
        for account in "ci-purser", "ci-purser-rotate":
            space.kubectl("create", "serviceaccount", account)
        vault.bao("auth", "enable", "kubernetes")
        vault.bao("write", "auth/kubernetes/config", "kubernetes_host=https://kubernetes.default.svc")
        for name in "buildkite", "buildkite.purser-rotation", "other":
            vault.bao("kv", "put", "-mount=secret", f"ci/{name}", f"token=of-{name}")
        vault.as_person("bash", "-euc", pasted(space))
        agent, rotation = login(vault, space, "ci-purser", "purser"), login(vault, space, "ci-purser-rotate", "purser-rotate")

        def may(token, *words, **more):
            try:
                vault.bao(*words, token=token, **more)
            except Failed as failed:
                assert "permission denied" in str(failed)
                return False
            return True
        allowed = set()
        for who, token in ("agent", agent), ("rotation", rotation):
            for path in MAIN, SIDE, "secret/data/ci/other":
                if may(token, "read", path):
                    allowed.add((who, "read", path))
                if may(token, "write", path, "-", input='{"data": {"token": "another"}}'):
                    allowed.add((who, "write", path))
                if may(token, "delete", path.replace("/data/", "/metadata/")):
                    allowed.add((who, "delete", path))
                if may(token, "write", path.replace("/data/", "/destroy/"), "-", input='{"versions": [1]}'):
                    allowed.add((who, "destroy", path))
        assert allowed == {("agent", "read", MAIN), ("rotation", "read", MAIN), ("rotation", "write", MAIN), ("rotation", "read", SIDE),
                           ("rotation", "write", SIDE), ("rotation", "destroy", SIDE)}
        for account, role in ("ci-purser", "purser-rotate"), ("ci-purser-rotate", "purser"), ("default", "purser-rotate"):
            with pytest.raises(Failed, match="(?i)403|denied|not authorized"):
                login(vault, space, account, role)


# Ends when it is told to.
WAITS = """
import os, time
from pathlib import Path
while not Path("/tmp/enough").exists():
    time.sleep(0.2)
Path(os.environ["OUTPUTDIR"], "ready.dat").write_text("1\\n")
"""


def test_the_databases_credential_is_renewed_while_a_pod_runs_dropped_with_it_and_written_nowhere(kubernetes):
    database, vault = Database(kubernetes, "leased"), Vault(kubernetes, "leased")
    values = yaml.safe_load((TOP / "examples/chart-vault-database/values.yaml").read_text())
    values["vault"]["address"] = "https://vault.leased.svc:8200"
    values["database"]["external"]["host"] = "db.leased.svc"
    values["retrievers"] = [{"name": "wait", "script": {"name": "wait.py"}, "sources": ["github"]}]
    with kubernetes.space("leases") as space:
        database.set_up(space, "chart-vault-database")
        vault.set_up(space, "purser", "of-the-example", "chart-vault-database", DATABASE="db.leased.svc:5432",
                     DATABASE_CA="/served/ca.pem", TTL="30s")
        space.secret("grafana-db", password="of-the-example")
        space.secret("github-token", token="ghp_" + secrets.token_hex(18))
        space.install({**values, "files": {"wait": {"wait.py": WAITS}}})
        job = space.job("waits")

        def renewed():
            for name in vault.listed("sys/leases/lookup/database/creds/purser"):
                done = kubernetes.kubectl(*vault.words("root"), "write", "-format=json", "sys/leases/lookup",
                                          f"lease_id=database/creds/purser/{name}", check=False)
                if done.returncode and "invalid lease" in done.stderr:
                    continue  # the init container's, given back since it was listed
                assert done.returncode == 0, done.stderr
                if json.loads(done.stdout)["data"]["last_renewal"]:
                    return True
            return False
        kubernetes.until("a renewal of the credential's lease", renewed)
        made = database.psql("SELECT rolname, rolvaliduntil > now() FROM pg_roles WHERE rolname LIKE 'v-%'").splitlines()
        assert len(made) == 1 and made[0].endswith("|t"), "the pod's own user, whose end the renewal has put off"
        space.kubectl("exec", space.pod(job)["metadata"]["name"], "-c", "wait", "--", "touch", "/tmp/enough")
        assert space.finished(job) == "Complete"
        assert database.psql("SELECT name, value FROM metric_sample", "ci") == "ready|1"
        assert database.psql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'") == "0"
        assert vault.listed("sys/leases/lookup/database/creds/purser") == []
        assert len(vault.listed("auth/token/accessors")) == 1, "the root's alone"

        audit = [json.loads(line) for container in ("init", "agent") for line in space.logs(job, container).splitlines()
                 if line.startswith('{"n":')]
        assert [entry["decision"] for entry in audit if entry["event"] == "token.give-back"] == ["allowed"] * 2
        passwords = {entry["response"]["data"]["password"] for entry in vault.audit()
                     if entry["type"] == "response" and entry["request"]["path"] == "database/creds/purser" and "data" in entry["response"]}
        assert len(passwords) >= 2, "of the init container and of the agent"
        assert found(everything(space), *passwords) == []
        assert found(everything(space), "of-the-example") == ["of-the-example"], "it can be found, in Grafana's Secret"
