"""Promises 1, 2 and 4: a canary token, 10,000 requests (2,000 for the rarer ways to authenticate) whose answers echo it in
every form, and then the memory of every process, all files, logs, the audit and the database are searched for any 16 bytes
of it. Nowhere, ever, in what a retriever can reach; nowhere at all after the last answer.

Two controls let the hunt fail: a decoy, echoed beside the token in the same forms, must be found in the script in each of
them, and in the run's files; and the keeper's memory must hold the name of its host. What even root cannot read
(memfd_secret, where the sealed token lies, and two pages of the kernel) is asserted to be that and nothing else.
"""
import base64
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hunt import Memory, as_forms, needles, search_files
from lab import Answer
from promise import api, as_root, below, new_token, role, said, wait_until, with_inside

AUTH = {"bearer": ("bearer", 10_000), "token": ("token", 2_000), "basic": ({"basic": "u"}, 2_000),
        "header": ({"header": "X-Key"}, 2_000)}
POLICY = """\
    policy: hunt
    lease: {requests: 30000, requestBytes: 1GiB, responseBytes: 10GiB, rate: 100000/s}
    allow:
    - {method: [GET, HEAD, POST], path: /echo/**}
    tests:
    - {request: GET /echo/1, expect: allow}
    """
SCRIPT = """
    from inside import *
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    ways = [Client(way=way) for way in ("proxy", "proxy", "base", "socket")]
    prefix = {"base": "/api", "socket": "/api"}
    kept, bad = {}, 0
    for n in range(%d):
        way = ("proxy", "proxy", "base", "socket")[n %% 4]
        target = f"{prefix.get(way, '')}/echo/{n %% 50}"
        method = "POST" if n %% 10 == 3 else "HEAD" if n %% 10 == 7 else "GET"
        reply = ways[n %% 4].ask(target, method, body=b"x" * 100 if method == "POST" else b"")
        if reply.get("connection") == "close":
            ways[n %% 4] = Client(way=way)
        bad += reply.status != 200
        if method == "GET":
            kept[n %% 50] = (reply.headers, reply.body)
        if n == %d:
            say(half=n)
    refused = Client().ask("/not/allowed").short
    with open(os.environ["OUTPUTDIR"] + "/echo.ndjson", "wb") as out:
        for n in range(20000):
            out.write(b'{"type":"metric","name":"m","value":1,"labels":{"n":"%%d"}}\\n' %% n)
        for headers, body in kept.values():
            out.write(body + b"\\n")
    for headers, body in list(kept.values())[:5]:
        print(headers, body)
    say(done=bad, refused=refused, socket=os.environ["PURSER_SOCKET"], redacted=sum(b"*" in b for h, b in kept.values()))
    signal.sigwait({signal.SIGUSR1})
    say(ended=1)
"""


def token_of(request):
    """What came as the credential, in whichever way."""
    if own := request.header("X-Key"):
        return own
    scheme, _, value = request.header("Authorization").partition(" ")
    return base64.b64decode(value).decode().removeprefix("u:") if scheme == "Basic" else value


def echoing(seen, decoy):
    """Answers in turn: in the body, in headers, chunked with borders inside the token, each with the decoy."""
    def answer(request):
        seen.add(token := token_of(request))
        both = as_forms(decoy) + b" | " + as_forms(token)
        kind = int(request.target.rpartition("/")[2])
        if kind == 49 and request.method == "GET":
            pieces = [both[at:at + 7] for at in range(0, len(both), 7)]
            return Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                          + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
        headers = {"X-Echo": token, "X-Decoy": decoy, "Link": f'<https://api.test/x?t={token}>; rel="next"'}
        return Answer(200, both * (1 + kind % 3), headers if kind % 2 else {})
    return answer


class Told:
    """The output of a purser that goes on."""

    def __init__(self, process):
        self.text = ""
        self.thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self.thread.start()

    def _read(self, process):
        for line in process.stdout:
            self.text += line

    def has(self, word):
        return any(word in what for what in said(self.text))


