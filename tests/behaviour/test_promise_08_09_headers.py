"""Promises 8 and 9: hop-by-hop headers go first and injection is last; whatever credential, cookie or override the client
sent is gone before, and no session comes back. Through the real proxy."""
from lab import Answer
from promise import api, header_text, run


def test_the_upstream_sees_one_credential_and_it_is_the_real_one(lab):
    upstream, token = api(lab, lambda request: Answer(200, b"ok"))
    done = run(lab, """
import base64
basic = "Authorization: Basic " + base64.b64encode(f"me:{LEASE}".encode()).decode() + "\\r\\n"
more = ("Cookie: session=1\\r\\nProxy-Authorization: Basic eHg6eXk=\\r\\nTE: trailers\\r\\nKeep-Alive: 5\\r\\nX-Kept: 1\\r\\n"
        "Connection: Authorization, X-Hop, keep-alive\\r\\nX-Hop: 1\\r\\nProxy-Connection: close\\r\\n")
for headers in (LEASED, f"Authorization: token {LEASE}\\r\\n", basic, f"PRIVATE-TOKEN: {LEASE}\\r\\n",
                f"Circle-Token: {LEASE}\\r\\n", f"authorization: BEARER {LEASE}\\r\\n"):
    say(**Client().ask(headers=headers).short)
    say(**Client().ask(headers=headers + more).short)
""")
    assert [what["status"] for what in done.said] == [200] * 12, done.said
    assert len(upstream.requests) == 12
    for request in upstream.requests:
        assert request.header("Authorization") == f"Bearer {token}"
        text = header_text(request).lower()
        for gone in ("cookie", "psl_1", "x-hop", "proxy-", "keep-alive:", "te: ", "private-token", "circle-token", "basic"):
            assert gone not in text, (gone, text)
    assert all(request.header("X-Kept") == "1" for request in upstream.requests[1::2])


def test_no_session_comes_back(lab):
    api(lab, lambda request: Answer(200, b"ok", {"Set-Cookie": "a=b", "Set-Cookie2": "c", "Alt-Svc": 'h3=":443"',
                                                 "Connection": "X-Hop", "X-Hop": "1", "X-Kept": "1"}))
    done = run(lab, "for way, path in (('proxy', '/x'), ('base', '/api/x')):\n"
                    "    say(names=[name for name, _ in Client(way=way).ask(path).headers])")
    assert len(done.said) == 2, done.text
    for what in done.said:
        assert "x-kept" in what["names"]
        assert not {"set-cookie", "set-cookie2", "alt-svc", "x-hop"} & set(what["names"])


def test_nothing_is_injected_for_trace_options_or_an_override(lab):
    upstream, token = api(lab, policy="open")
    lab.policy("open", "policy: open\nallow:\n- {method: [GET, POST], path: /**}\n"
                       "tests:\n- {request: GET /x, expect: allow}\n")
    lab.source("api", "api.test", token=None, policy="open", tokenEnv=["API_TOKEN"])
    done = run(lab, """
for method in ("TRACE", "OPTIONS", "CONNECT", "DELETE", "PUT", "get", "FOO"):
    say(what=method, **once(method=method))
for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
    say(what=name, **once(method="POST", headers=LEASED + f"{name}: DELETE\\r\\n"))
say(what="_method", **once("/x?_method=DELETE", method="POST"))
say(what="form", **once(method="POST", headers=LEASED + "Content-Type: application/x-www-form-urlencoded\\r\\n",
                        body=b"a=1&_method=DELETE"))
say(what="same", **once(method="POST", headers=LEASED + "x_http_method_override: DELETE\\r\\nPRIVATE_TOKEN: 1\\r\\n"))
""", policy="open")
    assert len(done.said) == 13, done.text
    assert done.said[-1]["status"] == 200, "what a server may read as X-Http-Method-Override is dropped"
    assert "_" not in "".join(name for name, _ in upstream.requests[0].headers)
    assert all(what["status"] == 0 or 400 <= what["status"] <= 501 for what in done.said[:-1]), done.said
    assert [request.method for request in upstream.requests] == ["POST"], "only what was plain and allowed has gone on"


def test_two_credentials_are_refused_and_none_is_guessed(lab):
    upstream, _ = api(lab)
    done = run(lab, """
other = LEASE[:-4] + ("AAAA" if LEASE[-4:] != "AAAA" else "BBBB")
say(**once(headers=LEASED + f"Authorization: Bearer {other}\\r\\n"))
say(**once(headers=LEASED + f"PRIVATE-TOKEN: {other}\\r\\n"))
say(**once(headers=f"Authorization: Bearer {other}\\r\\n"))
say(**once(headers="Authorization: Bearer ghp_of_my_own\\r\\n"))
say(**once(headers=""))
""")
    assert len(done.said) == 5 and all(what["status"] in (400, 401) for what in done.said), done.text
    assert upstream.requests == []
    assert sum(refusal["count"] for refusal in done.report["refusals"]) >= 3
