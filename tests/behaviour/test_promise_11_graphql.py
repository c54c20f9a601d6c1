"""Promise 11: GraphQL is fully parsed; what cannot be decided is refused. Through the real purser, against an upstream that
records: what arrives is the one form of what was decided. That what is refused never arrives is test_attacks.py's, with
tests/attacks/graphql.json."""

import json
import sys
from urllib.parse import quote

import pytest
from lab import Answer
from promise import api, header_text, run

HOST = "api.github.com"
RULES = """\
    policy: narrow
    allow:
    - {method: [GET, HEAD, POST, PUT], path: /**}
    - graphql:
        fields: [repository]
        arguments: {repository: {owner: [acme], name: [web, api]}}
        subfields: [id, name, runs, nodes, conclusion]
        maxDepth: 4
        maxAliases: 2
    - graphql: {fields: [rateLimit]}
    - graphql: {operations: [mutation], fields: [star]}
    deny:
    - graphql: {fields: [token, secrets]}
    """
JSON = "Content-Type: application/json\r\n"
ALLOWED = "{ rateLimit { cost } }"
WEB = 'repository(owner: "acme", name: "web")'


def body(query=None, **more):
    return json.dumps({"query": query, **more} if query is not None else more).encode()


def post(data, kind=JSON, method="POST", target="/graphql"):
    return {"method": method, "target": target, "headers": kind, "body": data if isinstance(data, bytes) else data.encode()}


def get(**parameters):
    return {"method": "GET", "headers": "",
            "target": "/graphql?" + "&".join(f"{name}={quote(text)}" for name, text in parameters.items())}


def with_graphql(lab, name="api", rules=RULES, host=HOST, provider="github", answer=None, **keys):
    lab.policy("narrow", rules)
    return api(lab, answer, name=name, host=host, provider=provider, policy="narrow", **keys)


def ask_all(lab, cases, host=HOST, more=""):
    """Each case by itself, on a connection of its own; what became of each."""
    return run(lab, f"""
for case in {cases!r}:
    case["headers"] = LEASED + case["headers"]
    try:
        reply = Client({host!r}).ask(**case)
        say(body=reply.body.decode(), type=reply.get("content-type"), **reply.short)
    except (OSError, EOFError) as fault:
        say(status=0, code=type(fault).__name__, reason=str(fault), body="")
{more}""", policy="narrow").said


# What came, and what must arrive.
PASSED = [
    (post(body(ALLOWED)), {"query": "query { rateLimit { cost } }"}),
    (post(body("query A { rateLimit { cost } } mutation B { delete }", operationName="A")),
     {"query": "query A { rateLimit { cost } }", "operationName": "A"}),
    (post(body("{ rateLimit { cost } } fragment F on Query { viewer { login } }")), {"query": "query { rateLimit { cost } }"}),
    (post(body("query($v:T){rateLimit(x:$v){cost}}", variables={"v": {"k": [1, None, True, "é\n"]}, "other": "dropped"})),
     {"query": "query($v: T) { rateLimit(x: $v) { cost } }", "variables": {"v": {"k": [1, None, True, "é\n"]}}}),
    (post(body('#!\n{ rateLimit(x: """\n  a\n   "b" # c\n""") { cost } # }\n}', extensions={"persistedQuery": {"sha256Hash": "0"}},
               operationName=None, variables=None)),
     {"query": 'query { rateLimit(x: "a\\n \\"b\\" # c") { cost } }'}),
    (post(body("{ a: rateLimit { b: cost } ...F } fragment F on Query { rateLimit { ... @include(if: true) { cost } } }")),
     {"query": "query { a: rateLimit { b: cost } ...F }\nfragment F on Query { rateLimit { ... @include(if: true) { cost } } }"}),
    (post(body("query($o: String!, $n: String = \"web\") { repository(owner: $o, name: $n) { name runs { nodes { id } } } }",
               variables={"o": "acme"})),
     {"query": "query($o: String!, $n: String = \"web\") { repository(owner: $o, name: $n) { name runs { nodes { id } } } }",
      "variables": {"o": "acme"}}),
    (post(body('{ repository(owner: "\\u0061cme", name: "api") { __typename } }')),
     {"query": 'query { repository(owner: "acme", name: "api") { __typename } }'}),
    (post(body("mutation { star(id: 1) { id } }")), {"query": "mutation { star(id: 1) { id } }"}),
    (post(ALLOWED, "Content-Type: application/graphql; charset=utf-8\r\n"), {"query": "query { rateLimit { cost } }"}),
    (post(body(ALLOWED), "Content-Type: Application/Json;charset=\"UTF-8\"\r\nContent-MD5: x\r\nContent-Language: en\r\n",
          target="/GRAPHQL/"),
     {"query": "query { rateLimit { cost } }"}),
]


