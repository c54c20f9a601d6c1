"""`purser policy`: check, test, explain, list; and record, whose policy is then run under."""
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from lab import Answer
from promise import api, run, said, with_inside

OWN = """\
policy: own
parameters: {owner: {default: '*', class: name}}
allow:
- {method: GET, path: '/repos/{owner}/*', query: [page]}
- graphql: {fields: [repository], arguments: {repository: {owner: ['{owner}']}}, subfields: [name]}
deny:
- {path: '/repos/*/secrets'}
tests:
- {request: 'GET /repos/{owner}/web', expect: allow}
- {request: 'GET /repos/{owner}/web', with: {owner: acme}, expect: allow}
- {request: 'GET /repos/other/web', with: {owner: acme}, expect: deny}
"""
ENDS = """\
policy: ends
allow:
- {method: GET, path: /rate_limit}
- graphql: {fields: [repository], subfields: [owner, login, repositories, name], beneath: {owner: [login]}}
tests:
- {graphql: '{ repository { owner { login } repositories { name } } }', expect: allow}
- {graphql: '{ repository { owner { repositories { name } } } }', expect: deny}
"""


def answer(request):
    if request.target.startswith("/api/graphql"):
        return Answer(200, b'{"data": {}}')
    return Answer(200, json.dumps({"target": request.target}).encode())


@pytest.fixture
def forge(lab):
    lab.policy("own", OWN)
    lab.one, lab.token = api(lab, answer, policy="own", provider="github", host="api.github.com", variable="API_TOKEN",
                             apiUrl="https://api.github.com/api/v3")
    return lab


def policy(lab, *words):
    """Without --file behind the words, for commands that take none."""
    return lab.purser("policy", *words)


def test_check_and_test_say_where_a_file_is_wrong(forge):
    path = forge.folder / "policy/own.yaml"
    assert policy(forge, "check", path).out == f"{path}: 3 rules\n"
    assert policy(forge, "test", path).out == f"{path}: 3 rules, 3 tests pass\n"
    told = policy(forge, "test", path, "--json").json
    assert told == [{"file": str(path), "sound": True, "policy": "own", "rules": 3, "tests": 3, "tested": True}]
    path.write_text(OWN.replace("expect: deny", "expect: allow"))
    assert policy(forge, "check", path).status == 0
    done = policy(forge, "test", path)
    assert done.status == 3 and f"{path}:11: the test 'request: GET /repos/other/web, expect: allow' fails" in done.err
    path.write_text(OWN.replace("query: [page]", "query: page"))
    done = policy(forge, "check", path, "--json")
    assert done.status == 3 and done.json[0]["sound"] is False and f"{path}:4:" in done.json[0]["message"]
    path.write_text(ENDS.replace("owner: [login]", "owner: [log]"))
    done = policy(forge, "check", path)
    assert done.status == 3 and f"{path}:4:100: 'log' is named beneath 'owner' and is none of the rule's 'subfields'" in done.err, done.err
    assert policy(forge, "check").status == 2 and policy(forge, "chekc", path).status == 2


def test_purser_s_own_policies_pass_their_tests_and_are_listed(forge):
    own = Path(os.environ["PURSER_PREFIX"]) / "share/purser/policy"
    done = policy(forge, "test", *sorted(own.glob("*.yaml")))
    assert done.status == 0 and done.out.count("tests pass") == 8, done.text
    listed = {one["policy"]: one for one in policy(forge, "list", "--json").json}
    assert set(listed) == {path.stem for path in own.glob("*.yaml")} | {"own", "lab-all"}
    assert listed["own"]["own"] and not listed["drone-read"]["own"]
    assert listed["drone-read"]["documentation"].startswith("https://docs.drone.io/")
    assert listed["own"]["parameters"] == [{"name": "owner", "default": "*"}]
    shutil.copy(own / "drone-read.yaml", forge.folder / "policy")
    assert [one["own"] for one in policy(forge, "list", "--json").json if one["policy"] == "drone-read"] == [True]
    assert re.search(r"own +3 +3  own   owner\n", policy(forge, "list").out)


