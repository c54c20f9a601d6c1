"""What one client makes purser hold is its own: a run of hostile connections disturbs no other run, memory stays bounded, and
descriptors do not run out. The limits are those of the table in SECURITY.md."""
import ctypes
import json
import os
import resource
import socket
import subprocess
import threading
import time
from pathlib import Path

import ipc
import keeper_driver
import pytest
from gate_driver import Gate, Source, answer
from ipc import Type, pack
from keeper_driver import Keeper
from keeper_world import HOST, authority, world  # noqa: F401
from lab import Answer
from promise import api, role, said, wait_until, with_inside
from test_leases import EXAMPLE
from upstream import Upstream, serve

MB = 1024  # kB, as /proc has it
HOSTILE = """
    from inside import *
    import threading, time
    END = time.monotonic() + %d
    def connect():
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(os.environ["PURSER_SOCKET"])
        return sock
    def huge_head(sock):
        sock.sendall(b"GET /api/x HTTP/1.1\\r\\n" + b"".join(b"X-%%d: %%s\\r\\n" %% (n, b"h" * 600) for n in range(90)))
        time.sleep(2)
    def slow_body(sock):
        sock.sendall(f"POST /api/x HTTP/1.1\\r\\nHost: x\\r\\n{LEASED}Content-Length: 1000000\\r\\n\\r\\n".encode())
        for _ in range(20):
            sock.sendall(b"b")
            time.sleep(0.1)
    def slow_reader(sock):
        sock.sendall(f"GET /api/large HTTP/1.1\\r\\nHost: x\\r\\n{LEASED}\\r\\n".encode())
        for _ in range(20):
            sock.recv(10)
            time.sleep(0.1)
    def pipeline(sock):
        sock.sendall(f"GET /api/x HTTP/1.1\\r\\nHost: x\\r\\n{LEASED}\\r\\n".encode() * 200)
        time.sleep(2)
    def refused(sock):
        sock.sendall(b"DELETE /api/x HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" * 100)
        for _ in range(50):
            sock.recv(65536)
    def rubbish(sock):
        sock.sendall(os.urandom(3000))
        sock.recv(10)
    WAYS = [huge_head, slow_body, slow_reader, pipeline, refused, rubbish]
    done = [0] * len(WAYS)
    def work(way):
        while time.monotonic() < END:
            try:
                with connect() as sock:
                    WAYS[way](sock)
            except OSError:
                pass
            done[way] += 1
    threads = [threading.Thread(target=work, args=(n %% len(WAYS),), daemon=True) for n in range(256)]
    for thread in threads:
        thread.start()
    say(hostile=1)
    time.sleep(max(0, END - time.monotonic()))
    say(done=done)
    os._exit(0)
"""
GOOD = """
    from inside import *
    import time
    clients = [Client(way="proxy"), Client(way="socket")]
    took, END = [], time.monotonic() + %d
    while time.monotonic() < END:
        began = time.monotonic()
        reply = clients[len(took) %% 2].ask(("/x", "/other/x")[len(took) %% 2])
        took.append(time.monotonic() - began)
        assert reply.status == 200, reply.short
        time.sleep(0.02)
    took.sort()
    say(asked=len(took), median=took[len(took) // 2], most=took[-1], p99=took[len(took) * 99 // 100])
"""


