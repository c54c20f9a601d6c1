"""What a retriever's container can reach in a real pod: tried by a script inside it, with a neighbour beside it that holds a lease
and leaves results. Neither the token, nor the neighbour's lease, output or socket, nor a service account's token is there."""
import json

import pytest
from test_cluster_releases import SMALL

pytestmark = pytest.mark.cluster

# The neighbour: holds its lease while the spy looks, and has left something by then.
NEIGHBOUR = """
import os, time
from pathlib import Path
Path(os.environ["OUTPUTDIR"], "mark.dat").write_text("4711\\n")
Path("/tmp/NEIGHBOURS-MARK").write_text("NEIGHBOURS-SECRET-MARK")
print("LEASE", os.environ["GITHUB_TOKEN"][::-1], os.environ["HTTPS_PROXY"].rsplit(":", 1)[1], flush=True)
time.sleep(25)
"""

# The spy is told what to look for turned round, so that its own text does not hold it.
SPY = r"""
import base64, json, os, re, socket, ssl, time, urllib.error, urllib.request
from pathlib import Path

wanted = {"token": os.environ["TURNED_TOKEN"][::-1].encode(), "mark": b"KRAM-TERCES-SRUOBHGIEN"[::-1]}
own = os.environ["GITHUB_TOKEN"].encode()
found, read = [], {"files": 0, "memory": 0, "answers": 0}

def search(data, where, kind):
    read[kind] += len(data)
    for name, value in wanted.items():
        forms = [value, base64.b64encode(value)[:-3], value.hex().encode()]
        if any(form in data for form in forms):
            found.append(f"{name} in {where}")
    for lease in re.findall(rb"psl_1[A-Za-z0-9_-]{40,}", data):
        if not own.startswith(lease[:60]) and not lease.startswith(own[:60]):
            found.append(f"another's lease in {where}")

def memory(pid):
    for line in open(f"/proc/{pid}/maps"):
        span, mode, *_ = line.split()
        if mode[0] == "r" and "[v" not in line:
            begin, end = (int(each, 16) for each in span.split("-"))
            with open(f"/proc/{pid}/mem", "rb", 0) as mem:
                mem.seek(begin)
                try:
                    data = mem.read(min(end - begin, 64 << 20))
                except OSError:
                    continue
            # of this process, what it was told to look for is there
            if pid != os.getpid():
                search(data, f"the memory of {pid}", "memory")

request = urllib.request.Request("https://api.github.com/repos/linkerd/linkerd2", headers={"Authorization": "Bearer " + own.decode()})
with urllib.request.urlopen(request) as answer:
    search(str(answer.headers).encode() + answer.read(), "an answer", "answers")

for root, folders, files in os.walk("/"):
    folders[:] = [each for each in folders if f"{root}/{each}".replace("//", "/") not in ("/proc", "/sys", "/usr", "/lib", "/opt")]
    for name in files:
        path = Path(root, name)
        try:
            if path.is_file() and path.stat().st_size < 8 << 20:
                search(path.read_bytes(), str(path), "files")
        except OSError:
            pass
processes = sorted(int(each) for each in os.listdir("/proc") if each.isdigit())
refused = []
for pid in processes:
    for name in "environ", "cmdline":
        try:
            data = Path(f"/proc/{pid}/{name}").read_bytes()
            if pid != os.getpid():
                search(data, f"{name} of {pid}", "memory")
        except OSError as fault:
            refused.append(f"{name} of {pid}")
    try:
        memory(pid)
    except OSError as fault:
        refused.append(f"memory of {pid}")

def reach(*place):
    try:
        socket.create_connection(place, 3).close()
        return True
    except OSError as fault:
        return str(fault)

# The ports that the neighbour's gate could have: without its key they are of no use.
listening = {int(line.split()[1].split(":")[1], 16) for line in open("/proc/net/tcp").readlines()[1:] if line.split()[3] == "0A"}
mine = int(os.environ["HTTPS_PROXY"].rsplit(":", 1)[1])
others = sorted(listening - {mine})
tried = {}
for port in others:
    try:
        sock = socket.create_connection(("127.0.0.1", port), 3)
        sock.sendall(b"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n")
        tried[port] = sock.recv(200).decode(errors="replace").split("\r\n")[0]
    except OSError as fault:
        tried[port] = str(fault)

there = [place for place in ("/var/run/secrets/kubernetes.io", "/run/secrets/kubernetes.io", "/etc/purser", "/etc/purser-sink", "/etc/purser-audit",
                             "/var/lib/purser", "/run/purser/neighbour", "/run/purser/spy", "/purser/output/mark.dat") if os.path.exists(place)]
writable = [place for place in ("/", "/purser/bin", "/files", "/etc", "/usr/local") if os.access(place, os.W_OK)]
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
print("SPIED " + json.dumps({
    "found": found, "read": read, "refused": refused, "processes": len(processes), "there": there, "writable": writable,
    "run": sorted(os.listdir("/run/purser")), "tried": tried, "uid": os.getuid(), "caps": status["CapEff"].strip(),
    "privileges": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(),
    "past": {"apis": reach("140.82.121.5", 443), "api server": reach(os.environ.get("KUBERNETES_SERVICE_HOST", "10.96.0.1"), 443),
             "database": reach("ci-purser-postgresql", 5432)},
    "names": sorted(os.environ)}), flush=True)
"""