@pytest.mark.parametrize("words, status, says", [
    (["GET", "https://api.github.com/api/v3/repos/acme/web"], 0, "is allowed by policy own, line 4"),
    (["GET", "/repos/acme/web?page=2"], 0, "It is refused when line 4 of"),
    (["GET", "/repos/acme/web?debug=1"], 1, "the query parameter 'debug', which policy own, line 4, does not allow"),
    (["GET", "/repos/other/web"], 1, "add to its allow list: - {method: GET, path: /repos/other/web}"),
    (["GET", "/repos/other/web"], 1, "Without the values given by 'with', or with others, line 4 of"),
    (["GET", "/repos/acme/secrets"], 1, "is denied by policy own, line 7"),
    (["GET", "/repos/acme/secrets"], 1, "It is denied until that rule is taken out of the file"),
    (["DELETE", "/repos/acme/web"], 1, "DELETE /repos/acme/web is not named"),
    (["TRACE", "/repos/acme/web"], 1, "no policy can allow the method TRACE"),
    (["GET", "https://api.github.com/elsewhere"], 1, "source api has its API beneath /api/v3: this is outside of it"),
    (["GET", "/repos/acme/%2e%2e"], 1, "The path has a dot segment"),
    (["POST", "https://api.github.com/api/graphql"], 1, "this is the GraphQL endpoint"),
    (["GET", "https://x.blob.core.windows.net/logs"], 1, "is where the API redirects to for files"),
    (["GET", "https://elsewhere.test/"], 1, "No retriever has a source at elsewhere.test"),
    (["GET", "repos/acme"], 2, "takes a method and a URL or path"),
    (["GET"], 2, "takes a method and a URL or path"),
    (["GET", "/", "--with", "owner=a"], 2, "--with goes with --policy")])
def test_explain_says_which_rule_why_and_what_would_change_it(forge, words, status, says):
    forge.retriever("one", script="", sources=["api"], policy="own", **{"with": {"owner": "acme"}})
    done = policy(forge, "explain", *words)
    assert done.status == status and says in done.text, done.text


def test_explain_decides_a_graphql_body_and_a_policy_by_itself(forge):
    body = forge.folder / "body.json"
    body.write_text(json.dumps({"query": "query($o: String!) { repository(owner: $o) { name } }", "variables": {"o": "acme"}}))
    forge.retriever("one", script="", sources=["api"], policy="own", **{"with": {"owner": "acme"}})
    forge.retriever("two", script="", sources=["api"], policy="own", **{"with": {"owner": "other"}})
    told = policy(forge, "explain", "POST", "https://api.github.com/api/graphql", "--body", body, "--json")
    assert told.status == 1 and [(one["retriever"], one["allowed"]) for one in told.json] == [("one", True), ("two", False)]
    assert "must be there and be one of: other" in told.json[1]["message"]
    assert policy(forge, "explain", "POST", "/graphql", "--body", body, "--retriever", "one").status == 0
    body.write_text("{ repository(owner: \"acme\") { secret } }")
    done = policy(forge, "explain", "POST", "/x", "--policy", "own", "--with", "owner=acme", "--body", body)
    assert done.status == 1 and "'secret' (line 1, column 31) is not among the subfields of policy own" in done.text, done.text
    body.write_text("{ repository(owner: \"acme\") { owner { ...F } } } fragment F on Owner { all: repositories { name } }")
    forge.policy("ends", ENDS)
    done = policy(forge, "explain", "POST", "/x", "--policy", "ends", "--body", body)
    assert done.status == 1 and "'repositories' (line 1, column 72) stands beneath 'owner', where policy ends, line 4" in done.text, done.text
    done = policy(forge, "explain", "GET", "/repos/acme/web", "--policy", forge.folder / "policy/own.yaml", "--with", "owner=a/b")
    assert done.status == 2 and "is a name" in done.text
    done = policy(forge, "explain", "GET", "/repos/a/b/pulls", "--policy", "github-pull-requests-read", "--accept", "text/html")
    assert done.status == 1 and "asks for 'text/html' in its Accept header" in done.text, done.text


