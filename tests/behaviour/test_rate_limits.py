"""What a provider says of its own limits is heeded; what is left for people is left; a source's rate is shared."""
import json
import threading
import time

import pytest
from keeper_driver import Keeper, Source
from keeper_world import HOST, authority, world  # noqa: F401
from lab import Answer
from promise import wait_until
from upstream import Upstream

SCRIPT = """
import json, os, time, urllib.error, urllib.request

def ask(path="/x"):
    request = urllib.request.Request(os.environ["API_API_URL"] + path)
    request.add_header("Authorization", "Bearer " + os.environ["API_TOKEN"])
    try:
        with urllib.request.urlopen(request) as answer:
            return [answer.status, "", ""]
    except urllib.error.HTTPError as refusal:
        return [refusal.code, refusal.headers.get("X-Purser-Error", ""), refusal.headers.get("Retry-After", "")]

def say(**what):
    print("SAID " + json.dumps(what), flush=True)
"""


def said(done):
    return [json.loads(line.split("SAID ", 1)[1]) for line in done.log.splitlines() if "SAID " in line]


def github(remaining, reset=600, resource="core", used=None, **more):
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": str(remaining),
               "X-RateLimit-Reset": str(int(time.time()) + reset), "X-RateLimit-Resource": resource,
               "X-RateLimit-Used": str(5000 - remaining if used is None else used), **more}
    return [f"{name}: {value}" for name, value in headers.items()]


class Says:
    """An upstream's script that answers with the headers (and status) that the test has set last."""

    def __init__(self, *headers, status="200 OK"):
        self.headers, self.status = list(headers), status

    def __call__(self, connection):
        while connection.request():
            connection.answer(b"{}", self.status, self.headers)


def asked(w):
    return len(w.upstream.heads)


def refused(answer, code, status=429):
    assert (answer.status, answer.code) == (status, code), answer
    return answer.retry_after


def test_when_nothing_is_left_the_provider_is_not_asked_until_the_reset(world):  # noqa: F811
    says = Says(*github(1, reset=2))
    w = world(says)
    assert w.get().status == 200
    says.headers = github(0, reset=2)
    assert w.get().status == 200
    for _ in range(3):
        assert refused(w.get(), "upstream-rate-limit") in (1, 2)
    assert asked(w) == 2
    says.headers = github(5000, reset=3600)
    time.sleep(2.1)
    assert w.get().status == 200 and asked(w) == 3


def test_another_limit_of_the_provider_is_not_held_up(world):  # noqa: F811
    says = Says(*github(4000))
    w = world(says)
    assert w.get("/repos/a").status == 200
    says.headers = github(0, resource="search")
    assert w.get("/search/code").status == 200
    refused(w.get("/search/code"), "upstream-rate-limit")
    says.headers = github(3999)
    assert w.get("/repos/a").status == 200 and w.get("/repos/b").status == 200
    assert asked(w) == 4
    w.run.close()
    told = {limit["name"]: limit for limit in w.run.limits}
    assert told["core"]["remaining"] == 3999 and told["search"]["remaining"] == 0 and told["core"]["limit"] == 5000


@pytest.mark.parametrize("status", ["429 Too Many Requests", "403 Forbidden"])
def test_retry_after_is_kept_to_and_passes_to_the_script_once(world, status):  # noqa: F811
    says = Says("Retry-After: 2", status=status)
    w = world(says)
    first = w.get()
    assert first.status == int(status[:3]) and first.code == "" and first.headers["retry-after"] == "2"
    says.status, says.headers = "200 OK", []
    assert refused(w.get("/other"), "upstream-rate-limit") in (1, 2)
    assert asked(w) == 1
    time.sleep(2.1)
    assert w.get().status == 200


def test_no_answer_makes_anybody_wait_for_more_than_an_hour(world):  # noqa: F811
    w = world(Says("Retry-After: 99999999", status="429 Too Many Requests"))
    assert w.get().status == 429
    assert refused(w.get(), "upstream-rate-limit") == 3600


@pytest.mark.parametrize("headers", [
    ["RateLimit-Limit: 200", "RateLimit-Remaining: 0", "RateLimit-Reset: 42"],
    ["RateLimit-Limit: 600", "RateLimit-Remaining: 0", "RateLimit-Observed: 600", "RateLimit-Name: throttle_authenticated_api",
     "RateLimit-Reset: NOW+42"],
    ["RateLimit-Limit: 200", "RateLimit-Remaining: 150", "RateLimit-Reset: 99", "RateLimit-User-Remaining: 0",
     "RateLimit-User-Limit: 50", "RateLimit-User-Reset: 42"]], ids=["buildkite", "gitlab", "buildkite-user"])
