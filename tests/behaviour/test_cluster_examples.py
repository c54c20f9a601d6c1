"""examples/chart-* as they stand, installed as their READMEs say: GitHub is the stand-in that answers 401 to all but the token."""
import json
import os
import subprocess

import pytest
import yaml
from cluster_world import cluster
from helm import TOP, script_of

pytestmark = pytest.mark.cluster

JOBS = "SELECT count(*) > 100 FROM ci_job WHERE source = 'github'"


def example(name):
    return yaml.safe_load((TOP / "examples" / name / "values.yaml").read_text())


def baked():
    """The scripts' packages in the image: what another test installs by pip need not be here."""
    return ["--set", "retrieverImage.name=localhost/tests/collectors,retrieverImage.tag=1,retrieverImage.prebaked=true",
            *script_of("github-actions")]


def serve(kubernetes, space, name, image, port, folder, hosts, command=None, user=0, env=(), ready=None):
    """A server with the certificate of its name, as a pod and a Service."""
    folder.chmod(0o755)
    kubernetes.certify("tls", *hosts, folder=folder)
    for path in folder.iterdir():
        os.chown(path, user, user)
    (folder / "tls.key").chmod(0o600)
    kubernetes.apply(
        {"kind": "Namespace", "metadata": {"name": space}},
        {"kind": "ServiceAccount", "metadata": {"name": name, "namespace": space}},
        {"kind": "Pod", "metadata": {"name": name, "namespace": space, "labels": {"app": name}}, "spec": {
            "serviceAccountName": name, "terminationGracePeriodSeconds": 0, "containers": [{
                "name": name, "image": image, **({"args": command} if command else {}), "env": list(env),
                "securityContext": {"runAsUser": user}, "readinessProbe": ready, "volumeMounts": [{"name": "folder", "mountPath": "/served"}]}],
            "volumes": [{"name": "folder", "hostPath": {"path": str(folder)}}]}},
        {"kind": "Service", "metadata": {"name": name, "namespace": space}, "spec": {"selector": {"app": name}, "ports": [{"port": port}]}})
    kubernetes.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", space, "--timeout=90s")


def test_the_minimal_example_brings_its_rows(kubernetes):
    with kubernetes.space("minimal") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(example("chart-minimal"), *baked())
        assert space.run("one") == "Complete"
        assert space.rows(JOBS) == [("t",)]


def bao(kubernetes, *words, input=None):  # noqa: A002
    return kubernetes.kubectl("exec", "-i", "vault", "-n", "vault", "--", "env", "BAO_ADDR=https://vault.vault.svc:8200", "BAO_TOKEN=root",
                              "BAO_CACERT=/served/ca.pem", "bao", *words, input=input or "")


def test_the_vault_example_brings_its_rows_with_a_login_that_vault_has_reviewed(kubernetes):
    folder = kubernetes.folder / "vault"
    folder.mkdir()
    (folder / "ca.pem").write_bytes((kubernetes.stand_in / "ca.pem").read_bytes())
    (folder / "bao.hcl").write_text('listener "tcp" { address = "0.0.0.0:8200"\n tls_cert_file = "/served/tls.pem"\n '
                                    'tls_key_file = "/served/tls.key" }\n')
    cluster("import", kubernetes.image("openbao"))
    serve(kubernetes, "vault", "vault", "localhost/tests/openbao:1", 8200, folder, ["vault.vault.svc"], ready={"tcpSocket": {"port": 8200}},
          command=["bao", "server", "-dev", "-dev-root-token-id=root", "-config=/served/bao.hcl", "-dev-no-store-token",
                   "-dev-listen-address=127.0.0.1:8300"])
    kubernetes.apply({"kind": "ClusterRoleBinding", "metadata": {"name": "vault"}, "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"kind": "ServiceAccount", "name": "vault", "namespace": "vault"}]})
    with kubernetes.space("vaulted") as space:
        # `setup` runs where a person has `bao`: here that is the pod of OpenBao.
        program = kubernetes.folder / "bao"
        program.write_text("#!/bin/sh\nexec " + " ".join(kubernetes.words("kubectl", "exec", "-i", "vault", "-n", "vault", "--", "env",
                           "BAO_ADDR=https://vault.vault.svc:8200", "BAO_TOKEN=root", "BAO_CACERT=/served/ca.pem", "bao")) + ' "$@"\n')
        program.chmod(0o755)
        done = subprocess.run([TOP / "examples/chart-vault/setup", space.name, "purser"], input=kubernetes.tokens["github"].read_bytes(),
                              env={**os.environ, "BAO": str(program)}, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        kubernetes.apply({"kind": "ConfigMap", "metadata": {"name": "vault-ca", "namespace": space.name},
                          "data": {"ca.crt": (folder / "ca.pem").read_text()}})
        space.install(example("chart-vault"), *baked())
        assert space.run("one") == "Complete"
        assert space.rows(JOBS) == [("t",)]
        assert space.get("roles")["items"] == [], "no Secret is read, so none may be"
        # Another service account of the same namespace is no use, and nor is a token for another audience.
        for account, audience in ("default", "vault"), ("purser", "https://kubernetes.default.svc"):
            jwt = space.kubectl("create", "token", account, f"--audience={audience}").strip()
            with pytest.raises(Exception, match="(?i)403|denied|invalid|not authorized|audience"):
                bao(kubernetes, "write", "auth/kubernetes/login", "role=purser", "jwt=-", input=jwt)
        # The login has been given back.
        left = json.loads(bao(kubernetes, "list", "-format=json", "auth/token/accessors"))
        assert len(left) == 1, "the root's alone"


def test_the_external_database_example_brings_its_rows(kubernetes):
    folder = kubernetes.folder / "database"
    folder.mkdir()
    (folder / "password").write_text("of-the-superuser")
    serve(kubernetes, "databases", "db", "localhost/tests/postgres:1", 5432, folder, ["db.databases.svc"], user=999,
          command=["postgres", "-c", "ssl=on", "-c", "ssl_cert_file=/served/tls.pem", "-c", "ssl_key_file=/served/tls.key"],
          env=[{"name": "PGDATA", "value": "/tmp/data"}, {"name": "LANG", "value": "C.UTF-8"}, {"name": "POSTGRES_PASSWORD_FILE", "value": "/served/password"}],
          ready={"exec": {"command": ["pg_isready", "-q", "-h", "localhost"]}})

    def psql(sql, database="postgres"):
        return kubernetes.kubectl("exec", "-i", "db", "-n", "databases", "--", "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database,
                                  input=sql).strip()
    readme = (TOP / "examples/chart-external-database/README.md").read_text()
    psql(readme.split("```sql\n")[1].split("```")[0].replace("'...'", "'of-the-example'"))
    with kubernetes.space("external") as space:
        for name in "purser-db", "grafana-db":
            space.secret(name, password="of-the-example")
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        kubernetes.apply({"kind": "ConfigMap", "metadata": {"name": "db-ca", "namespace": space.name},
                          "data": {"ca.crt": (kubernetes.stand_in / "ca.pem").read_text()}})
        space.install(example("chart-external-database"), *baked())
        assert space.run("one") == "Complete"
        assert psql(JOBS, "ci") == "t"
        assert psql("SELECT has_table_privilege('grafana', 'metrics_job', 'SELECT'), has_table_privilege('grafana', 'ci_job', 'SELECT')",
                    "ci") == "t|f"
