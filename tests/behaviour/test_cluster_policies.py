"""The enforcer of NetworkPolicies that the tests' cluster has: the examples of Kubernetes' own documentation, felt in real pods."""
import subprocess

import pytest
from cluster_probes import listening, probe
from cluster_world import GATEWAY
from helm import TOP
from policy_chains import Translation, Unknown

pytestmark = pytest.mark.cluster

REACHED, OUT = "reached", "kept out"
PODS = "10.88.0.0/24"  # of the cluster


@pytest.fixture(scope="module")
def world(kubernetes):
    """A namespace with a database, a front end and another pod; one whose label is project=myproject; one without."""
    class Some:
        pass
    with kubernetes.space("policies") as Some.space, kubernetes.space("policies-mine") as Some.mine, \
            kubernetes.space("policies-other") as Some.other:
        kubernetes.kubectl("label", "namespace", "policies-mine", "project=myproject")
        Some.db = listening(Some.space, "db", 6379, 5978, 32000, 32768, labels={"role": "db"}, named={"redis": 6379})
        Some.addresses = {}
        for space, names in ((Some.space, ("frontend", "backend")), (Some.mine, ("frontend", "client")),
                             (Some.other, ("frontend", "client"))):
            for name in names:
                Some.addresses[space.name, name] = listening(space, name, 5978, 5979, labels={"role": name}, named={"out": 5978})
        yield Some


@pytest.fixture
def policy(kubernetes, world):
    """Puts a policy into the first namespace; it is gone after the test."""
    made = []

    def put(name, **spec):
        kubernetes.apply({"kind": "NetworkPolicy", "metadata": {"name": name, "namespace": world.space.name},
                          "spec": {"podSelector": {}, **spec}})
        made.append(name)
        kubernetes.settle()
    yield put
    for name in made:
        world.space.kubectl("delete", "networkpolicy", name)
    kubernetes.settle()


def who_reaches(world, port=6379, kind="tcp"):
    """Of all pods, those that reach the database there; the others are told that they may not."""
    found = set()
    for space, name in world.addresses:
        of = next(each for each in (world.space, world.mine, world.other) if each.name == space)
        said = probe(of, name, {"db": (kind, world.db, port)})["db"]
        assert said in (REACHED, OUT), said
        if said == REACHED:
            found.add((space.removeprefix("policies").removeprefix("-") or "own", name))
    return found


OWN = {("own", "frontend"), ("own", "backend")}
MINE, OTHER = {("mine", "client"), ("mine", "frontend")}, {("other", "client"), ("other", "frontend")}


def test_without_a_policy_everything_passes(world):
    assert who_reaches(world) == OWN | MINE | OTHER
    assert who_reaches(world, kind="udp") == OWN | MINE | OTHER


def test_the_documentations_first_example(world, policy, kubernetes):
    """Its addresses are those of this cluster: all pods', but for a few."""
    left_out = [f"{address}/32" for where, address in world.addresses.items() if where != ("policies-other", "client")]
    policy("test-network-policy", podSelector={"matchLabels": {"role": "db"}}, policyTypes=["Ingress", "Egress"], ingress=[{
        "from": [{"ipBlock": {"cidr": PODS, "except": left_out}},
                 {"namespaceSelector": {"matchLabels": {"project": "myproject"}}}, {"podSelector": {"matchLabels": {"role": "frontend"}}}],
        "ports": [{"protocol": "TCP", "port": 6379}]}],
        egress=[{"to": [{"ipBlock": {"cidr": f"{world.addresses['policies', 'backend']}/32"}}],
                 "ports": [{"protocol": "TCP", "port": 5978}]}])
    assert who_reaches(world) == {("own", "frontend"), ("other", "client"), *MINE}
    assert who_reaches(world, kind="udp") == set() and who_reaches(world, 5978) == set()
    backend, frontend = world.addresses["policies", "backend"], world.addresses["policies", "frontend"]
    assert probe(world.space, "db", {
        "there": ("tcp", backend, 5978), "another port": ("tcp", backend, 5979), "another pod": ("tcp", frontend, 5978),
        "udp": ("udp", backend, 5978), "the node": ("tcp", GATEWAY, 10250), "itself": ("tcp", world.db, 32000),
        "a name": ("name", "kubernetes.default.svc", 443)}) == {
        "there": REACHED, "another port": OUT, "another pod": OUT, "udp": OUT, "the node": OUT, "itself": REACHED, "a name": OUT}
    # The kubelet's own probe is not asked: it comes from the node.
    assert kubernetes.reached(world.db, 5978)
    # Each refusal is counted with who and where.
    seen = kubernetes.kept_from()
    assert ("ingress", backend, world.db, "tcp", 6379) in seen and ("egress", world.db, backend, "tcp", 5979) in seen
    assert ("ingress", frontend, world.db, "tcp", 6379) not in seen


def test_two_selectors_of_one_peer_must_both_hold(world, policy):
    policy("both", podSelector={"matchLabels": {"role": "db"}}, ingress=[{"from": [
        {"namespaceSelector": {"matchLabels": {"project": "myproject"}}, "podSelector": {"matchLabels": {"role": "client"}}}]}])
    assert who_reaches(world) == {("mine", "client")}
    assert who_reaches(world, 5978) == {("mine", "client")}


