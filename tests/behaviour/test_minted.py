"""Tokens that are minted: a GitHub App's and OAuth 2's, against servers that verify what they are sent as the real ones do
(signature, times, issuer, audience). Kubernetes' TokenRequest is in test_kubernetes.py, against the real server."""
import base64
import json
import subprocess
import time
from email.utils import formatdate
from urllib.parse import parse_qs, unquote

import pytest
from hunt import needles, search_files
from lab import Answer
from promise import HOST, new_token, said, with_inside

ASK = "reply = Client().ask()\nsay(status=reply.status, body=reply.body.decode())\n"


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Keys:
    """A private key of the laboratory, and whether a JWT is signed by it."""

    def __init__(self, lab, kind):
        self.private, self.public, self.kind = lab.folder / f"{kind}.key", lab.folder / f"{kind}.pub", kind
        words = ["genrsa", "-traditional", "-out", self.private, "2048"] if kind == "rsa" else \
            ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.private]
        lab.openssl(*map(str, words))
        lab.openssl("pkey", "-in", str(self.private), "-pubout", "-out", str(self.public))
        self.private.chmod(0o600)

    def claims(self, jwt):
        head, claims, signature = jwt.split(".")
        made = decode(signature)
        if self.kind == "ec":
            assert len(made) == 64
            parts = [b"\0" * (part[0] >> 7) + part for part in (half.lstrip(b"\0") or b"\0" for half in (made[:32], made[32:]))]
            body = b"".join(b"\x02" + bytes([len(part)]) + part for part in parts)
            made = b"\x30" + bytes([len(body)]) + body
        (file := self.private.with_suffix(".sig")).write_bytes(made)
        done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.public, "-signature", file],
                              input=f"{head}.{claims}".encode(), capture_output=True)
        assert done.returncode == 0, "the signature is not of this key"
        assert json.loads(decode(head))["alg"] == {"rsa": "RS256", "ec": "ES256"}[self.kind]
        return json.loads(decode(claims))


class GitHub:
    """Its endpoints for Apps, and an API that takes installation tokens alone. `clock`: how far ahead its clock is."""

    def __init__(self, lab, keys, clock=0, life=3600, length=40):
        self.keys, self.clock, self.life, self.length = keys, clock, life, length
        self.minted, self.revoked, self.asked, self.refused = [], [], [], 0
        lab.upstream(HOST, self.answer)

    def answer(self, request):
        sent = (request.header("Authorization") or "").removeprefix("Bearer ")
        reply = self.route(request, sent)
        reply.headers["Date"] = formatdate(time.time() + self.clock, usegmt=True)
        return reply

    def route(self, request, sent):
        if request.method == "POST" and request.target == "/app/installations/77/access_tokens":
            return self.mint(request, sent)
        live = sent in self.minted and sent not in self.revoked
        if request.method == "DELETE" and request.target == "/installation/token":
            if live:
                self.revoked.append(sent)
            return Answer(204 if live else 401)
        return Answer(200, b"ok") if live else Answer(401, b'{"message": "Bad credentials"}')

    def mint(self, request, jwt):
        claims, now = self.keys.claims(jwt), time.time() + self.clock
        if claims["iss"] != "4711" or not claims["iat"] <= now < claims["exp"] or claims["exp"] - now > 600:
            self.refused += 1
            return Answer(401, b'{"message": "\'Expiration time\' claim (\'exp\') is too far in the future"}')
        self.asked.append(json.loads(request.body))
        self.minted.append("ghs_" + new_token(self.length))
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + self.life))
        return Answer(201, json.dumps({"token": self.minted[-1], "expires_at": expires}).encode())


def app(lab, keys, **keys_of_app):
    lab.source("api", HOST, token=None, tokenEnv=["API_TOKEN"])
    lab.sources["api"]["token"] = {"githubApp": {"appId": 4711, "installationId": 77,
                                                 "privateKey": {"file": str(keys.private)}, **keys_of_app}}
    lab.write()


def run(lab, script=ASK):
    with_inside(lab, "script")
    lab.retriever("script", "import time\nfrom inside import *\n" + script, sources=["api"])
    done = lab.purser("run", "script")
    done.said = said(done.text)
    return done


@pytest.mark.parametrize("length", [40, 2000])
def test_a_github_apps_token_is_minted_narrowed_used_and_revoked(lab, length):
    keys = Keys(lab, "rsa")
    github = GitHub(lab, keys, length=length)
    app(lab, keys, repositories=["linkerd2"], permissions={"actions": "read", "metadata": "read"})
    done = run(lab)
    assert [s["status"] for s in done.said] == [200], done.text
    assert github.asked == [{"repositories": ["linkerd2"], "permissions": {"actions": "read", "metadata": "read"}}]
    assert len(github.minted) == 1 and github.revoked == github.minted
    events = [entry["event"] for entry in lab.audit() if entry["event"].startswith("token")]
    assert events == ["token.mint", "token.fetch", "token.give-back"]
    key = "".join(keys.private.read_text().splitlines()[3:9])
    for secret in (github.minted[0], key):
        assert [hit for hit in search_files(lab.state, needles(secret))[0]] == []


