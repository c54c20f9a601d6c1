"""purser init: all is well, or one sentence in its log and in the pod's termination message; and what may pass is waited for."""
import json
import shutil
import signal
import time
from email.utils import formatdate

import pytest
from outages_world import Front, server, server_error, throttled  # noqa: F401
from pod import AGENT
from promise import as_root, wait_until
from test_kubernetes import api_server  # noqa: F401
from test_pod import hunter, pod  # noqa: F401
from upstream import DAY, Authority, Upstream

pytestmark = [pytest.mark.plain, as_root]

WAITS = "waiting for it, for at most"


def refused(pod, status, *words, init=None):
    """init ends with this status, and one sentence, in its log and in its termination message."""
    init = init or pod.init()
    assert init.status == status, init.text
    errors = [line.removeprefix("purser: error: ") for line in init.err.splitlines() if line.startswith("purser: error:")]
    assert errors == [init.message] and not (pod.volumes / "bin/purser-exec").exists(), init.text
    for word in words:
        assert word in init.message, init.message
    return init


def test_init_names_a_fault_of_the_configuration(pod):
    hunter(pod)
    pod.more += "snik: {}\n"
    pod.write()
    refused(pod, 3, "/etc/purser/purser.yaml:", "snik")


def test_init_names_a_policy_whose_tests_fail(pod):
    hunter(pod)
    text = (pod.folder / "policy/lab-all.yaml").read_text()
    pod.policy("lab-all", text.replace("expect: allow", "expect: deny"))
    pod.write()
    refused(pod, 3, "lab-all", "GET /x")


def test_init_names_a_token_that_is_not_there(pod):
    hunter(pod)
    (pod.token_files / "api").unlink()
    refused(pod, 5, "token api:", "/tokens/api")


def test_init_names_a_database_that_cannot_be_reached(pod):
    hunter(pod)
    pod.database.cluster.stop()
    try:
        init = refused(pod, 4, "database PostgreSQL:", init=pod.init("--wait", "2s"))
        assert init.err.count(WAITS) <= 1, init.err
        init = refused(pod, 4, "database PostgreSQL:", init=pod.init("--wait", "0s"))
        assert WAITS not in init.err, init.err
    finally:
        pod.database.cluster.start()


@pytest.mark.parametrize("wait", ["soon", "30", "2h"])
def test_init_names_a_wait_that_is_none(pod, wait):
    hunter(pod)
    refused(pod, 2, "--wait", wait, "30s", init=pod.init("--wait", wait))


def test_init_refuses_a_sink_that_would_end_with_the_pod(pod):
    hunter(pod)
    pod.more = ""
    pod.write()
    refused(pod, 3, "would end with the pod", "postgres")


def test_init_makes_the_schema_and_leaves_purser_exec_whole(pod):
    hunter(pod)
    assert pod.init().status == 0 and pod.init().status == 0
    assert pod.database.query("SELECT count(*) FROM metric_sample") == [("0",)]
    program = pod.volumes / "bin/purser-exec"
    assert program.stat().st_mode & 0o777 == 0o555
    assert program.read_bytes() == (pod.folder / "tree/libexec/purser/purser-exec").read_bytes()


def test_init_that_was_killed_in_the_middle_of_purser_exec_is_no_hindrance(pod):
    hunter(pod)
    half = pod.volumes / "bin/.purser-exec.new"
    half.write_bytes(b"\x7fELF")
    half.chmod(0o555)
    shutil.chown(half, AGENT, AGENT)
    init = pod.init()
    assert init.status == 0, init.text
    assert [each.name for each in half.parent.iterdir()] == ["purser-exec"]
    assert (half.parent / "purser-exec").read_bytes() == (pod.folder / "tree/libexec/purser/purser-exec").read_bytes()


# What may pass

def begun(pod, *words):
    """An init that waits."""
    init = pod.purser_container("init", "--wait", "10m", *words)
    wait_until(lambda: WAITS in init.err or init.status is not None, 60, "init waits")
    assert init.status is None, init.text
    return init


