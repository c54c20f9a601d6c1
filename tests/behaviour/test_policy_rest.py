"""What a rule asks of a REST request: method, path, query, media types, size of the answer; one decision for each request,
also for one that a redirect leads to."""
import json

import pytest
from lab import Answer
from promise import api, run

SHAPED = """\
policy: shaped
allow:
- {method: GET, path: /runs, query: [page, 'state[]'], accept: [application/json], responseBytes: 2kB}
- {method: POST, path: /search, query: [], contentType: [application/json]}
- {method: GET, path: '/plain/*'}
deny:
- {path: '/plain/secrets'}
tests:
- {request: 'GET /runs?page=1', accept: application/json, expect: allow}
- {request: 'GET /runs?page=1', expect: deny}
"""


def chunked(size):
    half = size // 2
    return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%s\r\n" % (half, b"a" * half) for _ in range(2)) + b"0\r\n\r\n")


def answer(request):
    path, _, query = request.target.partition("?")
    if path == "/runs" and query.startswith("page="):
        size = int(query[5:])
        return Answer(raw=chunked(size)) if size % 2 == 0 else Answer(200, b"a" * size)
    return {
        "/plain/moved": Answer(302, b"", {"Location": "/secret"}),
        "/plain/denied": Answer(307, b"", {"Location": "/plain/secrets"}),
        "/plain/on": Answer(302, b"", {"Location": "/plain/there"}),
    }.get(path, Answer(200, b"api"))


@pytest.fixture
def shaped(lab):
    lab.policy("shaped", SHAPED)
    lab.one, lab.token = api(lab, answer, policy="shaped")
    return lab


JSON = '"Accept: application/json\\r\\n" + LEASED'


def asked(lab, script):
    done = run(lab, script, policy="shaped")
    return done, [(what["status"], what.get("code")) for what in done.said], [one.target for one in lab.one.requests]


def test_only_the_parameters_that_the_rule_names_go_up(shaped):
    good = ["/runs", "/runs?page=1", "/runs?state[]=a&state%5B%5D=b", "/runs?p%61ge=1", "/runs?page"]
    bad = ["/runs?pages=1", "/runs?page=1&page=3", "/runs?page=1&p%61ge=3", "/runs?%FF=1", "/runs?page%00=1", "/runs?=1",
           "/runs?page=1&x", "/runs?Page=1", "/runs?page=1%26x=2&x=2", "/runs?page=1;x=2&_method=GET"]
    done, said, seen = asked(shaped, f"""
for target in {good + bad!r}:
    say(**once(target, headers={JSON}))
""")
    assert said[:len(good)] == [(200, None)] * len(good), done.text
    assert {status for status, _ in said[len(good):]} <= {400, 403} and len(said) == len(good + bad), done.text
    assert len(seen) == len(good), seen
    assert "has the query parameter 'pages', which policy shaped, line 3, does not allow" in done.text


def test_media_types_are_the_rules(shaped):
    done, said, seen = asked(shaped, """
for accept in ("application/json", "application/json;q=0.9", None, "*/*", "text/html", "application/json, text/html;q=0.1",
               "application/vnd.github.raw"):
    say(**once("/runs", headers=(f"Accept: {accept}\\r\\n" if accept else "") + LEASED))
for kind in ("application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded", None):
    say(**once("/search", "POST", headers=(f"Content-Type: {kind}\\r\\n" if kind else "") + LEASED, body=b"{}"))
""")
    no = (403, "path-not-allowed")
    assert said == [(200, None)] * 2 + [no] * 5 + [(200, None)] + [no] * 3, done.text
    assert len(seen) == 3


def test_an_answer_over_the_rules_size_is_never_passed_as_whole(shaped):
    done, said, _ = asked(shaped, """
import urllib.request, http.client
for size in (1999, 2000, 2001, 2002, 100000, 100001):
    request = urllib.request.Request(f"https://{HOST}/runs?page={size}",
                                     headers={"Accept": "application/json", "Authorization": "Bearer " + LEASE})
    try:
        say(status=200, got=len(urllib.request.urlopen(request).read()))
    except urllib.error.HTTPError as fault:
        say(status=fault.code, code=fault.headers["X-Purser-Error"])
    except (http.client.HTTPException, OSError) as fault:
        say(status=0, code=type(fault).__name__)
""")
    assert said[:2] == [(200, None)] * 2, done.text
    assert [what["got"] for what in done.said[:2]] == [1999, 2000]
    for status, code in said[2:]:
        assert (status, code) in ((403, "answer-too-large"), (0, "IncompleteRead")), done.text
    assert said[2] == said[5] == (403, "answer-too-large"), "a length that is announced is refused at once"
    assert "has as responseBytes" in json.dumps(shaped.audit())
    assert any(entry["code"] == "answer-too-large" for entry in done.report["refusals"]), done.report


