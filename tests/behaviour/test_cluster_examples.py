"""examples/chart-* as they stand, installed as their READMEs say: GitHub is the stand-in that answers 401 to all but the token."""
import pytest
import yaml
from cluster_servers import Database, Vault
from cluster_world import Failed
from helm import TOP, script_of

pytestmark = pytest.mark.cluster

JOBS = "SELECT count(*) > 100 FROM ci_job WHERE source = 'github'"
READER = "SELECT has_table_privilege('grafana', 'metrics_job', 'SELECT'), has_table_privilege('grafana', 'ci_job', 'SELECT')"


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
        assert len(vault.listed("auth/token/accessors")) == 1, "the root's alone"


def test_the_external_database_example_brings_its_rows(kubernetes):
    database = Database(kubernetes)
    with kubernetes.space("external") as space:
        database.set_up(space, "chart-external-database")
        for name in "purser-db", "grafana-db":
            space.secret(name, password="of-the-example")
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(example("chart-external-database"), *baked())
        assert space.run("one") == "Complete"
        assert database.psql(JOBS, "ci") == "t"
        assert database.psql(READER, "ci") == "t|f"


def test_the_vault_database_example_brings_its_rows_as_users_that_are_gone_afterwards(kubernetes):
    database, vault = Database(kubernetes, "platform"), Vault(kubernetes, "platform")
    with kubernetes.space("vault-database") as space:
        database.set_up(space, "chart-vault-database")
        vault.set_up(space, "purser", "of-the-example", "chart-vault-database", DATABASE_CA="/served/ca.pem")
        vault.bao("write", "-f", "database/rotate-root/ci")
        space.secret("grafana-db", password="of-the-example")
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(example("chart-vault-database"), *baked())
        assert space.run("one") == "Complete"
        assert database.psql(JOBS, "ci") == "t"
        assert database.psql(READER, "ci") == "t|f"
        assert database.psql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", "ci") == "ci_owner"
        assert database.psql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'") == "0"
        assert vault.listed("sys/leases/lookup/database/creds/purser") == []
        assert len(vault.listed("auth/token/accessors")) == 1, "the root's alone"
