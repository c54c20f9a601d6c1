"""The command line: help, exit statuses, JSON, and what `check` finds before anything runs."""
import json
import os
import sqlite3
import subprocess
from datetime import datetime, timedelta

import pytest
from ports import free_port
from promise import wait_until

COMMANDS = "run schedule status check token ingest policy doctor audit prune schema lease rotate revoke init agent ready completion man".split()
JOB = '{"type": "job", "scope": "a/b", "id": 1, "name": "unit", "status": "completed"}\n'
SCRIPT = "import os\nopen(os.environ['OUTPUTDIR'] + '/a.dat', 'w').write('1')\n"


def plain(prefix, *words, cwd="/"):
    return subprocess.run([prefix / "bin/purser", *words], capture_output=True, text=True, cwd=cwd, timeout=60)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(prefix, command):
    asked, helped = plain(prefix, command, "--help"), plain(prefix, "help", command)
    assert asked.returncode == 0 and asked.stderr == "" and "Usage:" in asked.stdout
    assert command == "doctor" or "xample" in asked.stdout
    assert command == "token" or helped.stdout == asked.stdout
    assert command in plain(prefix, "--help").stdout


@pytest.mark.parametrize("words, hint", [
    (["rnu"], "purser --help"), ([], "Usage:"), (["run", "--jsn"], "purser run --help"), (["status", "-x"], "status --help"),
    (["check", "--file"], "--help"), (["run", "--json=1"], "--help"), (["ingest"], "PATH"), (["status", "a", "b"], "--help"),
    (["audit", "verfy"], "verify")])
def test_what_is_not_understood_is_status_2_with_a_hint(prefix, words, hint):
    done = plain(prefix, *words)
    assert done.returncode == 2 and hint in done.stdout + done.stderr


def test_json_is_json_and_nothing_else_on_standard_output(lab):
    lab.source("api", "api.test")
    lab.retriever("a", script=SCRIPT + "print('{not json')\n", sources=["api"])
    assert lab.purser("check", "--json").json["sound"] is True
    assert lab.purser("run", "--json").json["runs"][0]["rows"] == 1
    status = lab.purser("status", "--json").json
    assert status["runs"][0]["status"] == "ok" and status["rows"]["metric_sample"] == 1 and status["nextRuns"] == {"a": None}
    assert lab.purser("token", "list", "--json").json[0]["name"] == "api"
    (lab.folder / "b.dat").write_text("2")
    assert lab.purser("ingest", "--json", lab.folder / "b.dat").json["rows"] == 1
    assert {"name", "state", "message"} <= set(json.loads(plain(lab.prefix, "doctor", "--json").stdout)["findings"][0])


def findings(lab, status):
    done = lab.purser("check", "--json")
    assert done.status == status, done.text
    return {(entry["what"], entry["name"]): entry["message"] for entry in done.json["findings"] if not entry["sound"]}


def test_check_names_each_token_that_is_missing_or_has_no_store_here(lab):
    lab.source("api", "api.test", token=None)
    lab.retriever("a", script="print('started')", sources=["api"])
    found = findings(lab, 5)
    assert "purser token set" in found["token", "api"]
    done = lab.purser("run")
    assert done.status == 5 and "api" in done.err and "started" not in done.text


@pytest.mark.parametrize("ref, says", [({"vault": {"path": "secret/data/x", "key": "token"}}, "nothing says where Vault is"),
                                       ({"kubernetes": {"secretName": "s", "key": "token"}}, "this is no pod")])
def test_a_store_that_nothing_leads_to_is_said_before_anything_starts(lab, ref, says):
    lab.source("api", "api.test", token=None)
    lab.sources["api"]["token"] = ref
    lab.retriever("a", script=SCRIPT, sources=["api"])
    done = lab.purser("check")
    assert done.status == 3 and says in done.text, done.text


def test_check_says_that_the_key_does_not_open_the_keyring(lab):
    lab.source("api", "api.test")
    lab.retriever("a", script=SCRIPT, sources=["api"])
    key = lab.state / "keyring.key"
    content = key.read_bytes()
    key.write_bytes(bytes(content[:-2]) + (b"0" if content[-2:-1] != b"0" else b"1") + content[-1:])
    assert "key" in json.dumps(list(findings(lab, 5).values()))
    key.write_bytes(content)
    assert findings(lab, 0) == {}


