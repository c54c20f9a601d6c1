"""Tokens from a real OpenBao, through purser run: every login, every engine, and nothing of it left behind."""
import base64
import json
import subprocess
import time

import pytest
from bao import Bao
from hunt import needles, search_files
from lab import Answer
from promise import HOST, new_token, said, wait_until, with_inside

ASK = "reply = Client().ask()\nsay(status=reply.status, body=reply.body.decode())\n"


@pytest.fixture(scope="module")
def server():
    made = Bao()
    yield made
    made.close()


@pytest.fixture
def bao(server):
    server.token_of_ci = new_token()
    server.kv()
    server.policy("purser", **{"secret/data/ci/*": ["read"]})
    server.put("ci/api", token=server.token_of_ci, hosts=HOST)
    yield server
    server.reset()


def accepts(*tokens):
    """An API that takes these tokens, and says which it was (0, 1, ...)."""
    def answer(request):
        sent = (request.header("Authorization") or "").removeprefix("Bearer ")
        return Answer(200, f"token {tokens.index(sent)}".encode()) if sent in tokens else Answer(401, b"no")
    return answer


def lab_source(lab, name, token, **keys):
    lab.source(name, HOST, token=None, tokenEnv=["API_TOKEN"], **keys)
    lab.sources[name]["token"] = token
    lab.write()


def source(lab, bao, name="api", token=None):
    """At an API that takes the token which is in OpenBao."""
    if HOST not in lab.upstreams:
        lab.upstream(HOST, accepts(bao.token_of_ci))
    lab_source(lab, name, token or {"vault": {"path": "secret/data/ci/api"}})


def secret_file(lab, name, text):
    path = lab.folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)  # root's alone: the keeper's own user could not open it
    return str(path)


def vault(lab, bao, auth, **keys):
    settings = {"address": bao.address, "caFile": str(bao.ca), "auth": auth, **keys}
    lab.more = f"vault: {json.dumps(settings)}\n"
    lab.write()


def approle(lab, bao, **more):
    role, secret = bao.approle(**more)
    lab.secret_id = secret
    vault(lab, bao, {"approle": {"roleId": role, "secretId": {"file": secret_file(lab, "secret-id", secret)}}})


def run(lab, script=ASK, name="script", **keys):
    with_inside(lab, name)
    lab.retriever(name, "import time\nfrom inside import *\n" + script, sources=keys.pop("sources", ["api"]), **keys)
    done = lab.purser("run", name)
    done.said = said(done.text)
    return done


def works(done, which=0):
    assert done.status == 0 and [(s["status"], s["body"]) for s in done.said] == [(200, f"token {which}")], done.text


def test_a_token_comes_by_approle_and_takes_a_login_and_a_read(lab, bao):
    source(lab, bao)
    approle(lab, bao)
    before = len(bao.seen())
    done = run(lab)
    works(done)
    calls = bao.seen()[before:]
    assert calls == [("update", "auth/approle/login"), ("read", "secret/data/ci/api"),
                     ("update", "auth/token/revoke-self")], "no more than login, read and revoke"
    assert lab.last_run()[0]["sources"][0]["storeCalls"] == 2
    assert bao.accessors() == [], "the login was given back"
    fetched = lab.audit("token.fetch")
    assert [entry["source"] for entry in fetched] == ["api"]
    assert "secret/data/ci/api" in fetched[0]["message"] and "version 1" in fetched[0]["message"]
    for secret in (bao.token_of_ci, lab.secret_id):
        assert [hit for hit in search_files(lab.state, needles(secret))[0]] == []


def test_one_fetch_serves_all_sources_and_retrievers_that_name_it(lab, bao):
    for name in ("api", "twin"):
        source(lab, bao, name)
    approle(lab, bao)
    for name in ("one", "two", "three"):
        with_inside(lab, name)
        lab.retriever(name, "from inside import *\n" + ASK, sources=["api", "twin"])
    before = len(bao.seen())
    done = lab.purser("run")
    assert done.status == 0 and len(said(done.text)) == 3, done.text
    assert [path for _, path in bao.seen()[before:]].count("secret/data/ci/api") == 1


