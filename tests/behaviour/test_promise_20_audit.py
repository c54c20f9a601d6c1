"""Promise 20: the audit cannot be altered, or cut off before its last seal, without `purser audit verify` saying where; and
what cannot be recorded is not done."""
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
from ipc import Type, pack, send
from keeper_world import TOKEN, authority, world  # noqa: F401
from lab import Answer
from promise import api, as_root, role, run, wait_until, with_inside
from test_leases import EXAMPLE
from test_minted import GitHub, Keys, app
from test_promise_11_graphql import with_graphql
from upstream import Upstream, serve

PAGE = os.sysconf("SC_PAGESIZE")

RUNS = """
c = Client()
for n in range(4):
    assert c.ask(f"/x/{n}?value=hidden").status == 200
c.ask("/denied", "DELETE")
"""


@pytest.fixture
def sealed(lab):
    """Two runs, whose audit is whole: (laboratory, its file, its lines)."""
    api(lab, lambda request: Answer(200, b"{}"))
    for _ in range(2):
        run(lab, RUNS)
    path = lab.state / "audit/audit.ndjson"
    assert verify(lab).status == 0
    return lab, path, path.read_text().splitlines(keepends=True)


def verify(lab, *words):
    done = lab.purser("audit", "verify", "--json", *words)
    done.found = [(entry["kind"], entry["file"], entry.get("line", 0), entry["message"]) for entry in done.json["findings"]]
    done.problems = [entry[1:] for entry in done.found if entry[0] == "problem"]
    return done


def test_each_way_of_changing_a_line_is_found_with_its_file_and_line(sealed):
    lab, path, lines = sealed
    assert len(lines) > 20
    foreign = lines[4].replace('"script"', '"other"')
    ways = {
        "changed": (lines[:9] + [lines[9].replace('"script"', '"scripd"')] + lines[10:], 10),
        "taken out": (lines[:9] + lines[10:], 10),
        "put in": (lines[:9] + [foreign] + lines[9:], 10),
        "doubled": (lines[:9] + [lines[8]] + lines[9:], 10),
        "moved": (lines[:9] + [lines[12]] + lines[9:12] + lines[13:], 10),
        "the last one changed": (lines[:-1] + [lines[-1].replace("keeper.stop", "keeper.stap")], len(lines)),
    }
    assert all(changed != lines for changed, _ in ways.values())
    for way, (changed, line) in ways.items():
        path.write_text("".join(changed))
        done = verify(lab)
        assert done.status == 1 and not done.json["whole"], way
        assert done.problems[0][:2] == ("audit.ndjson", line), (way, done.problems)
        assert done.problems == verify(lab, "--offline").problems[:len(done.problems)], "for that the sink is not needed"
        text = lab.purser("audit", "verify")
        assert text.status == 1 and f"audit.ndjson, line {line}: " in text.err and "NOT as they were written" in text.out
    path.write_text("".join(lines))
    assert verify(lab).problems == []


