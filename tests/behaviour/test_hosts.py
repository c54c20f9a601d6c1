"""The hosts of a source beside that of its API: a rule's, the GraphQL endpoint's, and those it redirects to for files."""
import json

import pytest
from lab import Answer
from promise import api, header_text, run

FILES = "store1.blob.test"
ADDRESS = f"https://{FILES}/logs/17?sig=a%2Bb&se=1"
OWN = "/zip/17?token=a%2Bb&Access_Token=c&page=1"  # so do codeload.github.com's end


def answer(request):
    if request.header("Host") == FILES:
        return Answer(200, b"the file")
    if request.header("Host") == "uploads.test":
        return Answer(200, b"of the rule's host")
    return {
        "/file": Answer(302, b"", {"Location": ADDRESS}),
        "/own": Answer(302, b"", {"Location": f"https://{FILES}{OWN}"}),
        "/far": Answer(302, b"", {"Location": "https://elsewhere.test/logs/17"}),
        "/plain": Answer(302, b"", {"Location": f"http://{FILES}/logs/18"}),
        "/meta": Answer(302, b"", {"Location": "https://169.254.169.254/latest/meta-data/"}),
    }.get(request.target, Answer(200, b"api"))


@pytest.fixture
def many(lab):
    lab.policy("many", """\
        policy: many
        allow:
        - {method: [GET, HEAD], path: /**}
        - {method: GET, host: uploads.test, path: /assets/*}
        """)
    lab.one, lab.token = api(lab, answer, policy="many", token="canary-" + "k" * 40,
                             artifactHosts=["*.blob.test"], host="api.test")
    # the upstream's certificate is for the API alone so far: one that has all names
    lab.one.context.load_cert_chain(*lab.certificate(["api.test", FILES, "uploads.test"]))
    done = lab.purser("token", "set", "api", "--host", "api.test", "--host", "uploads.test", stdin=lab.token)
    assert done.status == 0, done.text
    return lab


def at(lab, host):
    return [request for request in lab.one.requests if request.header("Host") == host]


def test_a_file_is_fetched_where_the_api_redirects_to_and_without_the_token(many):
    done = run(many, f"""
say(location=Client().ask("/file").get("location"))
for n in range(2):
    reply = Client({FILES!r}).ask("/logs/17?sig=a%2Bb&se=1", headers=LEASED if n else "")
    say(body=reply.body.decode(), **reply.short)
""", policy="many")
    assert done.said[0]["location"] == ADDRESS, done.text
    assert [(what["status"], what["body"]) for what in done.said[1:]] == [(200, "the file")] * 2, done.text
    fetched = at(many, FILES)
    assert [request.target for request in fetched] == ["/logs/17?sig=a%2Bb&se=1"] * 2
    for request in fetched:
        text = header_text(request).lower()
        assert "authorization" not in text and many.token not in text and "psl_1" not in text
    assert done.report["sources"][0]["requests"] == 3
    # the address is itself a credential to the file: its query is on no record
    assert "a%2Bb" not in json.dumps(many.audit())


def test_only_the_exact_address_is_fetched_and_only_by_get(many):
    done = run(many, f"""
say(**Client({FILES!r}).ask("/logs/17?sig=a%2Bb&se=1", headers="").short)
Client().ask("/file")
for target, method in (("/logs/17?sig=a%2Bb&se=2", "GET"), ("/logs/17", "GET"), ("/", "GET"),
                       ("/logs/17?sig=a%2Bb&se=1", "HEAD"), ("/logs/17?sig=a%2Bb&se=1", "POST"),
                       ("/logs/17?sig=a%2Bb&se=1", "PUT")):
    say(**Client({FILES!r}).ask(target, method=method, headers="").short)
say(**Client("store2.blob.test").ask("/logs/17?sig=a%2Bb&se=1", headers="").short)
""", policy="many")
    assert [what["code"] for what in done.said] == [
        "not-redirected", "not-redirected", "not-redirected", "not-redirected", "method-refused", "method-refused",
        "method-refused", "not-redirected"], done.text
    assert at(many, FILES) == []


def test_what_an_address_of_a_file_calls_a_token_is_its_own_and_part_of_it(many):
    done = run(many, f"""
Client().ask("/own?access_token=" + LEASE, headers="")
for target in ({OWN!r}, "/zip/17?page=1", "/zip/17?token=a%2Bb&page=1", {OWN!r}.replace("token=a", "token=b"),
               {OWN!r} + "&token=" + LEASE):
    say(**Client({FILES!r}).ask(target, headers="").short)
""", policy="many")
    assert [what["code"] for what in done.said] == [None, *["not-redirected"] * 4], done.text
    assert [request.target for request in many.one.requests] == ["/own", OWN]
    assert "a%2Bb" not in json.dumps(many.audit())


