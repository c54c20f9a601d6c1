"""Promise 16: tokens of any length; each failure of a store or an upstream has its documented behaviour; one bad secret never
holds up another retriever. Through purser run."""
import base64
import time

import pytest
from hunt import needles, search_files
from lab import Answer
from promise import api, new_token, run, said, with_inside


@pytest.mark.parametrize("length", [8, 40, 4096, 16000])
def test_a_token_of_any_length_works_and_comes_back_in_no_answer(lab, length):
    token = new_token(length)

    def answer(request):
        arrived = request.header("Authorization") == f"Bearer {token}"
        echo = token.encode() + b"|" + base64.b64encode(b"u:" + token.encode())
        return Answer(200 if arrived else 401, b"body %s" % echo)

    api(lab, answer, token=token)
    done = run(lab, """
for n in range(5):
    reply = Client(way="proxy" if n % 2 else "base").ask("/x" if n % 2 else "/api/x")
    left = reply.body.decode().replace("*", "")
    say(status=reply.status, body=left[:500], left=len(left))
""")
    assert [what["status"] for what in done.said] == [200] * 5, done.text
    assert all(what["left"] < 20 for what in done.said), "stars but for what stands around the token"
    assert not [needle for needle in needles(token) for what in done.said if needle in what["body"].encode()]
    assert search_files(lab.folder, needles(token))[0] == []


@pytest.mark.parametrize("missing", ["token", "file", "shape", "short"])
def test_one_bad_secret_never_holds_up_another_retriever(lab, missing):
    api(lab)
    host = "bad.test"
    lab.upstream(host, lambda request: Answer(200, b"never"))
    lab.source("bad", host, token=None, tokenEnv=["BAD_TOKEN"])
    if missing == "file":
        lab.sources["bad"]["token"] = {"file": str(lab.folder / "is-not-there")}
    elif missing in ("shape", "short"):
        (lab.folder / "token").write_text("two\nlines\n" if missing == "shape" else "seven-b\n")
        (lab.folder / "token").chmod(0o600)
        lab.sources["bad"]["token"] = {"file": str(lab.folder / "token")}
    for name, source in (("good", "api"), ("ill", "bad"), ("both", "api")):
        with_inside(lab, name)
        lab.retriever(name, "from inside import *\nsay(me=%r, **once())" % name,
                      sources=[source, "bad"] if name == "both" else [source])
    begun = time.monotonic()
    done = lab.purser("run")
    assert time.monotonic() - begun < 10
    assert done.status != 0 and "bad" in done.text, done.text
    assert [what for what in said(done.text) if what["me"] == "good"] == [
        {"me": "good", "status": 200, "code": None, "reason": "Status"}], done.text
    assert lab.last_run("good")[0]["status"] == "ok"
    assert lab.upstreams[host].connections == 0
    assert missing != "short" or ("fewer than 8" in done.text and "seven-b" not in done.text), done.text
    named = [line for line in done.text.splitlines() if "error" in line or "ill" in line]
    assert named and any("bad" in line for line in named), "the sentence names the source"


def test_what_the_upstream_says_of_a_token_reaches_the_script_as_it_is(lab):
    """A 401 and a 429 are the provider's own words, passed on with their headers; purser repeats nothing by itself."""
    statuses = {"/401": (401, {"WWW-Authenticate": "Bearer"}), "/429": (429, {"Retry-After": "7"}), "/500": (500, {})}
    upstream, _ = api(lab, lambda request: Answer(statuses[request.target][0], b'{"message": "theirs"}',
                                                  statuses[request.target][1]))
    done = run(lab, """
for target in ("/401", "/500", "/429"):  # after a 429 purser waits for as long as it says
    reply = Client().ask(target)
    say(status=reply.status, code=reply.code, body=reply.body.decode(), retry=reply.get("retry-after"))
""")
    assert [what["status"] for what in done.said] == [401, 500, 429], done.text
    assert all(what["code"] is None and "theirs" in what["body"] for what in done.said)
    assert done.said[2]["retry"] == "7"
    assert [request.target for request in upstream.requests] == ["/401", "/500", "/429"]


def test_a_lease_of_a_run_that_is_over_is_worth_nothing_in_the_next(lab):
    upstream, _ = api(lab)
    first = run(lab, "say(lease=LEASE)")
    done = run(lab, f"say(**once(headers='Authorization: Bearer {first.said[0]['lease']}\\r\\n'))")
    assert (done.said[0]["status"], done.said[0]["code"]) == (401, "foreign-lease"), done.text
    assert upstream.requests == []
