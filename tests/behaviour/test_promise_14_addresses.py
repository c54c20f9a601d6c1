"""Promise 14: private, loopback, link-local and metadata addresses are refused after resolution unless the source allows
them; and the address that was checked is the one dialled. Through the real proxy."""
from lab import Answer
from promise import api, run


def source(lab, name, host, **keys):
    """A source that the laboratory adds no permission to."""
    lab.source(name, host, tokenEnv=["API_TOKEN"], **keys)


def test_loopback_is_refused_unless_the_source_allows_it(lab):
    upstream, _ = api(lab, lambda request: Answer(200, b"reached"))
    source(lab, "api", "api.test", token=None, allowPrivateAddresses=[])
    done = run(lab, "say(**once())")
    assert done.said[0]["code"] == "upstream-address" and "127.0.0.1" in done.said[0]["reason"], done.text
    assert upstream.connections == 0
    source(lab, "api", "api.test", token=None, allowPrivateAddresses=["127.0.0.0/8"])
    done = run(lab, "say(**once())")
    assert done.said[0]["status"] == 200, done.text


def test_a_name_that_resolves_to_loopback_is_no_way_around(lab):
    """localhost resolves: what is checked is the address, not the name."""
    source(lab, "api", "localhost", token="t" * 20)
    done = run(lab, "say(**Client('localhost').ask().short)")
    assert done.said[0]["code"] == "upstream-address", done.text


def test_metadata_and_link_local_are_refused_whatever_is_allowed(lab):
    """A network that holds them is not even read; a name or an address that leads there is refused at the dial."""
    api(lab)
    for network in ("0.0.0.0/0", "169.254.0.0/16", "::/0", "fe80::/10", "fd00:ec2::254"):
        source(lab, "api", "api.test", token=None, allowPrivateAddresses=[network])
        lab.retriever("script", "", sources=["api"])
        done = lab.purser("check")
        assert done.status != 0 and network in done.text and "no source may ever lie there" in done.text, done.text
    for address in ("169.254.169.254:443", "[fe80::1]:443", "[fd00:ec2::254]:443", "[::ffff:169.254.169.254]:443"):
        source(lab, "api", "api.test", token=None, connectTo=address, allowPrivateAddresses=["127.0.0.1"])
        done = lab.purser("run")
        assert done.status != 0 and "no source may ever lie there" in done.text, (address, done.text)
    for address in ("0.0.0.0:443", "10.0.0.1:443", "[::]:443", "[fd00::1]:443"):
        source(lab, "api", "api.test", token=None, connectTo=address, allowPrivateAddresses=["127.0.0.1"])
        done = run(lab, "say(**once())")
        assert done.said and done.said[0]["code"] == "upstream-address", (address, done.text)


def test_egress_obeys_the_same_rule_and_may_not_name_a_sources_host(lab):
    api(lab)
    lab.upstream("plain.test", lambda request: Answer(200, b"x"))
    port = lab.upstreams["plain.test"].port
    done = run(lab, f"say(**connect('localhost:{port}')[1].short)\nsay(**connect('169.254.169.254:80')[1].short)",
               egress=[f"localhost:{port}", "169.254.169.254:80"])
    assert done.said and all(what["status"] in (403, 502) for what in done.said), done.text
    assert lab.upstreams["plain.test"].connections == 0
    lab.retriever("script", "", sources=["api"], egress=["api.test"])
    refused = lab.purser("run")
    assert refused.status != 0 and "egress" in refused.text and "api.test" in refused.text, refused.text