def went_on(init):
    assert init.wait(60).status == 0, init.text
    assert init.err.count(WAITS) == 1 and init.message == "", init.text


def test_init_waits_for_a_database_that_comes_a_moment_later(pod):
    hunter(pod)
    pod.database.cluster.stop()
    try:
        init = begun(pod)
        assert "database" in init.err and "at most 600 s" in init.err, init.err
    finally:
        pod.database.cluster.start()
    went_on(init)
    assert pod.database.query("SELECT count(*) FROM metric_sample") == [("0",)]


def test_init_waits_for_a_database_that_is_starting_up(pod):
    """It answers, and says that it takes nobody yet: here because it is told to follow another, and to show nobody what it has."""
    hunter(pod)
    cluster = pod.database.cluster
    data = cluster.folder / "data"
    cluster.stop()
    (data / "standby.signal").touch()
    cluster.run("pg_ctl", "-D", data, "-l", cluster.folder / "log", "-W", "-o", "-c hot_standby=off", "start")
    words = "starting up", "not accepting connections"

    def answers():
        cluster.query("postgres", "SELECT 1", check=False)
        return any(word in cluster.error for word in words)
    try:
        wait_until(answers, 60, "its answer")
        init = begun(pod)
        assert any(word in init.err for word in words), init.err
    finally:
        cluster.run("pg_ctl", "-D", data, "-w", "promote")
    went_on(init)


def test_init_waits_for_a_name_that_is_not_there_yet(pod):
    hunter(pod)
    pod.more = pod.more.replace(f"host={pod.database.cluster.folder}", "host=nowhere.invalid sslmode=disable")
    pod.write()
    init = begun(pod)
    init.signal(signal.SIGTERM)
    refused(pod, 4, "nowhere.invalid", init=init.wait(60))


def test_init_that_waits_ends_at_once_when_it_is_told_to(pod):
    hunter(pod)
    pod.database.cluster.stop()
    try:
        init = begun(pod)
        init.signal(signal.SIGTERM)
        refused(pod, 4, "told to end", "connecting", init=init.wait(20))
    finally:
        pod.database.cluster.start()


# What does not pass

def over_tcp(pod, user="hunter", more="sslmode=disable"):
    cluster = pod.database.cluster
    cluster.query(pod.database.name, "DROP ROLE IF EXISTS hunter; CREATE ROLE hunter SUPERUSER LOGIN PASSWORD 'a-right-passphrase'")
    (pod.token_files / "database").write_text("a-right-passphrase")
    (pod.token_files / "database").chmod(0o444)
    dsn = f"host=127.0.0.1 port={cluster.port} dbname={pod.database.name} user={user} {more}"
    pod.more = (f"sink: {{postgres: {{dsn: {json.dumps(dsn)}, credentialFrom: {{file: /tokens/database}}}}}}\n"
                "audit: {keyFile: /etc/purser-audit/key}\n")
    pod.write()


@pytest.mark.parametrize("what, says", [("password", "password authentication failed"), ("role", "password authentication failed"),
                                        ("database", "does not exist"), ("ca", "certificate"), ("name", "certificate"),
                                        ("credential", "/tokens/database")])
def test_init_does_not_wait_for_what_does_not_pass_at_the_database(pod, what, says):
    hunter(pod)
    over_tcp(pod, "nobody" if what == "role" else "hunter")
    if what == "password":
        (pod.token_files / "database").write_text("another-passphrase")
    if what == "database":
        pod.more = pod.more.replace(f"dbname={pod.database.name}", "dbname=elsewhere")
    if what in ("ca", "name"):
        bundle = Authority(pod.folder / "other").bundle if what == "ca" else pod.database.cluster.ca
        (pod.token_files / "ca").write_bytes(bundle.read_bytes())
        (pod.token_files / "ca").chmod(0o444)
        pod.more = pod.more.replace("sslmode=disable", "sslmode=verify-full sslrootcert=/tokens/ca")
    if what == "credential":
        (pod.token_files / "database").unlink()
    pod.write()
    init = refused(pod, 4, "database PostgreSQL:", says)
    assert WAITS not in init.err and "28P01" not in init.err and "LOCATION" not in init.err, init.err
    assert "passphrase" not in init.text


