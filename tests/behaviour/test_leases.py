"""A script can give away less than it has, and take it back: by `purser lease`, and by plain Python."""
import json
import re
import textwrap
from pathlib import Path

import pytest
from lab import Answer
from people import KINDS, lab_of

DOCUMENT = Path(__file__).parents[2] / "docs/leases.md"
EXAMPLE = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]

HEAD = """
import json, os, subprocess, sys, time, urllib.error, urllib.request

def ask(path="/x", method="GET", lease=None):
    request = urllib.request.Request(os.environ["API_API_URL"] + path, method=method)
    request.add_header("Authorization", "Bearer " + (lease or os.environ["API_TOKEN"]))
    try:
        with urllib.request.urlopen(request) as answer:
            return [answer.status, ""]
    except urllib.error.HTTPError as refusal:
        return [refusal.code, refusal.headers.get("X-Purser-Error", "")]

def purser(*words, **options):
    done = subprocess.run(["purser", "lease", *words], capture_output=True, text=True, **options)
    return [done.returncode, done.stdout.strip(), done.stderr.strip()]

def say(**what):
    print("SAID " + json.dumps(what), flush=True)

""" + EXAMPLE


@pytest.fixture(params=KINDS)
def api(request, prefix):
    with lab_of(request.param, prefix) as lab:
        lab.upstream("api.test", lambda request: Answer(200, b"x" * 100))
        lab.source("api", "api.test", tokenEnv=["API_TOKEN"])
        yield lab


def run(lab, script, **keys):
    done = lab.run_script(HEAD + textwrap.dedent(script), **keys)
    done.said = [json.loads(line.split("SAID ", 1)[1]) for line in done.log.splitlines() if "SAID " in line]
    assert done.report["status"] == "ok", done.text + done.log
    return done


def asked(lab):
    return [(request.method, request.target) for request in lab.upstreams["api.test"].requests]


def test_a_script_narrows_by_the_command_line_and_purser_keeps_to_it(api):
    done = run(api, """
        status, less, fault = purser("narrow", "--method", "GET", "--path", "/a/**")
        say(status=status, fault=fault, looks=less.startswith("psl_1"), differs=less != os.environ["API_TOKEN"])
        say(may=ask("/a/x", lease=less), path=ask("/b", lease=less), method=ask("/a/x", "POST", less), own=ask("/b"))
        """)
    assert done.said == [{"status": 0, "fault": "", "looks": True, "differs": True},
                         {"may": [200, ""], "path": [403, "lease-narrowed"], "method": [403, "lease-narrowed"],
                          "own": [200, ""]}]
    assert asked(api) == [("GET", "/a/x"), ("GET", "/b")]


def test_plain_python_narrows_as_the_command_line_does(api):
    done = run(api, """
        mine = os.environ["API_TOKEN"]
        less = narrow(mine, "method=GET", "path=/a/**", "requests=2")
        say(same=purser("narrow", "--method", "GET", "--path", "/a/**", "--requests", "2")[1] == less)
        say(answers=[ask("/a/1", lease=less), ask("/b", lease=less), ask("/a/2", lease=less), ask("/a/3", lease=less)])
        say(status=call(less))
        say(revoked=call(less, "POST", "/purser/v1/lease/revoke"), after=ask("/a/4", lease=less), own=ask("/c"))
        say(child=ask("/a/5", lease=narrow(less, "bytes=5")), status=call(less)["purser"])
        """)
    same, answers, status, revoked, child = done.said
    assert same == {"same": True}
    assert answers["answers"] == [[200, ""], [403, "lease-narrowed"], [200, ""], [403, "budget-requests"]]
    status = status["status"]
    assert status["source"] == "api" and status["caveats"] == ["method=GET", "path=/a/**", "requests=2"]
    assert status["requests"]["left"] == 0 and status["requests"]["limit"] == 10000
    assert revoked == {"revoked": {"source": "api", "revoked": True, "whole": False}, "after": [401, "lease-revoked"],
                       "own": [200, ""]}
    assert child == {"child": [401, "lease-revoked"], "status": "lease-revoked"}
    assert [entry["source"] for entry in api.audit("lease.revoke")] == ["api"]