def test_a_policy_whose_own_test_fails_stops_everything_before_it_starts(lab):
    lab.policy("lab-all", """\
        policy: lab-all
        allow:
        - {method: GET, path: /**}
        tests:
        - {request: POST /x, expect: allow}
        """)
    lab.source("api", "api.test")
    lab.retriever("a", script="print('started')", sources=["api"])
    assert "POST /x" in lab.purser("check").text and lab.purser("check").status == 3
    assert lab.purser("policy", "test", lab.folder / "policy/lab-all.yaml").status != 0


def test_check_and_run_say_that_the_database_cannot_be_reached(lab):
    lab.more = f"sink: {{postgres: {{dsn: 'host=127.0.0.1 port={free_port()} dbname=x user=y sslmode=disable'}}}}\n"
    lab.retriever("a", script=SCRIPT)
    assert any(what == "database" for what, _ in findings(lab, 4))
    assert lab.purser("run").status == 4
    assert lab.purser("ingest", lab.folder / "purser.yaml").status == 4


BAD = {
    "unknown": ("stat: /x\n", "1:1", "state"),
    "duplicate": ("state: /x\nstate: /y\n", "2:1", "state"),
    "wrong type": ("state: [a]\n", "1:8", "state"),
    "tab": ("site:\n\tproxy: x\n", "2:1", "tab"),
    "loop": ("sources: &a\n- *a\n", "", ""),
    "not yaml": ("sources: [\n", "", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_configuration_is_named_with_its_place_and_nothing_starts(lab, name):
    text, place, said = BAD[name]
    path = lab.folder / "purser.yaml"
    path.write_text(text)
    for command in ("run", "check", "schedule", "status"):
        done = lab.purser(command)
        assert done.status == 3 and f"{path}:" in done.err and f":{place}" in done.err and said in done.err, done.text
    assert not lab.state.exists() and done.out == ""


def test_a_file_of_a_gigabyte_is_refused_at_once(lab):
    with open(lab.folder / "purser.yaml", "w") as file:
        file.truncate(1 << 30)
    done = lab.purser("run", timeout=5)
    assert done.status == 3 and "purser.yaml" in done.err


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["schema", "--sql"], ["check"], ["check", "--json"], ["run"],
                                   ["prune", "-n"], ["audit", "verify"], ["policy", "list"], ["policy", "list", "--json"]])
def test_what_could_not_be_written_is_not_done(lab, words):
    lab.source("api", "api.test")
    lab.retriever("a", script=SCRIPT, sources=["api"])
    assert lab.purser("run").status == 0
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(word) for word in lab.words(*words)], stdout=full, stderr=subprocess.PIPE, text=True,
                              cwd=lab.folder, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and "Standard output cannot be written" in done.stderr, done


def test_a_child_that_purser_was_started_with_is_not_its_to_end(lab):
    """A shell's `purser run > >(cat)` is purser with a cat for a child, which takes the table at the end."""
    lab.retriever("one", "")
    lab.write()
    words = [str(word) for word in lab.words("run", "one")]
    done = subprocess.run(["bash", "-c", 'exec "$0" "$@" > >(exec cat >table)', *words], cwd=lab.folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: (lab.folder / "table").read_text().count("\n") >= 2, what="the table")


def test_ingesting_the_same_again_changes_nothing(lab):
    lab.source("api", "api.test")
    lab.retriever("a", script=SCRIPT, sources=["api"])
    folder = lab.folder / "collected"
    folder.mkdir()
    (folder / "jobs.ndjson").write_text(JOB)
    (folder / "x.dat").write_text("5")
    os.symlink("/etc/passwd", folder / "link.dat")
    first = lab.purser("ingest", "--json", "--retriever", "a", folder)
    assert first.status == 0 and first.json["rows"] == 2 and first.json["files"] == 2, first.text
    before = lab.rows("SELECT * FROM ci_job"), lab.rows("SELECT * FROM metric_sample")
    again = lab.purser("ingest", "--json", "--retriever", "a", folder)
    assert again.status == 0 and again.json["rows"] == 0, again.text
    assert before == (lab.rows("SELECT * FROM ci_job"), lab.rows("SELECT * FROM metric_sample"))
    os.mkfifo(folder / "pipe.dat")
    assert lab.purser("ingest", folder / "pipe.dat").status == 1
    assert lab.purser("ingest", "--retriever", "nobody", folder).status == 2