def test_init_with_the_right_password_over_tcp_is_well(pod):
    hunter(pod)
    over_tcp(pod)
    init = pod.init()
    assert init.status == 0, init.text


def test_init_does_not_wait_for_a_schema_that_is_newer(pod):
    hunter(pod)
    assert pod.init().status == 0
    (pod.volumes / "bin/purser-exec").unlink()
    pod.database.query("INSERT INTO purser_schema SELECT max(version) + 1, now() FROM purser_schema")
    init = refused(pod, 4, "use a newer purser")
    assert WAITS not in init.err, init.err


# Stores

def vaulted(pod, server, address=None, ca=None, path="secret/data/ci/api"):
    role, secret = server.login
    server.put("ci/api", token=pod.token)
    for name, text in ("secret-id", secret), ("vault-ca", (ca or server.ca).read_text()):
        (pod.token_files / name).write_text(text)
        (pod.token_files / name).chmod(0o444)
    pod.sources["api"]["token"] = {"vault": {"path": path}}
    pod.more += "vault: " + json.dumps({"address": address or server.address, "caFile": "/tokens/vault-ca", "spread": "0s",
                                        "auth": {"approle": {"roleId": role, "secretId": {"file": "/tokens/secret-id"}}}}) + "\n"
    hunter(pod)


@pytest.mark.parametrize("how", ["down", "sealed"])
def test_init_waits_for_a_store_that_comes_a_moment_later(pod, server, how):
    vaulted(pod, server)
    server.stop() if how == "down" else server.seal()
    try:
        init = begun(pod)
        assert ("cannot be reached" if how == "down" else "503") in init.err and "secret/data/ci/api" in init.err, init.err
    finally:
        if how == "down":
            server.start()
        server.unseal()
    went_on(init)
    assert pod.token not in init.text and server.login[1] not in init.text


@pytest.mark.parametrize("spoil", [server_error, throttled], ids=["500", "429"])
def test_init_waits_for_a_store_that_answers_with_an_error_for_a_moment(pod, server, spoil):
    front = Front(server, spoil)
    vaulted(pod, server, front.address)
    try:
        init = begun(pod)
        front.spoil = None
        went_on(init)
    finally:
        front.close()


def test_init_gives_up_a_store_that_stays_down_with_one_sentence(pod, server):
    vaulted(pod, server)
    server.stop()
    try:
        init = refused(pod, 5, "token api:", "Vault", "cannot be reached", init=pod.init("--wait", "2s"))
        assert init.err.count(WAITS) <= 1, init.err
    finally:
        server.start()
        server.unseal()


def test_init_that_waits_for_a_store_ends_at_once_when_it_is_told_to(pod, server):
    vaulted(pod, server)
    server.stop()
    try:
        init = begun(pod)
        init.signal(signal.SIGTERM)
        refused(pod, 5, "Told to end", init=init.wait(20))
    finally:
        server.start()
        server.unseal()


def test_init_does_not_wait_for_what_a_store_refuses(pod, server):
    vaulted(pod, server, path="secret/data/elsewhere")
    init = refused(pod, 5, "token api:", "(403)", init=pod.init("--wait", "10m"))
    assert WAITS not in init.err, init.err


def test_init_does_not_wait_for_a_store_of_another_ca(pod, server):
    vaulted(pod, server, ca=Authority(pod.folder / "other").bundle)
    init = refused(pod, 5, "token api:", "cannot be verified", "caFile", init=pod.init("--wait", "10m"))
    assert WAITS not in init.err, init.err


def held_up(connection, text):
    """Longer than a call may take."""
    time.sleep(12)
    connection.answer(text)