def test_each_providers_own_way_of_saying_it_is_understood(world, headers):  # noqa: F811
    now = int(time.time())
    w = world(Says(*[line.replace("NOW+42", str(now + 42)) for line in headers]))
    assert w.get().status == 200
    assert 39 <= refused(w.get(), "upstream-rate-limit") <= 42


@pytest.mark.parametrize("headers", [
    ["X-RateLimit-Remaining: none", "X-RateLimit-Reset: soon"], ["X-RateLimit-Remaining: 0"],
    ["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 0"], ["Retry-After: 5"],
    ["X-RateLimit-Remaining: -1", "X-RateLimit-Reset: 60"], ["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1"]])
def test_what_makes_no_sense_or_is_over_holds_nothing_up(world, headers):  # noqa: F811
    w = world(Says(*headers))
    assert [w.get().status for _ in range(2)][0] == 200
    time.sleep(1.1 if headers[-1].endswith(" 1") else 0)
    assert w.get().status == 200


def test_what_is_reserved_for_people_is_left_to_them(world):  # noqa: F811
    says = Says(*github(502))
    w = world(says, source={"reserve": 500})
    assert w.get().status == 200
    says.headers = github(500)
    assert w.get().status == 200
    assert 590 <= refused(w.get(), "source-reserve") <= 600
    assert asked(w) == 2
    part = world(Says(*github(1000)), source={"reserve_percent": 20})
    assert part.get().status == 200
    refused(part.get(), "source-reserve")


def test_requests_under_way_count_before_they_are_answered(world):  # noqa: F811
    """Ten at once, where three are left over the reserve: three are made."""
    import threading
    release = threading.Event()

    def script(connection):
        while connection.request():
            if len(w.upstream.heads) > 1:
                release.wait(10)
            connection.answer(b"{}", "200 OK", github(13))

    w = world(script, source={"reserve": 10})
    assert w.get().status == 200
    streams = [w.run.stream() for _ in range(10)]
    for stream in streams:
        stream.request("GET", "/x", w.lease)
    answers, waiting = [], []
    for stream in streams:
        stream.sock.settimeout(1)
        try:
            answers.append(stream.answer())
        except TimeoutError:
            waiting.append(stream)
    release.set()
    assert len(waiting) == 3 and {answer.code for answer in answers} == {"source-reserve"} and len(answers) == 7
    assert {answer.retry_after for answer in answers} == {1}
    for stream in waiting:
        stream.sock.settimeout(10)
        assert stream.answer().status == 200


def test_a_sources_rate_holds_for_all_runs_together_and_is_shared(authority):  # noqa: F811
    upstream = Upstream(Says(), *authority.leaf(HOST))
    keeper = Keeper([Source(host=HOST, port=443, ca=authority.bundle, connect_to=f"127.0.0.1:{upstream.port}", rate=20000)])
    try:
        greedy, modest = (keeper.run() for _ in range(2))
        ways = [(run.stream(), run.leases()[0]) for run in (greedy, modest)]
        served, codes, began, next_modest, modest_refused = [0, 0], set(), time.monotonic(), 0, 0
        while (now := time.monotonic() - began) < 3:
            answer = ways[0][0].get("/x", ways[0][1])
            served[0] += answer.status == 200
            codes.add(answer.code)
            if now >= next_modest:
                answer = ways[1][0].get("/y", ways[1][1])
                served[1] += answer.status == 200
                modest_refused += answer.status != 200
                next_modest += 0.25
        assert codes == {"", "source-rate"}
        assert 60 <= sum(served) <= 110 and served[1] >= 11 and modest_refused <= 1, (served, modest_refused)
    finally:
        keeper.stop()
        upstream.close()


def test_a_leases_own_rate_says_when_and_keeps_its_word(world):  # noqa: F811
    w = world(Says(), budget=(0, 0, 0, 1000, 0))
    assert w.get().status == 200
    assert refused(w.get(), "budget-rate") == 1
    time.sleep(1.05)
    assert w.get().status == 200


def query(w):
    w.stream.request("POST", "/graphql", w.lease, body=b'{"query":"{a}"}', headers=[("Content-Type", "application/json")])
    return w.stream.answer()


GRAPHQL = {"policies": ((("graphql", ["a"]), (0, 63, "/**")),), "source": {"graphql": "/graphql"}}