def test_kv_1_and_a_pinned_version_of_kv_2(lab, bao):
    older, newer, plain = bao.token_of_ci, new_token(), new_token()
    bao.put("ci/api", token=newer)
    bao.kv(1, "old")
    bao.call("POST", "old/ci/api", {"token": plain})
    bao.policy("purser", **{"secret/data/ci/*": ["read"], "old/ci/*": ["read"]})
    lab.upstream(HOST, accepts(older, newer, plain))
    for name, token in {"pinned": {"path": "secret/data/ci/api", "version": 1}, "newest": {"path": "secret/data/ci/api"},
                        "old": {"path": "old/ci/api"}}.items():
        lab_source(lab, name, {"vault": token})
    approle(lab, bao)
    for number, name in enumerate(["pinned", "newest", "old"]):
        works(run(lab, sources=[name], name=name), number)


def test_the_hosts_beside_the_token_are_the_only_ones_it_goes_to(lab, bao):
    bao.put("ci/api", token=bao.token_of_ci, hosts="other.test,elsewhere.test")
    source(lab, bao)
    approle(lab, bao)
    done = run(lab)
    assert done.status == 5 and "may not go to api.test" in done.text, done.text
    assert lab.upstreams[HOST].requests == []


def test_a_namespace_of_the_store_and_one_of_the_token(lab, bao):
    inner = new_token()
    bao.call("POST", "sys/namespaces/team")
    bao.kv(mount="kv", namespace="team")
    bao.put("api", mount="kv", namespace="team", token=inner)
    bao.policy("purser", namespace="team", **{"kv/data/*": ["read"]})
    role, secret = bao.approle(namespace="team")
    lab.upstream(HOST, accepts(inner))
    lab_source(lab, "api", {"vault": {"path": "kv/data/api"}})
    vault(lab, bao, {"approle": {"roleId": role, "secretId": {"file": secret_file(lab, "secret-id", secret)}}},
          namespace="team")
    works(run(lab))


def test_a_secret_id_that_comes_wrapped_is_unwrapped_once(lab, bao):
    source(lab, bao)
    role, _ = bao.approle()
    wrapping = bao.wrapped("auth/approle/role/purser/secret-id")
    vault(lab, bao, {"approle": {"roleId": role, "wrapped": True,
                                 "secretId": {"file": secret_file(lab, "wrapping", wrapping)}}})
    works(run(lab))
    done = run(lab)
    assert done.status == 5 and "unwrapped before" in done.text, done.text
    assert wrapping not in done.text and search_files(lab.state, needles(wrapping))[0] == []


def test_an_answer_that_a_policy_wants_wrapped(lab, bao):
    source(lab, bao, token={"vault": {"path": "secret/data/ci/api", "wrap": "30s"}})
    bao.call("PUT", "sys/policies/acl/purser", {"policy": 'path "secret/data/ci/*" { capabilities = ["read"] '
                                                          'min_wrapping_ttl = "5s" max_wrapping_ttl = "60s" }'})
    approle(lab, bao)
    works(run(lab))


def test_a_given_token_is_used_and_not_revoked(lab, bao):
    source(lab, bao)
    made = bao.call("POST", "auth/token/create", {"policies": ["purser"], "ttl": "1h"})["auth"]
    vault(lab, bao, {"token": {"file": secret_file(lab, "vault-token", made["client_token"])}})
    works(run(lab))
    assert bao.accessors() == [made["accessor"]], "it is the operator's, who may want it again"


def test_a_token_from_the_keyring_logs_in(lab, bao):
    source(lab, bao)
    made = bao.call("POST", "auth/token/create", {"policies": ["purser"], "ttl": "1h"})["auth"]
    assert lab.purser("token", "set", "vault", stdin=made["client_token"]).status == 0
    vault(lab, bao, {"token": {"keyring": "vault"}})
    works(run(lab))


def test_a_client_certificate_logs_in(lab, bao):
    source(lab, bao)
    (lab.folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    lab.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "client.key",
                "-out", "client.csr", "-subj", "/CN=purser")
    lab.openssl("x509", "-req", "-in", "client.csr", "-CA", bao.ca, "-CAkey", bao.ca.with_name("ca.key"), "-days", "2",
                "-CAserial", bao.ca.with_name("ca.srl"), "-extfile",
                "client.ext", "-out", "client.pem")
    (lab.folder / "client.key").chmod(0o600)
    bao.call("POST", "sys/auth/cert", {"type": "cert"})
    bao.call("POST", "auth/cert/certs/purser", {"certificate": bao.ca.read_text(),
                                                "allowed_common_names": "purser", "token_policies": "purser"})
    vault(lab, bao, {"cert": {"name": "purser"}}, certFile="client.pem", keyFile="client.key")
    works(run(lab))
    assert bao.accessors() == []


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(lab, **claims):
    """A JWT that a key of the laboratory has signed."""
    if not (lab.folder / "jwt.key").exists():
        lab.openssl("genrsa", "-out", "jwt.key", "2048")
        lab.openssl("rsa", "-in", "jwt.key", "-pubout", "-out", "jwt.pub")
    now = int(time.time())
    body = {"iss": "https://issuer.test", "sub": "purser", "iat": now - 5, "nbf": now - 5, "exp": now + 600, **claims}
    text = part(b'{"alg":"RS256","typ":"JWT"}') + "." + part(json.dumps(body).encode())
    made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", lab.folder / "jwt.key"], input=text.encode(),
                          capture_output=True, check=True).stdout
    return f"{text}.{part(made)}"