@pytest.mark.cluster
@pytest.mark.parametrize("spoil", [server_error, throttled, held_up], ids=["500", "429", "slow"])
def test_init_and_agent_wait_for_an_api_server_that_is_overloaded_for_a_moment(pod, api_server, spoil):
    api_server.account("ci", "purser", secrets=["github"])
    api_server.secret("ci", "github", token=pod.token)
    front = Front(api_server, spoil, api_server.server)
    for name, text in ("account", api_server.token("ci", "purser")), ("cluster-ca", api_server.ca.read_text()):
        (pod.token_files / name).write_text(text)
        (pod.token_files / name).chmod(0o444)
    pod.sources["api"]["token"] = {"kubernetes": {"secretName": "github", "key": "token"}}
    pod.more += "kubernetes: " + json.dumps({"address": front.address, "caFile": "/tokens/cluster-ca", "namespace": "ci",
                                             "tokenFile": "/tokens/account", "spread": "0s"}) + "\n"
    hunter(pod)
    try:
        init = begun(pod)
        front.spoil = None
        went_on(init)
        front.spoil = spoil
        agent = pod.agent(ready=False)
        one = pod.collect("one")
        wait_until(lambda: WAITS in agent.err, 60, "the agent waits")
        front.spoil = None
        assert one.wait(90).status == 0 and "1 rows loaded" in one.text, one.text + agent.text
    finally:
        front.close()


# The node's clock

def minting(pod, pair, ca):
    """A second source, whose API mints its token, with this certificate."""
    api = Upstream(lambda connection: connection.answer(), *pair)
    (pod.token_files / "mint-ca").write_text(ca.read_text())
    (pod.token_files / "mint-ca").chmod(0o444)
    pod.source("minted", "api.test", token="a-client-secret-of-the-pod")
    pod.sources["minted"]["token"] = {"oauth2": {"tokenUrl": f"https://localhost:{api.port}/token", "clientId": "purser",
                                                 "clientSecret": {"file": "/tokens/minted"}, "caFile": "/tokens/mint-ca"}}
    pod.write()
    return api


def test_init_names_the_nodes_clock_when_a_certificate_is_only_valid_from_tomorrow(pod, server):
    """What a node sees whose clock is a day behind."""
    authority = Authority(pod.folder / "late")
    front = Front(server, None, authority.leaf("localhost", tomorrow=True))
    vaulted(pod, server, front.address, authority.bundle)
    try:
        refused(pod, 5, "token api:", "Vault", "it is valid from 20", "this machine's clock says 20", "set it right (NTP)",
                init=pod.init("--wait", "2s"))
        assert front.passed == 0
    finally:
        front.close()


@pytest.mark.parametrize("days, way", [(1, "1d 0h behind that"), (-1, "1d 0h ahead of that"), (0, None)])
def test_init_tells_by_the_answers_that_it_gets_that_the_nodes_clock_is_wrong(pod, server, days, way):
    def dated(connection, text):
        date = formatdate(time.time() + days * (DAY + 120), usegmt=True)
        connection.answer(text, headers=[f"Date: {date}"])
    front = Front(server, dated)
    vaulted(pod, server, front.address)
    authority = Authority(pod.folder / "late")
    api = minting(pod, authority.leaf("localhost", tomorrow=True), authority.bundle)
    hunter(pod, "other")
    pod.retrievers[-1]["sources"] = ["api", "minted"]
    pod.write()
    try:
        init = refused(pod, 5, "token minted:", "it is valid from 20", init=pod.init("--wait", "10s"))
        warned = [line for line in init.err.splitlines() if "set it right (NTP), since" in line]
        if way:
            assert len(warned) == 1 and f"this machine's clock is {way}" in warned[0] and "Vault at localhost" in warned[0], init.err
            assert f"this machine's clock is {way}" in init.message and "set it right (NTP)" in init.message, init.message
        else:
            assert not warned and "agrees with the clock of Vault at localhost" in init.message, init.err
    finally:
        front.close()
        api.close()