@pytest.fixture(scope="module")
def spied(kubernetes):
    token = kubernetes.tokens["github"].read_text()
    with kubernetes.space("isolation") as space:
        space.secret("github-token", token=token)
        common = {"sources": ["github"], "script": {"name": "main.py"}, "image": {"name": "localhost/tests/collectors", "tag": "1", "prebaked": True}}
        space.install({
            **SMALL,
            "retrievers": [{"name": "neighbour", **common},
                           {"name": "spy", **common, "env": [{"name": "TURNED_TOKEN", "value": token[::-1]}]}],
            "files": {"neighbour": {"main.py": NEIGHBOUR}, "spy": {"main.py": "import time; time.sleep(4)\n" + SPY}}})
        assert space.run("one") == "Complete"
        said = next(line for line in space.logs("one", "spy").splitlines() if "SPIED " in line)
        neighbour = next(line for line in space.logs("one", "neighbour").splitlines() if "LEASE " in line)
        yield space, json.loads(said.split("SPIED ", 1)[1]), neighbour.split("LEASE ")[1].split()


def test_nothing_secret_of_purser_or_of_another_is_within_reach(spied):
    _, seen, _ = spied
    assert seen["found"] == []
    assert seen["there"] == [] and seen["run"] == ["http", "run"]
    assert not [name for name in seen["names"] if name.startswith("KUBERNETES_") and name != "KUBERNETES_SERVICE_HOST"
                and not name.startswith("KUBERNETES_SERVICE_PORT") and not name.startswith("KUBERNETES_PORT")]
    # That it has looked at something, and could have found it.
    assert seen["read"]["files"] > 10_000 and seen["read"]["answers"] > 100


def test_the_container_sees_its_own_processes_alone_and_can_write_nothing_of_its_image(spied):
    _, seen, _ = spied
    assert seen["processes"] <= 3 and seen["writable"] == []
    assert seen["uid"] == 65601 and int(seen["caps"], 16) == 0 and seen["privileges"] == "1" and seen["seccomp"] == "2"


def test_the_neighbours_port_is_of_no_use_without_its_key(spied):
    _, seen, (_, port) = spied
    assert not [said for said in seen["tried"].values() if " 200" in said], seen["tried"]
    if port in seen["tried"]:
        assert "407" in seen["tried"][port] or "denied" in seen["tried"][port].lower(), seen["tried"]


def test_connections_past_the_gate_are_refused_by_the_runners_own_walls(spied):
    _, seen, _ = spied
    assert True not in seen["past"].values(), seen["past"]


def test_what_the_neighbour_left_is_loaded_all_the_same(spied):
    space, _, _ = spied
    assert space.rows("SELECT retriever, name, value FROM metric_sample") == [("neighbour", "mark", "4711")]


def test_the_service_account_may_get_the_named_secret_and_nothing_else(spied):
    space, _, _ = spied
    account = f"system:serviceaccount:{space.name}:ci-purser"

    def may(*words):
        return space.kubectl("auth", "can-i", *words, f"--as={account}", check=False).stdout.strip()
    assert may("get", "secrets/github-token") == "yes"
    for words in (["list", "secrets"], ["get", "secrets"], ["get", "secrets/ci-purser-postgresql"], ["watch", "secrets"],
                  ["create", "pods"], ["get", "configmaps"], ["create", "serviceaccounts", "--subresource=token"]):
        assert may(*words) == "no", words
