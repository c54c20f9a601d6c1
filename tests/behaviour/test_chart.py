"""The chart: what it renders, from which values, and what it says of values that cannot be. Only Helm; no cluster."""
import base64
import json
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
import yaml
from helm import CHART, GOLDEN, TOP, VALUES, as_golden, containers, helm, of_kind, pods, refusal, render, retrievers, script_of
from policy_chains import Block, selects

pytestmark = pytest.mark.cluster

FIRST = ["--values", VALUES / "first.yaml", *script_of("github-actions"), *script_of("buildkite")]
FULL = ["--values", VALUES / "full.yaml"]
GITHUB = script_of("github-actions")
RENDERED = {
    "first": FIRST,
    "full": FULL,
    "cloudnativepg": ["--values", VALUES / "cloudnativepg.yaml"],
    "vault-database": ["--values", VALUES / "vault-database.yaml"],
    "rotation": ["--values", VALUES / "rotation.yaml"],
    "rotation-vault": ["--values", VALUES / "rotation-vault.yaml"],
    "old-cluster": ["--values", VALUES / "old-cluster.yaml", "--kube-version", "1.28.0"],
    "chart-minimal": ["--values", TOP / "examples/chart-minimal/values.yaml", *GITHUB],
    "chart-vault": ["--values", TOP / "examples/chart-vault/values.yaml", *GITHUB],
    "chart-external-database": ["--values", TOP / "examples/chart-external-database/values.yaml", *GITHUB],
    "chart-vault-database": ["--values", TOP / "examples/chart-vault-database/values.yaml", *GITHUB],
}
SOURCE = {"name": "github", "provider": "github", "token": {"secretName": "github-token"}}
IN_VAULT = {**SOURCE, "token": {"vault": {"path": "secret/data/ci", "key": "token"}}, "rotate": {"schedule": "0 3 1 * *"}}
RETRIEVER = {"name": "actions", "sources": ["github"], "command": ["collect"]}


@pytest.fixture(scope="module")
def rendered():
    return {name: render(*words) for name, words in RENDERED.items()}


@pytest.mark.parametrize("name", RENDERED)
def test_lint_finds_nothing(name):
    words = [word for word in RENDERED[name] if word not in ("--kube-version", "1.28.0")]
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, *words).stdout


@pytest.mark.parametrize("name", RENDERED)
def test_renders_what_the_golden_file_has(name):
    """PURSER_GOLDEN=write writes them anew; read the difference before you commit it."""
    text = as_golden(helm("template", "ci", CHART, "--namespace", "ci-metrics", *RENDERED[name]).stdout)
    golden = GOLDEN / f"{name}.yaml"
    if os.environ.get("PURSER_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", RENDERED)
def test_purser_takes_each_configuration_that_the_chart_writes(name, rendered, prefix, tmp_path):
    configs = [each for each in of_kind(rendered[name], "ConfigMap").values() if "purser.yaml" in each["data"]]
    assert configs
    for number, each in enumerate(configs):
        folder = tmp_path / str(number)
        (folder / "policy").mkdir(parents=True)
        for key, text in each["data"].items():
            where = re.sub(r"^policy\.(.*)$", r"policy/\1", key)
            (folder / where).write_text(text)
        done = subprocess.run([prefix / "bin/purser", "policy", "explain", "GET", "https://nowhere.example/x", "--json", "--file",
                               folder / "purser.yaml"], capture_output=True, text=True)
        # Nothing has that host; but whoever says so has read the whole of it.
        assert "nowhere.example" in done.stdout + done.stderr, done.stderr
        assert "purser.yaml:" not in done.stderr, done.stderr
        for policy in (folder / "policy").iterdir():
            subprocess.run([prefix / "bin/purser", "policy", "test", policy], check=True, capture_output=True)


