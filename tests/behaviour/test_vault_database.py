"""Database credentials that OpenBao makes for the sink, against a real PostgreSQL: user and password for one purser, renewed while it
runs, and gone with it."""
import json
import subprocess
import time

import pytest
from bao import Bao
from databases import Postgres
from hunt import needles, search_files
from lab import Answer
from promise import api, said, with_inside


@pytest.fixture(scope="module")
def server():
    made = Bao()
    yield made
    made.close()


@pytest.fixture
def sink(server, cluster, lab):
    """A database whose only way in is by OpenBao."""
    database = Postgres(cluster)
    cluster.query("postgres", "ALTER ROLE postgres PASSWORD 'of the platform team'")
    if not cluster.query("postgres", "SELECT 1 FROM pg_roles WHERE rolname = 'vault_owner'"):
        cluster.query("postgres", "CREATE ROLE vault_owner")
    cluster.query(database.name, f"GRANT CREATE, CONNECT ON DATABASE {database.name} TO vault_owner;"
                                 "GRANT CREATE, USAGE ON SCHEMA public TO vault_owner")
    server.reset()
    server.call("POST", "sys/mounts/database", {"type": "database"})
    server.call("POST", "database/config/ci", {
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "purser", "username": "postgres",
        "password": "of the platform team", "password_authentication": "scram-sha-256",
        "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{cluster.port}/{database.name}?sslmode=require"})
    role(server)
    server.policy("purser", **{"database/creds/purser": ["read"]})
    login, secret = server.approle()
    (lab.folder / "secret-id").write_text(secret)
    vault = {"address": server.address, "caFile": str(server.ca),
             "auth": {"approle": {"roleId": login, "secretId": {"file": str(lab.folder / "secret-id")}}}}
    dsn = f"host=db.example hostaddr=127.0.0.1 port={cluster.port} dbname={database.name} sslmode=verify-full " \
          f"sslrootcert={cluster.ca}"
    postgres = {"dsn": dsn, "credentialFrom": {"vault": "database/creds/purser"}, "ownerRole": "vault_owner"}
    lab.more = f"vault: {json.dumps(vault)}\nsink: {json.dumps({'postgres': postgres})}\n"
    api(lab, lambda request: Answer(200, b"{}"))
    yield database


def role(server, ttl="1h", most="24h"):
    server.call("POST", "database/roles/purser", {
        "db_name": "ci", "default_ttl": ttl, "max_ttl": most,
        "creation_statements": ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
                                "GRANT vault_owner TO \"{{name}}\";"],
        "revocation_statements": ["DROP OWNED BY \"{{name}}\"; DROP ROLE IF EXISTS \"{{name}}\";"]})


def made_roles(cluster):
    return [name for name, in cluster.query("postgres", "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")]


METRIC = "open(os.environ['OUTPUTDIR'] + '/ready.dat', 'w').write('1')\nsay(ok=1)\n"


def test_user_and_password_come_from_the_store_and_go_with_the_run(lab, sink, server, cluster):
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\n" + METRIC, sources=["api"])
    before = len(server.seen())
    done = lab.purser("run")
    assert done.status == 0, done.text
    assert sink.query("SELECT count(*) FROM metric_sample") == [("1",)]
    calls = [path for _, path in server.seen()[before:]]
    assert calls.count("database/creds/purser") == 1, "one for all clerks of the run"
    assert made_roles(cluster) == [] and server.accessors() == [], "the user was dropped with its lease"
    assert [entry["event"] for entry in lab.audit() if entry["event"] == "token.give-back"]
    assert b"\"password\"" not in b"".join(path.read_bytes() for path in lab.state.rglob("*") if path.is_file())


def test_a_lease_is_renewed_before_it_ends_and_another_is_read_past_its_maximum(lab, sink, server, cluster):
    role(server, ttl="4s", most="10s")
    with_inside(lab, "script")
    lab.retriever("script", "import time\nfrom inside import *\ntime.sleep(16)\n" + METRIC, sources=["api"])
    before = len(server.seen())
    done = lab.purser("run", timeout=90)
    assert done.status == 0, done.text
    calls = [path for _, path in server.seen()[before:]]
    assert calls.count("sys/leases/renew") >= 2 and calls.count("database/creds/purser") >= 2, calls
    assert sink.query("SELECT count(*) FROM metric_sample") == [("1",)]


def test_a_credential_that_cannot_be_had_keeps_the_results_for_later(lab, sink, server):
    server.policy("purser", **{"database/creds/other": ["read"]})
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\n" + METRIC, sources=["api"])
    done = lab.purser("run", timeout=120)
    assert done.status == 4 and "database/creds/purser" in done.text, done.text
    server.policy("purser", **{"database/creds/purser": ["read"]})
    assert lab.purser("run", timeout=90).status == 0
    assert sink.query("SELECT count(*) FROM metric_sample") == [("1",)] or \
        int(sink.query("SELECT count(*) FROM metric_sample")[0][0]) == 2
