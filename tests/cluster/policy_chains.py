"""What NetworkPolicies (networking.k8s.io/v1) say, as rules of nftables: one chain for each pod and direction that a policy isolates.

A chain returns for what is allowed and refuses the rest. Whatever stands in a policy and is not known here is an Unknown: nothing is
passed over. Pods of the host's network are no pods to a policy: they have the node's address.
"""
import ipaddress

TABLE = "network-policies"
SIDES = {"egress": ("saddr", "daddr"), "ingress": ("daddr", "saddr")}  # where the pod's own address is, and its peer's


class Unknown(Exception):
    """What a policy asks and this translation does not know."""


class Space:
    """A namespace."""

    def __init__(self, of):
        self.name, self.labels = of["metadata"]["name"], of["metadata"].get("labels") or {}


class Endpoint:
    """An address of a pod, with what policies ask of it."""

    def __init__(self, address, pod):
        self.address, self.space, self.name = address, pod["metadata"]["namespace"], pod["metadata"]["name"]
        self.labels = pod["metadata"].get("labels") or {}
        self.ports = [(port["name"], port.get("protocol", "TCP"), port["containerPort"])
                      for container in [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
                      for port in container.get("ports") or [] if "name" in port]

    def named(self, name, protocol):
        return sorted({number for each, of, number in self.ports if (each, of) == (name, protocol)})


def known(mapping, *keys, where):
    if unknown := sorted(set(mapping) - set(keys)):
        raise Unknown(f"{where}: {', '.join(unknown)} is nothing that tests/cluster/policy_chains.py knows; teach it, or take it out")


def holds(requirement, labels, where):
    known(requirement, "key", "operator", "values", where=where)
    value, values = labels.get(requirement["key"]), requirement.get("values") or []
    answers = {"In": value in values, "NotIn": value not in values, "Exists": value is not None, "DoesNotExist": value is None}
    known([requirement["operator"]], *answers, where=where)
    return answers[requirement["operator"]]


def selects(selector, labels, where):
    """An empty selector selects all."""
    known(selector, "matchLabels", "matchExpressions", where=where)
    asked = [labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()]
    return all(asked + [holds(each, labels, where) for each in selector.get("matchExpressions") or []])


def selected(selector, things, where):
    """Of things with labels. What the selector says is looked at also when there is none."""
    selects(selector, {}, where)
    return [each for each in things if selects(selector, each.labels, where)]


class Block:
    """An ipBlock."""

    def __init__(self, block, where):
        known(block, "cidr", "except", where=where)
        self.network = ipaddress.ip_network(block["cidr"], strict=False)
        self.but = list(ipaddress.collapse_addresses(ipaddress.ip_network(each, strict=False) for each in block.get("except") or []))

    def has(self, address):
        address = ipaddress.ip_address(address)
        return address in self.network and not any(address in each for each in self.but)

    def has_pod(self, endpoint):
        return self.has(endpoint.address)

    def match(self, side):
        family = {4: "ip", 6: "ip6"}[self.network.version]
        words = [f"{family} {side} {self.network}" if self.network.prefixlen else f"meta nfproto ipv{self.network.version}"]
        if self.but:
            words.append(f"{family} {side} != {{ {', '.join(map(str, self.but))} }}")
        return " ".join(words)


class Pods:
    """What a peer's podSelector and namespaceSelector select."""

    def __init__(self, endpoints):
        self.endpoints = endpoints

    def has_pod(self, endpoint):
        return endpoint in self.endpoints

    def match(self, side):
        return f"ip {side} {{ {', '.join(each.address for each in self.endpoints)} }}" if self.endpoints else None


class Anyone:
    def has_pod(self, _):
        return True

    def match(self, _):
        return ""


class Translation:
    """Of all policies at one time."""

    def __init__(self, policies, endpoints, spaces):
        self.endpoints, self.spaces = endpoints, spaces
        self.chains = {"egress": {}, "ingress": {}}  # {direction: {address: [rule]}}
        for policy in policies:
            self.add(policy)

    def add(self, policy):
        space, where = policy["metadata"]["namespace"], f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
        spec = policy["spec"]
        known(spec, "podSelector", "policyTypes", "ingress", "egress", where=where)
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        known(types, "Ingress", "Egress", where=where)
        mine = [each for each in selected(spec.get("podSelector") or {}, self.endpoints, where) if each.space == space]
        for direction, key in (("ingress", "from"), ("egress", "to")):
            if direction.capitalize() not in types:
                continue
            rules = [self.rule(rule, key, space, where) for rule in spec.get(direction) or []]
            for endpoint in mine:
                chain = self.chains[direction].setdefault(endpoint.address, [])
                chain += [f'{match} return comment "{where[:120]}"' for peers, ports in rules
                          for match in self.matches(direction, endpoint, peers, ports)]

    def rule(self, rule, key, space, where):
        """(peers, ports) of one rule."""
        known(rule, "ports", key, where=where)
        ports = []
        for port in rule.get("ports") or []:
            known(port, "protocol", "port", "endPort", where=where)
            known([port.get("protocol", "TCP")], "TCP", "UDP", "SCTP", where=where)
            ports.append((port.get("protocol", "TCP"), port.get("port"), port.get("endPort")))
        return [self.peer(each, space, where) for each in rule.get(key) or []] or [Anyone()], ports

    def peer(self, peer, space, where):
        known(peer, "podSelector", "namespaceSelector", "ipBlock", where=where)
        if "ipBlock" in peer:
            known(peer, "ipBlock", where=where)
            return Block(peer["ipBlock"], where)
        spaces = [space]
        if "namespaceSelector" in peer:
            spaces = [each.name for each in selected(peer["namespaceSelector"], self.spaces, where)]
        return Pods([each for each in selected(peer.get("podSelector") or {}, self.endpoints, where) if each.space in spaces])

    def matches(self, direction, endpoint, peers, ports):
        """What lets through by one rule: any of these."""
        side = SIDES[direction][1]
        for peer in peers:
            if (match := peer.match(side)) is None:
                continue
            if not ports:
                yield match
            for protocol, port, last in ports:
                kind = protocol.lower()
                if port is None:
                    yield f"{match} meta l4proto {kind}"
                elif isinstance(port, int):
                    yield f"{match} {kind} dport {port}{f'-{last}' if last else ''}"
                elif direction == "ingress":
                    yield from (f"{match} {kind} dport {number}" for number in endpoint.named(port, protocol))
                else:  # a name means what each of the pods there calls so
                    yield from (f"ip daddr {each.address} {kind} dport {number}" for each in self.endpoints if peer.has_pod(each)
                                for number in each.named(port, protocol))

    def script(self, before):
        """(what nft is to do at once, the chains there are then); `before`: those that the last script left."""
        chains = {f"{direction}-{address}": rules for direction in self.chains for address, rules in self.chains[direction].items()}
        lines = [f"flush table inet {TABLE}", *(f"delete chain inet {TABLE} {name}" for name in sorted(before - set(chains)))]
        for name in chains:
            lines.append(f"add chain inet {TABLE} {name}")
        for name, rules in chains.items():
            direction, address = name.split("-")
            rule = f"add rule inet {TABLE} {name}"
            # nothing keeps a pod from itself
            lines += [f"{rule} ip {SIDES[direction][1]} {address} return", *(f"{rule} {each}" for each in rules),
                      f"{rule} meta l4proto {{ tcp, udp, sctp }} update @{direction}-refused "
                      "{ ip saddr . ip daddr . meta l4proto . th dport counter }", f"{rule} counter reject with icmpx admin-prohibited"]
        for hook, directions in HOOKS.items():
            rule = f"add rule inet {TABLE} {hook}"
            if hook == "input":
                lines.append(f'{rule} iifname != "pods" accept')
            # pods have no IPv6: what they could send each other by link-local addresses would pass no policy
            lines += [f"{rule} ct state established,related accept", f"{rule} meta nfproto ipv6 drop"]
            for direction in directions:
                if jumps := [f"{address} : jump {direction}-{address}" for address in self.chains[direction]]:
                    lines.append(f"{rule} ip {SIDES[direction][0]} vmap {{ {', '.join(jumps)} }}")
        return "\n".join(lines) + "\n", set(chains)


# Between pods, switched (br_netfilter shows the bridge's packets to this hook too) or routed; and from pods to the node. What the
# node sends, as the kubelet's probes, passes no hook here: it is allowed. All of it after kube-proxy has put a pod's address
# for a Service's.
HOOKS = {"forward": ("egress", "ingress"), "input": ("egress",)}
SETUP = f"""table inet {TABLE} {{}}
delete table inet {TABLE}
table inet {TABLE} {{
    set egress-refused {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service; size 65535; flags dynamic; counter; }}
    set ingress-refused {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service; size 65535; flags dynamic; counter; }}
    chain forward {{ type filter hook forward priority filter; policy accept; }}
    chain input {{ type filter hook input priority filter; policy accept; }}
}}
"""
