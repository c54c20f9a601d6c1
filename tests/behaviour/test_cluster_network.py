"""The chart's NetworkPolicies, enforced: what a retriever's container and the database reach, tried in them by a process beside purser's
own walls; that a run needs nothing more; and that without the policies the same probes pass."""
import pytest
import yaml
from cluster_probes import EGRESS_GATEWAY, listening, probe
from cluster_world import APIS, GATEWAY, METADATA, merged
from helm import TOP
from test_cluster_releases import ONCE, SMALL

pytestmark = pytest.mark.cluster

REACHED, SILENT, OUT = "reached", "reached, but nobody listens", "kept out"
COLLECTORS = {"name": "localhost/tests/collectors", "tag": "1", "prebaked": True}
WAITING = merged(SMALL, {
    "retrievers": [{"name": "waits", "script": {"name": "waits.py"}, "sources": ["github"], "image": COLLECTORS}],
    "files": {"waits": {"waits.py": "import time\nprint('BEGUN', flush=True)\ntime.sleep(3000)\n"}}})
del WAITING["files"]["once"]
# Needs the index, too.
FETCHING = merged(SMALL, {"files": {"once": {"once.py": "import idna\n" + ONCE, "requirements.txt": "idna\n"}}})

PORTS = {"apiServer": {"ports": [6443]}, "ports": [80]}
# What is said beside the values above; each upgrade changes the policies of the pods that run.
PHASES = {
    "usual": {},
    "narrow": {"networkPolicy": {**PORTS, "databaseClients": [{"podSelector": {"matchLabels": {"app": "dashboards"}}}]}},
    "private": {"networkPolicy": PORTS, "grafana": {"dashboards": {"enabled": True}, "bundled": {
        "enabled": True, "image": {"pullPolicy": "Never"}}},
        "sources": [{**SMALL["sources"][0], "allowPrivateAddresses": ["10.0.0.0/8"]}]},
    "elsewhere": {"networkPolicy": {**PORTS, "internet": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}},
    "off": {"networkPolicy": {"enabled": False}},
}


@pytest.fixture(scope="module")
def probed(kubernetes):
    """{phase: {who: {place: what became of it}}}"""
    with kubernetes.space("network") as space, kubernetes.space("strangers") as strangers:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        stranger = listening(strangers, "stranger", 443, 8080, 5432)
        space.install(WAITING)
        labels = {"dashboards": {"app": "dashboards"}, "neighbour": {}, "grafana": {
            "app.kubernetes.io/name": "purser", "app.kubernetes.io/instance": "ci", "app.kubernetes.io/component": "grafana"}}
        for name, of in labels.items():
            listening(space, name, 8080, labels=of)
        space.job("waits")
        kubernetes.until("the script waits", lambda: "BEGUN" in space.kubectl("logs", "job/waits", "-c", "waits", check=False).stdout)
        pod = space.pod("waits")
        database = space.get("pod/ci-purser-postgresql-0")["status"]["podIP"]
        places = {
            "metadata": ("tcp", METADATA, 80), "metadata by TLS": ("tcp", METADATA, 443), "pod": ("tcp", stranger, 8080),
            "pod by TLS": ("tcp", stranger, 443), "another database": ("tcp", stranger, 5432), "api": ("tcp", APIS, 443),
            "api's other port": ("tcp", APIS, 8443), "kubelet": ("tcp", GATEWAY, 10250),
            "api server": ("tcp", "kubernetes.default.svc", 443),
            "name": ("name", "api.github.com", 443), "udp": ("udp", stranger, 8080), "database": ("tcp", database, 5432)}
        to_database = {"service": ("tcp", "ci-purser-postgresql.network.svc", 5432), "pod": ("tcp", database, 5432)}
        found = {}
        for phase, values in PHASES.items():
            if phase != "usual":
                space.install(merged(WAITING, values), command="upgrade")
            found[phase] = {
                "retriever": probe(space, pod["metadata"]["name"], places, "waits"),
                "database": probe(space, "ci-purser-postgresql-0", {name: place for name, place in places.items() if name != "database"}
                                  | {"retriever": ("tcp", pod["status"]["podIP"], 9999)}, "postgresql"),
                "stranger": probe(strangers, "stranger", {**to_database, "retriever": ("tcp", pod["status"]["podIP"], 9999)}),
                "grafana's way out": probe(space, "grafana", places),
                **{name: probe(space, name, to_database) for name in labels}}
        found["counted"] = kubernetes.kept_from()
        found["addresses"] = {"retriever": pod["status"]["podIP"], "database": database, "stranger": stranger}
        yield found


def let_through(seen):
    return {place for place, said in seen.items() if said != OUT}