def test_a_file_that_was_ingested_as_nobodys_is_loaded_as_a_retrievers(lab):
    lab.source("api", "api.test")
    lab.source("other", "other.test")
    lab.retriever("a", script=SCRIPT, sources=["api"])
    jobs, number = lab.folder / "jobs.ndjson", lab.folder / "x.dat"
    jobs.write_text('{"type": "job", "scope": "s", "id": 1}\n')  # whose source it is, the retriever says
    number.write_text("5")
    first = lab.purser("ingest", "--json", jobs, number).json
    assert (first["rows"], first["deadLetters"]) == (1, 1)
    second = lab.purser("ingest", "--json", "--retriever", "a", jobs, number).json
    assert (second["rows"], second["unchanged"], second["deadLetters"]) == (2, 0, 0), second
    assert lab.rows("SELECT retriever FROM metric_sample ORDER BY 1") == [{"retriever": "a"}, {"retriever": "ingest"}]


def test_a_stream_that_a_wrong_clock_moved_into_the_future_is_collected_again(lab):
    lab.retriever("window", script='import os\nprint(os.environ["PURSER_SINCE"], os.environ["PURSER_UNTIL"])\n',
                  window={"first": "3d"})

    def window():
        done = lab.purser("run")
        report = lab.last_run()[0]
        since, until = (datetime.fromisoformat(report[key].replace("Z", "+00:00")) for key in ("since", "until"))
        return done, since, until

    assert window()[0].status == 0
    with sqlite3.connect(lab.state / "sink/purser.db") as database:
        database.execute("UPDATE stream_state SET until_at = '2999-01-01T00:00:00.000Z'")
    done, since, until = window()
    assert "in the future" in done.err and until - since == timedelta(days=3), done.text
    done, since, _ = window()
    assert "in the future" not in done.err and abs(since - until) < timedelta(milliseconds=2), done.text


def test_two_numbers_that_are_alike_are_two_samples_of_two_times(lab):
    lab.write()
    for day in 1, 2:
        (lab.folder / f"day{day}").mkdir()
        (lab.folder / f"day{day}/queue.dat").write_text("5\n")
        os.utime(lab.folder / f"day{day}/queue.dat", (86400 * day, 86400 * day))
    for _ in range(2):
        assert lab.purser("ingest", lab.folder / "day1", lab.folder / "day2").status == 0
        assert [row["at"][:10] for row in lab.rows("SELECT at FROM metric_sample ORDER BY 1")] == ["1970-01-02", "1970-01-03"]


def test_a_file_that_is_older_than_1970_has_its_own_time(lab):
    lab.write()
    old = lab.folder / "old.dat"
    old.write_text("5\n")
    os.utime(old, (-43200.5, -43200.5))
    assert lab.purser("ingest", old).status == 0
    assert lab.rows("SELECT at FROM metric_sample") == [{"at": "1969-12-31T11:59:59.000Z"}]


def test_prune_says_what_would_go_and_keeps_it_until_it_is_meant(lab):
    lab.retriever("a", script=SCRIPT)
    assert lab.purser("run").status == 0
    lab.more = "retain: {rows: 1s, outputs: 1s}\n"
    lab.write()
    with sqlite3.connect(lab.state / "sink/purser.db") as connection:
        connection.execute("UPDATE metric_sample SET at = '2020-01-01T00:00:00.000Z', "
                           "observed_at = '2020-01-01T00:00:00.000Z'")
    (run,) = (lab.state / "runs").iterdir()
    report = json.loads((run / "run.json").read_text())
    report.update(started="2020-01-01T00:00:00Z", ended="2020-01-01T00:00:01Z")
    (run / "run.json").write_text(json.dumps(report))
    dry = lab.purser("prune", "--dry-run")
    assert dry.status == 0 and "would remove 1 runs" in dry.out and "metric_sample" in dry.out, dry.text
    assert run.exists() and len(lab.rows("SELECT * FROM metric_sample")) == 1
    assert lab.purser("prune").status == 0
    assert not run.exists() and lab.rows("SELECT * FROM metric_sample") == []


def test_the_schema_can_be_printed_and_made(lab):
    lab.retriever("a", script=SCRIPT)
    printed = lab.purser("schema", "--sql")
    assert printed.status == 0 and "CREATE TABLE" in printed.out and "dead_letter" in printed.out
    assert not (lab.state / "sink/purser.db").exists()
    assert lab.purser("schema").status == 0 and lab.rows("SELECT * FROM ci_job") == []


def test_a_second_purser_on_the_same_state_is_refused_by_the_firsts_number(lab):
    lab.retriever("a", script=SCRIPT + "import time\nprint('BEGAN', flush=True)\ntime.sleep(60)\n")
    first = lab.start("run", stderr=subprocess.PIPE)
    while b"BEGAN" not in first.stderr.readline():
        pass
    second = lab.purser("run")
    assert second.status == 1 and f"process {first.pid}" in second.err, second.text
    assert lab.purser("status").status == 0, "looking is always allowed"
    first.terminate()
    first.terminate()