def test_explain_and_the_keeper_say_the_same(forge):
    forge.policy("narrow", OWN.replace("policy: own", "policy: narrow"))
    asked = ["/repos/acme/web", "/repos/acme/web?page=1", "/repos/acme/web?x", "/repos/other/web", "/repos/acme/secrets", "/x"]
    done = run(forge, f"""
for target in {asked!r}:
    say(**Client("api.github.com").ask("/api/v3" + target).short)
""", policy="narrow", **{"with": {"owner": "acme"}})
    for target, what in zip(asked, done.said):
        told = policy(forge, "explain", "GET", target, "--json").json
        assert told[0]["allowed"] == (what["status"] == 200), (target, told, what)
        assert what["status"] == 200 or what["reason"] in told[0]["message"] or told[0]["message"] in what["reason"], (told, what)


@pytest.mark.parametrize("mode", [{}, {"mode": "audit", "until": "2099-12-31"}], ids=["enforced", "audit"])
def test_explain_and_the_keeper_say_the_same_of_overrides_and_of_graphql(forge, mode):
    """A method in the query; bodies that cannot be decided; in audit mode what passes all the same."""
    forge.policy("narrow", OWN.replace("policy: own", "policy: narrow").replace(", query: [page]", "")
                 + "- {request: 'GET /repos/{owner}/web?_method=DELETE', expect: deny}\n"
                 + "- {request: 'GET /repos/{owner}/web?_method=GET', expect: allow}\n")
    targets = [("GET", "/repos/acme/web?_method=DELETE"), ("GET", "/repos/acme/web?_method=GET"), ("GET", "/other?_method=PUT"),
               ("GET", "/repos/acme/web?%5FMethod=TRACE"), ("GET", "/other?_method=HEAD"), ("DELETE", "/repos/acme/web"),
               ("GET", "/repos/acme/secrets")]
    query = 'query($o: String, $f: F) { repository(owner: "acme", f: $f) { name } }'
    bodies = [{"query": query, "variables": {"f": {"my-key": {"a b": 1}}, "no name": 2}}, {"query": query, "id": "1"}, [{"query": query}],
              {"query": None}, {"query": {"a": 1}}, {"query": ""}, {"operationName": "Q", "extensions": {"persistedQuery": {}}},
              {"query": query, "extensions": {"a": 1}}, {"query": query, "operationName": "Q"},
              {"query": query, "operationName": 1}, {"query": query, "variables": []}, {"query": query, "variables": None}, {}, {"query": "{ viewer { login } }"},
              {"query": '{ repository(owner: "acme") { secret } }'}, {"query": '{ repository(owner: "x") { name } }'},
              {"query": 'mutation { repository(owner: "acme") { name } }'}, {"query": "subscription { repository { name } }"}]
    elsewhere = ["/api/graphql", "/api/GraphQL/", "/api/graphql.json", "/api/graphql/x", "/api/v3/graphql", "/api/v3/repos/acme/web"]
    done = run(forge, f"""
for method, target in {targets!r}:
    say(**Client("api.github.com").ask("/api/v3" + target, method).short)
for body in {bodies!r}:
    say(**Client("api.github.com").ask("/api/graphql", "POST", "Content-Type: application/json\\r\\n" + LEASED,
                                       json.dumps(body).encode()).short)
for target in {elsewhere!r}:
    say(**Client("api.github.com").ask(target, "POST", "Content-Type: application/json\\r\\n" + LEASED,
                                       json.dumps({bodies[0]!r}).encode()).short)
""", policy="narrow", **{"with": {"owner": "acme"}}, **mode)
    asked = [[method, target] for method, target in targets]
    for body in bodies:
        file = forge.folder / f"body-{len(asked)}.json"
        file.write_text(json.dumps(body))
        asked.append(["POST", "https://api.github.com/api/graphql", "--body", file])
    asked += [["POST", "https://api.github.com" + target, "--body", asked[len(targets)][-1]] for target in elsewhere]
    assert len(done.said) == len(asked), done.text
    for words, what in zip(asked, done.said):
        told = policy(forge, "explain", *words, "--json").json[0]
        passes = told["allowed"] or "it passes and is recorded" in told.get("change", "")
        assert passes == (what["status"] == 200), (words, told, what)


