"""The dashboards themselves: made from their source, what Grafana's own types say, and that each number is defined."""
import json
import re
import subprocess
from pathlib import Path

import pytest
from grafana import FOLDER, TOP, dashboards

BOARDS = dashboards()


def all_panels():
    return [(board, panel) for board in BOARDS for panel in board["panels"]]


def test_the_dashboards_are_what_their_source_makes(tmp_path):
    subprocess.run([FOLDER / "make", "--into", tmp_path], check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    assert made == {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}, "run chart/dashboards/make"


def grafana_says(clients, *paths):
    done = subprocess.run([clients, Path(__file__).with_name("grafana_types.py"), *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_dashboards_are_of_grafanas_own_types(clients):
    assert grafana_says(clients, *sorted(FOLDER.glob("*.json"))) == []


@pytest.mark.parametrize("spoil, said", [
    (lambda board: board["panels"][0].update(tilte="x"), "tilte: Grafana does not know it"),
    (lambda board: board["panels"][1]["fieldConfig"]["defaults"]["custom"].update(drawStyle="sticks"), "GraphDrawStyle"),
    (lambda board: board["panels"][0]["gridPos"].update(h="8"), "'8' is no int"),
    (lambda board: board["panels"][0]["links"][0].update(targetBlank="yes"), "'yes' is no bool"),
    (lambda board: board["templating"]["list"][1].update(refresh=7), "VariableRefresh"),
    (lambda board: board["panels"][1]["options"]["legend"].update(calcs="mean"), "calcs"),
])
def test_a_mistake_in_a_dashboard_is_found(clients, tmp_path, spoil, said):
    board = json.loads((FOLDER / "ci-values.json").read_text())
    spoil(board)
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(board))
    assert said in " ".join(grafana_says(clients, path))


def headings():
    """As a reader's browser names them."""
    text = (TOP / "docs/metrics.md").read_text()
    return {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
            for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("board, panel", all_panels(), ids=[f"{board['uid']}-{panel['title']}" for board, panel in all_panels()])
def test_each_panel_says_what_it_shows_and_links_to_its_definition(board, panel):
    (link,) = panel["links"]
    place, anchor = link["url"].split("#")
    assert place == "${docs}" and anchor in headings()
    assert panel["description"].endswith(".") and len(panel["description"]) > 15
    assert panel["datasource"]["uid"] == "${datasource}" == panel["targets"][0]["datasource"]["uid"]
    assert panel["fieldConfig"]["defaults"]["noValue"] == "no data"


def test_identifiers_are_fixed_and_places_do_not_overlap():
    assert len({board["uid"] for board in BOARDS}) == len(BOARDS) == 5
    for board in BOARDS:
        assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))
        assert len({panel["title"] for panel in board["panels"]}) == len(board["panels"])
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            assert not cells & taken and max(x for x, _ in cells) < 24
            taken |= cells


def test_panels_ask_views_only():
    views = set(re.findall(r"^CREATE VIEW (\w+)", (TOP / "src/clerk/views.sql").read_text(), re.MULTILINE))
    asked = set()
    for board, panel in all_panels():
        sql = panel["targets"][0]["rawSql"]
        asked |= {name for name in re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", sql) if name not in ("seen", "now", "extract")}
    assert asked <= views, asked - views