def test_lines_cut_off_before_the_last_seal_are_missed_by_the_sink(sealed):
    lab, path, lines = sealed
    last_seal = max(i for i, line in enumerate(lines) if '"event":"seal"' in line)
    for keep in (last_seal + 1, last_seal, len(lines) // 2, 1):
        path.write_text("".join(lines[:keep]))
        assert verify(lab, "--offline").status == 0, "whole lines: the files alone tell nothing"
        done = verify(lab)
        if keep > last_seal:
            assert done.status == 0
        else:
            assert done.status == 1 and "was cut off" in done.problems[0][2], (keep, done.found)
    path.unlink()
    assert verify(lab).status == 1, "all of it is gone"
    text = lab.purser("audit", "verify")
    assert text.status == 1 and "was cut off" in text.err and "NOT as they were written" in text.out, text.text
    text = lab.purser("audit", "verify", "--offline")
    assert text.status == 0 and "the sink was not asked" in text.out
    path.write_text("".join(lines))
    offline = lab.purser("audit", "verify", "--offline")
    assert offline.status == 0 and "was not asked" in offline.out


def test_the_head_in_the_sink_stays_and_another_one_is_noticed(sealed):
    lab, path, lines = sealed
    heads = lab.rows("SELECT * FROM audit_seal ORDER BY number")
    seals = [json.loads(line) for line in lines if '"event":"seal"' in line]
    assert [(head["number"], head["head"], head["purser_run"]) for head in heads] == [
        (seal["n"], seal["mac"], seal["run"]) for seal in seals] and len(heads) == 2
    with sqlite3.connect(lab.state / "sink/purser.db") as connection:
        connection.execute("UPDATE audit_seal SET head = ? WHERE number = ?", ("0" * 64, seals[0]["n"]))
    done = verify(lab)
    assert done.status == 1 and done.problems[0][1] == lines.index(next(x for x in lines if '"seal"' in x)) + 1
    assert "not what the sink has" in done.problems[0][2]


def test_a_sink_that_cannot_be_asked_is_said_and_its_own_status(sealed):
    lab, _, _ = sealed
    (lab.state / "sink/purser.db").rename(lab.folder / "away.db")
    done = lab.purser("audit", "verify")
    assert done.status == 4 and "cannot be asked" in done.err and "each as it was written" in done.out
    assert verify(lab).json["sink"] == "failed" and verify(lab, "--offline").json["sink"] == "not asked"


def test_files_are_one_chain_and_one_that_is_missing_is_missed(lab):
    lab.more = "retain: {audit: 8s}\n"  # so that a file is put aside after two seconds
    api(lab)
    for _ in range(3):
        run(lab, RUNS)
        time.sleep(2.1)
    files = sorted((lab.state / "audit").glob("audit-*.ndjson"))
    assert len(files) == 2
    first = [json.loads(path.read_text().splitlines()[0]) for path in (files[1], lab.state / "audit/audit.ndjson")]
    assert [line["event"] for line in first] == ["audit.begin"] * 2 and first[0]["before"] == files[0].name
    done = verify(lab)
    assert done.status == 0 and done.json["files"] == 3 and done.json["sealsInSink"] == 3, done.text
    kept = files[1].read_bytes()
    files[1].unlink()
    done = verify(lab)
    assert done.status == 1 and done.problems[0][:2] == ("audit.ndjson", 1) and "are missing" in done.problems[0][2]
    files[1].write_bytes(kept)
    other = files[0].read_bytes()
    files[0].write_bytes(kept + other)
    assert verify(lab).status == 1
    files[0].write_bytes(other)
    assert verify(lab).status == 0, "a copy is as good: the order is that of the records"
    assert lab.purser("audit", "verify", str(files[1]), "--key", str(lab.state / "audit.key")).status == 0
    files[0].unlink()
    time.sleep(6)
    done = verify(lab)
    assert done.status == 0 and "as `retain: {audit: ...}` has it" in done.found[0][3], done.found


def test_what_a_crash_left_in_a_file_that_was_put_aside_then_is_bound_by_the_next(lab):
    lab.more = "retain: {audit: 8s}\n"
    api(lab)
    run(lab, RUNS)
    with (lab.state / "audit/audit.ndjson").open("a") as file:
        file.write('{"n":99,"time":"20')  # as a full disk leaves it when the keeper is killed meanwhile
    assert verify(lab).status == 1
    time.sleep(2.1)
    run(lab, RUNS)
    aside = next((lab.state / "audit").glob("audit-*.ndjson"))
    done = verify(lab)
    assert done.status == 0 and done.json["files"] == 2, done.found
    assert done.found[0][1] == aside.name and "purser found it so" in done.found[0][3]
    aside.write_text(aside.read_text()[:-1])
    done = verify(lab)
    assert done.status == 1 and done.problems[0][0] == aside.name and "is cut off" in done.problems[0][2]


def test_a_run_whose_keeper_died_has_no_seal_and_that_is_said(lab):
    api(lab)
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\nimport time\nClient().ask()\nsay(up=1)\ntime.sleep(60)", sources=["api"],
                  limits={"grace": "1s"})
    process = lab.start("run", "script", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while "SAID" not in process.stdout.readline():
        pass
    os.kill(role(process, "purser-keeper"), signal.SIGKILL)
    process.wait(30)
    unsealed = verify(lab)
    assert unsealed.status == 0 and "has no seal: it is still under way, or" in unsealed.found[0][3]
    run(lab, RUNS)
    after = verify(lab)
    assert after.status == 0 and "has no seal: its keeper ended before it did" in after.found[0][3]
    assert after.json["seals"] == after.json["sealsInSink"] == 2, "the run itself, and what it had left"


def test_without_its_key_the_audit_is_not_begun_anew_by_itself(sealed):
    lab, _, _ = sealed
    key = lab.state / "audit.key"
    assert key.stat().st_mode & 0o7777 == 0o600 and key.stat().st_size == 32
    kept = key.read_bytes()
    key.write_bytes(os.urandom(32))
    assert len(verify(lab, "--offline").problems) > 20, "another key fits no line"
    key.unlink()
    done = lab.purser("run")
    assert done.status != 0 and "audit.key is missing" in done.err
    shutil.move(lab.state / "audit", lab.folder / "audit-away")
    anew = lab.purser("audit", "verify")
    assert anew.status == 0 and "There is no audit yet" in anew.out
    assert lab.purser("run").status == 0, "what the sentence says to do"
    assert verify(lab).status == 0, "another installation, as far as the sink knows"
    assert key.read_bytes() != kept


# What it says


def test_every_decision_is_one_line_and_says_no_secret(lab):
    def answer(request):
        if "broken" in request.target:
            return Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 40000)
        return Answer(404 if "absent" in request.target else 200, b"y" * (300_000 if "large" in request.target else 10))

    _, token = api(lab, answer)
    run(lab, """
c = Client()
c.ask("/one?key=hidden-1"); c.ask("/absent"); c.ask("/large"); c.ask("/post", "POST", body=b"hidden-2" * 9)
c.ask("/no", "DELETE"); once("/nolease", headers="Authorization: Bearer hidden-3\\r\\n")
try:
    Client().ask("/broken")
except Exception:
    pass
once("/" + "p" * 700)
once("/a/../b?hidden-4")
once("/%0a%1b[2J")
""")
    text = (lab.state / "audit/audit.ndjson").read_text()
    for secret in (token, "hidden", "Bearer", lab.audit("lease.issue") and "psl_1"):
        assert secret not in text, secret
    assert not [char for char in text if ord(char) < 32 and char != "\n"]
    lines = {(line["event"], line.get("path")): line for line in lab.audit()}
    one = lines["request", "/one"]
    assert (one["status"], one["decision"], one["rule"], one["received"], one["whole"]) == (200, "allowed", "lab-all:3", 10, True)
    assert one["retriever"] == "script" and one["source"] == "api" and one["run"] and 0 < one["ms"] < 10000
    assert lines["request", "/absent"]["status"] == 404
    large, post, sent = lines["request", "/large"], lines["request", "/post"], lines["request.sent", "/post"]
    assert not large["whole"] and large["received"] < 300_000
    ends = {line["of"]: line for line in lab.audit("answer.end")}
    assert ends[large["n"]]["received"] == 300_000 and ends[large["n"]]["whole"]
    assert post["sent"] == 72 and post["of"] == sent["n"] < post["n"]
    assert len(lab.audit("request.sent")) == 1, "GET changes nothing"
    broken = ends[lines["request", "/broken"]["n"]]
    assert not broken["whole"] and broken["code"] == "upstream-reset" and broken["received"] == 40000
    assert lines["refused", "/no"]["code"] == "path-not-allowed" and lines["refused", "/no"]["decision"] == "refused"
    assert lines["refused", "/nolease"]["code"] == "not-a-lease"
    assert max(len(line.get("path", "")) for line in lab.audit()) < 600
    for event in ("keeper.start", "token.fetch", "run.open", "lease.issue", "run.requests", "run.close", "seal", "keeper.stop"):
        assert len(lab.audit(event)) == 1, event