RECORDED = """
from inside import *
import os, pathlib
def get(target, method="GET", headers="", body=b"", host="api.github.com"):
    say(target=target, method=method, **Client(host).ask(target, method, headers + LEASED, body).short)
for page in (1, 2):
    get(f"/api/v3/repos/acme/web/actions/runs?page={page}&per_page=100")
for number in (17, 18, 19):
    get(f"/api/v3/repos/acme/web/actions/runs/{number}/jobs")
get("/api/v3/repos/acme/web")
get("/api/v3/orgs/acme", "HEAD")
for name in ("web", "api"):
    query = "query Runs($owner: String!, $name: String!) { repository(owner: $owner, name: $name) { name runs(first: 9) { nodes { id } } } }"
    get("/api/graphql", "POST", "Content-Type: application/json\\r\\n",
        json.dumps({"query": query, "variables": {"owner": "acme", "name": name}}).encode())
get("/api/v3/repos/acme/secrets")
get("/api/v3/repos/acme/web/issues", "POST", body=b"{}")
get("/api/v3/repos/acme/web", "DELETE")
get("/api/graphql", "POST", "Content-Type: application/json\\r\\n", b'{"query": "mutation { star { id } }"}')
pathlib.Path(os.environ["OUTPUTDIR"], "answers.dat").write_text("7\\n")
"""
N_ALLOWED = 9


def test_what_was_recorded_is_a_policy_under_which_the_retriever_runs(forge):
    with_inside(forge, "actions")
    forge.retriever("actions", script=RECORDED, sources=["api"], policy="own", **{"with": {"owner": "acme"}})
    done = policy(forge, "record", "actions")
    assert done.status == 0, done.text
    sent = [(one.method, one.target) for one in forge.one.requests]
    assert len(sent) == N_ALLOWED and {method for method, _ in sent} == {"GET", "HEAD", "POST"}, sent
    assert all(target == "/api/graphql" for method, target in sent if method == "POST")
    assert [what["status"] for what in said(done.err)] == [200] * N_ALLOWED + [403] * 4
    # nothing was loaded, and the next run does not take it for one
    assert not (forge.state / "sink/purser.db").exists()
    assert forge.last_run("actions")[0]["status"] == "recorded"
    would = [one for one in forge.audit("request") if one["decision"] == "would-refuse"]
    assert len(would) >= 7 and would[0]["path"].startswith("/api/v3/repos/acme/web/actions")
    # what was printed
    text = done.out
    assert "- {method: GET, path: '/repos/acme/web/actions/runs/*/jobs', query: []}" in text, text
    assert "- {method: GET, path: /repos/acme/web/actions/runs, query: [page, per_page]}" in text
    assert "- {method: HEAD, path: /orgs/acme, query: []}" in text
    assert "arguments: {repository: {owner: [acme], name: [api, web]}}" in text
    assert "subfields: [id, name, nodes, runs]\n    beneath: {nodes: [id]}" in text
    assert "# Refused also while it was only watched, so not allowed here: DELETE api.github.com/api/v3/repos/acme/web" in text
    assert "secrets" not in text.replace("GET api.github.com/api/v3/repos/acme/secrets (path-denied)", "")
    assert forge.token not in done.text
    (forge.folder / "policy/actions-recorded.yaml").write_text(text)
    tested = policy(forge, "test", forge.folder / "policy/actions-recorded.yaml")
    assert tested.status == 0 and "tests pass" in tested.out, tested.text
    # and under it
    forge.one.requests.clear()
    forge.retriever("actions", script=RECORDED + """
get("/api/v3/repos/acme/web/actions/runs/20/jobs")
get("/api/v3/repos/acme/web/actions/runs/20/logs")
get("/api/v3/repos/acme/web/actions/runs?status=x")
get("/api/v3/repos/acme/api")
""", sources=["api"], policy="actions-recorded")
    real = forge.purser("run", "actions")
    assert real.status == 0, real.text
    assert [what["status"] for what in said(real.text)] == [200] * N_ALLOWED + [403] * 4 + [200, 403, 403, 403], real.text
    assert len(forge.one.requests) == N_ALLOWED + 1
    assert forge.rows("select count(*) as n from metric_sample") == [{"n": 1}]
    assert not [one for one in forge.audit("request")[-N_ALLOWED:] if one["decision"] == "would-refuse"]