@pytest.fixture(params=AUTH)
def hunted(lab, request):
    """A run in which everything was echoed; its script waits for SIGUSR1."""
    lab.seen, lab.decoy = set(), new_token()
    auth, lab.many = AUTH[request.param]
    _, lab.token = api(lab, echoing(lab.seen, lab.decoy), auth=auth)
    lab.policy("hunt", POLICY)
    with_inside(lab, "script")
    lab.retriever("script", SCRIPT % (lab.many, lab.many // 2), sources=["api"], policy="hunt")
    lab.process = lab.start("run", "script", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lab.told = Told(lab.process)
    yield lab
    if lab.process.poll() is None:  # it failed: the script waits still
        lab.process.send_signal(signal.SIGINT)


@pytest.mark.plain
@as_root
def test_after_thousands_of_requests_no_16_bytes_of_the_token_are_anywhere(hunted):
    lab, memory = hunted, Memory()
    canary, decoy = needles(lab.token), needles(lab.decoy)

    def hits(names):
        found = {(name, *hit[:2]) for pid, name in below(lab.process.pid).items() if name in names
                 for hit in memory.search(pid, canary)}
        return sorted(found)

    # In mid-run: what the retriever can reach, and the role that feeds it
    wait_until(lambda: lab.told.has("half"), 60, "half of the requests")
    assert hits({"script", "purser-exec", "purser-gate", "purser"}) == []

    # After the last answer, connections open
    wait_until(lambda: lab.told.has("done"), 60, "the last answer")
    time.sleep(0.3)  # the turn of the last answer ends after it was sent
    done = next(what for what in said(lab.told.text) if "done" in what)
    assert done["done"] == 0 and done["redacted"] == 40, done
    assert done["refused"]["code"] == "path-not-allowed"
    assert lab.seen == {lab.token}, "the upstream saw the real token, and only that"
    processes = below(lab.process.pid)
    assert sorted(processes.values()) == ["purser", "purser-exec", "purser-gate", "purser-keeper", "script"]
    assert hits(set(processes.values())) == []
    pid_of = {name: pid for pid, name in processes.items()}
    for pid in pid_of.values():  # arguments and environments are in memory too; said apart since others may read these
        for name in ("cmdline", "environ"):
            text = Path(f"/proc/{pid}/{name}").read_bytes()
            assert not [needle for needle in canary if needle in text]

    # The controls: the same search finds what is there
    found = {hit[1] for hit in memory.search(pid_of["script"], decoy)}
    assert {"raw", "hex", "HEX", "percent", "PERCENT", "json", "base64+0", "base64+1", "base64+2"} <= found
    assert memory.search(pid_of["purser-keeper"], {b"api.test": "host"})
    assert memory.unread <= {"/secretmem", "[vvar]", "[vvar_vclock]", "[vsyscall]"}, memory.unread

    # The clerk while it loads what the script has kept of the answers
    os.kill(pid_of["script"], signal.SIGUSR1)
    clerk = role(lab.process, "purser-clerk")
    os.kill(clerk, signal.SIGSTOP)
    try:
        assert hits({"purser-clerk"}) == []
        assert memory.search(clerk, {b"purser-clerk": "name"})
        assert search_files(lab.folder, canary)[0] == [], "while outputs lie there"
        assert search_files(Path(done["socket"]).parent.parent, canary)[0] == []
    finally:
        os.kill(clerk, signal.SIGCONT)
    assert lab.process.wait(60) == 0, lab.told.text[-2000:]
    lab.told.thread.join(10)

    # What stays: files, logs, audit, database, standard output
    found, read = search_files(lab.folder, canary)
    assert found == [] and read > 10
    assert not [needle for needle in canary if needle in lab.told.text.encode()]
    assert lab.rows("SELECT count(*) AS n FROM dead_letter")[0]["n"] >= 40, "what the script kept of the answers"
    for place in ("log", "purser.db"):
        assert [hit for hit in search_files(lab.state, decoy)[0] if place in hit[0]], f"the decoy is in {place}"
    assert lab.audit("run.requests")[-1]["count"] >= lab.many
    report, _ = lab.last_run()
    assert report["sources"][0]["redacted"] > lab.many / 2


def test_the_hunt_knows_every_form_of_a_secret():
    secret = new_token()
    forms = as_forms(secret)
    assert {form for needle, form in needles(secret).items() if needle in forms} >= {
        "raw", "hex", "HEX", "percent", "PERCENT", "json", "base64+0", "base64+1", "base64+2"}
    for at in range(len(secret) - 15):
        assert [needle for needle in needles(secret) if needle in secret[at:at + 16].encode()], "any 16 bytes"
    assert not [needle for needle in needles(secret) if needle in as_forms(new_token())]


@pytest.mark.parametrize("command", [["run"], ["check"], ["status", "--json"], ["token", "list"]])
def test_no_command_says_the_token_even_when_the_api_refuses_it(lab, command):
    _, token = api(lab, lambda request: Answer(401, as_forms(request.header("Authorization").removeprefix("Bearer "))))
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\nr = Client().ask()\nprint(r.status, r.body)\nos._exit(3)", sources=["api"])
    if command != ["run"]:
        lab.purser("run")
    text = lab.purser(*command).text.encode()
    assert not [needle for needle in needles(token) if needle in text]
    assert search_files(lab.folder, needles(token))[0] == []
    if command == ["run"]:
        assert b"401" in text, "what the script printed was shown"