def needing(lab, name, permissions, repo):
    lab.policy(name, f"""\
        policy: {name}
        permissions: {json.dumps(permissions)}
        parameters: {{repo: {{default: '*', class: name}}}}
        allow:
        - {{method: GET, path: '/{{repo}}'}}
        """)
    with_inside(lab, name)
    lab.retriever(name, f"from inside import *\nsay(status=Client().ask('/{repo if isinstance(repo, str) else repo[0]}').status)", sources=["api"], policy=name,
                  **({"with": {"repo": repo}} if repo != "any" else {}))


@pytest.mark.parametrize("others, asked", [
    ([("two", {"actions": "write", "metadata": "read"}, "api")],
     {"repositories": ["web", "api"], "permissions": {"actions": "write", "checks": "read", "metadata": "read"}}),
    ([("two", {"metadata": "read"}, ["api", "web", "docs"])],
     {"repositories": ["web", "api", "docs"], "permissions": {"actions": "read", "checks": "read", "metadata": "read"}}),
    ([("two", {"metadata": "read"}, "any")], {"permissions": {"actions": "read", "checks": "read", "metadata": "read"}}),
    ([("two", {}, "api")], {"repositories": ["web", "api"]}),
])
def test_where_nothing_is_said_an_app_is_asked_for_what_the_policies_need_and_no_more(lab, others, asked):
    keys = Keys(lab, "rsa")
    github = GitHub(lab, keys)
    app(lab, keys)
    for name, permissions, repo in [("one", {"actions": "read", "checks": "read"}, "web"), *others]:
        needing(lab, name, permissions, repo)
    done = lab.purser("run")
    assert done.status == 0 and [what["status"] for what in said(done.text)] == [200, 200], done.text
    assert github.asked == [asked]
    found = [entry for entry in lab.purser("check", "--json").json["findings"] if entry["what"] == "minted"]
    told = "".join(json.dumps(asked["permissions"]).split()) if "permissions" in asked else "every permission"
    assert [entry["name"] for entry in found] == ["api"] and told in found[0]["message"], found


@pytest.mark.parametrize("clock", [-3600, 3600])
def test_a_clock_that_is_wrong_by_an_hour_mints_by_githubs(lab, clock):
    keys = Keys(lab, "rsa")
    github = GitHub(lab, keys, clock=clock)
    app(lab, keys)
    done = run(lab)
    assert [s["status"] for s in done.said] == [200], done.text
    assert github.refused == 1 and len(github.minted) == 1


def test_a_minted_token_is_replaced_before_two_thirds_of_its_life(lab):
    keys = Keys(lab, "rsa")
    github = GitHub(lab, keys, life=6)
    app(lab, keys)
    done = run(lab, "for n in range(10):\n    say(status=Client().ask().status)\n    time.sleep(1)\n")
    assert [s["status"] for s in done.said] == [200] * 10, done.text
    assert 3 <= len(github.minted) <= 5
    assert github.revoked == github.minted[-1:]


@pytest.mark.parametrize("text, says", [("no key at all", "no private key"), (None, "cannot be opened")])
def test_a_private_key_that_is_none_is_said_and_not_shown(lab, text, says):
    keys = Keys(lab, "rsa")
    GitHub(lab, keys)
    if text:
        keys.private.write_text(text)
    else:
        keys.private.unlink()
    app(lab, keys)
    done = run(lab)
    assert done.status == 5 and says in done.text and "no key at all" not in done.text, done.text


