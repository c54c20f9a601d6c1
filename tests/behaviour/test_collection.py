"""The health of the collection: each run of the real `purser run` is in the sink's collection_run, once, and what the
dashboard says of it is what run.json says."""
import json
import time
from collections import defaultdict
from datetime import datetime, timedelta, timezone

import pytest
from clerk_driver import OK, Clerk
from clerk_world import one
from databases import Postgres
from grafana import dashboards, statement
from ipc import Type, pack
from lab import Answer, Lab
from promise import api, run, wait_until, with_inside
from test_metrics import answer, assert_same, interval_of, view_names

(BOARD,) = [board for board in dashboards() if board["uid"] == "purser-ci-collection"]
GOOD = """
for path in "/a", "/b", "/c":
    once(path)
once("/a", method="DELETE")
with open(os.environ["OUTPUTDIR"] + "/jobs.ndjson", "w") as file:
    for n in range(5):
        print(json.dumps({"type": "job", "scope": "a/b", "id": n, "name": "unit", "conclusion": "success"}), file=file)
    print("rubbish", file=file)
open(os.environ["OUTPUTDIR"] + "/jobs.dat", "w").write("5")
"""


@pytest.fixture(scope="module")
def world(prefix, cluster):
    """Runs that end in every way, into PostgreSQL; their run.json files."""
    database = Postgres(cluster)
    database.query("CREATE ROLE purser_reader LOGIN")
    with Lab(prefix) as lab:
        lab.more = f"sink: {{postgres: {{dsn: \"{cluster.dsn(database.name)}\", readerRole: purser_reader}}}}\n"
        api(lab, lambda request: Answer(200, b"{}", {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4321",
                                                     "X-RateLimit-Reset": str(int(time.time()) + 1800)}))
        api(lab, name="gone", host="gone.test", variable="GONE_TOKEN")
        lab.upstreams.pop("gone.test").close()
        run(lab, GOOD, name="good", sources=["api"])
        run(lab, GOOD, name="good", sources=["api"])
        run(lab, "open(os.environ['OUTPUTDIR'] + '/n.dat', 'w').write('1'); raise SystemExit(3)", name="bad", sources=["api"])
        run(lab, "import time; time.sleep(30)", name="slow", sources=["api"], limits={"time": "1s", "grace": "1s"})
        run(lab, "lease = os.environ['GONE_TOKEN']\nfor _ in range(2):\n    Client('gone.test').ask(headers=f'Authorization: "
            "Bearer {lease}\\r\\n')", name="cut", sources=["gone"])
        lab.retriever("unprepared", script="pass", sources=["api"], requirements="nothing-of-that-name==1.0\n")
        done = lab.purser("run", "unprepared", env={"PIP_NO_INDEX": "1"})
        assert done.status != 0
        reports = [json.loads(path.read_text()) for path in sorted((lab.state / "runs").glob("*/run.json"))]
        assert sorted(report["status"] for report in reports) == \
            ["failed", "not-prepared", "ok", "ok", "ok", "timed-out"], [report["message"] for report in reports]
        yield lab, database, sorted(reports, key=lambda report: report["started"])
    database.query("DROP OWNED BY purser_reader; DROP ROLE purser_reader")


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def took(report):
    return (moment(report["ended"]) - moment(report["started"])).total_seconds()


def bucket(report, length=3600):
    return moment(report["ended"]).timestamp() // length * length


def per_hour(reports, metric, column, number):
    found = defaultdict(list)
    for report in reports:
        for name, value in metric(report):
            found[bucket(report), name].append(value)
    return [{"time": at, "metric": name, column: number(values)} for (at, name), values in found.items()]


def codes(report):
    found = defaultdict(int)
    for refusal in report["refusals"]:
        found[refusal["code"]] += refusal["count"]
    return found.items()


def loads(reports):
    return [report for report in reports if report["files"]]


def sum_of(reports, key):
    return sum(report[key] for report in reports)


def rows_loaded(reports):
    hours = defaultdict(list)
    for report in loads(reports):
        hours[bucket(report)].append(report)
    return [{"time": at, "new or changed": sum_of(some, "rows"), "unchanged": sum_of(some, "unchanged"),
             "rejected": sum_of(some, "deadLetters")} for at, some in hours.items()]


def rejected_rows(reports):
    by_name = defaultdict(list)
    for report in loads(reports):
        by_name[report["retriever"]].append(report)
    return [{"retriever": name, "rejected": sum_of(some, "deadLetters"), "loaded": sum_of(some, "rows") + sum_of(some, "unchanged"),
             "last": max((moment(report["ended"]) for report in some if report["deadLetters"]), default=None)}
            for name, some in by_name.items()]


def newest_tokens(reports):
    tokens = {}
    for report in sorted(reports, key=lambda report: report["ended"]):
        for source in report["sources"]:
            tokens[source["name"]] = source["tokenSet"]
    return [{"source": name, "set at": moment(at), "age": "now"} for name, at in tokens.items()]


