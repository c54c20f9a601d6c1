"""Hosts that a script needs and no source names (`egress:`): tunnelled untouched; every other one is refused with the key
that would allow it, and no name leads to an address that is not public (promise 14)."""

import hashlib
import os
import ssl

import pytest
from lab import Answer, Upstream
from netns import Network
from promise import api, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace: as root only")

PUBLIC = "93.184.216.34"  # of nobody but this test, in its own network
HOSTS = {"files.test": PUBLIC, "other.test": PUBLIC, "api.test": "127.0.0.1", "inner.test": "10.1.2.3",
         "loop.test": "127.0.0.1", "metadata.test": "169.254.169.254"}

SCRIPT = """
import hashlib
def fetch(host, port, cafile):
    sock, reply = connect(f"{host}:{port}")
    if reply.status != 200:
        body = json.loads(reply.body)
        say(host=host, port=port, message=body["message"], purser=body["purser"], **reply.short)
        return
    # Not the run's bundle: what is shown is the host's own certificate.
    secure = ssl.create_default_context(cafile=cafile).wrap_socket(sock, server_hostname=host)
    secure.sendall(f"GET /data HTTP/1.1\\r\\nHost: {host}\\r\\nCookie: mine=1\\r\\nAuthorization: Bearer own\\r\\n"
                   "X-Odd: untouched\\r\\n\\r\\n".encode())
    answer = Reply(secure.makefile("rb"))
    say(host=host, port=port, body=answer.body.decode(), cookie=answer.get("set-cookie"),
        certificate=hashlib.sha256(secure.getpeercert(binary_form=True)).hexdigest())
"""


@pytest.fixture
def network(lab):
    network = Network(HOSTS, lab.folder)
    lab.within = network.within
    yield network
    network.close()


def fetching(lab, *places):
    return SCRIPT + "".join(f"fetch({host!r}, {port}, {str(lab.folder / 'ca.pem')!r})\n" for host, port in places)


def test_a_named_host_is_reached_untouched_on_its_named_ports(lab, network):
    servers, certificates = {}, {}
    with network.inside():
        for port in (443, 8443):
            servers[port] = Upstream(lab, ["files.test"], lambda request: Answer(200, b"from the host", {"Set-Cookie": "s=1"}),
                                     address=(PUBLIC, port))
            certificates[port] = hashlib.sha256(ssl.PEM_cert_to_DER_cert((lab.folder / "files.test.pem").read_text()))
        upstream, _ = api(lab)
    done = run(lab, fetching(lab, ("files.test", 443), ("files.test", 8443), ("files.test", 9443)),
               egress=["files.test", "files.test:8443"])
    for server in servers.values():
        server.close()
    assert done.report["status"] == "ok", done.text
    *reached, refused = done.said
    assert reached == [{"host": "files.test", "port": port, "body": "from the host", "cookie": "s=1",
                        "certificate": certificates[port].hexdigest()} for port in servers]
    assert refused["status"] == 403 and refused["purser"] == "host-denied"
    assert "egress: [files.test:9443]" in refused["message"]
    for server in servers.values():
        [request] = server.requests
        assert request.header("X-Odd") == "untouched" and request.header("Cookie") == "mine=1"
        assert request.header("Authorization") == "Bearer own", "nothing is put on what is tunnelled"
    assert [event["host"] for event in lab.audit("tunnel")] == ["files.test"] * 2
    assert not upstream.requests


def test_a_host_that_is_not_named_is_refused_with_the_key_that_would_allow_it(lab, network):
    with network.inside():
        other = lab.upstream("other.test", lambda request: Answer(200), address=(PUBLIC, 443))
        api(lab)
    done = run(lab, fetching(lab, ("other.test", 443), ("sub.files.test", 443)), egress=["files.test"])
    for said, host in zip(done.said, ("other.test", "sub.files.test"), strict=True):
        assert said["status"] == 403 and said["purser"] == said["code"] == "host-denied"
        assert f"add egress: [{host}] to retriever script in purser.yaml" in said["message"]
        assert f"egress: [{host}]" in said["reason"], "some clients show no more than the reason"
        assert said["message"] in done.out, "the summary has the sentence"
    assert other.connections == 0
    assert {entry["host"] for entry in done.report["refusals"]} == {"other.test", "sub.files.test"}


def test_a_named_host_at_an_address_that_is_not_public_is_refused_always(lab, network):
    with network.inside():
        inner = lab.upstream("inner.test", lambda request: Answer(200), address=("10.1.2.3", 443))
        loop = lab.upstream("loop.test", lambda request: Answer(200), address=("127.0.0.1", 443))
        api(lab, allowPrivateAddresses=["127.0.0.0/8", "10.0.0.0/8"])  # a source's own permission, not egress's
    hosts = ["inner.test", "loop.test", "metadata.test", "10.1.2.3", "127.0.0.1"]
    done = run(lab, fetching(lab, *[(host, 443) for host in hosts]), egress=hosts)
    assert [said["host"] for said in done.said] == hosts
    for said in done.said:
        assert said["status"] == 502 and said["purser"] == "upstream-address", said
    assert inner.connections == loop.connections == 0