def test_a_child_is_given_less_than_its_script_has(api):
    """By `narrow -- COMMAND`: in every variable, wherever in it the lease stands."""
    child = textwrap.dedent("""
        import os
        exec(os.environ["HEAD"])
        say(variables=sorted(name for name, value in os.environ.items() if value == os.environ["API_TOKEN"]),
            header=os.environ["HEADER"] == "Bearer " + os.environ["API_TOKEN"],
            inside=os.environ["PAIR"] == "a=" + os.environ["API_TOKEN"] + ";b=2",
            wide=os.environ["WIDE"] in "".join(value for name, value in os.environ.items() if name != "WIDE"))
        say(child=[ask("/a/1"), ask("/b"), ask("/a/2"), ask("/a/3")], status=purser("status", "--json"))
        """)
    done = run(api, f"""
        mine = os.environ["API_TOKEN"]
        environment = dict(os.environ, HEAD={HEAD!r}, HEADER="Bearer " + mine, PAIR="a=" + mine + ";b=2", WIDE=mine[::-1])
        environment["WIDE"] = mine[5:]
        status = purser("narrow", "--path", "/a/**", "--requests", "2", "--", sys.executable, "-c", {child!r}, env=environment)
        print(status[1])
        say(status=status[0], fault=status[2], own=[ask("/b"), ask("/a/4")])
        """)
    there, child_did, script_did = done.said
    assert there == {"variables": ["API_TOKEN", "PURSER_LEASE_API"], "header": True, "inside": True, "wide": False}
    assert child_did["child"] == [[200, ""], [403, "lease-narrowed"], [200, ""], [403, "budget-requests"]]
    assert json.loads(child_did["status"][1])["caveats"] == ["path=/a/**", "requests=2"]
    assert script_did == {"status": 0, "fault": "", "own": [[200, ""], [200, ""]]}


def test_a_narrowed_lease_ends_by_its_own_time(api):
    done = run(api, """
        less = purser("narrow", "--expires", "2s")[1]
        late = narrow(os.environ["API_TOKEN"], "expires=2001-01-01T00:00:00Z")
        say(late=ask(lease=late), early=ask(lease=less))
        time.sleep(2.1)
        say(after=ask(lease=less), own=ask(), status=call(less)["purser"])
        """)
    assert done.said[0] == {"late": [401, "lease-expired"], "early": [200, ""]}
    assert done.said[1]["after"] == [401, "lease-expired"] and done.said[1]["own"] == [200, ""]
    assert done.said[1]["status"] == "lease-expired"


def test_budgets_are_shared_by_what_is_narrowed_further_and_bytes_break_off(api):
    done = run(api, """
        mine = os.environ["API_TOKEN"]
        parent = narrow(mine, "bytes=250")
        one, two = narrow(parent, "method=GET"), narrow(parent, "bytes=150")
        say(answers=[ask(lease=two), ask(lease=two), ask(lease=one), ask(lease=one), ask(lease=parent), ask()])
        say(left=call(one)["responseBytes"]["left"])
        """)
    over = [403, "budget-response-bytes"]
    assert done.said == [{"answers": [[200, ""], over, [200, ""], over, over, [200, ""]]}, {"left": 50}]


def test_what_purser_does_not_know_refuses_everything(api):
    done = run(api, """
        mine = os.environ["API_TOKEN"]
        say(answers=[ask(lease=narrow(mine, caveat)) for caveat in ("region=eu", "method=get", "path=a", "requests=1x", "x")])
        say(status=call(narrow(mine, "region=eu"))["purser"])
        say(revoke=call(narrow(mine, "region=eu"), "POST", "/purser/v1/lease/revoke")["purser"], own=ask())
        """)
    assert done.said == [{"answers": [[403, "unknown-caveat"]] * 5}, {"status": "unknown-caveat"},
                         {"revoke": "unknown-caveat", "own": [200, ""]}]