def test_where_a_redirect_leads_is_decided_again(shaped):
    done, said, seen = asked(shaped, """
import urllib.request
for path in ("/plain/on", "/plain/moved", "/plain/denied"):
    request = urllib.request.Request(f"https://{HOST}{path}", headers={"Authorization": "Bearer " + LEASE})
    try:
        say(status=urllib.request.urlopen(request).status)
    except urllib.error.HTTPError as fault:
        say(status=fault.code, code=fault.headers["X-Purser-Error"])
""")
    assert said == [(200, None), (403, "path-not-allowed"), (403, "path-denied")], done.text
    assert seen == ["/plain/on", "/plain/there", "/plain/moved", "/plain/denied"]


BOUND = """\
policy: bound
parameters:
  owner: {default: '*', class: name}
  project: {default: '*', class: path}
allow:
- {method: GET, path: '/repos/{owner}/*'}
- {method: GET, path: '/projects/{project}/jobs'}
- {method: GET, path: /all, unless: [owner]}
- graphql: {fields: [repository], arguments: {repository: {owner: ['{owner}']}}}
deny:
- {path: '/projects/*/variables'}
tests:
- {request: 'GET /repos/{owner}/web', expect: allow}
- {request: 'GET /repos/other/web', with: {owner: acme}, expect: deny}
"""

PROVIDER = """\
provider: forge
apiUrl: https://api.test
graphql: graphql
auth: bearer
tokenEnv: [API_TOKEN]
encodedSlash: segment
policy: bound
"""

ASK = """
for target in ("/repos/acme/web", "/repos/other/web", "/repos/Acme/web", "/repos/*/web", "/all", "/projects/7/jobs",
               "/projects/group%2Ftool/jobs", "/projects/group%2ftool/jobs", "/projects/group/tool/jobs"):
    say(**once(target))
for owner in ("acme", "other"):
    say(**once("/graphql", "POST", headers="Content-Type: application/json\\r\\n" + LEASED,
               body=json.dumps({"query": '{ repository(owner: "%s") { name } }' % owner}).encode()))
"""


@pytest.fixture
def forge(lab):
    (lab.folder / "policy/provider").mkdir(parents=True)
    (lab.folder / "policy/provider/forge.yaml").write_text(PROVIDER)
    lab.policy("bound", BOUND)
    lab.one = lab.upstream("api.test", lambda request: Answer(200, b"{}"))
    lab.source("api", "api.test", provider="forge", policy="bound")
    return lab


def test_a_value_is_one_segment_of_that_run(forge):
    done = run(forge, ASK, policy="bound", **{"with": {"owner": "acme", "project": "group/tool"}})
    codes = [what["code"] for what in done.said]
    no = "path-not-allowed"
    assert codes == [None, no, no, no, no, no, None, None, no, None, "graphql-denied"], done.text
    seen = [one.target for one in forge.one.requests]
    assert seen == ["/repos/acme/web", "/projects/group%2Ftool/jobs", "/projects/group%2Ftool/jobs", "/graphql"]
    done = run(forge, ASK, name="free", policy={"api": {"name": "bound"}})
    assert [what["code"] for what in done.said] == [None] * 8 + [no, None, None], done.text
    check = forge.purser("check")
    assert "2 tests pass" in check.text and check.status == 0, check.text


def test_an_encoded_slash_is_one_segment_where_the_provider_says_so(forge):
    done = run(forge, """
for target in ("/projects/a%2F..%2Fb/jobs", "/projects/%2Fa/jobs", "/projects/a%2F%2Fb/jobs", "/projects/a%2Fvariables",
               "/projects/a%5Cb/jobs", "/repos/a%2Fb", "/projects/a%2Fb%2Fc/jobs"):
    say(**once(target))
""", policy="bound")
    assert [what["code"] for what in done.said] == [
        "bad-target", "bad-target", "bad-target", "path-denied", "bad-target", "path-not-allowed", None], done.text
    assert [one.target for one in forge.one.requests] == ["/projects/a%2Fb%2Fc/jobs"]
    plain = forge.upstream("plain.test", lambda request: Answer(200, b"{}"))
    forge.source("plain", "plain.test", tokenEnv=["PLAIN_TOKEN"])
    done = run(forge, """
import os
say(**Client("plain.test").ask("/projects/a%2Fb/jobs", headers=f"Authorization: Bearer {os.environ['PLAIN_TOKEN']}\\r\\n").short)
""", name="plain", sources=["plain"])
    assert done.said[0]["code"] == "bad-target" and not plain.requests, done.text