def test_of_a_graphql_request_the_operation_is_on_record_and_the_rule_that_decided(lab):
    with_graphql(lab)
    run(lab, """
for query in ('query Cost { rateLimit { cost } }', 'mutation { star(id: "hidden") { id } }', '{ viewer { token } }', '{ viewer { name } }'):
    say(status=Client("api.github.com").ask("/graphql", "POST", LEASED + "Content-Type: application/json\\r\\n",
                                            json.dumps({"query": query}).encode()).status)
""", policy="narrow")
    lines = [line for line in lab.audit() if line.get("path") == "/graphql"]
    assert [(line["event"], line["operation"], line.get("rule"), line.get("status")) for line in lines] == [
        ("request.sent", "query Cost: rateLimit", "narrow:10", None), ("request", "query Cost: rateLimit", "narrow:10", 200),
        ("request.sent", "mutation: star", "narrow:11", None), ("request", "mutation: star", "narrow:11", 200),
        ("refused", "query: viewer", "narrow:13", 403), ("refused", "query: viewer", None, 403)]
    assert all(line["sent"] > 20 for line in lines if line["event"] == "request")
    assert "hidden" not in (lab.state / "audit/audit.ndjson").read_text()
    shown = lab.purser("audit", "show", "--source", "api").out
    assert "/graphql  mutation: star" in shown, shown


