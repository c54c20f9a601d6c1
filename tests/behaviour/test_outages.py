"""What docs/outages.md says, row by row: a real OpenBao that is stopped, sealed, frozen, throttled, or whose answers are spoilt on
the way; at the start of a run, in the middle, at the end."""
import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from bao import Bao
from lab import Answer, free_port
from promise import HOST, new_token, said, wait_until, with_inside
from upstream import Authority, Upstream

ASK = "reply = Client().ask()\nsay(status=reply.status, body=reply.body.decode())\n"
LOOP = """
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    reply = Client().ask()
    say(status=reply.status, body=reply.body.decode()[:300], at=time.monotonic())
    time.sleep(.25)
"""


@pytest.fixture(scope="module")
def server():
    made = Bao()
    made.kv()
    made.policy("purser", **{"secret/data/ci/*": ["read"]})
    made.login = made.approle()
    yield made
    made.close()


@pytest.fixture
def bao(server, lab):
    server.token_of_ci = new_token()
    server.put("ci/api", token=server.token_of_ci)
    lab.upstream(HOST, lambda request: Answer(200, b"ok") if request.header("Authorization") == f"Bearer {server.token_of_ci}"
                 else Answer(401, b"no"))
    lab.source("api", HOST, token=None, tokenEnv=["API_TOKEN"])
    lab.sources["api"]["token"] = {"vault": {"path": "secret/data/ci/api"}}
    configure(lab, server)
    yield server


def configure(lab, bao, address=None, ca=None, **keys):
    role, secret = bao.login
    (lab.folder / "secret-id").write_text(secret)
    lab.more = "vault: " + json.dumps({
        "address": address or bao.address, "caFile": str(ca or bao.ca), "refresh": "1s", "maxStale": "4s",
        "auth": {"approle": {"roleId": role, "secretId": {"file": str(lab.folder / "secret-id")}}}, **keys}) + "\n"
    lab.write()


def begin(lab, script, name="script", sources=("api",)):
    with_inside(lab, name)
    lab.retriever(name, "import time\nfrom inside import *\n" + script, sources=list(sources))


def start(lab, *names):
    return lab.start("run", *names, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process, timeout=90):
    out, _ = process.communicate(timeout=timeout)
    return out.decode()


class Front:
    """Before the real server: passes on, and spoils the answers to the reads that it is told to."""

    def __init__(self, bao, spoil, pair=None):
        self.bao, self.spoil, self.passed = bao, spoil, 0
        self.upstream = Upstream(self.serve, *(pair or (bao.certificate, bao.key)))
        self.address = f"https://localhost:{self.upstream.port}"

    def serve(self, connection):
        while got := connection.request():
            head, body = got
            method, path, _ = head.split("\r\n")[0].split(" ")
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            request = urllib.request.Request(f"{self.bao.address}{path}", method=method, data=body or None, headers={
                name: value for name, value in headers.items() if name.lower().startswith("x-vault")})
            import ssl
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(
                context=ssl.create_default_context(cafile=self.bao.ca)))
            try:
                with opener.open(request, timeout=10) as answer:
                    status, text = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                status, text = error.code, error.read()
            self.passed += 1
            if "/secret/" in path and self.spoil:
                self.spoil(connection, text)
            else:
                connection.answer(text, f"{status} Status")

    def close(self):
        self.upstream.close()


def ten_megabytes(connection, text):
    connection.answer(b'{"data": {"token": "' + b"x" * 10_000_000 + b'"}}')