def test_revoking_the_runs_own_lease_ends_it_for_everybody(api):
    done = run(api, """
        less = narrow(os.environ["API_TOKEN"], "method=GET")
        say(revoke=purser("revoke"), own=ask(), less=ask(lease=less), again=purser("revoke"), status=purser("status"))
        """)
    said = done.said[0]
    assert said["revoke"] == [0, "The run's lease for source api is revoked.", ""]
    assert said["own"] == said["less"] == [401, "lease-revoked"]
    assert said["again"][0] == said["status"][0] == 1 and "lease-revoked" in said["status"][2]
    assert asked(api) == []


def test_an_answer_under_way_is_broken_off_when_its_lease_is_revoked(prefix):
    with lab_of(KINDS[0], prefix) as lab:
        def slow(request):
            return Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 6000)

        upstream = lab.upstream("api.test", slow)
        keep = upstream.serve  # the connection stays open after a part of the answer, the end of which is held back
        upstream.serve = lambda stream, connection, answer: (keep(stream, connection, answer), stream.read(1))[1]
        lab.source("api", "api.test", tokenEnv=["API_TOKEN"])
        done = run(lab, """
            less = narrow(os.environ["API_TOKEN"], "method=GET")
            request = urllib.request.Request(os.environ["API_API_URL"] + "/x", headers={"Authorization": "Bearer " + less})
            answer = urllib.request.urlopen(request)
            first = answer.read(5000)
            began = time.monotonic()
            purser("revoke", "--stdin", input=less)
            try:
                rest = answer.read()
                how = "whole" if len(rest) == 995000 else "short"
            except OSError as fault:
                how = "broken"
            except Exception as fault:
                how = type(fault).__name__
            say(first=len(first), how=how, soon=time.monotonic() - began < 20)
            """)
        assert done.said[0]["first"] == 5000 and done.said[0]["how"] in ("broken", "IncompleteRead"), done.said
        assert done.said[0]["soon"]
        assert "lease-revoked" in [refusal["code"] for refusal in done.report["refusals"]]


def test_status_reads_well_and_as_json(api):
    api.policy("small", """\
        policy: small
        lease: {requests: 3, responseBytes: 1MiB, rate: 5/s, graphqlCost: 70}
        allow:
        - {method: GET, path: /**}
        """)
    done = run(api, """
        ask()
        say(text=purser("status"), json=json.loads(purser("status", "--json")[1]))
        """, policy="small")
    text, answer = done.said[0]["text"][1], done.said[0]["json"]
    assert "api (policy small)" in text and "2 left of 3" in text and "70 left of 70" in text and "5 requests a second" in text
    assert answer["requests"] == {"limit": 3, "left": 2} and answer["responseBytes"]["left"] == (1 << 20) - 100
    assert answer["graphqlCost"] == {"limit": 70, "left": 70} and answer["ratePerSecond"] == 5 and answer["caveats"] == []


def test_a_lease_is_never_on_a_command_line_and_mistakes_are_said(api):
    done = run(api, """
        mine = os.environ["API_TOKEN"]
        several = dict(os.environ, PURSER_LEASE_OTHER=mine)
        none = {name: value for name, value in os.environ.items() if mine not in value}
        outside = dict(os.environ, PURSER_SOCKET="/nowhere")
        say(word=purser("status", mine), nothing=purser("narrow"), value=purser("narrow", "--method", "get"),
            path=purser("narrow", "--path", "repos"), several=purser("status", env=several), none=purser("status", env=none),
            env=purser("status", "--env", "HOME"), outside=purser("status", env=outside), which=purser("renew"),
            named=purser("status", "--source", "api", env=several)[0], stdin=purser("status", "--stdin", input="x"),
            gone=purser("narrow", "--requests", "1", "--", "/nowhere/program"),
            unheld=purser("narrow", "--requests", "1", "--stdin", "--", "true", input=mine, env=none))
        """)
    said = done.said[0]
    expect = {"word": "takes no further words", "nothing": "narrowed to", "value": "GET,HEAD", "path": "/repos/acme/**",
              "several": "--source", "none": "script in its run", "env": "holds no lease", "which": "status, narrow or revoke",
              "stdin": "holds no lease", "unheld": "No variable"}
    for name, words in expect.items():
        assert said[name][0] == 2 and words in said[name][2], (name, said[name])
    assert said["outside"][0] == said["gone"][0] == 1 and said["named"] == 0
    assert not re.search(r"psl_1\w{20}", json.dumps(said))