def jwt_login(lab, bao, jwt, **keys):
    if not any(path == "jwt/" for path in bao.call("GET", "sys/auth")["data"]):
        bao.call("POST", "sys/auth/jwt", {"type": "jwt"})
        bao.call("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [(lab.folder / "jwt.pub").read_text()]})
        bao.call("POST", "auth/jwt/role/purser", {"role_type": "jwt", "bound_audiences": ["vault"], "user_claim": "sub",
                                                  "token_policies": "purser"})
    vault(lab, bao, {"jwt": {"role": "purser", "jwt": {"file": secret_file(lab, "jwt", jwt)}, **keys}})


def test_a_jwt_logs_in(lab, bao):
    source(lab, bao)
    jwt = signed(lab, aud="vault")
    jwt_login(lab, bao, jwt)
    works(run(lab))
    assert search_files(lab.state, needles(jwt.split(".")[2]))[0] == []


@pytest.mark.parametrize("claims, says", [
    ({"aud": ["vault", "https://issuer.test"]}, "not for the audience"),
    ({"aud": "https://issuer.test"}, "not for the audience"),
    ({}, "not for the audience"),
    ({"aud": "vault", "iss": "vault"}, "the API server that issued it"),
])
def test_a_jwt_that_could_be_used_elsewhere_is_never_sent(lab, bao, claims, says):
    source(lab, bao)
    jwt = signed(lab, **claims)
    jwt_login(lab, bao, jwt)
    before = len(bao.seen())
    done = run(lab)
    assert done.status == 5 and says in done.text, done.text
    assert bao.seen()[before:] == [] and jwt not in done.text


def test_what_is_no_jwt_is_never_sent(lab, bao):
    source(lab, bao)
    signed(lab)
    jwt_login(lab, bao, "a-password-that-somebody-put-here")
    before = len(bao.seen())
    done = run(lab)
    assert done.status == 5 and "no JWT" in done.text and "a-password" not in done.text, done.text
    assert bao.seen()[before:] == []


def test_a_login_is_renewed_before_two_thirds_of_its_life_and_made_anew_past_its_maximum(lab, bao):
    source(lab, bao)
    approle(lab, bao, token_ttl="6s", token_max_ttl="10s")
    lab.more = lab.more.replace('"auth"', '"refresh": "2s", "maxStale": "60s", "auth"')
    lab.write()
    before = len(bao.seen())
    done = run(lab, "for n in range(14):\n    reply = Client().ask()\n    say(status=reply.status, body=reply.body.decode())\n"
                    "    time.sleep(1)\n")
    assert {s["status"] for s in done.said} == {200} and len(done.said) == 14, done.text
    calls = [path for _, path in bao.seen()[before:]]
    assert calls.count("auth/token/renew-self") >= 1, calls
    assert calls.count("auth/approle/login") >= 2, calls
    assert bao.accessors() == []


def test_a_login_that_was_revoked_is_made_anew(lab, bao):
    source(lab, bao)
    approle(lab, bao)
    lab.more = lab.more.replace('"auth"', '"refresh": "1s", "maxStale": "60s", "auth"')
    lab.write()
    with_inside(lab, "script")
    lab.retriever("script", "import time\nfrom inside import *\nfor n in range(8):\n    say(status=Client().ask().status)\n"
                            "    time.sleep(1)\n", sources=["api"])
    process = lab.start("run", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: bao.accessors(), what="a login")
    for accessor in bao.accessors():
        bao.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out.decode()
    assert [s["status"] for s in said(out.decode())] == [200] * 8
    assert bao.seen("auth/approle/login")[1:], "a second login"


def test_an_upstreams_401_makes_purser_read_the_store_once_and_repeat_the_request(lab, bao):
    newer = new_token()
    good = [bao.token_of_ci]
    lab.upstream(HOST, lambda request: Answer(200, b"ok") if request.header("Authorization") == f"Bearer {good[0]}"
                 else Answer(401, b"no"))
    source(lab, bao)
    approle(lab, bao)
    with_inside(lab, "script")
    lab.retriever("script", "import time\nfrom inside import *\nsay(status=Client().ask().status)\n"
                            "while not os.path.exists(os.environ['HOME'] + '/go'): time.sleep(.05)\n"
                            "say(status=Client().ask('/second').status)\nsay(status=Client().ask('/third').status)\n",
                  sources=["api"])
    before = len(bao.seen())
    process = lab.start("run", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: len(lab.upstreams[HOST].requests) == 1, what="the first request")
    time.sleep(10.5)  # keeper/held.h HELD_AGAIN_US: the store is not asked at every 401
    bao.put("ci/api", token=newer)
    good[0] = newer
    work = next((lab.state / "runs").glob("*/work"))
    (work / "go").touch()
    out, _ = process.communicate(timeout=60)
    assert [s["status"] for s in said(out.decode())] == [200, 200, 200], out.decode()
    assert [request.target for request in lab.upstreams[HOST].requests] == ["/x", "/second", "/second", "/third"] or \
        [request.target for request in lab.upstreams[HOST].requests][1:] == ["/second", "/second", "/third"]
    assert [path for _, path in bao.seen()[before:]].count("secret/data/ci/api") == 2
    report, _ = lab.last_run()
    assert report["sources"][0]["retried"] == 1 and report["sources"][0]["storeCalls"] == 3


def test_a_401_that_the_store_cannot_mend_is_passed_on(lab, bao):
    lab.upstream(HOST, lambda request: Answer(401, b"never"))
    source(lab, bao)
    approle(lab, bao)
    before = len(bao.seen())
    done = run(lab, "for n in range(3):\n    reply = Client().ask()\n    say(status=reply.status, body=reply.body.decode())\n")
    assert [(s["status"], s["body"]) for s in done.said] == [(401, "never")] * 3
    assert [path for _, path in bao.seen()[before:]].count("secret/data/ci/api") <= 2


ENV = {"VAULT_TOKEN": "not-a-token-that-is-used"}


def test_the_environment_of_vaults_own_tools_is_honoured_and_shown(lab, bao):
    source(lab, bao)
    role, secret = bao.approle()
    login = {"approle": {"roleId": role, "secretId": {"file": secret_file(lab, "secret-id", secret)}}}
    lab.more = f"vault: {json.dumps({'auth': login})}\n"
    lab.write()
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\n" + ASK, sources=["api"])
    env = {"VAULT_ADDR": bao.address, "VAULT_CACERT": str(bao.ca), **ENV}
    checked = lab.purser("check", env=env)
    assert checked.status == 0, checked.text
    assert f"VAULT_ADDR: {bao.address}" in checked.out and f"VAULT_CACERT: {bao.ca}" in checked.out
    assert "VAULT_TOKEN is not used" in checked.out and "not-a-token" not in checked.text
    assert lab.purser("run", env=env).status == 0


def test_a_server_name_of_its_own_is_verified(lab, bao):
    source(lab, bao)
    approle(lab, bao)
    lab.more = lab.more.replace("//localhost:", "//127.0.0.1:")
    lab.write()
    done = run(lab)
    assert done.status == 5 and "certificate" in done.text, done.text
    with_inside(lab, "script")
    assert lab.purser("run", env={"VAULT_TLS_SERVER_NAME": "localhost"}).status == 0


@pytest.mark.parametrize("env, says", [
    ({"VAULT_SKIP_VERIFY": "true", "VAULT_ADDR": "https://vault.test:8200"}, "VAULT_SKIP_VERIFY"),
    ({"VAULT_ADDR": "http://vault.test:8200"}, "allowPlainHttp"),
    ({"VAULT_ADDR": "https://vault.test:8200", "VAULT_CAPATH": "/etc/ssl/certs"}, "VAULT_CACERT"),
    ({}, "nothing says where Vault is"),
])
def test_what_would_give_tokens_away_is_refused_before_anything_starts(lab, bao, env, says):
    source(lab, bao)
    vault(lab, bao, {"token": {"keyring": "vault"}})
    lab.more = lab.more.replace(f'"address": "{bao.address}", "caFile": "{bao.ca}", ', "")
    lab.retriever("script", "pass", sources=["api"])
    done = lab.purser("run", env=env)
    assert done.status == 3 and says in done.text, (done.status, done.text)
