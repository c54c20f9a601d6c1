"""purser between a client and an API, against others that put a header on a request."""
import os
import subprocess
import threading
import time

from measure import (RESULT, BenchError, Child, PeerSide, PurserSide, free_port, listens, median, pss_bytes,
                     wait_until)
from place import ADDRESS, HOST, TOP

ROUNDS = 7
REQUESTS = {("unix", 1): 4000, ("unix", 64): 20000, ("tcp", 1): 4000, ("tcp", 64): 20000}
MITMPROXY = "mitmproxy==11.0.2"


def interleave(purser, peer, rounds, requests):
    """Rounds of both in turn; the first of each is a warm-up. Two lists of (CPU, p50)."""
    ours, theirs = [], []
    for _ in range(rounds + 1):
        ours.append(purser.round(requests))
        theirs.append(peer.round(requests))
    return ours[1:], theirs[1:]


def against_nginx(place, wanted):
    """proxy-cpu-*, proxy-latency-1, memory-*: one purser and one nginx, driven in turn."""
    kinds = [kind for kind in REQUESTS if wanted(f"proxy-cpu-{kind[0]}-{kind[1]}")
             or (kind == ("unix", 1) and wanted("proxy-latency-1"))]
    memory = wanted("memory-idle") or wanted("memory-64")
    specs = [f"{transport}:{n}:{REQUESTS[transport, n]}" for transport, n in kinds for _ in range(ROUNDS + 1)]
    if memory:
        specs.append("unix:64:20000")
    if not specs:
        return
    port = free_port()
    with place.upstream(), place.peer(port) as nginx, place.purser_side("nginx-purser", specs).child as run:
        purser = PurserSide(run)
        socket = place.folder / "peer/socket"
        wait_until("the peer", socket.exists)
        with place.peer_load("nginx-load", specs, LOAD_UNIX=socket, LOAD_TCP=f"http://127.0.0.1:{port}") as load:
            peer = PeerSide(load, nginx.pid)
            purser.ready()
            peer.ready()
            idle = pss_bytes(purser.servers()), pss_bytes(peer.servers())
            for transport, n in kinds:
                ours, theirs = interleave(purser, peer, ROUNDS, REQUESTS[transport, n])
                name = f"proxy-cpu-{transport}-{n}"
                if wanted(name):
                    yield name, median(c for c, _ in ours), median(c for c, _ in theirs), "nginx", "us"
                if (transport, n) == ("unix", 1) and wanted("proxy-latency-1"):
                    yield "proxy-latency-1", median(p for _, p in ours), median(p for _, p in theirs), "nginx", "us"
            if memory:
                busy = peak_memory(purser, 20000), peak_memory(peer, 20000)
                for name, (ours, theirs) in (("memory-idle", idle), ("memory-64", busy)):
                    if wanted(name):
                        yield name, ours / 1e6, theirs / 1e6, "nginx", "MB"
            purser.finish()
            peer.finish()


def peak_memory(side, requests):
    """The most PSS that was seen while the connections were open and busy."""
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(pss_bytes(side.servers()))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        side.round(requests)
    finally:
        done.set()
        watcher.join()
    return max(seen)


def start(place, wanted):
    """From exec to the first answer, upstream handshake and load generator included in both."""
    if not wanted("start"):
        return
    ours, theirs = [], []
    with place.upstream():
        config = place.configure("start-purser", ["unix:1:1"])
        for _ in range(ROUNDS + 1):
            ours.append(first_answer([place.purser, "run", "--file", config], {}))
            theirs.append(peer_start(place))
    yield "start", median(ours[1:]), median(theirs[1:]), "nginx", "ms"


def first_answer(words, env, began=None):
    began = began or time.monotonic_ns()
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**os.environ, **env})
    said = done.stdout.decode(errors="replace")
    match = RESULT.search(said)
    if not match or int(match.group(5)):
        raise BenchError(f"no answer: {said[-800:]}")
    return (int(match.group(6)) - began) / 1e6


def peer_start(place):
    socket = place.folder / "peer/socket"
    began = time.monotonic_ns()
    with place.peer(free_port()):
        while not socket.exists():
            time.sleep(0.0002)
        env = {"LOAD_UNIX": str(socket), "LOAD_PATH": "/data.json", "BENCH_TOKEN": "x"}
        return first_answer([place.load, "unix:1:1"], env, began)


