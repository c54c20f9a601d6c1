"""The script of the attack corpus: sends each case as its bytes are, and says what came back. Copied beside inside.py.

After each case the same connection (where it is still open) and a fresh one ask for a marker that only they know: an answer
to anything else, or a byte too much, is a connection that was taken out of step.
"""

import json
import re
import select
import ssl
import sys
import time
from pathlib import Path

from inside import KEY, PROXY, Client, Reply, connect, os, say, trust

LEASES = {host: os.environ.get(name, "") for host, name in json.loads(Path(__file__).with_name("leases.json").read_text()).items()}
BASES = {"base.test": "/v3", "gitlab.test": "/api/v4"}
PATIENCE = 10  # s: an answer that does not come is a finding, not a wait
UNFINISHED = 0.1  # s that a request without an end is left lying


def fill(text, host, number):
    """The bytes of a case: what stands for a lease, the proxy's key or a long run of one character, put in."""
    lease = LEASES.get(host, LEASES["api.test"])
    text = text.replace("NUMBER", str(number))
    text = re.sub(r"\{LEASE:([^}]*)\}", lambda hit: LEASES[hit[1]], text)
    for name, value in {"{LEASE}": lease, "{AUTH}": f"Authorization: Bearer {lease}\r\n", "{KEY}": KEY,
                        "{PORT}": str(PROXY.port), "{CUT}": lease[:-4]}.items():
        text = text.replace(name, value)
    return re.sub(r"\{(.+?)\*(\d+)\}", lambda hit: hit[1] * int(hit[2]), text).encode("latin-1")


def message(case, host, number):
    if "raw" in case:
        return fill(case["raw"], host, number)
    method, body = case.get("method", "GET"), fill(case.get("body", ""), host, number)
    lines = [f"{method} {case.get('target', f'/r/{number}')} HTTP/1.1", f"Host: {case.get('host', host)}"]
    if not case.get("bare"):
        lines.append("{AUTH}".rstrip())
    lines += case.get("headers", [])
    text = "".join(line.rstrip("\r\n") + "\r\n" for line in lines)
    if (body or method in ("POST", "PUT", "PATCH")) and not re.search("(?im)^(content-length|transfer-encoding)", text):
        text += f"Content-Length: {len(body)}\r\n"
    return fill(text.replace("{AUTH}\r\n", "{AUTH}") + "\r\n", host, number) + body


def open_to(case, host):
    way = case.get("way", "proxy")
    if way == "proxy" and ("sni" in case or "authority" in case):
        sock, reply = connect(case.get("authority", host + ":443"))
        if reply.status != 200:
            return None, reply
        client = Client.__new__(Client)
        client.sock = trust(False).wrap_socket(sock, server_hostname=case.get("sni", host) or None)
        client.host, client.stream = host, client.sock.makefile("rb")
        return client, None
    return Client(host, "base" if way == "tcp" else way), None


def marker(client, case, name):
    """Whether this connection answers what it is asked, and nothing else."""
    proxied = case.get("way", "proxy") == "proxy"
    place = BASES.get(client.host, "") if proxied else "/api"
    lease = LEASES[client.host if proxied and client.host in LEASES else "api.test"]
    host = client.host if proxied else f"127.0.0.1:{PROXY.port}"
    reply = client.raw(f"GET {place}/marker/{name} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {lease}\r\n\r\n")
    if client.host not in LEASES and proxied:  # where files are: nothing but a file is to be had
        return reply.code == "not-redirected" or f"the marker {name} was answered {reply.short}"
    return reply.body.decode("latin-1") == name or f"the marker {name} was answered {reply.short} {reply.body[:60]!r}"


def readable(client):
    return client.sock.pending() if isinstance(client.sock, ssl.SSLSocket) else 0 or select.select([client.sock], [], [], 0)[0]


def after(client, case, reply, name):
    """The state of the connection behind the last answer: True, or what is wrong with it."""
    closes = reply.get("connection") == "close" or (reply.get("content-length") is None and reply.status == 200
                                                    and reply.get("transfer-encoding") is None)
    if case.get("way") == "tcp" and reply.status == 200:
        return True  # a tunnel
    if closes or case.get("closed"):
        return client.is_closed() or "a byte came behind the last answer"
    return marker(client, case, name)


def tell(reply):
    if not reply.whole:
        raise EOFError("the answer broke off")
    headers = [(name, value.replace(f":{PROXY.port}/", ":{PORT}/")) for name, value in reply.headers]
    body = reply.body[:2000].decode("latin-1").replace(f":{PROXY.port}/", ":{PORT}/")
    return {"status": reply.status, "code": reply.code, "reason": reply.reason, "headers": headers, "body": body}


def attempt(case, number):
    host, told = case.get("host", "api.test"), {"replies": [], "after": True}
    try:
        client, refused = open_to(case, host)
        if refused:
            return {**told, "replies": [tell(refused)]}
        data, statuses = message(case, host, number), case["status"]
        client.sock.settimeout(PATIENCE)
        client.sock.sendall(data)
        if statuses is None:
            select.select([client.sock], [], [], UNFINISHED)
            told["after"] = not readable(client) or "a request without an end was answered"
            client.sock.close()
            return told
        for _ in statuses if isinstance(statuses, list) else [statuses]:
            reply = Reply(client.stream, case.get("method", data.split(b" ")[0].decode("latin-1")))
            told["replies"].append(tell(reply))
        time.sleep(case.get("wait", 0))
        told["after"] = after(client, case, reply, f"{number}-same")
    except (OSError, EOFError, ValueError) as fault:
        told["fault"] = f"{type(fault).__name__}: {fault}"
    return told


def main():
    cases = json.loads(Path(__file__).with_name("cases.json").read_text())
    for number, case in enumerate(cases):
        for before in case.get("first", []):
            attempt({"status": 0, **before}, number)
        told = attempt(case, number)
        try:
            told["marker"] = marker(Client("api.test"), {}, str(number))
        except (OSError, EOFError, ValueError) as fault:
            told["marker"] = f"{type(fault).__name__}: {fault}"
        say(number=number, **told)
        sys.stdout.flush()


main()