def test_what_arrives_is_the_one_form_of_what_was_decided(lab):
    upstream, token = with_graphql(lab)
    told = ask_all(lab, [came for came, _ in PASSED])
    assert [what["status"] for what in told] == [200] * len(PASSED), told
    assert [json.loads(request.body) for request in upstream.requests] == [arrives for _, arrives in PASSED]
    for request in upstream.requests:
        assert (request.method, request.target) == ("POST", "/graphql")
        assert request.header("Content-Type") == "application/json"
        assert request.header("Authorization") == f"Bearer {token}"
        assert "Content-MD5" not in header_text(request) and "Content-Language" not in header_text(request)


def test_a_query_by_get_arrives_in_one_form_too(lab):
    upstream, _ = with_graphql(lab)
    cases = [get(query="query Q($v: T) { rateLimit(x: $v) { cost } } mutation M { delete }", operationName="Q",
                 variables='{"v": "a&b=c", "w": 1}', extensions="{}"),
             {"method": "GET", "headers": "", "target": "/graphql/?query=%7b+rateLimit+%7B%0Acost%23x%0A%7D%7d"}]
    told = ask_all(lab, cases)
    assert [what["status"] for what in told] == [200, 200], told
    assert [(request.method, request.target, request.body) for request in upstream.requests] == [
        ("GET", "/graphql?query=query%20Q%28%24v%3A%20T%29%20%7B%20rateLimit%28x%3A%20%24v%29%20%7B%20cost%20%7D%20%7D"
                "&operationName=Q&variables=%7B%22v%22%3A%22a%26b%3Dc%22%7D", b""),
        ("GET", "/graphql?query=query%20%7B%20rateLimit%20%7B%20cost%20%7D%20%7D", b"")]


def test_a_body_is_put_together_however_it_comes(lab):
    upstream, _ = with_graphql(lab)
    done = run(lab, f"""
import time
data = {body("{ rateLimit { cost } " + "#" + "x" * 100000 + chr(10) + "}")!r}
head = "POST /graphql HTTP/1.1\\r\\nHost: {HOST}\\r\\n" + LEASED + "Content-Type: application/json\\r\\n"
chunked = head + "Transfer-Encoding: chunked\\r\\n\\r\\n"
pieces = b"".join(b"%x\\r\\n%s\\r\\n" % (len(data[at:at + 777]), data[at:at + 777]) for at in range(0, len(data), 777)) + b"0\\r\\n\\r\\n"
client = Client({HOST!r})
say(**client.raw(chunked.encode() + pieces).short)
length = head + f"Content-Length: {{len(data)}}\\r\\nExpect: 100-continue\\r\\n\\r\\n"
client.sock.sendall(length.encode())
say(line=client.stream.readline().decode(), end=client.stream.readline().decode())
for at in range(0, len(data), 9999):
    client.sock.sendall(data[at:at + 9999])
say(**Reply(client.stream).short)
say(**client.ask("/graphql", method="POST", headers=LEASED + "Content-Type: application/json\\r\\n",
                 body=b'{{"query": "{{viewer}}"}}').short)
say(**client.ask("/graphql", method="POST", headers=LEASED + "Content-Type: application/json\\r\\n",
                 body=b'{{"query": "{{rateLimit}}"}}').short)
""", policy="narrow")
    assert [what.get("status") for what in done.said] == [200, None, 200, 403, 200], done.text
    assert done.said[1]["line"].startswith("HTTP/1.1 100")
    assert [request.body for request in upstream.requests] == [
        b'{"query":"query { rateLimit { cost } }"}'] * 2 + [b'{"query":"query { rateLimit }"}']


