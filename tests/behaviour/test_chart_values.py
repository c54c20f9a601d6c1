"""`purser run --chart-values`: a retriever of the chart runs on one machine, from the chart's own values and files."""
import json
import os
import re

import pytest
import yaml
from lab import Answer, Lab
from promise import new_token

SCRIPT = """
import os, urllib.request
request = urllib.request.Request("https://api.test/x", headers={"Authorization": "Bearer " + os.environ["CI_TOKEN"]})
urllib.request.urlopen(request).read()
print("SAID", os.environ["CI_TOKEN"][:6], os.environ.get("SCOPE"), os.environ.get("FROM_CLUSTER"))
open(os.environ["OUTPUTDIR"] + "/m.dat", "w").write("1")
"""


@pytest.fixture
def chart(lab):
    """A chart's folder: values.yaml and files/NAME/, beside it what only the chart knows."""
    lab.api = lab.upstream("api.test", lambda request: Answer(200, b"{}"))
    lab.token = new_token()
    lab.write()  # policy/; no purser.yaml beside the values
    (lab.folder / "purser.yaml").unlink()
    folder = lab.folder / "files/hunter"
    folder.mkdir(parents=True)
    (folder / "collect.py").write_text(SCRIPT)
    lab.values = {
        "schedule": "*/10 * * * *", "timeZone": "", "OUTPUTDIR": "/purser/output", "outputEnv": "",
        "image": {"repository": "purser", "tag": ""}, "retrieverImage": {"name": "python", "prebaked": False},
        "database": {"kind": "bundled"}, "vault": {"address": "https://vault.example:8200", "role": "purser"},
        "x-common": {"a": 1}, "audit": {"keyFile": "/etc/purser-audit/key"},
        "sources": [{"name": "ci", "apiUrl": "https://api.test", "auth": "bearer", "token": {"secretName": "ci-token", "key": "k"},
                     "connectTo": f"127.0.0.1:{lab.api.port}", "allowPrivateAddresses": ["127.0.0.1"],
                     "caFile": str(lab.folder / "ca.pem")},
                    {"name": "other", "apiUrl": "https://other.test", "auth": "bearer",
                     "token": {"vault": {"path": "secret/data/x", "key": "token"}}}],
        "retrievers": [
            {"name": "hunter", "image": {"name": "python", "tag": "3.13-slim", "digest": "", "prebaked": True},
             "script": {"name": "collect.py", "secret": {"name": "s"}, "mountPath": "/files"}, "policy": "lab-all",
             "resources": {"limits": {"memory": "1Gi"}}, "extraVolumeMounts": [], "outputEnv": "OUT",
             "env": [{"name": "CI_TOKEN", "valueFrom": {"secretKeyRef": {"name": "ci-token", "key": "k"}}},
                     {"name": "SCOPE", "value": "all"},
                     {"name": "FROM_CLUSTER", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]},
            {"name": "elsewhere", "script": {"name": "there.py", "secret": {"name": "s"}}, "sources": ["other"],
             "policy": "lab-all"}]}
    write(lab)
    done = keyring(lab, "ci-token", "api.test", lab.token)
    assert done.status == 0, done.text
    return lab


def write(lab):
    (lab.folder / "values.yaml").write_text(json.dumps(lab.values))


def keyring(lab, name, host, token):
    lab.words = lambda command, *args: [lab.prefix / "bin/purser", command, *args]
    return lab.purser("token", "set", name, "--host", host, stdin=token, env=home(lab))


def home(lab):
    """Where purser's state lies when no configuration says it."""
    return {"HOME": str(lab.folder), "XDG_STATE_HOME": str(lab.folder / "state-home")}


def run(lab, *words):
    return lab.purser("run", "--chart-values", lab.folder / "values.yaml", *words, env=home(lab))



@pytest.fixture
def own_machine(lab):
    """As root the state folder is /var/lib/purser: another one lies over it here."""
    (lab.folder / "var").mkdir()
    mounted = ["unshare", "-m", "sh", "-c", f"mount --bind {lab.folder}/var /var/lib && exec \"$@\"", "sh"]
    start = Lab.purser

    def purser(command, *args, **options):
        words = lab.words
        lab.words = lambda *given: [*mounted, *words(*given)]
        try:
            return start(lab, command, *args, **options)
        finally:
            lab.words = words

    if os.geteuid() == 0:
        lab.purser = purser
    return lab


def test_a_retriever_of_the_chart_runs_here_with_a_lease(own_machine, chart):
    done = run(chart, "hunter")
    assert done.status == 0, done.text
    assert "SAID psl_1" in done.text and "all None" in done.text, done.text
    assert chart.api.requests[0].header("Authorization") == f"Bearer {chart.token}"


def test_a_value_of_a_secret_in_the_values_is_not_taken(own_machine, chart):
    chart.values["sources"][0]["token"]["secretValue"] = "another-token-that-is-not-used-0123"
    write(chart)
    assert run(chart, "hunter").status == 0
    assert chart.api.requests[0].header("Authorization") == f"Bearer {chart.token}"


def test_a_token_that_the_cluster_has_in_vault_is_the_keyrings_here(own_machine, chart):
    done = run(chart, "elsewhere")
    assert done.status == 5 and "source other has no token" in done.text and "purser token set" in done.text, done.text


def test_two_sources_with_one_place_in_vault_have_a_token_each_here(own_machine, chart):
    """As an alias writes it: one place for the cluster, but an entry of the keyring is named as its source is."""
    first, second = chart.values["sources"]
    first.update(token=second["token"], tokenEnv=["CI_TOKEN"])
    chart.values["retrievers"][0]["sources"] = ["ci"]
    text = yaml.safe_dump(chart.values)  # writes what is there twice as an alias
    assert re.search(r"token: &id\d+\n", text) and re.search(r"token: \*id\d+\n", text)
    (chart.folder / "values.yaml").write_text(text)
    assert keyring(chart, "ci", "api.test", chart.token).status == 0
    assert run(chart, "hunter").status == 0
    assert chart.api.requests[0].header("Authorization") == f"Bearer {chart.token}"


def test_a_script_that_only_the_cluster_has_is_named(own_machine, chart):
    assert keyring(chart, "other", "other.test", new_token()).status == 0
    done = run(chart, "elsewhere")
    assert done.status != 0 and "files/elsewhere" in done.text, done.text


def test_two_configurations_at_once_are_refused(own_machine, chart):
    done = run(chart, "--file", chart.folder / "values.yaml")
    assert done.status == 2 and "name one of them" in done.err