class Oauth:
    """RFC 6749's client credentials, with the secret in Basic or a signed assertion (RFC 7523)."""

    def __init__(self, lab, secret=None, keys=None, clock=0):
        self.secret, self.keys, self.clock, self.issued, self.asked, self.seen = secret, keys, clock, [], [], set()
        self.instead = None
        self.server = lab.upstream("localhost", self.answer)
        self.url = f"https://localhost:{self.server.port}/oauth/token"
        lab.upstream(HOST, lambda request: Answer(200, b"ok") if (request.header("Authorization") or "").removeprefix(
            "Bearer ") in self.issued else Answer(401, b"no"))

    def known(self, request, form):
        if self.secret:
            name, secret = base64.b64decode(request.header("Authorization").removeprefix("Basic ")).decode().split(":")
            return (unquote(name), unquote(secret)) == ("purser:ci", self.secret) and "client_secret" not in form
        claims, now = self.keys.claims(form["client_assertion"][0]), time.time() + self.clock
        fresh = claims["jti"] not in self.seen and claims["iat"] - 5 <= now < claims["exp"]
        self.seen.add(claims["jti"])
        return fresh and claims["iss"] == claims["sub"] == "purser:ci" and claims["aud"] == self.url and \
            form["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]

    def answer(self, request):
        if self.instead:
            return self.instead(request)
        form = parse_qs(request.body.decode())
        date = {"Date": formatdate(time.time() + self.clock, usegmt=True)}
        if request.target != "/oauth/token" or not self.known(request, form):
            return Answer(401, b'{"error": "invalid_client"}', date)
        self.asked.append(form)
        self.issued.append(new_token(60))
        return Answer(200, json.dumps({"access_token": self.issued[-1], "token_type": "Bearer", "expires_in": 300}).encode(),
                      date)


def oauth(lab, url, **keys):
    lab.source("api", HOST, token=None, tokenEnv=["API_TOKEN"])
    lab.sources["api"]["token"] = {"oauth2": {"tokenUrl": url, "clientId": "purser:ci", "scope": "builds:read",
                                              "caFile": str(lab.folder / "ca.pem"), **keys}}
    lab.write()


def test_oauth_client_credentials_with_a_secret_from_the_keyring(lab):
    secret = "s:e/c r+t%" + new_token(40)
    server = Oauth(lab, secret=secret)
    lab.write()
    assert lab.purser("token", "set", "client", stdin=secret).status == 0
    oauth(lab, server.url, clientSecret={"keyring": "client"})
    done = run(lab)
    assert [s["status"] for s in done.said] == [200], done.text
    assert server.asked == [{"grant_type": ["client_credentials"], "scope": ["builds:read"]}]
    for one in (secret, server.issued[0]):
        assert search_files(lab.state, needles(one))[0] == []


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_oauth_with_a_signed_assertion(lab, kind):
    keys = Keys(lab, kind)
    server = Oauth(lab, keys=keys)
    oauth(lab, server.url, privateKey={"file": str(keys.private)})
    assert [s["status"] for s in run(lab).said] == [200]
    assert len(server.issued) == 1


def test_an_assertion_by_a_wrong_clock_is_made_again_by_the_servers(lab):
    keys = Keys(lab, "ec")
    server = Oauth(lab, keys=keys, clock=3600)
    oauth(lab, server.url, privateKey={"file": str(keys.private)})
    assert [s["status"] for s in run(lab).said] == [200]


def test_a_secret_that_the_server_does_not_take_is_said(lab):
    server = Oauth(lab, secret="right")
    lab.write()
    assert lab.purser("token", "set", "client", stdin="wrong-" + new_token()).status == 0
    oauth(lab, server.url, clientSecret={"keyring": "client"})
    done = run(lab)
    assert done.status == 5 and "minted no token (401): invalid_client" in done.text and "wrong-" not in done.text, done.text


@pytest.mark.parametrize("store", ["file", "keyring"])
def test_a_private_key_is_never_sent_as_a_token(lab, store):
    """Its lines would be headers of their own."""
    keys = Keys(lab, "ec")
    upstream = lab.upstream(HOST, lambda request: Answer(200, b"{}"))
    lab.source("api", HOST, token=None, tokenEnv=["API_TOKEN"])
    if store == "file":
        lab.sources["api"]["token"] = {"file": str(keys.private)}
        lab.write()
    else:
        assert lab.purser("token", "set", "api", stdin=keys.private.read_text()).status == 0
    done = run(lab)
    assert done.status == 5 and "is never sent" in done.text, done.text
    assert upstream.requests == []


@pytest.mark.parametrize("status", [202, 400])
def test_what_a_server_says_instead_of_a_token_shows_no_credential_that_it_was_sent(lab, status):
    """An error is quoted with stars; an answer that is neither an error nor a token, not at all."""
    secret = new_token(40)
    server = Oauth(lab, secret=secret)
    server.instead = lambda request: Answer(status, json.dumps({"error": f"no {secret} {request.header('Authorization')}"}).encode())
    lab.write()
    assert lab.purser("token", "set", "client", stdin=secret).status == 0
    oauth(lab, server.url, clientSecret={"keyring": "client"})
    done = run(lab)
    assert done.status == 5 and f"minted no token ({status})" in done.text, done.text
    assert ("no ****" in done.text) == (status == 400), done.text
    assert not [needle for needle in needles(secret) if needle in done.text.encode()], done.text
    assert search_files(lab.state, needles(secret))[0] == []