def memory_of(pid):
    """Most memory that the process has ever had, kB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1])


def files_of(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.plain
def test_256_hostile_connections_of_one_run_do_not_disturb_another(lab):
    seconds = 12
    large = b"L" * 3_000_000
    api(lab, lambda request: Answer(200, large if "large" in request.target else b"{}"))
    api(lab, lambda request: Answer(200, b"{}"), name="other", host="other.test", variable="OTHER_TOKEN")
    for name, script, sources in (("hostile", HOSTILE, ["api"]), ("good", GOOD, ["other"])):
        with_inside(lab, name)
        text = script % seconds
        if name == "good":
            text = text.replace("from inside import *", "from inside import *\n    import inside\n    HOST = 'other.test'\n"
                                "    LEASED = f\"Authorization: Bearer {os.environ['OTHER_TOKEN']}\\r\\n\"\n"
                                "    Client.__init__.__defaults__ = ('other.test', 'proxy', None)\n"
                                "    Client.ask.__defaults__ = ('/x', 'GET', LEASED, b'', None)")
        lab.retriever(name, text, sources=sources)
    alone = lab.purser("run", "good")
    (quiet,) = said(alone.text)
    process = lab.start("run", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    keeper = role(process, "purser-keeper")
    gates, most_files = {}, 0
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    seen = {"keeper": 0}
    while process.poll() is None:
        try:
            seen["keeper"] = max(seen["keeper"], memory_of(keeper))
            most_files = max(most_files, files_of(keeper))
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and (entry / "comm").read_text() == "purser-gate\n" and str(process.pid) in (
                        entry / "stat").read_text().rpartition(")")[2].split()[:2]:
                    gates[entry.name] = max(gates.get(entry.name, 0), memory_of(entry.name))
        except (OSError, StopIteration):
            pass
        time.sleep(0.2)
    reader.join(10)
    what = {key: value for entry in said("".join(lines)) for key, value in entry.items()}
    print(json.dumps({"alone": quiet, "beside": what, "keeper MB": seen["keeper"] // MB,
                      "gates MB": sorted(value // MB for value in gates.values()), "keeper descriptors": most_files}))
    assert process.returncode == 0, "".join(lines)[-2000:]
    assert min(what["done"]) > 0, "each way was tried"
    assert what["asked"] > quiet["asked"] // 4, "the other run got on"
    assert what["p99"] < 1.0, "nobody waits long for its answer"
    assert seen["keeper"] < 120 * MB and max(gates.values()) < 100 * MB
    assert most_files < 1200


def test_a_gate_holds_no_more_than_its_clients_may_cost():
    gate = Gate([Source("api.test")])
    try:
        socks = []
        for n in range(256):
            while True:
                try:
                    sock = gate.unix()
                    break
                except BlockingIOError:  # the backlog is full for a moment
                    time.sleep(0.01)
            sock.setblocking(False)
            try:
                sock.send(b"POST /github/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + b"".join(
                    b"X-%d: %s\r\n" % (n, b"h" * 500) for n in range(100)))
            except BlockingIOError:
                pass
            socks.append(sock)
        time.sleep(1)
        assert memory_of(gate.process.pid) < 60 * MB
        assert files_of(gate.process.pid) < 256 + 40
        late = gate.unix()  # one more waits in the backlog, and is served when there is room
        late.sendall(b"GET /github/x HTTP/1.1\r\nHost: x\r\n\r\n")
        late.settimeout(1)
        with pytest.raises(TimeoutError):
            late.recv(1)
        socks.pop().close()
        late.settimeout(10)
        assert answer(late).status == 200
        for sock in socks:
            sock.close()
    finally:
        gate.stop()


def test_a_gate_in_somebodys_hands_has_as_many_streams_as_clients_and_others_have_theirs(world):  # noqa: F811
    go = threading.Event()

    def script(connection):
        while got := connection.request():
            if "wait" in got[0]:
                go.wait(30)
            connection.answer(b"good")

    w = world(script, budget=(0, 0, 0, 10**9, 0))
    other = w.keeper.run()
    lease = other.leases()[0]
    streams = []
    for _ in range(400):
        stream = w.run.stream()
        stream.sock.settimeout(5)
        try:
            stream.request("GET", "/wait", w.lease)
        except OSError:  # closed as soon as it came
            pass
        streams.append(stream)
    wait_until(lambda: len(w.upstream.heads) >= 255, what="all that may")
    time.sleep(0.5)
    assert len(w.upstream.heads) == 255, "256 streams of a run, one of which is the world's own"
    assert other.stream().get("/x", lease).body == b"good"
    assert files_of(w.keeper.process.pid) < 2 * 260 + 60
    go.set()
    for stream in streams:
        stream.close()
    wait_until(lambda: files_of(w.keeper.process.pid) < 64 + 60, what="their descriptors' end")


def test_when_descriptors_are_few_streams_are_fewer_and_no_run_is_lost(world):  # noqa: F811
    go = threading.Event()

    def script(connection):
        while connection.request():
            go.wait(30)
            connection.answer(b"good")

    w = world(script, budget=(0, 0, 0, 10**9, 0), before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1100, 1100)))
    streams = [w.run.stream() for _ in range(200)]
    for stream in streams:
        try:
            stream.request("GET", "/x", w.lease)
        except OSError:
            pass
    wait_until(lambda: len(w.upstream.heads) >= 37, what="all that may")
    time.sleep(0.5)
    assert len(w.upstream.heads) == 37, "(1,100 - 1,024) / 2 streams, one of which is the world's own"
    go.set()
    assert w.run.leases(), "the run's channel is there"
    w.run.close()
    assert w.keeper.audit()[-1]["event"] == "seal"


def test_refusals_without_end_are_counted_and_do_not_fill_the_disk(world):  # noqa: F811
    w = world(serve(lambda c: c.answer()))
    other = w.keeper.run()
    lease = other.leases()[0]
    for _ in range(3000):
        assert w.stream.get("/x", "psl_1AAAA").status == 401
    other.stream().get("/y", lease)
    sources, refusals = w.run.close()
    lines = w.keeper.audit()
    kept = [line for line in lines if line["event"] == "refused"]
    more = sum(line["count"] for line in lines if line["event"] == "refused.more")
    assert len(kept) + more == 3000 and 1000 <= len(kept) < 1500, (len(kept), more)
    assert refusals[0]["count"] == 3000, "the run's own report counts all"
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/y"]


def test_revocations_without_end_are_counted_and_do_not_fill_the_disk(world):  # noqa: F811
    """What was narrowed from a revoked lease makes room again: so a script can go on with it for ever."""
    w = world(serve(lambda c: c.answer()))
    own = w.lease
    names = {}
    exec(EXAMPLE, names)
    narrow = names["narrow"]

    def revoke(lease):
        ipc.send(w.stream.sock, Type.LEASE_ASK, pack(("u8", 1), ("text", lease)))
        return w.stream.answer().status

    for n in range(15):
        less = narrow(own, f"requests={n + 1}")
        assert {revoke(narrow(less, f"bytes={k + 1}")) for k in range(199)} == {200}
        assert revoke(less) == 200
    assert revoke(own) == 200
    w.run.close()
    lines = w.keeper.audit()
    kept = [line for line in lines if line["event"] == "lease.revoke"]
    more = sum(line["count"] for line in lines if line["event"] == "lease.revoke.more")
    assert len(kept) + more == 3001 and 1000 <= len(kept) < 1500, (len(kept), more)
    assert "message" not in kept[-1], "the run's own is always on record"


def test_leases_that_are_asked_for_again_are_the_same_and_on_record_once(world):  # noqa: F811
    w = world(serve(lambda c: c.answer()))
    assert {w.run.leases()[0] for _ in range(200)} == {w.lease}
    assert len([line for line in w.keeper.audit() if line["event"] == "lease.issue"]) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a resolv.conf of its own: as root only")
def test_a_client_that_leaves_while_a_name_is_looked_up_holds_up_nobody(authority, tmp_path):  # noqa: F811
    deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    deaf.bind(("127.0.0.99", 53))
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.99\noptions timeout:5 attempts:2\n")

    libc, real = ctypes.CDLL(None), os.path.realpath("/etc/resolv.conf").encode()

    def before():  # a mount namespace of its own, in which names are asked of nobody
        assert libc.unshare(0x20000) == 0 and libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None) == 0
        assert libc.mount(bytes(tmp_path / "resolv.conf"), real, None, 4096, None) == 0

    upstream = Upstream(serve(lambda c: c.answer(b"good")), *authority.leaf(HOST))
    keeper = Keeper([keeper_driver.Source("no.such.name.test", 443, name="lost"),
                     keeper_driver.Source(HOST, 443, ca=authority.bundle, name="good", connect_to=f"127.0.0.1:{upstream.port}")],
                    budget=(0, 0, 0, 10**9, 0), before=before)
    running = keeper.run(grants=[(0, 0), (1, 0)])
    leases = running.leases()
    good = running.stream()
    assert good.get("/x", leases[1], source=1).status == 200
    slowest = 0
    for _ in range(50):
        lost = running.stream()
        lost.request("GET", "/x", leases[0], source=0)
        time.sleep(0.01)
        lost.close()
        began = time.monotonic()
        assert good.get("/x", leases[1], source=1).status == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1, f"the loop stood still for {slowest:.1f} s"
    assert memory_of(keeper.process.pid) < 120 * MB
    keeper.stop()
    upstream.close()
    deaf.close()
