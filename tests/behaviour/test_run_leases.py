"""A lease is good for its own run, while it lasts; and where a run's folder lies must let its script pass."""
import json
import os
import re
import time

import pytest
from lab import Answer
from people import KINDS, lab_of

ASK = """
import os, sys, urllib.request, urllib.error
def ask(lease, path="/x"):
    request = urllib.request.Request(os.environ["API_API_URL"] + path, headers={"Authorization": "Bearer " + lease})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers.get("X-Purser-Error", "")
"""


@pytest.fixture(params=KINDS)
def api(request, prefix):
    with lab_of(request.param, prefix) as lab:
        lab.upstream("api.test", lambda request: Answer(200, b"{}"))
        lab.source("api", "api.test", tokenEnv=["API_TOKEN"])
        (lab.folder / "share").mkdir()
        (lab.folder / "share").chmod(0o777)
        yield lab


def test_the_lease_of_another_run_is_refused_also_after_that_runs_end(api):
    """What a lease is worth to somebody who got hold of it: nothing."""
    first = api.run_script(ASK + "print('LEASE', os.environ['API_TOKEN'])\nprint('OWN', ask(os.environ['API_TOKEN']))\n",
                           name="first")
    assert "OWN (200, '')" in first.log, first.text
    lease = re.search(r"LEASE (psl_1\S+)", first.log)[1]
    second = api.run_script(ASK + f"print('OTHER', ask({lease!r}))\nprint('OWN', ask(os.environ['API_TOKEN']))\n",
                            name="second")
    assert re.search(r"OTHER \(401, '(foreign-lease|lease-revoked)'\)", second.log) and "OWN (200" in second.log, second.log
    codes = [refusal["code"] for refusal in second.report["refusals"]]
    assert codes == re.findall(r"OTHER \(401, '(.*?)'\)", second.log)
    assert len(api.upstreams["api.test"].requests) == 2


def test_the_lease_of_a_run_that_is_under_way_is_refused_to_another(api):
    api.retriever("holder", script=ASK + """
import time
print("LEASE", os.environ["API_TOKEN"], flush=True)
time.sleep(20)
""", sources=["api"], limits={"time": "3s", "grace": "1s"})
    api.retriever("thief", script=ASK + f"""
import glob, time
for _ in range(100):
    try:
        lease = open({str(api.folder / "stolen")!r}).read()
        break
    except OSError:
        time.sleep(0.05)
print("THEFT", ask(lease))
""", sources=["api"])
    purser = api.start("run")
    for _ in range(200):
        logs = "".join(path.read_text(errors="replace") for path in (api.state / "runs").glob("*-holder-*/log"))
        found = re.search(r"LEASE (psl_1\S+)", logs)
        if found:
            break
        time.sleep(0.05)
    (api.folder / "new").write_text(found[1])
    (api.folder / "new").chmod(0o644)
    os.rename(api.folder / "new", api.folder / "stolen")
    purser.wait(30)
    log = api.last_run("thief")[1]
    # As a person the file could not even be read: the script sees its own folders only.
    assert "THEFT (401, 'foreign-lease')" in log or "NameError: name 'lease'" in log, log
    assert api.upstreams["api.test"].requests == []


@pytest.mark.skipif("os.geteuid() != 0", reason="only root gives scripts users of their own")
def test_a_state_folder_that_scripts_cannot_reach_is_refused_with_the_folder_and_the_cure(lab):
    closed = lab.folder / "closed"
    closed.mkdir(mode=0o700)
    lab.state = closed / "state"
    lab.retriever("a", script="print('never')")
    done = lab.purser("run")
    assert done.status == 1 and str(closed) in done.err and "state:" in done.err and "0700" in done.err, done.text
    assert "never" not in done.text


def test_a_lease_that_was_never_used_is_said_with_the_variable_that_helps(api):
    done = api.run_script("print('asks nobody')")
    assert "never used" in done.out and "API_API_URL" in done.out, done.text


def test_the_sandbox_may_be_optional_and_egress_names_hosts_only(api):
    api.more = "sandbox: {required: false}\n"
    done = api.run_script(ASK + "print('OWN', ask(os.environ['API_TOKEN']))\n",
                          egress=["files.test:443"])
    assert "OWN (200, '')" in done.log, done.text
    assert json.dumps(done.report["refusals"]) == "[]"