def test_graphql_cost_is_what_the_provider_says_a_query_has_cost(world):  # noqa: F811
    """Buildkite names it in each answer."""
    says = Says("RateLimit-Complexity-Requested: 900", "RateLimit-Complexity-Actual: 60")
    w = world(says, budget=(0, 0, 0, 0, 0, 100), **GRAPHQL)
    assert query(w).status == 200 and query(w).status == 200
    refused(query(w), "budget-graphql-cost", 403)
    assert asked(w) == 2 and w.get("/rest").status == 200


def test_graphql_cost_is_what_the_count_of_used_points_rises_by(world):  # noqa: F811
    """GitHub counts for the hour: the first answer says nothing about its own cost."""
    says = Says(*github(4990, resource="graphql", used=10))
    w = world(says, budget=(0, 0, 0, 0, 0, 50), **GRAPHQL)
    for used in (10, 40, 59):
        says.headers = github(5000 - used, resource="graphql", used=used)
        assert query(w).status == 200  # 1, then 30, then 19
    refused(query(w), "budget-graphql-cost", 403)


def test_graphql_cost_is_one_a_query_where_nothing_is_said(world):  # noqa: F811
    w = world(Says(), budget=(0, 0, 0, 0, 0, 3), **GRAPHQL)
    assert [query(w).status for _ in range(3)] == [200] * 3
    refused(query(w), "budget-graphql-cost", 403)


@pytest.mark.parametrize("leaves", [True, False])
def test_graphql_cost_is_counted_of_a_query_whose_answer_nobody_waits_for(world, leaves):  # noqa: F811
    """It went up: as much as the dearest one so far."""
    says, silent = Says("RateLimit-Complexity-Actual: 60"), threading.Event()

    def script(connection):
        while connection.request() and not (asked(w) == 2 and silent.wait(10)):
            connection.answer(b"{}", says.status, says.headers)

    w = world(script, budget=(0, 0, 0, 0, 0, 100), **GRAPHQL)
    assert query(w).status == 200
    other = w.run.stream()
    other.request("POST", "/graphql", w.lease, body=b'{"query":"{a}"}', headers=[("Content-Type", "application/json")])
    wait_until(lambda: asked(w) == 2, what="the second query")
    if leaves:
        other.sock.close()
        wait_until(lambda: "client-gone" in [line.get("code") for line in w.keeper.audit()], what="that it has left")
        silent.set()
    else:
        silent.set()  # the upstream hangs up
        assert other.answer().status == 502
    refused(query(w), "budget-graphql-cost", 403)
    assert asked(w) == 2


def test_a_run_shows_what_is_left_in_its_report_and_in_status(lab):
    upstream = lab.upstream("api.test", lambda request: Answer(200, b"{}", dict(
        line.split(": ") for line in github(0 if request.target == "/last" else 4321, reset=900))))
    lab.source("api", "api.test", tokenEnv=["API_TOKEN"], reserve="10%", rate="50/s")
    done = lab.run_script(SCRIPT + """
say(first=ask(), last=ask("/last"))
say(after=ask("/last"), by_name=os.popen("purser lease status").read())
""")
    first, after = said(done)
    assert first == {"first": [200, "", ""], "last": [200, "", ""]}
    assert after["after"][:2] == [429, "upstream-rate-limit"] and 890 <= int(after["after"][2]) <= 900
    assert "core" in after["by_name"] and "500 of them for people" in after["by_name"] and "50 requests" in after["by_name"]
    assert len(upstream.requests) == 2
    limit = done.report["sources"][0]["limits"][0]
    assert (limit["name"], limit["limit"], limit["remaining"], limit["reserved"]) == ("core", 5000, 0, 500)
    assert [refusal["code"] for refusal in done.report["refusals"]] == ["upstream-rate-limit"]
    text = lab.purser("status").out
    assert "0 left of 5,000" in text and "500 of it for people" in text and "api" in text
    assert lab.purser("status", "--json").json["runs"][0]["sources"][0]["limits"][0]["remaining"] == 0


@pytest.mark.parametrize("keys, words", [
    ({"rate": "fast"}, "rate"), ({"rate": "0/s"}, "rate"), ({"reserve": "100%"}, "reserve"), ({"reserve": "-1"}, "reserve"),
    ({"reserve": "1.5%"}, "reserve"), ({"reserve": "many"}, "reserve")])
def test_a_rate_or_reserve_that_cannot_be_is_said_with_its_place(lab, keys, words):
    lab.source("api", "api.test", token=None, **keys)
    lab.retriever("a", script="print(1)", sources=["api"])
    done = lab.purser("check")
    assert done.status == 3 and words in done.err and "purser.yaml:" in done.err, done.text