def cut_off(connection, text):
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text[:len(text) // 2])
    connection.reset()


def not_json(connection, text):
    connection.answer(b"<html>It works!</html>")


def server_error(connection, text):
    connection.answer(b'{"errors": ["internal error"]}', "500 Internal Server Error")


def throttled(connection, text):
    connection.answer(b'{"errors": ["request path is rate limited"]}', "429 Too Many Requests", ["Retry-After: 2"])


SPOILT = {"10 MB": (ten_megabytes, "more than 1024 kB"), "cut off": (cut_off, "broke off its answer"),
          "not JSON": (not_json, "not the JSON"), "5xx": (server_error, "status 500"), "429": (throttled, "fewer calls")}


# At start


@pytest.mark.parametrize("how", ["down", "sealed"])
def test_start_a_store_that_comes_back_within_half_a_minute_is_waited_for(lab, bao, how):
    begin(lab, ASK)
    bao.stop() if how == "down" else bao.seal()
    process = start(lab)
    try:
        time.sleep(2.5)
        assert process.poll() is None and not lab.upstreams[HOST].requests
    finally:
        if how == "down":
            bao.start()
        bao.unseal()
    text = finish(process)
    assert process.returncode == 0 and [s["status"] for s in said(text)] == [200], text
    assert re.search("cannot be reached" if how == "down" else "503.*sealed", text), "the log says it once"


def test_start_a_store_that_stays_down_fails_its_runs_after_half_a_minute_and_no_other(lab, bao):
    lab.upstream("other.test", lambda request: Answer(200, b"other"))
    lab.source("other", "other.test", token="token-of-the-keyring-123")
    begin(lab, ASK)
    begin(lab, "reply = Client(way='base').ask('/other/x') if False else None\nsay(other=1)\n", "other", ["other"])
    bao.stop()
    try:
        began = time.monotonic()
        process = start(lab)
        wait_until(lambda: any(json.loads(path.read_text())["status"] == "ok"
                               for path in (lab.state / "runs").glob("*/run.json")), patience=15,
                   what="the other retriever's run")
        assert process.poll() is None
        text = finish(process)
        assert 25 < time.monotonic() - began < 60 and process.returncode == 5, text
        assert "source api has no token" in text and "cannot be reached" in text
    finally:
        bao.start()
        bao.unseal()


def test_start_a_store_whose_every_read_hangs_holds_up_nobody_else(lab, bao):
    lab.upstream("other.test", lambda request: Answer(200, b"other"))
    lab.source("other", "other.test", token="token-of-the-keyring-123")
    begin(lab, ASK)
    begin(lab, "say(other=1)\n", "other", ["other"])
    bao.freeze()
    try:
        process = start(lab)
        wait_until(lambda: any(json.loads(path.read_text())["status"] == "ok"
                               for path in (lab.state / "runs").glob("*/run.json")), patience=15,
                   what="the other retriever's run")
        assert process.poll() is None
    finally:
        bao.thaw()
    text = finish(process)
    assert process.returncode == 0 and {"status": 200, "body": "ok"} in said(text), text


@pytest.mark.parametrize("what", ["403", "404"])
def test_start_a_definite_no_is_told_at_once(lab, bao, what):
    lab.sources["api"]["token"] = {"vault": {"path": "secret/data/elsewhere" if what == "403" else "secret/data/ci/none"}}
    lab.write()
    begin(lab, ASK)
    began = time.monotonic()
    text = finish(process := start(lab))
    assert process.returncode == 5 and f"({what})" in text and time.monotonic() - began < 15, text


@pytest.mark.parametrize("what", ["10 MB", "cut off", "not JSON"])
def test_start_an_answer_that_is_none_is_refused_with_a_sentence(lab, bao, what):
    spoil, says = SPOILT[what]
    front = Front(bao, spoil)
    configure(lab, bao, front.address)
    begin(lab, ASK)
    text = finish(process := start(lab), 90)
    front.close()
    assert process.returncode == 5 and says in text and "xxxx" not in text, text


def test_start_429_is_waited_for_as_long_as_the_store_asks(lab, bao):
    front = Front(bao, throttled)
    configure(lab, bao, front.address)
    begin(lab, ASK)
    process = start(lab)
    wait_until(lambda: front.passed >= 2, what="the first read")
    began, front.spoil = time.monotonic(), None
    text = finish(process)
    assert process.returncode == 0 and time.monotonic() - began > 1.5, text


@pytest.mark.parametrize("what", ["wrong CA", "expired"])
def test_start_a_certificate_that_cannot_be_verified_sends_nothing(lab, bao, what, tmp_path):
    authority = Authority(tmp_path / "ca")
    front = Front(bao, None, authority.leaf("localhost", expired=what == "expired"))
    configure(lab, bao, front.address, ca=bao.ca if what == "wrong CA" else authority.bundle)
    begin(lab, ASK)
    text = finish(process := start(lab), 90)
    front.close()
    assert process.returncode == 5 and "cannot be verified" in text and "clock must be right" in text, text
    assert front.passed == 0


# In mid-run: refresh 1s, maxStale 4s


def run_through(lab, seconds, break_it):
    """What the script saw, and when the store was broken."""
    begin(lab, LOOP.format(seconds=seconds))
    process = start(lab)
    wait_until(lambda: len(lab.upstreams[HOST].requests) > 3, what="the first requests")
    broken = time.monotonic()
    break_it()
    text = finish(process)
    return said(text), broken, text


@pytest.mark.parametrize("how", ["down", "sealed", "slow"])
def test_mid_run_a_stale_token_is_used_no_longer_than_max_stale(lab, bao, how):
    breaks = {"down": bao.stop, "sealed": bao.seal, "slow": bao.freeze}
    try:
        seen, broken, text = run_through(lab, 14, breaks[how])
    finally:
        if how == "down":
            bao.start()
        bao.thaw()
        if how != "slow":
            bao.unseal()
    first_failure = next(s["at"] for s in seen if s["status"] != 200)
    assert 2 < first_failure - broken < 6, text
    last = seen[-1]
    assert last["status"] == 502 and "token-missing" in last["body"] and "maxStale" in last["body"], last


def test_mid_run_a_store_that_comes_back_is_used_again(lab, bao):
    def away_for_eight_seconds():
        bao.stop()
        threading.Timer(8, lambda: (bao.start(), bao.unseal())).start()

    seen, _, text = run_through(lab, 26, away_for_eight_seconds)
    states = [s["status"] for s in seen]
    assert states[0] == 200 and 502 in states and states[-1] == 200, text


@pytest.mark.parametrize("what", ["5xx", "429", "not JSON", "cut off", "10 MB"])
def test_mid_run_spoilt_answers_leave_the_token_until_max_stale(lab, bao, what):
    front = Front(bao, None)
    configure(lab, bao, front.address)
    seen, broken, text = run_through(lab, 8, lambda: setattr(front, "spoil", SPOILT[what][0]))
    front.close()
    failed = next(s["at"] for s in seen if s["status"] != 200)
    assert 2 < failed - broken < 6 and seen[-1]["status"] == 502, text
    assert SPOILT[what][1] in text, "the log says why, once"


def test_mid_run_a_403_leaves_the_token_until_max_stale(lab, bao):
    try:
        seen, broken, text = run_through(lab, 8, lambda: bao.policy("purser", **{"secret/data/other": ["read"]}))
    finally:
        bao.policy("purser", **{"secret/data/ci/*": ["read"]})
    failed = next(s["at"] for s in seen if s["status"] != 200)
    assert 2 < failed - broken < 6, text


def test_mid_run_a_deleted_secret_is_used_no_more(lab, bao):
    seen, broken, text = run_through(lab, 6, lambda: bao.call("DELETE", "secret/data/ci/api"))
    failed = next(s for s in seen if s["status"] != 200)
    assert failed["at"] - broken < 2.5 and "deleted" in failed["body"], text


def test_mid_run_a_changed_secret_is_used_without_a_failure(lab, bao):
    old, new = bao.token_of_ci, new_token()
    lab.upstreams[HOST].close()
    lab.upstream(HOST, lambda request: Answer(200, {f"Bearer {old}": b"old", f"Bearer {new}": b"new"}[
        request.header("Authorization")]))
    lab.sources["api"]["connectTo"] = f"127.0.0.1:{lab.upstreams[HOST].port}"
    lab.write()
    seen, _, text = run_through(lab, 6, lambda: bao.put("ci/api", token=new))
    assert {s["status"] for s in seen} == {200}, text
    bodies = [s["body"] for s in seen]
    assert bodies[0] == "old" and bodies[-1] == "new" and bodies == sorted(bodies, reverse=True)


# At the end


@pytest.mark.parametrize("how", ["down", "slow", "sealed"])
def test_end_a_store_that_is_away_does_not_hold_up_or_fail_the_run(lab, bao, how):
    begin(lab, ASK + "time.sleep(3)\n")
    configure(lab, bao, refresh="60s", maxStale="60s")
    process = start(lab)
    wait_until(lambda: lab.upstreams[HOST].requests, what="the request")
    {"down": bao.stop, "slow": bao.freeze, "sealed": bao.seal}[how]()
    try:
        began = time.monotonic()
        text = finish(process)
        assert process.returncode == 0 and time.monotonic() - began < 12, text
        report, _ = lab.last_run()
        assert report["status"] == "ok"
    finally:
        if how == "down":
            bao.start()
        bao.thaw()
        if how != "slow":
            bao.unseal()


# What is shown


def test_token_list_says_how_each_token_stands_and_nothing_of_it(lab, bao):
    lab.upstream("other.test", lambda request: Answer(200, b"other"))
    lab.source("other", "other.test", token="token-of-the-keyring-123")
    listed = lab.purser("token", "list", "--json")
    assert listed.status == 0, listed.text
    vault, keyring = listed.json["sources"]
    assert vault["store"] == "vault" and int(vault["version"]) > 0 and vault["fetched"] and vault["renewed"] == 0
    assert vault["calls"] == 2 and vault["expires"] is None and keyring["store"] == "keyring"
    text = lab.purser("token", "list").text
    assert "SOURCE" in text and bao.token_of_ci not in text + listed.text and "token-of-the" not in text + listed.text


def test_token_list_asks_the_purser_that_runs(lab, bao):
    begin(lab, "time.sleep(8)\n" + ASK)
    process = start(lab)
    wait_until(lambda: (lab.state / "tokens.json").exists() and lab.purser("token", "list", "--json").json["sources"][0][
        "calls"] >= 3, what="a second read, seen from outside")
    finish(process)
    assert bao.token_of_ci not in (lab.state / "tokens.json").read_text()


def test_every_row_of_the_table_is_tested():
    rows = re.findall(r"`(test_[a-z_0-9]+)`", (Path(__file__).parents[2] / "docs/outages.md").read_text())
    here = {name for name in globals() if name.startswith("test_")}
    minted = (Path(__file__).with_name("test_minted.py").read_text() + Path(__file__).with_name("test_vault.py").read_text())
    assert rows and all(row in here or f"def {row}(" in minted for row in rows), rows