@pytest.mark.parametrize("target", ["/far", "/plain", "/meta"])
def test_a_redirect_elsewhere_opens_nothing(many, target):
    done = run(many, f"""
from urllib.parse import urlsplit
to = urlsplit(Client().ask({target!r}).get("location"))
_, reply = connect(to.hostname + ":443")
if reply.status == 200:
    reply = Client(to.hostname).ask(to.path, headers="")
say(**reply.short)
""", policy="many")
    assert done.said[0]["status"] == 403 and done.said[0]["code"] in ("host-denied", "not-redirected"), done.text
    assert len(many.one.requests) == 1


def test_a_redirect_of_one_run_opens_nothing_to_the_next(many):
    run(many, 'Client().ask("/file")', policy="many")
    done = run(many, f'say(**Client({FILES!r}).ask("/logs/17?sig=a%2Bb&se=1", headers="").short)', policy="many")
    assert done.said[0]["code"] == "not-redirected", done.text


def test_a_client_that_follows_redirects_gets_the_file_and_takes_no_lease_along(many):
    done = run(many, """
import urllib.request
request = urllib.request.Request("https://api.test/file", headers={"Authorization": "Bearer " + LEASE})
say(body=urllib.request.urlopen(request).read().decode())
""", policy="many")
    assert done.said == [{"body": "the file"}], done.text


def test_a_rules_host_gets_the_token_and_nothing_that_the_rule_does_not_name(many):
    done = run(many, """
say(**Client("uploads.test").ask("/assets/1").short)
say(**Client("uploads.test").ask("/repos/1").short)
say(**Client("api.test").ask("/assets/1", method="DELETE").short)
import os
base = os.environ["API_API_URL"].rsplit("/", 1)[1]
say(**Client(way="base").ask(f"/{base}~uploads.test/assets/2", host=PROXY.netloc.rpartition("@")[2]).short)
""", policy="many")
    assert [what["status"] for what in done.said] == [200, 403, 403, 200], done.text
    assert "host: uploads.test" in done.said[1]["reason"]
    assert [(request.target, request.header("Authorization")) for request in at(many, "uploads.test")] == [
        ("/assets/1", f"Bearer {many.token}"), ("/assets/2", f"Bearer {many.token}")]


def test_a_token_that_may_not_go_to_a_rules_host_does_not_go_there(many):
    assert many.purser("token", "set", "api", "--host", "api.test", stdin=many.token).status == 0
    done = run(many, """
say(**Client("uploads.test").ask("/assets/1").short)
say(**Client("api.test").ask("/x").short)
""", policy="many")
    assert [what["code"] for what in done.said] == ["host-closed", None], done.text
    assert at(many, "uploads.test") == []


def test_check_names_every_host_and_its_way_out(many):
    many.retriever("script", script="pass", sources=["api"], policy="many")
    text = many.purser("check").text
    for part in ("api.test:443, dialled", "uploads.test:443 (a policy's)", "*.blob.test:443 (files, no token)"):
        assert part in text, text


def test_the_graphql_endpoint_on_a_host_of_its_own_is_reached_by_name_and_by_base_url(lab):
    lab.one, lab.token = api(lab, lambda request: Answer(200, b"{}"), name="buildkite", host="api.buildkite.com",
                             provider="buildkite", policy="lab-all")
    script = """
import os
body = b'{"query": "{ viewer { id } }"}'
json_type = LEASED.replace(LEASE, os.environ["BUILDKITE_TOKEN"]) + "Content-Type: application/json\\r\\n"
say(**Client("graphql.buildkite.com").ask("/v1", method="POST", headers=json_type, body=body).short)
say(**Client("graphql.buildkite.com").ask("/v2/builds", headers=json_type).short)
path = "/" + os.environ["BUILDKITE_GRAPHQL_URL"].split("/", 3)[3]
say(**Client(way="base").ask(path, method="POST", headers=json_type, body=body, host=PROXY.netloc.rpartition("@")[2]).short)
"""
    done = run(lab, script, policy="lab-all")
    assert [what["code"] for what in done.said] == ["host-closed", "path-not-allowed", "host-closed"], done.text
    hosts = ("--host", "api.buildkite.com", "--host", "graphql.buildkite.com")
    assert lab.purser("token", "set", "buildkite", *hosts, stdin=lab.token).status == 0
    done = run(lab, script, policy="lab-all")
    assert [what["code"] for what in done.said] == ["graphql-denied", "path-not-allowed", "graphql-denied"], done.text
    assert lab.one.requests == []
