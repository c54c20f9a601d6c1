"""`purser rotate --sink`: another password for the sink, set by OpenBao's database engine in a real PostgreSQL."""

import json
import subprocess
import time

import pytest
from bao import Bao
from databases import Postgres
from hunt import needles, search_files
from lab import Answer
from promise import api, wait_until


@pytest.fixture(scope="module")
def server():
    made = Bao()
    yield made
    made.close()


class SinkRotation:
    """`root` is Vault's own user; `user` is the static role's, and owns the schema."""

    def __init__(self, lab, bao, cluster, creds):
        self.lab, self.bao, self.cluster = lab, bao, cluster
        self.database = Postgres(cluster)
        self.user, self.root = f"metrics_{self.database.name}", f"root_{self.database.name}"
        cluster.query("postgres", f"CREATE ROLE {self.root} SUPERUSER LOGIN PASSWORD 'of the platform team'; "
                                  f"CREATE ROLE {self.user} LOGIN PASSWORD 'as it began'")
        cluster.query(self.database.name, f"GRANT CREATE, CONNECT ON DATABASE {self.database.name} TO {self.user};"
                                          f"GRANT CREATE, USAGE ON SCHEMA public TO {self.user}")
        bao.call("POST", "sys/mounts/database", {"type": "database"})
        bao.call("POST", "database/config/ci", {
            "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": self.root,
            "password": "of the platform team", "password_authentication": "scram-sha-256",
            "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:%d/%s?sslmode=require"
                              % (cluster.port, self.database.name)})
        bao.call("POST", "database/static-roles/fixed", {"db_name": "ci", "username": self.user, "rotation_period": "24h"})
        bao.call("POST", "database/roles/purser", {
            "db_name": "ci", "default_ttl": "1h",
            "creation_statements": ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'; "
                                    f"GRANT {self.user} TO " "\"{{name}}\";"],
            "revocation_statements": ["DROP OWNED BY \"{{name}}\"; DROP ROLE IF EXISTS \"{{name}}\";"]})
        bao.policy("agent", **{f"database/{creds}": ["read"]})
        bao.policy("writer", **{f"database/{creds}": ["read"], "database/roles/purser": ["read"],
                                "database/rotate-role/fixed": ["update"], "database/rotate-root/ci": ["update"], "sys/leases/revoke": ["update"]})
        role, secret = bao.approle(policy="agent")
        self.file("secret-id", secret)
        self.file("writer", bao.call("POST", "auth/token/create", {"policies": ["writer"]})["auth"]["client_token"])
        vault = {"address": bao.address, "caFile": str(bao.ca), "refresh": "10m",
                 "auth": {"approle": {"roleId": role, "secretId": {"file": str(lab.folder / "secret-id")}}}}
        dsn = f"host=db.example hostaddr=127.0.0.1 port={cluster.port} dbname={self.database.name} sslmode=verify-full " \
              f"sslrootcert={cluster.ca}"
        sink = {"postgres": {"dsn": dsn, "credentialFrom": {"vault": f"database/{creds}"}, "ownerRole": self.user}}
        lab.more = f"vault: {json.dumps(vault)}\nsink: {json.dumps(sink)}\n"
        api(lab, lambda request: Answer(200, b"{}"))

    def file(self, name, text):
        (self.lab.folder / name).write_text(text)
        (self.lab.folder / name).chmod(0o600)

    def rotate(self, *args):
        words = self.lab.words("rotate", "--sink", "--vault-token", self.lab.folder / "writer", *args)
        return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              cwd=self.lab.folder)

    def password(self):
        return self.bao.call("GET", "database/static-creds/fixed")["data"]["password"]

    def opens(self, user, password):
        done = subprocess.run(["psql", "-w", "-c", "SELECT 1", f"host=127.0.0.1 port={self.cluster.port} user={user} "
                               f"dbname={self.database.name} sslmode=require"], capture_output=True, text=True,
                              env={"PGPASSWORD": password, "PATH": "/usr/bin:/bin:/usr/local/bin"})
        return done.returncode == 0

    def retriever(self, seconds=0):
        self.lab.retriever("ask", f"import os, time\ntime.sleep({seconds})\nopen(os.environ['OUTPUTDIR'] + '/ready.dat', 'w').write('1')\n",
                           sources=["api"])


