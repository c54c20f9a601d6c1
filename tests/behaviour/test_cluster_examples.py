"""examples/chart-* as they stand, installed as their READMEs say: GitHub is the stand-in that answers 401 to all but the token."""
import json

import pytest
import yaml
from cluster_servers import Vault, serve
from cluster_world import Failed
from helm import TOP, script_of

pytestmark = pytest.mark.cluster

JOBS = "SELECT count(*) > 100 FROM ci_job WHERE source = 'github'"


def example(name):
    return yaml.safe_load((TOP / "examples" / name / "values.yaml").read_text())


def baked():
    """The scripts' packages in the image: what another test installs by pip need not be here."""
    return ["--set", "retrieverImage.name=localhost/tests/collectors,retrieverImage.tag=1,retrieverImage.prebaked=true",
            *script_of("github-actions")]


def test_the_minimal_example_brings_its_rows(kubernetes):
    with kubernetes.space("minimal") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(example("chart-minimal"), *baked())
        assert space.run("one") == "Complete"
        assert space.rows(JOBS) == [("t",)]


def test_the_vault_example_brings_its_rows_with_a_login_that_vault_has_reviewed(kubernetes):
    vault = Vault(kubernetes)
    with kubernetes.space("vaulted") as space:
        vault.set_up(space, "purser", kubernetes.tokens["github"].read_text())
        space.install(example("chart-vault"), *baked())
        assert space.run("one") == "Complete"
        assert space.rows(JOBS) == [("t",)]
        assert space.get("roles")["items"] == [], "no Secret is read, so none may be"
        # Another service account of the same namespace is no use, and nor is a token for another audience.
        for account, audience in ("default", "vault"), ("purser", "https://kubernetes.default.svc"):
            jwt = space.kubectl("create", "token", account, f"--audience={audience}").strip()
            with pytest.raises(Failed, match="(?i)403|denied|invalid|not authorized|audience"):
                vault.bao("write", "auth/kubernetes/login", "role=purser", "jwt=-", input=jwt)
        assert space.kept_from() == set()
        # The login has been given back.
        assert len(json.loads(vault.bao("list", "-format=json", "auth/token/accessors"))) == 1, "the root's alone"


def test_the_external_database_example_brings_its_rows(kubernetes):
    folder = kubernetes.folder / "db"
    folder.mkdir()
    (folder / "password").write_text("of-the-superuser")
    serve(kubernetes, "databases", "localhost/tests/postgres:1", 5432, folder, user=999,
          args=["postgres", "-c", "ssl=on", "-c", "ssl_cert_file=/served/tls.pem", "-c", "ssl_key_file=/served/tls.key"],
          env={"PGDATA": "/tmp/data", "LANG": "C.UTF-8", "POSTGRES_PASSWORD_FILE": "/served/password"}.items(),
          ready={"exec": {"command": ["pg_isready", "-q", "-h", "localhost"]}})

    def psql(sql, database="postgres"):
        return kubernetes.kubectl("exec", "-i", "db", "-n", "databases", "--", "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres",
                                  "-d", database, input=sql).strip()
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