@pytest.mark.parametrize("provider, host, api_url, endpoint, asked", [
    ("buildkite", "api.buildkite.com", None, "/v1", "graphql.buildkite.com"),
    ("github", "ghe.test", "https://ghe.test/api/v3", "/api/graphql", "ghe.test"),
    ("gitlab", "gitlab.test", "https://gitlab.test/api/v4", "/api/graphql", "gitlab.test"),
])
def test_the_endpoint_of_each_provider(lab, provider, host, api_url, endpoint, asked):
    lab.policy("narrow", RULES)
    upstream, token = api(lab, name="api", host=host, provider=provider, policy="narrow", token="canary-" + "k" * 40,
                          **({"apiUrl": api_url} if api_url else {}))
    upstream.context.load_cert_chain(*lab.certificate([host, asked]))
    hosts = [word for name in {host, asked} for word in ("--host", name)]
    assert lab.purser("token", "set", "api", *hosts, stdin=token).status == 0
    done = run(lab, f"""
json_type = LEASED + "Content-Type: application/json\\r\\n"
for query in ("{{ rateLimit {{ cost }} }}", "{{ viewer {{ login }} }}"):
    data = json.dumps({{"query": query}}).encode()
    say(**Client({asked!r}).ask({endpoint!r}, method="POST", headers=json_type, body=data).short)
    path = "/" + os.environ["API_GRAPHQL_URL"].split("/", 3)[3]
    say(**Client(way="base").ask(path, method="POST", headers=json_type, body=data, host=PROXY.netloc.rpartition("@")[2]).short)
""", policy="narrow")
    assert [what["code"] for what in done.said] == [None, None, "graphql-denied", "graphql-denied"], done.text
    assert [(request.header("Host"), request.target, request.body, request.header("Authorization"))
            for request in upstream.requests] == [
        (asked, endpoint, b'{"query":"query { rateLimit { cost } }"}', f"Bearer {token}")] * 2


def test_records_name_the_operation_and_never_its_arguments(lab):
    with_graphql(lab)
    ask_all(lab, [post(body('query Mine($o: String!) { x: repository(owner: $o, name: "web") { id } ...F } '
                            "fragment F on Query { rateLimit { cost } }", operationName="Mine", variables={"o": "acme"})),
                  post(body('query Other { repository(owner: "hidden-value", name: "web") { id } }')),
                  post(body("{ rateLimit(x: \"hidden-value\") { cost")),
                  get(query='{ rateLimit(x: "hidden-value") { cost } }')])
    asked, queried = lab.audit("request")
    assert asked["operation"] == "query Mine: repository, rateLimit" and asked["path"] == "/graphql"
    assert queried["operation"] == "query: rateLimit" and queried["path"] == "/graphql"
    denied, broken = lab.audit("refused")
    assert denied["operation"] == "query Other: repository" and denied["code"] == "graphql-denied"
    assert broken["code"] == "graphql-undecidable" and "operation" not in broken
    everything = json.dumps(lab.audit()) + json.dumps(lab.last_run()[0]) + lab.purser("status").text
    assert "hidden-value" not in everything and "owner" in everything


@pytest.mark.parametrize("character", ["\uffff", "\ufffe", "\ufeff", "\x85", "\u2028", "\U0001ffff"])
def test_no_character_of_a_refused_request_hides_its_run(lab, character):
    """A run's report, which names what was refused, is read again by `purser status` and by whoever collects what was left."""
    with_graphql(lab)
    (told,) = ask_all(lab, [post(json.dumps({"query": ALLOWED, f"a {character} b": 1}, ensure_ascii=False))])
    assert told["code"] == "graphql-undecidable", told
    (shown,) = lab.purser("status", "--json").json["runs"]
    (refusal,) = shown["refusals"]
    assert shown == lab.last_run()[0] and "a member 'a " in refusal["message"]


def test_each_operation_is_one_request_of_the_budget_whatever_becomes_of_it(lab):
    """Reading it is what costs: a script that sends nothing but nonsense is stopped by its own rate."""
    upstream, _ = with_graphql(lab, rules=RULES.rstrip(" ") + "    lease: {requests: 4, requestBytes: 1KiB}\n")
    told = ask_all(lab, [post(body("{ viewer }")), post(body("{")), post(body(ALLOWED)), post(body(ALLOWED + " " * 1000)),
                         post(body(ALLOWED))])
    assert [what["code"] for what in told] == ["graphql-denied", "graphql-undecidable", None, "budget-request-bytes",
                                               "budget-requests"]
    assert len(upstream.requests) == 1


