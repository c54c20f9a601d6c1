"""docs/rotation.pml, the rotation's protocol: no promise breaks, and each does when a rule is left out."""

import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).resolve().parents[2] / "docs/rotation.pml"


def check(folder, *defines):
    """What pan says of the model."""
    subprocess.run(["spin", *defines, "-a", MODEL], cwd=folder, check=True, capture_output=True, timeout=60)
    subprocess.run(["cc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"], cwd=folder, check=True, capture_output=True, timeout=120)
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


def test_no_promise_breaks_where_the_lock_is_taken_over_and_the_first_one_wakes_up(tmp_path):
    """Two at a time, three in all, each with a new rotation, --resume or --abort; one write of one of them comes late."""
    said = check(tmp_path, "-DTAKEOVER")
    assert "errors: 0" in said, said
    states = [line for line in said.splitlines() if line.endswith("states, stored")]
    assert float(states[0].split()[0]) > 100000


@pytest.mark.parametrize("rule, breaks", [
    (7, "alive[held]"),    # a step whose line the store did not take is not taken
    (8, "past[me]"),       # who takes over makes the other's writes fail
    (9, "late_past"),      # ... also where the other has let the lock go: a write of his may be under way
    (10, "alive[0]"),      # what is removed is what was looked at
    (11, "(cur==o)"),      # what is staged replaces what was looked at
    (12, "alive[held]"),   # what may be about to be retired is not kept before it cannot be any more
    (13, "alive[held]"),   # the provider is told soon after the line that says so, or not at all
])
def test_each_rule_of_the_takeover_is_needed(tmp_path, rule, breaks):
    said = check(tmp_path, "-DTAKEOVER", f"-DLATE={int(rule != 10)}", f"-DBROKEN={rule}")
    assert "errors: 1" in said and "assertion violated" in said and breaks in said, said