@pytest.mark.parametrize("name", RENDERED)
def test_every_pod_keeps_to_pod_security_restricted(name, rendered):
    for where, pod in pods(rendered[name]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(pod)
        allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
        assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"]), where
        for container in containers(pod):
            confined = container["securityContext"]
            assert confined["allowPrivilegeEscalation"] is False and confined["capabilities"] == {"drop": ["ALL"]}
            assert confined["readOnlyRootFilesystem"] is True and confined["runAsUser"] > 0


@pytest.mark.parametrize("name", RENDERED)
def test_a_retriever_is_given_what_is_its_own_and_nothing_else(name, rendered):
    for where, pod in pods(rendered[name]):
        mine = retrievers(pod)
        users = [each["securityContext"]["runAsUser"] for each in containers(pod)]
        assert not mine or len(set(users)) == len(mine) + 1, "each has a user of its own, init and agent one"
        seen = {}
        for container in mine:
            volumes = {mount["name"] for mount in container["volumeMounts"]}
            assert not volumes & {"config", "state", "sink", "audit-key", "api-token", "vault-token", "vault-ca"}, where
            for volume in volumes - {"bin", "site-ca", "cache"}:
                assert seen.setdefault(volume, container["name"]) == container["name"], volume
            assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["name"] in ("bin", "site-ca"))
            assert "secretKeyRef" not in json.dumps(container["env"]) and "envFrom" not in container
            agent = next(each for each in containers(pod) if each["name"] == "agent")
            assert {mount["name"] for mount in agent["volumeMounts"]} & volumes <= {f"run-{container['name']}", "site-ca", "cache"}


@pytest.mark.parametrize("name", RENDERED)
def test_the_role_names_each_secret(name, rendered):
    rules = [rule for role in of_kind(rendered[name], "Role").values() if not role["metadata"]["name"].endswith("-rotate")
             for rule in role["rules"]]
    assert all(rule["resourceNames"] and rule["verbs"] in (["get", "watch"], ["create"]) for rule in rules)
    assert not of_kind(rendered[name], "ClusterRole")


def test_the_first_charts_values_are_taken_as_they_are(rendered):
    objects = rendered["first"]
    secrets = of_kind(objects, "Secret")
    values = yaml.safe_load((VALUES / "first.yaml").read_text())
    for source in values["sources"]:
        made = secrets[source["token"]["secretName"]]["data"]
        assert {key: base64.b64decode(value).decode() for key, value in made.items()} == {"secret": source["token"]["secretValue"]}
    jobs = of_kind(objects, "CronJob")
    assert list(jobs) == ["ci-purser"]
    pod = jobs["ci-purser"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert [each["image"] for each in retrievers(pod)] == ["python:3.8-slim"] * 2
    for container, retriever in zip(retrievers(pod), values["retrievers"]):
        assert container["command"][-2:] == ["python3", "/scripts/collect.py"]
        assert {"name": "OUTPUTDIR", "value": "/purser/output"} in container["env"]
        files = secrets[retriever["script"]["secret"]["name"]]["data"]
        assert base64.b64decode(files["collect.py"]) == \
            (TOP / "examples/quickstart/files" / retriever["name"] / "collect.py").read_bytes()
    for token in (source["token"]["secretValue"] for source in values["sources"]):
        others = [each for each in objects if each["metadata"]["name"] not in ("github-secret", "buildkite-secret")]
        assert token not in json.dumps(others)


def test_each_schedule_is_a_cronjob_and_what_has_none_is_run_by_hand(rendered):
    jobs = of_kind(rendered["full"], "CronJob")
    found = {name: (job["spec"]["schedule"], job["spec"].get("timeZone"), job["spec"]["suspend"],
                    [each["env"][0]["value"] for each in retrievers(job["spec"]["jobTemplate"]["spec"]["template"]["spec"])])
             for name, job in jobs.items()}
    long = "github.checks_of-a-repository-with-a-rather-long-name-indeed-1"
    other = next(name for name in found if name not in ("metrics", "metrics-manual"))
    assert found == {
        "metrics": ("*/10 * * * *", "Europe/Berlin", False, ["github-actions", "jenkins"]),
        other: ("5 4 * * *", "Europe/Berlin", False, [long]),
        "metrics-manual": ("0 0 1 1 *", "Europe/Berlin", True, ["by-hand"])}
    assert all(job["spec"]["concurrencyPolicy"] == "Forbid" and len(name) <= 52 for name, job in jobs.items())
    # Of other pods' sources a pod knows nothing.
    config = of_kind(rendered["full"], "ConfigMap")[f"{other}-config"]["data"]["purser.yaml"]
    assert [source["name"] for source in yaml.safe_load(config)["sources"]] == ["github"]


def test_without_native_sidecars_the_agent_is_a_container_that_ends_by_itself(rendered):
    old = next(pod for _, pod in pods(rendered["old-cluster"]))
    new = dict(pods(rendered["chart-minimal"]))["ci-purser"]
    assert [each["name"] for each in old["initContainers"]] == ["init"]
    assert "--end-when-done" in old["containers"][0]["command"] and "restartPolicy" not in old["containers"][0]
    agent = new["initContainers"][1]
    assert agent["restartPolicy"] == "Always" and agent["startupProbe"] and "--end-when-done" not in agent["command"]


def test_names_stay_within_what_kubernetes_takes(rendered):
    long = render("--set-string", f"fullnameOverride={'a' * 70}", *FULL, release="r" * 53)
    for each in [*long, *rendered["full"]]:
        most = {"CronJob": 52, "Service": 63, "StatefulSet": 52, "Job": 63}.get(each["kind"], 253)
        assert len(each["metadata"]["name"]) <= most, each["metadata"]["name"]
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())
    for _, pod in pods(long):
        for name in [*(each["name"] for each in containers(pod)), *(each["name"] for each in pod["volumes"])]:
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name), name