def test_a_foreign_lease_is_refused_before_its_body_is_read(lab):
    upstream, _ = with_graphql(lab)
    done = run(lab, f"""
client = Client({HOST!r})
head = "POST /graphql HTTP/1.1\\r\\nHost: {HOST}\\r\\nAuthorization: Bearer ghp_none\\r\\nContent-Type: application/json\\r\\n"
say(**client.raw(head + "Content-Length: 100000\\r\\n\\r\\n").short)
""", policy="narrow")
    assert done.said[0]["code"] == "not-a-lease", done.text
    assert upstream.requests == []


# A real client, and a real server that executes what arrives.

SCHEMA = """
type Query { repository(owner: String!, name: String!): Repository viewer: User rateLimit: RateLimit }
type Repository { id: ID! name: String! owner: User! runs(first: Int = 2, after: Cursor): RunPage! }
type RunPage { nodes: [Run!]! } type Run { id: ID! conclusion: State! } enum State { SUCCESS FAILURE }
type User { login: String! email: String! } type RateLimit { cost: Int! } scalar Cursor
"""
CLIENT = """
import json, os
from gql import Client, gql, GraphQLRequest
from gql.transport.requests import RequestsHTTPTransport
from gql.transport.exceptions import TransportQueryError, TransportServerError
transport = RequestsHTTPTransport(url="https://api.github.com/graphql", headers={"Authorization": "bearer " + os.environ["GITHUB_TOKEN"]})
client = Client(transport=transport)
query = gql('''query Runs($owner: String!, $first: Int) {
  repository(owner: $owner, name: "web") { ...Named recent: runs(first: $first) { nodes { id conclusion __typename } } }
}
fragment Named on Repository { name }''')
def ask(query, **variables):
    try:
        print("SAID " + json.dumps(client.execute(query, variable_values=variables)))
    except (TransportQueryError, TransportServerError) as refused:
        print("SAID " + json.dumps({"refused": str(refused)}))
ask(query, owner="acme", first=1)
ask(query, owner="evil")
ask(gql("{ viewer { email } }"))
"""


@pytest.fixture
def graphql_core(clients):
    """The reference implementation, from the environment of the real clients, in this process."""
    folder = str(next(clients.parent.parent.glob("lib/python3*/site-packages")))
    sys.path.append(folder)
    yield __import__("graphql")
    sys.path.remove(folder)


def executing(graphql):
    schema = graphql.build_schema(SCHEMA)
    runs = [{"id": str(n), "conclusion": "SUCCESS"} for n in range(5)]
    root = {"repository": lambda info, owner, name: {
                "id": "1", "name": f"{owner}/{name}", "owner": {"login": owner, "email": "secret"},
                "runs": lambda info, first, after=None: {"nodes": runs[:first]}},
            "viewer": {"login": "me", "email": "secret"}, "rateLimit": {"cost": 1}}

    def answer(request):
        asked = json.loads(request.body)
        result = graphql.graphql_sync(schema, asked["query"], root, variable_values=asked.get("variables"),
                                      operation_name=asked.get("operationName"))
        assert not result.errors, result.errors
        return Answer(200, json.dumps(result.formatted).encode())
    return answer


def test_a_real_client_gets_its_answer_from_a_real_server(lab, clients, graphql_core):
    upstream, _ = with_graphql(lab, name="github", answer=executing(graphql_core))
    script = lab.folder / "client.py"
    script.write_text(CLIENT)
    script.chmod(0o644)
    lab.retriever("client", command=[clients, script], sources=["github"], policy="narrow")
    done = lab.purser("run", "client")
    log = lab.last_run("client")[1]
    said = [json.loads(line.split("SAID ", 1)[1]) for line in log.splitlines() if "SAID " in line]
    assert len(said) == 3, done.text + log
    assert said[0] == {"repository": {"name": "acme/web", "recent": {"nodes": [
        {"id": "0", "conclusion": "SUCCESS", "__typename": "Run"}]}}}
    assert "the argument 'owner' of the GraphQL field 'repository'" in said[1]["refused"], said
    assert "'viewer' is not named by policy narrow" in said[2]["refused"], said
    assert len(upstream.requests) == 1


def test_the_reference_server_reads_what_arrives_as_purser_did(lab, graphql_core):
    """Every document of the list above, executed or not: it parses there, to one operation, of the type that was decided."""
    upstream, _ = with_graphql(lab)
    ask_all(lab, [came for came, _ in PASSED])
    assert len(upstream.requests) == len(PASSED)
    for request in upstream.requests:
        operations = [one for one in graphql_core.parse(json.loads(request.body)["query"]).definitions
                      if one.kind == "operation_definition"]
        assert len(operations) == 1