@pytest.fixture
def static(lab, server, cluster):
    server.reset()
    return SinkRotation(lab, server, cluster, "static-creds/fixed")


@pytest.fixture
def dynamic(lab, server, cluster):
    server.reset()
    return SinkRotation(lab, server, cluster, "creds/purser")


def test_a_static_role_has_another_password_and_a_run_under_way_is_loaded(static):
    old = static.password()
    assert static.opens(static.user, old)
    static.retriever(seconds=3)
    load = static.lab.start("run", "ask", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: [path for path in static.lab.state.glob("runs/*/*") if path.name == "out"] or
               static.cluster.query("postgres", f"SELECT 1 FROM pg_stat_activity WHERE usename = '{static.user}'"), 20)
    time.sleep(1)
    dry = static.rotate("--dry-run")
    assert dry.returncode == 0 and static.password() == old, dry.stderr
    done = static.rotate()
    assert done.returncode == 0 and "has set another password, and hands that out" in done.stdout, done.stderr
    new = static.password()
    assert new != old and static.opens(static.user, new) and not static.opens(static.user, old)
    out, _ = load.communicate(timeout=60)
    assert load.returncode == 0, out.decode()
    assert static.database.query("SELECT count(*) FROM metric_sample") == [("1",)]
    steps = [line.split(" ")[2] for line in (static.lab.state / "rotate/--sink.journal").read_text().splitlines()]
    assert steps == ["begin", "switch", "confirm", "end"]
    assert search_files(static.lab.state, needles(old) | needles(new))[0] == []
    young = static.rotate("--older-than", "1d")
    assert young.returncode == 0 and "so it stays" in young.stdout and static.password() == new, young.stderr


def test_a_dynamic_roles_connection_has_another_root_password(dynamic):
    assert dynamic.rotate("--dry-run").returncode == 0
    done = dynamic.rotate()
    assert done.returncode == 1 and "nobody but Vault knows then" in done.stderr and "--accept-loss" in done.stderr
    assert dynamic.opens(dynamic.root, "of the platform team")
    done = dynamic.rotate("--accept-loss")
    assert done.returncode == 0 and "of the connection's root" in done.stdout, done.stderr
    assert not dynamic.opens(dynamic.root, "of the platform team")
    made = dynamic.cluster.query("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'")
    assert made == [("0",)], "what was made for the proof was given back"
    dynamic.retriever()
    assert dynamic.lab.purser("run", "ask").status == 0


def test_what_fails_is_told_and_said_again(static):
    static.bao.policy("writer", **{"database/static-creds/fixed": ["read"]})
    done = static.rotate("--dry-run")
    assert done.returncode == 1 and 'no "update" on database/rotate-role/fixed' in done.stderr, done.stderr
    old = static.password()
    done = static.rotate()
    assert done.returncode == 1 and "Vault has not set another password" in done.stderr and "403" in done.stderr, done.stderr
    assert static.password() == old
    status = json.loads(static.rotate("--status", "--json").stdout)
    assert status["underWay"] and status["step"] == "confirm"
    assert static.rotate("--abort").returncode == 1
    static.bao.policy("writer", **{"database/static-creds/fixed": ["read"], "database/rotate-role/fixed": ["update"]})
    assert static.rotate("--resume").returncode == 0 and static.password() != old
    assert not json.loads(static.rotate("--status", "--json").stdout)["underWay"]


def test_a_sink_that_vault_has_nothing_to_do_with(lab):
    api(lab, lambda request: Answer(200, b"{}"))
    done = lab.purser("rotate", "--sink")
    assert done.status == 2 and "not made by Vault's database engine" in done.err, done.text