def test_what_a_script_gives_for_variables_spoils_no_recording(forge):
    """Keys of JSON that are no names of GraphQL's, characters that YAML reads otherwise, a cursor for each page."""
    with_inside(forge, "odd")
    forge.retriever("odd", script="""
from inside import *
def ask(query, **variables):
    say(**Client("api.github.com").ask("/api/graphql", "POST", "Content-Type: application/json\\r\\n" + LEASED,
                                       json.dumps({"query": query, "variables": variables}).encode()).short)
ask("query Q($f: F, $name: String) { repository(owner: \\"acme\\", filter: $f, name: $name) { name } }",
    f={"my-key": [{"": 1}], "}}\\nreveal: true\\n": {"x": 1}}, name="a\\u2028b\\x7f")
for page in range(70):
    ask("query P($f: [F], $after: String) { pages(f: $f, after: $after) { " + " ".join(f"field{n}" for n in range(200)) + " } }",
        f=[{"a b": page}], after=f"cursor {page}")
""", sources=["api"], policy="own", **{"with": {"owner": "acme"}})
    done = policy(forge, "record", "odd")
    assert done.status == 0 and len(forge.one.requests) == 71, done.text
    assert "my-key" in forge.one.requests[0].body.decode()
    assert "my-key" not in done.out and "reveal" not in done.out
    assert "arguments: {repository: {owner: [acme]}}" in done.out and "fields: [pages]" in done.out, done.out
    (forge.folder / "policy/odd-recorded.yaml").write_text(done.out)
    tested = policy(forge, "test", forge.folder / "policy/odd-recorded.yaml")
    assert tested.status == 0 and "2 rules, 4 tests pass" in tested.out, tested.text


def test_record_needs_one_retriever_and_one_source(forge):
    api(forge, name="other", host="other.test")
    forge.retriever("both", script="print('x')", sources=["api", "other"], policy={"api": "own"})
    done = policy(forge, "record", "both")
    assert done.status == 2 and "say --source api, for example" in done.text, done.text
    assert policy(forge, "record", "nobody").status == 2 and policy(forge, "record").status == 2
    assert policy(forge, "record", "both", "--source", "api", "--name", "A b").status == 2
    done = policy(forge, "record", "both", "--source", "other", "--name", "empty")
    assert done.status == 0 and "policy: empty\n" in done.out and "allow: []\n" in done.out, done.text


def test_a_script_that_fails_is_said_and_what_it_did_is_printed(forge):
    with_inside(forge, "fails")
    forge.retriever("fails", script="""
from inside import *
say(**Client("api.github.com").ask("/api/v3/repos/acme/web").short)
raise SystemExit(3)
""", sources=["api"], policy="own")
    done = policy(forge, "record", "fails")
    assert done.status == 1 and "The script ended with status 3." in done.err and "path: /repos/acme/web" in done.out, done.text
