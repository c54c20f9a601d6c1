"""The corpus of attacks on purser's boundary, through the real purser and over real sockets, each case a test of its own.
tests/attacks has the cases as data, attack_world.py says what each word of theirs means.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
from attack_world import StrictUpstream, answering, by_case, check, corpus
from conftest import forget_this_machine
from lab import Lab
from promise import new_token, run
from readers import READERS, read_strictly

HERE = Path(__file__).parent
FAMILIES = ["graphql"] + sorted(path.stem for path in (HERE.parent / "attacks").glob("*.json")
                                if path.stem not in ("graphql", "rebinding", "credentials"))
CASES = [(family, case) for family in FAMILIES for case in corpus(family)]
HOSTS = {"api.test": "API_TOKEN", "base.test": "BASE_TOKEN", "other.test": "OTHER_TOKEN", "api.github.com": "GITHUB_TOKEN",
         "gitlab.test": "GITLAB_TOKEN"}
NAMES = {"api.test": "api", "base.test": "base", "other.test": "other", "api.github.com": "github", "gitlab.test": "gitlab"}
FILES = "store1.blob.test"
POLICY = """\
    policy: narrow
    lease: {requests: 1000000, rate: 1000000/s}
    allow:
    - {method: [GET, HEAD, POST, PUT], path: /repos/*/runs}
    - {method: [GET, HEAD, POST], path: /r/**}
    - {method: GET, path: /marker/*}
    - {method: [GET, POST], path: /}
    - graphql:
        fields: [repository]
        arguments: {repository: {owner: [acme], name: [web, api]}}
        subfields: [id, name, runs, nodes, conclusion, actor, user, repository]
        beneath: {actor: [id, name, user], user: [id], repository: [id]}
        maxDepth: 4
        maxAliases: 2
    - graphql: {fields: [rateLimit]}
    - graphql: {operations: [mutation], fields: [star]}
    deny:
    - {path: /repos/secret/**}
    - {path: /r/hidden}
    - graphql: {fields: [token, secrets]}
    tests:
    - {request: GET /repos/a/runs, expect: allow}
    - {request: GET /repos/secret/runs, expect: deny}
    """


class World:
    """One purser run that has been through all cases of a list."""

    def __init__(self, lab, cases, **keys):
        folder = lab.folder / "files/script"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "attacker.py", folder)
        (folder / "cases.json").write_text(json.dumps([{**case, "host": case.get("host", "api.github.com")}
                                                       if family == "graphql" else case for family, case in cases]))
        (folder / "leases.json").write_text(json.dumps(HOSTS))
        done = run(lab, "import attacker\n", timeout=300, **keys)
        self.told = {said.pop("number"): said for said in done.said}
        assert len(self.told) == len(cases), f"{len(self.told)} of {len(cases)} cases were sent: {done.text[-3000:]}"


@pytest.fixture(scope="module")
def world(prefix):
    with pytest.MonkeyPatch.context() as patch, Lab(prefix) as lab:
        forget_this_machine(patch)
        lab.policy("narrow", POLICY)
        upstream = StrictUpstream(lab, [*HOSTS, FILES], answering([case for _, case in CASES]))
        secrets = {}
        for host in HOSTS:
            lab.upstreams[host] = upstream
            keys = {"policy": "narrow", "tokenEnv": [HOSTS[host]]}
            keys |= {"api.github.com": {"provider": "github"},
                     "gitlab.test": {"provider": "gitlab", "apiUrl": "https://gitlab.test/api/v4"}, "base.test": {"apiUrl": "https://base.test/v3"},
                     "api.test": {"artifactHosts": ["*.blob.test"]}}.get(host, {})
            secrets[host] = new_token()
            lab.source(NAMES[host], host, token=secrets[host], **keys)
        made = World(lab, CASES, policy="narrow")
        made.upstream, made.arrived, made.secrets = upstream, by_case(upstream.requests), secrets
        yield made


@pytest.mark.parametrize("number", range(len(CASES)),
                         ids=[f"{family}: {case['case']}" for family, case in CASES])
def test_attack(world, number):
    family, case = CASES[number]
    wrong = check(case, number, world.told[number], world.arrived.get(number, []), world.secrets.values())
    assert not wrong, "\n".join([case["why"], *wrong])
    if family == "graphql" and case["code"] and case.get("method") != "HEAD":
        said = json.loads(world.told[number]["replies"][0]["body"])
        assert said["errors"] == [{"message": said["message"]}], "in a shape that GraphQL clients can show"


def test_no_request_that_arrived_can_be_read_in_two_ways(world):
    assert world.upstream.faults == []


@pytest.mark.parametrize("reader", READERS)
def test_what_arrived_is_read_by_others_as_by_us(world, reader, tmp_path, clients):
    """The same requests, where the same ones end: one behind each is read as one behind it."""
    kinds = {re.sub(rb"\d+|[A-Z2-7]{48}", b"0", raw): raw for raw in world.upstream.raw}
    assert len(kinds) > 40
    with READERS[reader](tmp_path, clients) as read:
        for raw in kinds.values():
            ours, theirs = read_strictly(raw), read(raw)
            for one in ours if reader == "nginx" else ():
                one.headers = None  # it passes them on in its own way
            assert theirs == ours, raw[:2000]
            assert len(ours) == 2 and ours[1].target == "/the-end"


def test_every_request_that_arrived_has_the_token_of_its_host_and_no_lease(world):
    for request in world.upstream.requests:
        host = request.header("Host")
        want = None if host == FILES else f"Bearer {world.secrets[host]}"
        assert request.header("Authorization") == want, (request.method, request.target, host)
        assert "psl_1" not in repr(request)


def test_the_corpus_is_whole():
    """Names are unique, each says why, and there are as many as were promised."""
    every = [(family, case) for family in [*FAMILIES, "rebinding", "credentials"] for case in corpus(family)]
    names = [f"{family}: {case['case']}" for family, case in every]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    assert [name for name, (_, case) in zip(names, every) if len(case["why"]) < 6 or case["why"][-1] not in ".!?"] == []
    assert len(every) >= 800