def test_the_default_policies(world, policy):
    space, backend = world.space, {"there": ("tcp", world.addresses["policies-mine", "client"], 5978)}
    policy("default-deny-ingress", policyTypes=["Ingress"])
    assert who_reaches(world) == set()
    assert probe(space, "db", backend) == {"there": REACHED}
    policy("allow-all-ingress", ingress=[{}], policyTypes=["Ingress"])
    assert who_reaches(world) == OWN | MINE | OTHER
    policy("default-deny-egress", policyTypes=["Egress"])
    assert probe(space, "db", backend) == {"there": OUT}
    assert who_reaches(world) == MINE | OTHER
    policy("allow-all-egress", egress=[{}], policyTypes=["Egress"])
    assert probe(space, "db", backend) == {"there": REACHED}
    assert who_reaches(world) == OWN | MINE | OTHER


def test_a_range_of_ports_and_namespaces_by_expression(world, policy):
    policy("range", podSelector={"matchLabels": {"role": "db"}}, ingress=[{
        "from": [{"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": [
            "policies-other", "policies-mine"]}, {"key": "project", "operator": "DoesNotExist"}]}},
            {"podSelector": {"matchExpressions": [{"key": "role", "operator": "NotIn", "values": ["frontend"]},
                                                  {"key": "role", "operator": "Exists"}]}}],
        "ports": [{"port": 32000, "endPort": 32767}]}])
    assert who_reaches(world, 32000) == OTHER | {("own", "backend")}
    assert who_reaches(world, 32768) == set() and who_reaches(world) == set()


def test_a_named_port_is_what_the_pod_that_is_reached_calls_so(world, policy):
    policy("named", podSelector={"matchLabels": {"role": "db"}}, policyTypes=["Ingress", "Egress"],
           ingress=[{"ports": [{"port": "redis"}]}], egress=[{"ports": [{"port": "out"}]}])
    assert who_reaches(world) == OWN | MINE | OTHER and who_reaches(world, 5978) == set()
    other = world.addresses["policies-other", "client"]
    assert probe(world.space, "db", {"out": ("tcp", other, 5978), "else": ("tcp", other, 5979)}) == {"out": REACHED, "else": OUT}


def test_what_leads_through_a_service_is_decided_by_the_pod_behind_it(world, policy, kubernetes):
    kubernetes.apply({"kind": "Service", "metadata": {"name": "db", "namespace": world.space.name}, "spec": {
        "selector": {"role": "db"}, "ports": [{"port": 80, "targetPort": 6379}]}})
    address = world.space.get("service/db")["spec"]["clusterIP"]
    kubernetes.until("the Service leads there", lambda: kubernetes.reached(address, 80))
    places = {"service": ("tcp", address, 80)}
    policy("target", podSelector={"matchLabels": {"role": "db"}}, ingress=[{
        "ports": [{"port": 6379}], "from": [{"podSelector": {"matchLabels": {"role": "frontend"}}}]}])
    assert probe(world.space, "frontend", places) == {"service": REACHED}
    assert probe(world.space, "backend", places) == {"service": OUT}
    policy("egress", podSelector={"matchLabels": {"role": "frontend"}}, policyTypes=["Egress"], egress=[{"ports": [{"port": 80}]}])
    assert probe(world.space, "frontend", places) == {"service": OUT}


def test_a_pod_is_never_without_its_policies(world, policy, kubernetes):
    """Not even its first packet: it has its network once they are enforced."""
    policy("deny", podSelector={"matchLabels": {"role": "early"}}, policyTypes=["Egress"])
    kubernetes.apply({"kind": "Pod", "metadata": {"name": "early", "namespace": world.space.name, "labels": {"role": "early"}}, "spec": {
        "restartPolicy": "Never", "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "early", "image": "localhost/tests/python:1", "imagePullPolicy": "Never", "command": [
            "bash", "-c", f"exec 3<>/dev/tcp/{world.db}/6379"], "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}]}})
    world.space.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/early", "--timeout=90s")
    assert "No route to host" in world.space.kubectl("logs", "early")


@pytest.mark.parametrize("spec, unknown", [
    ({"podSelector": {}, "tiers": []}, "tiers"), ({"podSelector": {"matchNames": {}}}, "matchNames"),
    ({"podSelector": {}, "policyTypes": ["Forward"]}, "Forward"),
    ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}, "Gt"),
    ({"podSelector": {}, "ingress": [{"from": [{"nodeSelector": {}}]}]}, "nodeSelector"),
    ({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]}, "podSelector"),
    ({"podSelector": {}, "ingress": [{"action": "Deny"}]}, "action"),
    ({"podSelector": {}, "egress": [{"ports": [{"port": 1, "protocol": "ICMP"}]}], "policyTypes": ["Egress"]}, "ICMP"),
    ({"podSelector": {}, "egress": [{"toFQDNs": ["a.example"]}], "policyTypes": ["Egress"]}, "toFQDNs")])
def test_what_the_translation_does_not_know_it_refuses(spec, unknown):
    """Also while no pod is there."""
    with pytest.raises(Unknown, match=f"n/bad: {unknown} is nothing"):
        Translation([{"metadata": {"namespace": "n", "name": "bad"}, "spec": spec}], [], [])


def test_nobody_takes_the_enforcers_silence_for_an_answer(tmp_path):
    done = subprocess.run([TOP / "tests/cluster/network-policies", "settle", tmp_path], capture_output=True, text=True)
    assert done.returncode != 0 and "there is no enforcer" in done.stderr