def lags(reports):
    by_name = defaultdict(list)
    for report in reports:
        by_name[report["retriever"]].append(report)
    answers = []
    for name, some in by_name.items():
        ok = [report for report in some if report["status"] == "ok"]
        answers.append({"retriever": name, "lag": "now" if ok else None,
                        "until": max((moment(report["until"]) for report in ok), default=None),
                        "last run": max(moment(report["ended"]) for report in some),
                        "ended as": max(some, key=lambda report: report["ended"])["status"],
                        "last success": max((moment(report["ended"]) for report in ok), default=None)})
    return answers


def not_successes(reports):
    return [{"ended": moment(report["ended"]), "retriever": report["retriever"], "ended as": report["status"],
             "exit_status": None if report["exitStatus"] == -1 else report["exitStatus"], "duration": took(report),
             "requests": sum(source["requests"] for source in report["sources"]) if report["sources"] else None,
             "refused": sum(count for _, count in codes(report)) if report["sources"] else None,
             "rejected": report["deadLetters"], "run": report["id"]}
            for report in reports if report["status"] != "ok"]


def limits(report):
    return [(source["name"], limit) for source in report["sources"] for limit in source.get("limits", [])]


def limit_name(source, limit):
    return f"{source} {limit['name']}".strip()


def limits_left(reports):
    return per_hour(reports, lambda r: [(limit_name(*one), one[1]["remaining"] / one[1]["limit"]) for one in limits(r)],
                    "left", min)


def limits_now(reports):
    newest = {}
    for report in sorted(reports, key=lambda report: report["ended"]):
        for source, limit in limits(report):
            newest[source, limit["name"]] = {
                "source": source, "limit": limit["name"], "of": limit["limit"], "remaining": limit["remaining"],
                "reserved": limit["reserved"], "reset": moment(limit["reset"]), "told": moment(report["ended"])}
    return list(newest.values())


PANELS = {
    "Rate limit left": limits_left,
    "Rate limits now": limits_now,
    "Lag of each retriever": lags,
    "Runs that succeeded": lambda reports: [{"rate": sum(r["status"] == "ok" for r in reports) / len(reports)}],
    "Rejected rows": lambda reports: [{"rejected": sum_of(reports, "deadLetters")}],
    "Runs by how they ended": lambda reports: per_hour(reports, lambda r: [(r["status"], 1)], "runs", len),
    "How long runs took": lambda reports: per_hour(reports, lambda r: [(r["retriever"], took(r))], "longest", max),
    "Refused calls by code": lambda reports: per_hour(reports, codes, "refused", sum),
    "Calls by source": lambda reports: per_hour(reports, lambda r: [(s["name"], s["requests"]) for s in r["sources"]], "calls", sum),
    "Calls that the source failed": lambda reports: per_hour(reports, lambda r: [(s["name"], s["failed"]) for s in r["sources"]],
                                                             "failed", sum),
    "Rows loaded": rows_loaded,
    "Rejected rows by retriever": rejected_rows,
    "Age of each source's token": newest_tokens,
    "Last runs that did not succeed": not_successes,
}


def test_every_panel_has_an_answer_to_compare_with():
    assert {panel["title"] for panel in BOARD["panels"]} == set(PANELS)


@pytest.mark.parametrize("chosen", [None, ["good", "cut"]], ids=["all", "some"])
@pytest.mark.parametrize("panel", BOARD["panels"], ids=[panel["title"] for panel in BOARD["panels"]])
def test_a_panel_shows_what_the_runs_report(world, panel, chosen):
    _, database, reports = world
    now = datetime.now(timezone.utc)
    sql = statement(panel["targets"][0]["rawSql"], BOARD, {"retriever": chosen} if chosen else {}, now - timedelta(days=1), now)
    assert interval_of(BOARD) == "1h"
    expected = PANELS[panel["title"]]([report for report in reports if not chosen or report["retriever"] in chosen])
    shown = answer(database, sql)
    for row in shown:  # what is counted until now
        for name in {"lag", "age"} & row.keys():
            if row[name] is not None:
                since = moment(row["until" if name == "lag" else "set at"])
                assert abs(row[name] - (now - since).total_seconds()) < 60
                row[name] = "now"
    if panel["title"] == "Last runs that did not succeed":
        for row in shown:  # of a run without a source the keeper has nothing to tell
            row["refused"] = row["refused"] if row["requests"] is not None else None
    assert_same(shown, [{name: value for name, value in row.items()} for row in expected])
    nothing = statement(panel["targets"][0]["rawSql"], BOARD, {}, now + timedelta(days=1), now + timedelta(days=2))
    if panel["title"] != "Lag of each retriever":
        assert all(value is None for row in answer(database, nothing) for value in row.values())


def test_the_reader_of_a_migrated_database_sees_the_views_only(world):
    _, database, _ = world
    for view in view_names():
        answer(database, f"SELECT * FROM {view} LIMIT 1")
    database.cluster.query(database.name, "SELECT * FROM collection_run", user="purser_reader", check=False)
    assert "permission denied" in database.cluster.error


