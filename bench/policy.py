"""What the policy engine costs by itself, without a network: a decision with 1, 100 and 1,000 rules against asking each rule in
turn, GraphQL per kB, the search for a token per MB, a record of the audit. Two programs of bench/ measure it."""
import re
import subprocess
import sys

from measure import BenchError
from place import TOP

BUILD = TOP / "build/plain"


def program(name, *words):
    subprocess.run(["ninja", "-C", BUILD, f"bench/{name}"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    done = subprocess.run([BUILD / "bench" / name, *words], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise BenchError(f"{name}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def alone(place, wanted):
    if not wanted("policy"):
        return
    for line in program("bench-policy"):
        name, figure, unit, *scan = line.split()
        yield name, float(figure), float(scan[0]) if scan else None, "each rule" if scan else "", unit
    for line in program("bench-audit", str(place.folder / "bench-audit.ndjson")):
        if found := re.match(r"audit add\+write, 8 a write: (\d+) ns", line):
            yield "audit-record", int(found[1]) / 1000, None, "", "us"