def test_the_socket_has_no_other_calls(api):
    done = run(api, """
        import http.client, socket
        def raw(method, path, body=None, headers={}):
            connection = http.client.HTTPConnection("purser")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(os.environ["PURSER_SOCKET"])
            connection.request(method, path, body, {"Authorization": "Bearer " + os.environ["API_TOKEN"], **headers})
            answer = connection.getresponse()
            return [answer.status, answer.headers.get("X-Purser-Error")]
        say(calls=[raw("GET", "/purser/v1/"), raw("GET", "/purser/v1/lease/"), raw("POST", "/purser/v1/lease"),
                   raw("GET", "/purser/v1/lease?x=1"), raw("DELETE", "/purser/v1/lease/revoke"),
                   raw("POST", "/purser/v1/lease/revoke", b"x"), raw("GET", "/purser/v2/lease"),
                   raw("GET", "/purser/v1/lease", None, {"PRIVATE-TOKEN": "other"})])
        def plain(lease):
            connection = http.client.HTTPConnection("purser")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(os.environ["PURSER_SOCKET"])
            connection.request("GET", "/purser/v1/lease", headers={"Authorization": "Bearer " + lease} if lease else {})
            return json.load(connection.getresponse())["purser"]
        say(none=plain(""), other=plain("ghp_x"), broken=plain("psl_1AAAA"))
        request = urllib.request.Request(os.environ["API_API_URL"].replace("/api", "/purser/v1/lease"))
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as refusal:
            say(tcp=[refusal.code, refusal.headers["X-Purser-Error"]])
        say(still=ask())
        """)
    calls, kinds, tcp, still = done.said
    unknown = "unknown-call"
    assert calls["calls"] == [[404, unknown], [404, unknown], [405, unknown], [404, unknown], [405, unknown], [400, unknown],
                              [404, unknown], [400, "credential-many"]]
    assert kinds == {"none": "no-lease", "other": "not-a-lease", "broken": "not-a-lease"}
    assert tcp == {"tcp": [404, "unknown-source"]} and still == {"still": [200, ""]}


GRAPHQL = """\
    policy: graphql
    allow:
    - {method: GET, path: /**}
    - graphql: {operations: [query, mutation], fields: [a, star]}
    """


def test_graphql_is_narrowed_to_operations(api):
    api.policy("graphql", GRAPHQL)
    upstream = api.upstream("api.github.com", lambda request: Answer(200, b'{"data":{}}'))
    api.source("hub", "api.github.com", provider="github")
    done = run(api, """
        mine = os.environ["GITHUB_TOKEN"]
        def graphql(query, *caveats):
            request = urllib.request.Request(os.environ["HUB_API_URL"] + "/graphql", json.dumps({"query": query}).encode())
            request.add_header("Authorization", "Bearer " + narrow(mine, *caveats))
            request.add_header("Content-Type", "application/json")
            try:
                with urllib.request.urlopen(request) as answer:
                    return [answer.status, ""]
            except urllib.error.HTTPError as refusal:
                return [refusal.code, refusal.headers.get("X-Purser-Error", "")]
        say(own=[graphql("{a}"), graphql("mutation {star}")],
            query=[graphql("{a}", "graphql=query"), graphql("mutation {star}", "graphql=query"),
                   graphql("query x {a} mutation y {star}", "graphql=query"), graphql("{b}", "graphql=query")],
            none=[graphql("{a}", "graphql=none"), graphql("{a}", "path=/**"), graphql("{a}", "graphql=query", "graphql=mutation")],
            budget=[graphql("{a}", "requests=1"), graphql("{a}", "requests=1")])
        """, sources=["hub"], policy="graphql")
    narrowed = [403, "lease-narrowed"]
    assert done.said == [{"own": [[200, ""], [200, ""]],
                          "query": [[200, ""], narrowed, [400, "graphql-undecidable"], [403, "graphql-denied"]],
                          "none": [narrowed] * 3, "budget": [[200, ""], [403, "budget-requests"]]}], done.said
    assert len(upstream.requests) == 4