@pytest.mark.parametrize("given, says", [
    ({"owner": "*"}, "'owner: *': a value of this parameter of policy bound is a name"),
    ({"owner": "a/b"}, "is a name"), ({"project": "a/../b"}, "is nothing but dots"), ({"project": "a%2Fb"}, "cannot have"),
    ({"ovner": "a"}, "policy bound has no parameter 'ovner' (it has: owner, project)")])
def test_a_value_that_could_widen_is_refused_with_its_place(forge, given, says):
    forge.retriever("one", script="", sources=["api"], policy="bound", **{"with": given})
    check = forge.purser("check")
    assert check.status == 3 and says in check.text and "purser.yaml:3:" in check.text, check.text


WATCHED = """
for target, method in (("/plain/x", "GET"), ("/other?key=VALUE", "GET"), ("/other", "HEAD"), ("/runs?pages=1", "GET"),
                       ("/other", "POST"), ("/other", "DELETE"), ("/other?_method=PUT", "GET"), ("/plain/secrets", "GET"),
                       ("/plain/SECRETS/", "GET")):
    say(**once(target, method))
say(**once("/other", headers="X-HTTP-Method-Override: DELETE\\r\\n" + LEASED))
"""


def test_what_no_rule_allows_passes_while_it_is_only_watched_and_is_on_record(shaped):
    done = run(shaped, WATCHED, policy="shaped", mode="audit", until="2099-12-31")
    codes = [what["code"] for what in done.said]
    no, denied = "path-not-allowed", "path-denied"
    assert codes == [None] * 4 + [no, no, no, denied, denied, no], done.text
    assert len(shaped.one.requests) == 4
    would = [entry for entry in shaped.audit("request") if entry["decision"] == "would-refuse"]
    assert [(entry["method"], entry["path"], entry["code"], entry["status"]) for entry in would] == [
        ("GET", "/other", no, 200), ("HEAD", "/other", no, 200), ("GET", "/runs", no, 200)]
    assert "is not named by policy shaped" in would[0]["message"] and "VALUE" not in json.dumps(shaped.audit())
    assert "Calls that no rule allows, and that passed because of 'mode: audit':" in done.text
    assert {(one["code"], one["path"]) for one in done.report["refusals"]} >= {("would-refuse", "/other"), (denied, "/plain/secrets")}
    assert done.report["sources"][0]["refused"] == 6
    shown = shaped.purser("audit", "show", "--refused")
    assert shown.text.count("would-refuse") == 3, shown.text
    check = shaped.purser("check")
    assert check.status == 0 and "until 2099-12-31 safe requests pass that policy shaped does not allow" in check.text, check.text


def test_after_its_last_day_the_rules_hold(shaped):
    done = run(shaped, WATCHED, policy={"api": {"name": "shaped", "mode": "audit", "until": "2020-01-31"}})
    assert [what["code"] for what in done.said][:4] == [None] + ["path-not-allowed"] * 3, done.text
    assert not [entry for entry in shaped.audit() if entry.get("decision") == "would-refuse"]
    check = shaped.purser("check")
    assert "mode: audit for source api ended with 2020-01-31: what policy shaped does not allow is refused" in check.text


def test_queries_pass_and_mutations_do_not_while_graphql_is_only_watched(forge):
    done = run(forge, """
for query in ("{ other { x } }", "mutation { other { x } }", "subscription { other { x } }", "{ a", "[]"):
    say(**once("/graphql", "POST", headers="Content-Type: application/json\\r\\n" + LEASED,
               body=json.dumps({"query": query}).encode()))
""", policy="bound", mode="audit", until="2099-12-31")
    assert [what["code"] for what in done.said] == [
        None, "graphql-denied", "graphql-denied", "graphql-undecidable", "graphql-undecidable"], done.text
    would = [entry for entry in forge.audit("request") if entry["decision"] == "would-refuse"]
    assert [entry["code"] for entry in would] == ["graphql-denied"] and would[0]["operation"], would
    forge.purser("audit", "verify")