def texts(value, keys=("name", "namespace", "image", "audience", "app.kubernetes.io/name", "app.kubernetes.io/instance")):
    """What stands under these keys, wherever."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key in keys and not isinstance(each, (dict, list)):
            yield each
        yield from texts(each, keys)


@pytest.mark.parametrize("word", ["123", "true", "null", "0x1f"])
def test_a_name_that_looks_like_another_kind_of_value_stays_text(word):
    values = {"sources": [SOURCE], "retrievers": [{**RETRIEVER, "name": word, "image": word}],
              "vault": {"address": "https://vault.example", "role": "purser", "audience": word}}
    said = helm("template", word, CHART, "--namespace", word, "--values", "-", input=yaml.safe_dump(values)).stdout
    found = list(texts(list(yaml.safe_load_all(said))))
    assert found.count(word) > 20 and all(isinstance(each, str) for each in found), set(map(repr, found))


def test_a_number_is_taken_as_it_was_written():
    objects = render(values={"sources": [SOURCE], "image": {"repository": "purser", "tag": 20261126},
                             "retrieverImage": {"name": "python", "tag": 3.13},
                             "retrievers": [{**RETRIEVER, "limits": {"outputBytes": 268435456}}]})
    ((_, pod),) = [each for each in pods(objects) if each[0] == "ci-purser"]
    assert {each["image"] for each in containers(pod)} == {"purser:20261126", "python:3.13"}
    assert [each["emptyDir"]["sizeLimit"] for each in pod["volumes"] if each["name"] == "output-actions"] == [268435456]


@pytest.mark.parametrize("user, written", [("svc@tenant", "svc@tenant"), ("a #b", "'a #b'"), ("x sslmode=disable", "'x sslmode=disable'"),
                                           ("CORP\\svc", "'CORP\\\\svc'"), ("o'neil", "'o\\'neil'")])
def test_the_databases_user_is_one_word_of_the_dsn(user, written):
    objects = render(values={"sources": [SOURCE], "retrievers": [RETRIEVER], "database": {"kind": "external", "external": {
        "host": "db.example", "user": user, "ownerRole": "a #b", "passwordSecret": {"name": "x"}}}})
    config = yaml.safe_load(of_kind(objects, "ConfigMap")["ci-purser-config"]["data"]["purser.yaml"])
    assert config["sink"]["postgres"]["dsn"] == f"host=db.example port=5432 dbname=ci user={written} sslmode=verify-full"
    assert config["sink"]["postgres"]["ownerRole"] == "a #b"


ROTATED = {"provider": "gitlab", "rotate": {"schedule": "0 3 1 * *", "fromProvider": True, "acceptLoss": True}}


@pytest.mark.parametrize("release, sources", [
    ("ci", ["ci.gitlab", "ci-gitlab", "ci_gitlab"]), ("ci", ["a" * 40 + "-1", "a" * 40 + "-2"]),
    ("platform-engineering-ci-metrics", ["gitlab-a", "gitlab-b"]), ("r" * 53, ["gitlab", "gitlab2", "gitlab-2"])])
def test_two_rotations_never_have_one_name(release, sources):
    values = {"sources": [{**ROTATED, "name": name, "token": {"secretName": f"token-{n}"}} for n, name in enumerate(sources)],
              "retrievers": [{**RETRIEVER, "sources": sources}]}
    objects = render(values=values, release=release)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    jobs = [name for kind, name in names if kind == "CronJob" and "rot" in name]
    assert len(names) == len(set(names)) and len(jobs) == len(sources)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", name) for name in jobs), jobs


@pytest.mark.parametrize("top", [{}, {"schedule": "never"}, {"schedule": ""}, {"schedule": "5 * * * *", "timeZone": "Europe/Berlin"}])
def test_what_is_run_by_hand_is_one_cronjob_whatever_its_time_zone(top):
    zones = {"a": {"timeZone": "Europe/Berlin"}, "b": {}, "c": {"timeZone": "UTC"}}
    objects = render(values={"sources": [SOURCE], **top, "retrievers": [
        {**RETRIEVER, "name": name, "schedule": "never", **zone} for name, zone in zones.items()]})
    (job,) = [each for each in objects if each["kind"] == "CronJob"]
    assert job["spec"]["suspend"] is True
    assert [each["name"] for each in job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]] == list(zones)


def allows(policies, one, other, port, protocol="TCP"):
    """Whether these NetworkPolicies let a pod of the labels `one` reach `other` (labels, or an address that is no pod's), as their
    specification says: a pod that none selects is open; each that selects it adds what it allows."""
    def is_there(each, peer):
        if isinstance(peer, str):
            return "ipBlock" in each and Block(each["ipBlock"], "").has(peer)
        return "podSelector" in each and selects(each["podSelector"], peer, "")

    def side(labels, peer, direction, key):
        if isinstance(labels, str):
            return True
        mine = [policy["spec"] for policy in policies if selects(policy["spec"]["podSelector"], labels, "")
                and direction in policy["spec"]["policyTypes"]]
        return not mine or any(
            any(each["port"] == port and each["protocol"] == protocol for each in rule["ports"])
            and (key not in rule or any(is_there(each, peer) for each in rule[key]))
            for policy in mine for rule in policy[direction.lower()])
    return side(one, other, "Egress", "to") and side(other, one, "Ingress", "from")


PUBLIC, PRIVATE, METADATA = "140.82.121.5", "10.1.2.3", "169.254.169.254"


def runs_of(objects):
    """The labels of a Job's pod."""
    return next(iter(of_kind(objects, "CronJob").values()))["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]


def test_the_network_policies_allow_what_a_run_needs_and_nothing_else(rendered):
    """What pods feel of it: test_cluster_network.py."""
    for name in ("chart-minimal", "full"):
        objects = rendered[name]
        policies = list(of_kind(objects, "NetworkPolicy").values())
        by_hand = next(iter(of_kind(objects, "Pod").values()))["metadata"]["labels"]
        database = next(iter(of_kind(objects, "StatefulSet").values()))["spec"]["template"]["metadata"]["labels"]
        for run in runs_of(objects), by_hand:
            assert allows(policies, run, PUBLIC, 53, "UDP") and allows(policies, run, PUBLIC, 443)
            assert allows(policies, run, PRIVATE, 6443) and allows(policies, run, database, 5432)
            assert not allows(policies, run, PUBLIC, 22) and not allows(policies, run, PUBLIC, 5432)
            assert not allows(policies, run, database, 22) and not allows(policies, {"app": "x"}, run, 443)
        assert not allows(policies, {"app": "x"}, database, 5432) and not allows(policies, database, PUBLIC, 443)
    grafana = next(iter(of_kind(rendered["full"], "Deployment").values()))["spec"]["template"]["metadata"]["labels"]
    full, run = list(of_kind(rendered["full"], "NetworkPolicy").values()), runs_of(rendered["full"])
    assert allows(full, grafana, database, 5432) and allows(full, {"app": "x"}, grafana, 3000)
    assert not allows(full, grafana, PUBLIC, 443) and not allows(full, grafana, PRIVATE, 6443)
    assert allows(full, run, PUBLIC, 8443) and allows(full, run, PUBLIC, 8200)
    # It has a source at a private address, and a proxy.
    assert allows(full, run, PRIVATE, 8443) and not allows(full, run, METADATA, 8443)


@pytest.mark.parametrize("more", [
    {"site": {"proxy": "http://proxy.example:3128"}}, {"site": {"packageIndex": "https://pypi.example/simple"}},
    {"sources": [{**SOURCE, "allowPrivateAddresses": ["10.1.0.0/16"]}]}])
def test_private_addresses_are_open_where_something_may_be_there_and_metadata_never(more):
    values = {"sources": [SOURCE], "retrievers": [RETRIEVER], "networkPolicy": {"ports": [80], "apiServer": {"ports": [6443]}}}
    for each, private in (values, False), ({**values, **more}, True):
        objects = render(values=each)
        policies, run = list(of_kind(objects, "NetworkPolicy").values()), runs_of(objects)
        for port in 80, 443:
            assert allows(policies, run, PUBLIC, port) and allows(policies, run, PRIVATE, port) == private, port
            for address in METADATA, "168.63.129.16", "100.100.100.200", "192.0.0.192", "fe80::1", "fd00:ec2::254", "fd20:ce::254":
                assert not allows(policies, run, address, port), address
        assert allows(policies, run, "2606:50c0:8000::154", 443) and allows(policies, run, "fd12::1", 443) == private


REFUSED = {
    "influxdb": ({"influxdb": {"url": "x"}}, "loads the results into PostgreSQL"),
    "dbPusher": ({"dbPusher": {"image": "x"}}, "there is no pusher any more"),
    "a script without files": ({"retrievers": [{"name": "a", "script": {"name": "x.py"}, "sources": ["github"]}]}, "has no files"),
    "a script that is not among the files": (
        {"retrievers": [{"name": "a", "script": {"name": "x.py"}, "sources": ["github"]}], "files": {"a": {"y.py": ""}}},
        "its script is x.py, but its files are y.py"),
    "files of nobody": ({"files": {"b": {"y.py": ""}}}, "there is no retriever of that name"),
    "no program": ({"retrievers": [{"name": "a", "sources": ["github"]}]}, "needs either `script"),
    "no source": ({"retrievers": [{"name": "a", "command": ["x"]}]}, "names no source"),
    "an unknown source": ({"retrievers": [{**RETRIEVER, "sources": ["gitlab"]}]}, "which is not there; sources has: github"),
    "a secret that is no source's": (
        {"retrievers": [{**RETRIEVER, "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "x", "key": "password"}}}]}]},
        "a retriever is handed no secret"),
    "a name that is purser's": ({"retrievers": [{**RETRIEVER, "name": "agent"}]}, "a container of purser's own"),
    "two tokens in one Secret": (
        {"sources": [{**SOURCE, "name": name, "token": {"secretName": "s", "secretValue": name}} for name in ("github", "b")]},
        "another secretValue each"),
    "one Secret for two scripts": (
        {"retrievers": [{"name": name, "sources": ["github"], "script": {"name": "x.py", "secret": {"name": "s"}}} for name in ("a", "b")],
         "files": {"a": {"x.py": ""}, "b": {"x.py": ""}}}, "give each one of its own"),
    "two of a name": ({"retrievers": [RETRIEVER, RETRIEVER]}, "there are two retrievers"),
    "a rotation of what is minted": (
        {"sources": [{**SOURCE, "token": {"kubernetesTokenRequest": {"serviceAccount": "a"}}, "rotate": {"schedule": "0 3 1 * *"}}]},
        "where its token is in a Secret of this namespace, or in Vault"),
    "a rotation in Vault by no role": (
        {"sources": [IN_VAULT], "vault": {"address": "https://vault.example:8200", "role": "purser"}}, "say vault.rotationRole"),
    "a rotation in Vault by the agents' role": (
        {"sources": [IN_VAULT], "vault": {"address": "https://vault.example:8200", "role": "purser", "rotationRole": "purser"}},
        "give each one of its own"),
    "a rotation in Vault of no key": (
        {"sources": [{**IN_VAULT, "token": {"vault": {"path": "secret/data/ci"}}}],
         "vault": {"address": "https://vault.example:8200", "role": "purser", "rotationRole": "purser-rotate"}}, "say where in Vault its token is"),
    "a rotation in Vault of one version": (
        {"sources": [{**IN_VAULT, "token": {"vault": {"path": "secret/data/ci", "key": "token", "version": 2}}}],
         "vault": {"address": "https://vault.example:8200", "role": "purser", "rotationRole": "purser-rotate"}}, "a pinned `version`"),
    "a keyring": ({"sources": [{**SOURCE, "token": {"keyring": "github"}}]}, "which is for one machine"),
    "vault without an address": ({"sources": [{**SOURCE, "token": {"vault": {"path": "a/b"}}}]}, "say where that is: vault.address"),
    "two logins": ({"vault": {"address": "https://v", "role": "a", "auth": {"token": {"file": "x"}}}}, "not both"),
    "no password": ({"database": {"kind": "external", "external": {"host": "db"}}}, "name where its password is"),
    "no host": ({"database": {"kind": "external", "external": {"vault": "database/creds/a"}}, "vault": {"address": "https://v", "role": "a"}},
                "the name of the PostgreSQL server"),
    "credentials of no Vault": ({"database": {"kind": "external", "external": {"host": "db", "vault": "database/creds/a"}}},
                                "say where that is: vault.address"),
    "a size that is none": ({"retrievers": [{**RETRIEVER, "limits": {"outputBytes": "many"}}]}, "/retrievers/0/limits/outputBytes"),
    "a time that is none": ({"kubernetes": {"refresh": "30us"}}, "/kubernetes/refresh"),
    "no time": ({"kubernetes": {"refresh": ""}}, "/kubernetes/refresh"),
    "a Grafana of nothing": ({"grafana": {"bundled": {"enabled": True}, "datasource": {"enabled": False}}}, "enable both"),
    "two keys of one Secret": (
        {"retrievers": [{"name": name, "command": ["x"], "env": [
            {"name": "T", "valueFrom": {"secretKeyRef": {"name": "github-token", "key": name}}}]} for name in ("a", "b")]},
        "say which holds the token: sources[].token.key"),
}


def test_a_time_is_said_as_purser_reads_it():
    render(values={"sources": [SOURCE], "retrievers": [RETRIEVER], "kubernetes": {"refresh": "1h30m", "maxStale": "2d", "spread": "0"}})


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_with_what_to_write_instead(what):
    values, sentence = REFUSED[what]
    assert sentence in refusal({"sources": [SOURCE], "retrievers": [RETRIEVER], **values})


def schema_objects(schema, value, where=()):
    """The places in these values that the schema says the keys of."""
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    if isinstance(value, dict):
        if schema.get("additionalProperties") is False:
            yield where
        for key, each in value.items():
            yield from schema_objects(schema.get("properties", {}).get(key, {}), each, (*where, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from schema_objects(schema.get("items", {}), each, (*where, number))


SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def with_key(values, where, key):
    copy = json.loads(json.dumps(values))
    place = copy
    for step in where:
        place = place[step]
    place[key] = 1
    return copy


def test_an_unknown_key_is_refused_wherever_it_stands():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    values.update(sources=[SOURCE], retrievers=[{**RETRIEVER, "limits": {"time": "1m"}, "env": [{"name": "A", "value": "b"}]}])
    places = list(schema_objects(SCHEMA, values))
    assert len(places) > 35
    everywhere = values
    for number, where in enumerate(places):
        everywhere = with_key(everywhere, where, f"unknown{number}")
    said = refusal(everywhere)
    assert [number for number in range(len(places)) if f"unknown{number}'" not in said] == []
    assert render(values={"x-anchors": {"a": 1}, "sources": [SOURCE], "retrievers": [RETRIEVER]})


def test_every_key_of_the_schema_stands_in_values_yaml_with_a_word_about_it():
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)

    def missing(schema, value, where):
        while "$ref" in schema:
            schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
        for key, each in schema.get("properties", {}).items():
            if key == "global" or "secret" in schema["properties"] and "configMap" in schema["properties"]:
                continue
            if not isinstance(value, dict) or key not in value:
                if not re.search(rf"#.*\b{re.escape(key)}\b", text):
                    yield ".".join((*where, key))
            elif isinstance(value, dict):
                yield from missing(each, value[key], (*where, key))

    assert list(missing(SCHEMA, values, ())) == []
    for name in ("source", "retriever", "retrieverImage"):
        for key in SCHEMA["definitions"][name]["properties"]:
            assert re.search(rf"\b{key}\b", text), f"{name}.{key}"


def test_what_the_values_say_of_the_clusters_spec_goes_over_the_charts():
    def spec(**said):
        values = {"database": {"kind": "cloudnativepg", "cloudnativepg": {"spec": said}}, "image": {"pullSecrets": ["pull"]}}
        return next(each for each in render(values=values) if each["kind"] == "Cluster")["spec"]
    plain = spec()
    assert plain["imagePullSecrets"] == [{"name": "pull"}]
    more = spec(storage={"resizeInUseVolumes": False}, managed={"services": {"disabledDefaultServices": ["ro"]}}, instances=5,
                bootstrap={"initdb": {"localeCType": "C.UTF-8"}})
    assert more["storage"] == {**plain["storage"], "resizeInUseVolumes": False} and more["instances"] == 5
    assert more["managed"] == {**plain["managed"], "services": {"disabledDefaultServices": ["ro"]}}
    assert more["bootstrap"]["initdb"] == {**plain["bootstrap"]["initdb"], "localeCType": "C.UTF-8"}
    # The operator takes one way to begin.
    assert spec(bootstrap={"recovery": {"source": "origin"}})["bootstrap"] == {"recovery": {"source": "origin"}}


NOT_READ_HERE = {
    "a script": ("""
        retrievers: [{name: actions, sources: [github], script: {name: collect.py}}]
        files: {actions: {collect.py: of the values}}
        """, "of the values", "the files of actions stand in the values"),
    "a policy": ("""
        retrievers: [{name: actions, sources: [github], command: [collect], policy: own}]
        policies: {own: {lease: of-the-values}}
        """, "of-the-values", "the policy own stands in the values"),
    "a merge key": ("""
        x-usual: &usual {sources: [github], command: [of the values]}
        retrievers: [{<<: *usual, name: actions}]
        """, "of the values", "merge keys (<<) are not read here"),
}


@pytest.mark.parametrize("what", NOT_READ_HERE)
def test_what_the_cluster_would_take_from_the_values_alone_is_refused_on_one_machine(what, prefix, tmp_path):
    """Helm reads it; `purser run --chart-values`, beside the same folders, would run another script or policy: it says so."""
    text, taken, sentence = NOT_READ_HERE[what]
    chart = shutil.copytree(CHART, tmp_path / "chart")
    for name, content in (("files/actions/collect.py", "of the folder"), ("policy/own.yaml", "policy: own\nlease: of-the-folder\n")):
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        (chart / name).write_text(content)
    values = chart / "mine.yaml"
    values.write_text("sources: [{name: github, provider: github, token: {secretName: github-token}}]\n" + textwrap.dedent(text))
    said = helm("template", "ci", chart, "--values", values).stdout
    said += base64.b64decode("".join(re.findall(r"^  collect\.py: (.*)$", said, re.MULTILINE))).decode()
    assert taken in said and taken.replace("values", "folder") not in said
    done = subprocess.run([prefix / "bin/purser", "run", "--chart-values", values, "actions"], capture_output=True, text=True)
    assert done.returncode != 0 and sentence in done.stderr, done.stderr


def test_the_notes_warn_of_a_token_in_the_release_and_name_what_is_missing_and_what_is_rotated():
    def notes(*words):
        return helm("install", "ci", CHART, "--dry-run=client", *words).stdout.split("NOTES:")[1]
    first, minimal = notes(*FIRST), notes(*RENDERED["chart-minimal"])
    assert "WARNING: the tokens of github, buildkite stand in the values" in first
    assert "WARNING" not in minimal
    assert "create secret generic github-token --from-file=token=" in minimal
    assert "three steps" in notes()
    rotated = notes(*RENDERED["rotation-vault"])
    assert "ci-purser-rotate-buildkite (0 4 * * *), ci-purser-rotate-gitlab (0 3 1 * *)" in rotated
    assert "role purser-rotate must be bound to the service account ci-purser-rotate of" in rotated and "replaced" not in minimal


def test_the_readers_role_is_named_in_the_data_source_and_its_password_is_the_databases_own(rendered):
    secrets = of_kind(rendered["chart-minimal"], "Secret")
    source = yaml.safe_load(secrets["ci-purser-grafana-datasource"]["stringData"]["ci-purser-datasource.yaml"])["datasources"][0]
    made = {key: base64.b64decode(value).decode() for key, value in secrets["ci-purser-postgresql"]["data"].items()}
    assert source["user"] == "purser_grafana" != "purser"
    assert source["secureJsonData"] == {"password": made["reader-password"], "tlsCACert": made["ca.crt"]}
    assert len({made[key] for key in ("password", "reader-password", "postgres-password")}) == 3


def test_each_dashboard_is_a_config_map(rendered):
    found = [key for each in of_kind(rendered["chart-minimal"], "ConfigMap").values() for key in each["data"] if key.endswith(".json")]
    assert found == sorted(path.name for path in Path(CHART / "dashboards").glob("*.json"))
    assert sum(len(each) for each in found) > 0


def test_the_charts_versions_are_pursers_own(prefix):
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    said = subprocess.run([prefix / "bin/purser", "--version"], check=True, capture_output=True, text=True).stdout
    assert said.split()[1] == chart["appVersion"] == chart["version"]


def test_a_file_of_purser_stays_out_of_the_package(tmp_path):
    helm("package", CHART, "--destination", tmp_path)
    names = subprocess.run(["tar", "-tzf", *tmp_path.glob("*.tgz")], check=True, capture_output=True, text=True).stdout.split()
    assert "purser/values.schema.json" in names and "purser/dashboards/ci-overview.json" in names
    assert not [name for name in names if "image/" in name or "/source/" in name or name.endswith("/make")]


def test_what_the_page_for_clusters_shows_can_be_installed():
    page = (TOP / "docs/kubernetes.md").read_text()
    blocks = [yaml.safe_load(textwrap.dedent(block)) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    values = next(block for block in blocks if "retrievers" in block)
    values["image"]["digest"] = "sha256:" + "0" * 64
    pod = next(pod for _, pod in pods(render(*GITHUB, values=values)) if retrievers(pod))
    assert containers(pod)[0]["image"] == f"REGISTRY/purser@sha256:{'0' * 64}"
    vault = next(block for block in blocks if "vault" in block)
    assert render(values={**vault, "sources": [SOURCE], "retrievers": [RETRIEVER]})
    known = yaml.safe_load((CHART / "values.yaml").read_text())
    named = [name.split(".") for name in re.findall(r"`([a-zA-Z]+(?:\.[a-zA-Z]+)+)`", page) if name.split(".")[0] in known]
    assert named
    for first, *rest in named:
        value = known[first]
        for key in rest:
            assert key in value, f"docs/kubernetes.md names {first}.{'.'.join(rest)}"
            value = value[key]