def test_a_retriever_reaches_dns_the_apis_the_api_server_and_the_database(probed):
    """The rule for the API server, whose address the chart cannot know, opens 443 to any: `networkPolicy.apiServer` narrows it."""
    seen = probed["usual"]["retriever"]
    assert let_through(seen) == {"name", "api", "api server", "database", "pod by TLS", "metadata by TLS"}
    assert probed["narrow"]["retriever"]["name"] == REACHED


def test_a_retriever_reaches_neither_metadata_nor_other_pods_nor_the_node(probed):
    seen = probed["usual"]["retriever"]
    for place in "metadata", "pod", "another database", "api's other port", "kubelet", "udp":
        assert seen[place] == OUT, place
    counted, addresses = probed["counted"], probed["addresses"]
    assert {("egress", addresses["retriever"], where, "tcp", port) for where, port in (
        (METADATA, 80), (addresses["stranger"], 8080), (APIS, 8443), (GATEWAY, 10250))} <= counted


def test_with_the_api_servers_port_named_443_is_for_public_addresses_alone(probed):
    """Also where a port is opened at which metadata are served."""
    seen = probed["narrow"]["retriever"]
    assert let_through(seen) == {"name", "api", "api server", "database"}


def test_a_source_with_private_addresses_opens_them_and_still_no_metadata(probed):
    seen = probed["private"]["retriever"]
    assert let_through(seen) == {"name", "api", "api server", "database", "pod by TLS"}


def test_peers_of_ones_own_are_the_only_ones(probed):
    seen = probed["elsewhere"]["retriever"]
    assert let_through(seen) == {"name", "api server", "database"}


def test_the_database_goes_nowhere(probed):
    for phase in "usual", "narrow", "private", "elsewhere":
        seen = probed[phase]["database"]
        assert set(seen.values()) == {OUT}, seen


def test_the_database_is_reached_by_retrievers_alone_and_by_whom_the_values_name(probed):
    asked = "stranger", "dashboards", "neighbour", "grafana"
    clients = {phase: {who for who in asked if OUT not in (probed[phase][who]["service"], probed[phase][who]["pod"])} for phase in PHASES}
    assert clients == {"usual": set(), "narrow": {"dashboards"}, "private": {"grafana"}, "elsewhere": set(),
                       "off": {"stranger", "dashboards", "neighbour", "grafana"}}
    assert probed["usual"]["retriever"]["database"] == REACHED


def test_the_bundled_grafana_reaches_names_and_the_database_alone(probed):
    assert let_through(probed["private"]["grafana's way out"]) == {"name", "database"}
    assert set(probed["off"]["grafana's way out"].values()) == {REACHED}


def test_nobody_reaches_a_retriever(probed):
    assert probed["usual"]["stranger"]["retriever"] == OUT
    assert probed["off"]["stranger"]["retriever"] == SILENT


def test_without_the_policies_each_of_these_probes_passes(probed):
    seen = probed["off"]
    assert set(seen["retriever"].values()) == {REACHED}, seen["retriever"]
    assert {place: said for place, said in seen["database"].items() if said != REACHED} == {"retriever": SILENT}


def test_a_whole_run_and_helm_test_need_nothing_that_they_are_kept_from(kubernetes):
    """Packages from the index, the token from its Secret, the API, the database."""
    with kubernetes.space("enforced") as space:
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(FETCHING)
        assert space.run("one") == "Complete"
        space.helm("test", "ci", "--timeout", "240s")
        assert space.rows("SELECT count(*) FROM metric_sample") == [("2",)]
        assert len(space.get("networkpolicies")["items"]) == 2
        assert space.kept_from() == set()


def test_an_egress_gateway_as_the_documentation_has_it_is_the_way_out(kubernetes):
    """The only one: as "elsewhere" above, but for its own pods."""
    text = (TOP / "docs/kubernetes.md").read_text()
    values = yaml.safe_load(next(block for block in text.split("```yaml\n")[1:] if block.startswith("site:")).split("```")[0])
    with kubernetes.space("egress") as egress, kubernetes.space("gated") as space:
        listening(egress, "egress", 3128, labels={"app": "egress"}, program=EGRESS_GATEWAY, words=["api.github.com:443", "pypi.org:443"])
        kubernetes.apply({"kind": "Service", "metadata": {"name": "egress", "namespace": "egress"}, "spec": {
            "selector": {"app": "egress"}, "ports": [{"port": 3128}]}})
        space.secret("github-token", token=kubernetes.tokens["github"].read_text())
        space.install(merged(FETCHING, values))
        assert space.run("one") == "Complete"
        assert space.rows("SELECT count(*) FROM metric_sample") == [("1",)]
        assert set(egress.kubectl("logs", "egress").splitlines()) >= {"CONNECT api.github.com:443", "CONNECT pypi.org:443"}
        assert space.kept_from() == set()
