"""docs/rotation.pml, the rotation's protocol: no promise breaks, and each does when a rule is left out."""

import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).resolve().parents[2] / "docs/rotation.pml"


def check(folder, *defines):
    """What pan says of the model."""
    subprocess.run(["spin", *defines, "-a", MODEL], cwd=folder, check=True, capture_output=True, timeout=60)
    subprocess.run(["cc", "-O1", "-DSAFETY", "-o", "pan", "pan.c"], cwd=folder, check=True, capture_output=True, timeout=120)
    done = subprocess.run(["./pan", "-m1000000"], cwd=folder, check=True, capture_output=True, text=True, timeout=240)
    assert "max search depth too small" not in done.stdout
    return done.stdout


def test_no_promise_breaks_however_often_the_process_dies(tmp_path):
    said = check(tmp_path, "-DCRASHES=6")
    assert "errors: 0" in said, said
    states = [line for line in said.splitlines() if line.endswith("states, stored")]
    assert int(states[0].split()[0]) > 1000


def test_no_promise_breaks_where_the_provider_makes_the_new_token_and_kills_the_old_one(tmp_path):
    said = check(tmp_path, "-DRENEW", "-DCRASHES=4")
    assert "errors: 0" in said, said


@pytest.mark.parametrize("rule, breaks", [
    (4, "alive[0]"),          # what may still be carried out is waited for
    (5, "alive[0]"),          # what nobody has the answer of is not asked again
    (6, "alive[held[me]]"),   # requests are held
])
def test_each_rule_of_that_is_needed(tmp_path, rule, breaks):
    said = check(tmp_path, "-DRENEW", f"-DBROKEN={rule}")
    assert "errors: 1" in said and "assertion violated" in said and breaks in said, said


@pytest.mark.parametrize("rule, breaks", [
    (1, "alive[held[me]]"),  # the new token is proven before it is given out
    (2, "alive[held[me]]"),  # agents are waited for before the old one is retired
    (3, "!(alive[drop])"),   # what the provider says it has retired is asked about
])
def test_each_rule_is_needed(tmp_path, rule, breaks):
    said = check(tmp_path, f"-DBROKEN={rule}")
    assert "errors: 1" in said and "assertion violated" in said and breaks in said, said
