"""Promises 6 and 7: CONNECT authority, SNI, Host, the name that is dialled and the name that is verified are one; and the
hosts that are policed are those that get a token: one list. Through the real proxy, by a script that says what it likes."""
import pytest
from lab import Answer
from promise import api, run


@pytest.fixture
def two(lab):
    """Two sources with tokens of their own, and what they saw."""
    one = api(lab, lambda request: Answer(200, b"one"))
    other = api(lab, lambda request: Answer(200, b"two"), name="other", host="other.test", variable="OTHER_TOKEN")
    lab.one, lab.other = one, other
    return lab


def saw(pair):
    return [request.header("Authorization") for request in pair[0].requests]


def test_each_host_gets_its_own_token_and_never_another(two):
    done = run(two, """
other = f"Authorization: Bearer {os.environ['OTHER_TOKEN']}\\r\\n"
say(body=Client().ask().body.decode())
say(body=Client("other.test").ask(headers=other).body.decode())
say(wrong=Client("other.test").ask().short)
say(wrong=Client().ask(headers=other).short)
say(base=Client(way="base").ask("/other/x").short)
""")
    assert [what.get("body") for what in done.said[:2]] == ["one", "two"], done.text
    for what in done.said[2:]:
        assert next(iter(what.values()))["code"] == "wrong-source", what
    assert saw(two.one) == [f"Bearer {two.one[1]}"] and saw(two.other) == [f"Bearer {two.other[1]}"]


def test_authority_sni_and_host_must_be_one_name(two):
    done = run(two, """
say(host=Client().ask(host="other.test").short)
say(host=Client().ask(host="api.test:444").short)
say(host=Client().ask("https://other.test/x").short)
say(host=Client().ask(headers=LEASED + "Host: other.test\\r\\n").short)
try:
    say(sni=Client(sni="other.test").ask().short)
except (OSError, EOFError) as fault:
    say(sni={"status": 0, "code": "closed"})
# the same names, written otherwise, are the same
say(same=Client().ask(host="API.Test:443").short)
say(same=Client("API.TEST", sni="api.test").ask(host="api.test").short)
""")
    refused, same = done.said[:5], done.said[5:]
    assert len(same) == 2, done.text
    assert all(next(iter(what.values()))["status"] in (0, 400, 421, 403) for what in refused), refused
    assert all(what["same"]["status"] == 200 for what in same), same
    assert len(two.one[0].requests) == 2 and two.other[0].requests == []


def test_a_host_that_no_source_names_is_refused_with_the_key_that_allows_it(two):
    done = run(two, """
for authority in ("elsewhere.test:443", "api.test:8443", "sub.api.test:443", "127.0.0.1:443", "[::1]:443",
                  "169.254.169.254:80", "api.test:443@other.test:443", "api.test"):
    say(authority=authority, **connect(authority)[1].short)
say(authority="no key", **connect(key=None)[1].short)
""", sources=["api"])
    by = {what.pop("authority"): what for what in done.said}
    assert len(by) == 9, done.text
    assert by.pop("no key")["status"] == 407
    assert all(400 <= what["status"] < 500 and what["status"] != 407 for what in by.values()), by
    assert "egress" in by["elsewhere.test:443"]["reason"]
    assert two.one[0].connections == 0, "nothing was dialled"
    assert {refusal["host"] for refusal in done.report["refusals"]} >= {"elsewhere.test", "sub.api.test"}
    assert "CONNECT elsewhere.test " in done.text, "the summary says the host once"


def test_a_source_that_is_not_granted_is_not_a_host_of_the_run(two):
    done = run(two, """
say(**connect("other.test:443")[1].short)
say(**Client(way="base").ask("/other/x").short)
say(env="OTHER_TOKEN" in os.environ)
""", sources=["api"])
    assert [what.get("status", 403) for what in done.said[:2]] in ([403, 403], [403, 404]), done.said
    assert done.said[2] == {"env": False} and two.other[0].connections == 0


def test_a_certificate_for_another_name_is_never_sent_the_token(lab):
    lab.upstream("api.test", lambda request: Answer(200, b"x"), names=["other.test"])
    lab.source("api", "api.test", tokenEnv=["API_TOKEN"])
    done = run(lab, "say(**once())")
    assert done.said[0]["code"] == "upstream-certificate" and "api.test" in done.said[0]["reason"], done.text
    assert lab.upstreams["api.test"].requests == []