def test_show_is_one_aligned_line_a_decision_and_takes_filters(sealed):
    lab, path, lines = sealed
    done = lab.purser("audit", "show")
    shown = done.out.splitlines()
    assert done.status == 0 and len(shown) == len([line for line in lines if '"answer.end"' not in line])
    calls = [line for line in shown if " GET " in line]
    assert len(calls) == 8 and len({line.index(" GET ") for line in calls}) == 1
    assert all("allowed" in line and "api.test/x/" in line and " ms" in line for line in calls)
    refused = lab.purser("audit", "show", "--refused").out.splitlines()
    assert len(refused) == 2 and all("403" in line and "path-not-allowed: DELETE /denied is not named" in line for line in refused)
    one = json.loads(lines[-2])["run"]
    of_run = lab.purser("audit", "show", "--run", one, "--json").out.splitlines(keepends=True)
    assert of_run == [line for line in lines if f'"run":"{one}"' in line]
    assert lab.purser("audit", "show", "--retriever", "nobody").out == ""
    assert len(lab.purser("audit", "show", "--source", "api", "--since", "1h").out.splitlines()) > 10
    assert lab.purser("audit", "show", "--since", "2100-01-01").out == ""
    assert lab.purser("audit", "show", "--since", "yesterday").status == 2
    pipe = subprocess.run(f"{lab.prefix}/bin/purser audit show --file {lab.folder}/purser.yaml | head -n 1", shell=True,
                          capture_output=True, text=True)
    assert pipe.stderr == "" and pipe.stdout.count("\n") == 1
    screen = subprocess.run(["script", "-qec", f"{lab.prefix}/bin/purser audit show --file {lab.folder}/purser.yaml", "/dev/null"],
                            capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.splitlines()
    assert screen[0] == json.loads(lines[0])["time"][:10] and screen[1].startswith(json.loads(lines[0])["time"][11:19])


def steering(text):
    """What of a text does something to a terminal, or to what stands beside it."""
    return [char for char in text if (ord(char) < 32 or 127 <= ord(char) < 160 or 0x2028 <= ord(char) <= 0x202E
                                      or 0x2066 <= ord(char) <= 0x2069) and char != "\n"]


def test_what_strangers_have_said_steers_no_terminal(lab):
    """A script's words in its lease, a provider's in its limit's name: in the audit, in the run's summary, in status."""
    strange = "\u202egnp\u2066\u009b31m\u2028\ufffe"
    api(lab, lambda request: Answer(200, b"{}", {"X-RateLimit-Limit": "9", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "600",
                                                "X-RateLimit-Resource": strange.encode().decode("latin-1")}))
    done = run(lab, EXAMPLE + f"""
less = narrow(LEASE, {strange!r})
once("/x", headers=f"Authorization: Bearer {{less}}\\r\\n")
Client().ask()
""")
    assert [line["code"] for line in lab.audit("refused")] == ["unknown-caveat"], done.text
    assert not steering((lab.state / "audit/audit.ndjson").read_text())
    status = lab.purser("status")
    for shown in (lab.purser("audit", "show").out, lab.purser("audit", "show", "--json").out, done.text, status.out):
        assert not steering(shown) and "202e" in shown, shown
    assert "unknown-caveat" in status.out and "5 left of 9" in status.out, "and the run's report is read still"
    assert lab.last_run()[0]["sources"][0]["limits"][0]["name"] == strange


def test_lines_that_somebody_has_altered_steer_no_terminal_either(sealed):
    lab, path, lines = sealed
    for key in ("time", "event", "retriever", "method", "decision", "host", "path", "source", "run", "code", "message", "before"):
        line = {"n": 1, "time": "2026-01-01T00:00:00Z", "event": "refused", "method": "GET", "code": "x", "decision": "refused",
                "prev": "0" * 64, "mac": "0" * 64} | ({"event": "audit.begin"} if key == "before" else {}) | {key: "\u009b31m\u202e"}
        path.write_text(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        for words in (["show"], ["verify", "--offline"], ["verify"]):
            done = lab.purser("audit", *words)
            assert not steering(done.text), (key, done.text)


# Before the answer


def test_the_line_is_there_before_its_answer_is(world):  # noqa: F811
    w = world(serve(lambda c: c.answer(b"x")), budget=(0, 0, 0, 10**9, 0))
    for n in range(200):
        assert w.get(f"/{n}").status == 200
        assert w.keeper.audit()[-1]["path"] == f"/{n}"


def test_what_may_change_something_is_on_record_before_it_is_sent(world):  # noqa: F811
    seen = []

    def script(connection):
        while got := connection.request():
            seen.append((got[0].split()[0], w.keeper.audit()[-1]))
            connection.answer()

    w = world(script)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        w.stream.request(method, "/change", w.lease, body=b"b" if method != "DELETE" else None)
        assert w.stream.answer().status == 200
    assert [(method, line["event"], line["method"]) for method, line in seen] == [
        (method, "request.sent", method) for method in ("POST", "PUT", "PATCH", "DELETE")]


def test_a_client_that_leaves_leaves_a_line(world):  # noqa: F811
    go = threading.Event()

    def script(connection):
        while got := connection.request():
            if "never" in got[0]:
                go.wait(10)
            else:
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
                go.wait(10)

    w = world(script)
    for path in ("/never", "/half"):
        stream = w.run.stream()
        stream.request("GET", path, w.lease)
        wait_until(lambda: len(w.upstream.heads) == (1 if path == "/never" else 2), what="the request")
        if path == "/half":
            wait_until(lambda: w.keeper.audit()[-1]["event"] == "request", what="the head")
        stream.close()
        wait_until(lambda: w.keeper.audit()[-1].get("code") == "client-gone", what="the line")
    last, before = w.keeper.audit()[-1], w.keeper.audit()[-3]
    assert before["event"] == "failed" and before["path"] == "/never"
    assert last["event"] == "answer.end" and not last["whole"] and last["received"] == 3
    go.set()


# When it cannot be written


class Full:
    """A disk, or a limit, that takes no more for a while."""

    def __init__(self, world, folder):  # noqa: F811
        self.world, self.keeper, self.folder = world, world.keeper, folder

    def fill(self):
        if self.folder:
            with open(self.folder / "ballast", "wb", 0) as ballast:
                try:
                    while ballast.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            if not self.keeper.audit_optional:
                while self.world.get("/fill").status == 200:  # what the file's last page still takes
                    pass
        else:
            self.limit(self.keeper.audit_path.stat().st_size + 100)

    def limit(self, size):
        resource.prlimit(self.keeper.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def free(self):
        (self.folder / "ballast").unlink() if self.folder else self.limit(resource.RLIM_INFINITY)


@pytest.fixture(params=["disk", "limit"])
def full(request, tmp_path, world):  # noqa: F811
    """full(**words): a world, and its audit's disk."""
    mounted = tmp_path / "disk"
    if request.param == "disk":
        if os.geteuid() != 0:
            pytest.skip("mounts a small disk: as root only")
        mounted.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", mounted], check=True)

    def make(script, **words):
        w = world(script, audit=mounted if request.param == "disk" else None, **words)
        return w, Full(w, mounted if request.param == "disk" else None)

    yield make
    if request.param == "disk":
        subprocess.run(["umount", "-l", mounted], check=True)


def events(w):
    return [(line["event"], line.get("path"), line.get("code")) for line in w.keeper.audit() if line.get("path")]


def verified(w, prefix):
    done = subprocess.run([prefix / "bin/purser", "audit", "verify", "--key", w.keeper.audit_key, "--json", w.keeper.audit_path],
                          capture_output=True, text=True)
    return json.loads(done.stdout)


def test_an_answer_that_cannot_be_recorded_is_not_given_and_later_calls_are_not_made(full, prefix):
    w, disk = full(serve(lambda c: c.answer(b"the answer")))
    assert w.get("/before").status == 200
    disk.fill()
    given = [w.get("/first"), w.get("/second"), w.get("/third")]
    assert [(answer.status, answer.code) for answer in given] == [(503, "audit-failed")] * 3, given
    assert not any(b"the answer" in answer.body for answer in given)
    paths = [head.split()[1] for head in w.upstream.heads]
    found = ["/first"] if not disk.folder else ["/fill"] * (len(paths) - 1)
    assert paths == ["/before", *found], "that it cannot be written shows at the first; then nothing is sent"
    w.stream.request("POST", "/change", w.lease, body=b"x")
    assert w.stream.answer().code == "audit-failed"
    disk.free()
    wait_until(lambda: w.get("/after").status == 200, what="going on by itself")
    assert w.upstream.heads[-1].split()[1] == "/after" and "/change" not in str(w.upstream.heads)
    got = events(w)
    assert ("request", paths[-1], None) in got and ("refused", paths[-1], "audit-failed") in got, got
    assert ("refused", "/second", "audit-failed") in got and ("refused", "/change", "audit-failed") in got
    w.run.close()
    errors = w.keeper.stop()
    assert "the audit cannot be written" in errors and "can be written again" in errors
    assert errors.count("cannot be written:") == 1, "said once"
    assert verified(w, prefix)["problems"] == 0


def test_a_change_that_cannot_be_recorded_never_goes_up(world):  # noqa: F811
    w = world(serve(lambda c: c.answer(b"the answer")))
    assert w.get("/before").status == 200
    Full(w, None).fill()
    w.stream.request("POST", "/change", w.lease, body=b"x")
    answer = w.stream.answer()
    assert (answer.status, answer.code) == (503, "audit-failed")
    assert "/change" not in str(w.upstream.heads), "not even when it is the first to find the disk full"


def test_with_on_failure_continue_calls_go_on_and_are_recorded_as_soon_as_they_can_be(full, prefix):
    w, disk = full(serve(lambda c: c.answer(b"the answer")), audit_optional=True)
    disk.fill()
    w.stream.request("POST", "/change", w.lease, body=b"x")
    assert w.stream.answer().status == 200
    assert [w.get(f"/{n}").status for n in range(50)] == [200] * 50
    assert "/49" not in w.keeper.audit_path.read_text()
    disk.free()
    assert w.get("/after").status == 200
    got = events(w)
    assert [("request", f"/{n}", None) in got for n in range(50)] == [True] * 50 and ("request", "/change", None) in got
    w.run.close()
    w.keeper.stop()
    assert verified(w, prefix)["problems"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk: as root only")
def test_no_token_is_minted_unrecorded(lab):
    keys = Keys(lab, "rsa")
    github = GitHub(lab, keys)
    app(lab, keys)
    with_inside(lab, "script")
    lab.retriever("script", "from inside import *\nsay(status=Client().ask().status)", sources=["api"])
    disk = lab.state / "audit"
    lines = ""
    # A full disk still takes what fits into a file's last page: so that the record of the mint does not.
    for _ in range(30):
        before = len(lines)
        assert lab.purser("run").status == 0
        lines = disk.joinpath("audit.ndjson").read_text()
        if -len(lines) % PAGE < lines.index('"token.mint"', before) - before:
            break
    minted = len(github.minted)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", disk], check=True)
    try:
        disk.joinpath("audit.ndjson").write_text(lines)
        with open(disk / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError):
            while ballast.write(b"b" * 1024):
                pass
        lab.more += "audit: {onFailure: continue}\n"  # of calls; a token is another matter
        lab.write()
        process = lab.start("run", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(3)
        assert process.poll() is None and len(github.minted) == minted
        (disk / "ballast").unlink()
        text = process.communicate(timeout=60)[0]
        assert process.returncode == 0 and len(github.minted) == minted + 1, text
        fetched = [entry["decision"] for entry in lab.audit() if entry["event"] == "token.fetch"]
        assert fetched.count("allowed") == minted + 1 and "failed" in fetched[minted:], "what was not minted is on record as that"
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_tunnel_that_cannot_be_recorded_is_not_given(authority, world):  # noqa: F811
    site = Upstream(lambda c: (c.head(), c.send(b"HTTP/1.1 200 Connection established\r\n\r\n"), c.head()))
    w = world(serve(lambda c: c.answer()), source={"allow": ()}, proxy=f"http://127.0.0.1:{site.port}")
    running = w.keeper.run(egress=[("files.test", 443)])
    running.tunnel("files.test", 443).close()
    full = Full(w, None)
    full.fill()
    assert running.tunnel("files.test", 443)[:2] == (503, "audit-failed")
    full.free()
    wait_until(lambda: not isinstance(running.tunnel("files.test", 443), tuple), what="the tunnel")
    lines = [(line["event"], line.get("code")) for line in w.keeper.audit() if line.get("host") == "files.test"]
    assert lines[:3] == [("tunnel", None), ("tunnel", None), ("refused", "audit-failed")], lines
    site.close()


def test_a_keeper_that_was_cut_off_in_a_line_goes_on_behind_it(world, prefix, tmp_path):  # noqa: F811
    folder = tmp_path / "audit"
    folder.mkdir()
    w = world(serve(lambda c: c.answer()), audit=folder)
    w.get("/one")
    Full(w, None).fill()
    w.get("/two")
    w.keeper.process.kill()
    w.keeper.process.wait()
    assert not w.keeper.audit_path.read_text().endswith("\n")
    again = world(serve(lambda c: c.answer()), audit=folder)
    again.get("/three")
    again.keeper.stop()
    result = verified(again, prefix)
    assert result["problems"] == 0 and "purser found it so" in result["findings"][0]["message"]


def test_the_keeper_goes_on_in_another_file_when_it_is_told(world, prefix, tmp_path):  # noqa: F811
    w = world(serve(lambda c: c.answer()))
    w.get("/one")
    old = w.keeper.audit_path
    aside = old.with_name("audit-1.ndjson")
    old.rename(aside)
    fd = os.open(old, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    send(w.keeper.control, Type.KEEPER_AUDIT, aside.name.encode(), [fd])
    os.close(fd)
    wait_until(lambda: old.stat().st_size > 0, what="the next file's first record")
    w.get("/two")
    w.keeper.stop()
    assert [line["path"] for line in w.keeper.audit() if "path" in line] == ["/two"]
    done = subprocess.run([prefix / "bin/purser", "audit", "verify", "--key", w.keeper.audit_key, aside, old])
    assert done.returncode == 0