def tls_proxies(place, wanted):
    for name, peer in (("tls-proxy-squid", squid), ("tls-proxy-mitmproxy", mitmproxy)):
        if wanted(name):
            yield against_tls_proxy(place, name, peer)


def against_tls_proxy(place, name, start_peer):
    connections, requests, rounds = (16, 3000, 5) if "squid" in name else (16, 800, 3)
    specs = [f"proxy:{connections}:{requests}"] * (rounds + 1)
    port = free_port()
    with place.upstream(), start_peer(place, port) as proxy, place.purser_side(name, specs).child as run:
        purser = PurserSide(run)
        wait_until(name, lambda: proxy.process.poll() is not None or listens("127.0.0.1", port), 60)
        if proxy.process.poll() is not None:
            raise BenchError(f"the peer of {name} does not start; see {proxy.log}")
        with place.peer_load(f"{name}-load", specs, LOAD_PROXY=f"http://127.0.0.1:{port}",
                             SSL_CERT_FILE=place.folder / "proxy-ca.pem") as load:
            peer = PeerSide(load, proxy.pid)
            purser.ready()
            peer.ready()
            ours, theirs = interleave(purser, peer, rounds, requests)
            purser.finish()
            peer.finish()
    return name, median(c for c, _ in ours), median(c for c, _ in theirs), name.removeprefix("tls-proxy-"), "us"


def proxy_ca(place):
    """What the peers sign with, key and certificate in one file as both want it; and what their clients trust."""
    both = place.folder / "proxy-both.pem"
    place.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", "proxy-ca.key", "-out", "proxy-ca.pem", "-days", "3", "-subj", "/CN=proxy CA",
               "-addext", "basicConstraints=critical,CA:TRUE"], cwd=place.folder)
    both.write_bytes((place.folder / "proxy-ca.key").read_bytes() + (place.folder / "proxy-ca.pem").read_bytes())
    return both


def squid(place, port):
    folder = place.folder / "squid"
    folder.mkdir()
    helper = "/usr/lib/squid/security_file_certgen"
    place.run([helper, "-c", "-s", folder / "certificates", "-M", "4MB"])
    (folder / "hosts").write_text(f"{ADDRESS} {HOST}\n")
    (folder / "squid.conf").write_text(f"""
http_port 127.0.0.1:{port} ssl-bump tls-cert={proxy_ca(place)} generate-host-certificates=on
sslcrtd_program {helper} -s {folder}/certificates -M 4MB
sslcrtd_children 2 startup=1 idle=1
acl step1 at_step SslBump1
ssl_bump stare step1
ssl_bump bump all
tls_outgoing_options cafile={place.folder}/ca.pem
request_header_access Authorization deny all
request_header_add Authorization "Bearer {place.token}" all
http_access allow all
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/squid.pid
hosts_file {folder}/hosts
coredump_dir {folder}
visible_hostname bench
cache_effective_user proxy
shutdown_lifetime 0 seconds
pinger_enable off
""")
    place.run(["chown", "-R", "proxy:", folder, place.folder / "proxy-both.pem"])
    return Child(["/usr/sbin/squid", "-N", "-n", f"bench{os.getpid()}", "-f", folder / "squid.conf"], folder / "out.log")


def mitmproxy(place, port):
    folder = place.folder / "mitmproxy"
    folder.mkdir()
    venv = TOP / "build/mitmproxy"
    if not (venv / "installed").exists():
        place.run(["/usr/bin/python3", "-m", "venv", "--clear", venv])
        place.run([venv / "bin/pip", "-q", "--disable-pip-version-check", "install", MITMPROXY])
        (venv / "installed").touch()
    both = proxy_ca(place)
    (folder / "mitmproxy-ca.pem").write_bytes(both.read_bytes())
    # The address is set for the whole tunnel: one that is changed at the dial is not the one that the next request looks
    # for, so each opens a connection of its own, and mitmproxy waits without end for the sixth to one address.
    (folder / "dial.py").write_text(f"""
def http_connect(flow):
    flow.request.host = "{ADDRESS}"


def request(flow):
    flow.request.headers["Authorization"] = "Bearer {place.token}"
""")
    return Child([venv / "bin/mitmdump", "-q", "--listen-host", "127.0.0.1", "-p", port, "--set", f"confdir={folder}",
                  "--set", f"ssl_verify_upstream_trusted_ca={place.folder}/ca.pem", "--set",
                  "connection_strategy=lazy", "-s", folder / "dial.py"], folder / "out.log")