def test_a_run_whose_results_waited_is_recorded_once_when_they_are_loaded(prefix, cluster, lab):
    database = Postgres(cluster)
    lab.more = f"sink: {{postgres: {{dsn: \"{cluster.dsn(database.name)}\"}}}}\n"
    api(lab)
    assert run(lab, GOOD, name="good", sources=["api"]).status == 0
    cluster.stop()
    try:
        done = run(lab, GOOD, name="good", sources=["api"])
    finally:
        cluster.start()
    assert done.report["status"] == "not-loaded", done.text
    assert one(database, "SELECT count(*) FROM collection_run") == "1"
    assert lab.purser("run").status == 0
    rows = database.query("SELECT purser_run, status, sources IS NULL, refusals IS NULL FROM collection_run ORDER BY 1")
    assert len(rows) == 3 and {row[1] for row in rows} == {"ok"}
    assert [row[2:] for row in rows] == [("f", "f")] * 3
    assert database.query("SELECT requests, refused, new_or_changed + unchanged, rejected FROM metrics_collection") == \
        [("3", "1", "6", "1")] * 3
    assert one(database, "SELECT count(*) FROM ingest_ledger WHERE purser_run NOT IN (SELECT purser_run FROM collection_run)") == "0"


def test_of_a_run_that_was_killed_nobody_knows_what_it_had_called(prefix, cluster, lab):
    """And that is not zero."""
    database = Postgres(cluster)
    lab.more = f"sink: {{postgres: {{dsn: \"{cluster.dsn(database.name)}\"}}}}\n"
    api(lab)
    with_inside(lab, "killed")
    lab.retriever("killed", script="from inside import *\nonce('/a')\nopen(os.environ['OUTPUTDIR'] + '/n.dat', 'w').write('1')\n"
                  "print('WRITTEN', flush=True)\nimport time\ntime.sleep(60)\n", sources=["api"])
    process = lab.start("run", "killed")
    wait_until(lambda: any("WRITTEN" in path.read_text() for path in (lab.state / "runs").glob("*/log")))
    process.kill()
    process.wait()
    lab.retriever("killed", script="pass", sources=["api"])
    assert lab.purser("run", "killed").status in (0, 1)
    rows = database.query("SELECT status, requests IS NULL, refused IS NULL, new_or_changed FROM metrics_collection ORDER BY "
                          "started_at")
    assert rows == [("failed", "t", "t", "1"), ("ok", "f", "f", "0")]


def run_record(name="run-1", status="ok", sources='[{"name":"github","requests":5}]', exit_status=0):
    at = int(time.time() * 1_000_000)
    return pack(("text", name), ("text", "github"), ("text", status), ("i32", exit_status), ("i64", at - 60), ("i64", at),
                ("i64", at - 90), ("i64", at - 60), ("text", sources), ("text", ""))


def test_view_of_what_a_provider_has_left(database, clerk):
    limits = [{"name": "core", "limit": 5000, "remaining": 12, "reserved": 500, "reset": "2026-01-01T00:00:00Z"},
              {"name": "", "limit": None, "remaining": None, "reserved": 0, "reset": None}]
    sources = [{"name": "github", "requests": 5, "limits": limits}, {"name": "other", "requests": 0, "limits": []},
               {"name": "third", "requests": 0}]
    assert clerk.ask(Type.CLERK_RUN, run_record(sources=json.dumps(sources))).result == OK
    assert database.query("SELECT source, limit_name, limit_of, remaining, reserved, substr(CAST(reset_at AS text), 1, 10)"
                          " FROM metrics_collection_limit ORDER BY limit_name DESC") == \
        [("github", "core", "5000", "12", "500", "2026-01-01"), ("github", "", "", "", "0", "")]
    assert one(database, "SELECT count(*) FROM metrics_collection_source") == "3"


def test_a_run_that_is_recorded_stays_as_it_was(database, clerk):
    assert clerk.ask(Type.CLERK_RUN, run_record()).result == OK
    before = database.query("SELECT * FROM collection_run")
    for record in (run_record(), run_record(status="failed", exit_status=1), run_record(sources="")):
        assert clerk.ask(Type.CLERK_RUN, record).result == OK
    assert database.query("SELECT * FROM collection_run") == before
    assert clerk.ask(Type.CLERK_RUN, run_record("run-2", exit_status=-1, sources="")).result == OK
    assert database.query("SELECT exit_status IS NULL, sources IS NULL, refusals IS NULL FROM collection_run "
                          "WHERE purser_run = 'run-2'")[0] in [("t",) * 3, ("1",) * 3]
    done = clerk.ask(Type.CLERK_PRUNE, pack(("u8", 0), ("u64", 1), ("u64", 0), ("u64", 0)))
    assert done.rows["collection_run"] == 2 and clerk.count()["collection_run"] == 0

