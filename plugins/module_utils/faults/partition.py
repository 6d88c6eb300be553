# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Partition: packets between this node and some of its peers are dropped, by rules of the kernel.

The kernel itself begins and ends them: the rules compare the wall clock with the two instants (`meta
time`), so every node that shares the clock is cut at the same instant and healed at the same instant with no
process involved. Should the clock be moved meanwhile, the elements of the set of peers time out on the
monotonic clock, and the rules match nobody any more. Where a state of the system begins it, the time-outs
alone end it.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import (
    Context,
    Fault,
    Row,
    Targets,
)
from ansible_collections.foundation.testbed.plugins.module_utils.agent.probe import DISCARD, Probe, pings
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    many,
    names,
    not_allowed,
    shown,
    whole,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import _nfqueue
from ansible_collections.foundation.testbed.plugins.module_utils.faults._table_name import (
    TABLE_PREFIX,
    table_name,
)
from ansible_collections.foundation.testbed.plugins.module_utils.network import part

# Seconds before the start at which the rules are loaded.
LEAD_S = 2.0
# Seconds after the planned end at which the set of peers is empty whatever the clock says.
TIMEOUT_MARGIN_S = 0.5
# Seconds in which every peer has to answer again after the end.
RECOVERY_S = 5.0

SHAPES = ("alone", "majority", "halves", "random", "majorities_ring", "bridge", "one_way")
# Shapes in which the clients can find themselves on one of the sides.
SIDED = (None, "alone", "majority", "halves", "random")


def matches(protocol: Optional[str], ports: Sequence[int]) -> list[str]:
    """Return what a packet must be to be dropped: one nft expression a rule, empty for any packet."""
    if ports:
        listed = ", ".join(map(str, ports))
        return [f"{protocol} {side} {{ {listed} }} " for side in ("dport", "sport")]
    return [f"meta l4proto {protocol} "] if protocol else [""]


def ruleset(
    table: str,
    peers: Sequence[str],
    window_s: Optional[tuple[int, int]],
    timeout_ms: int,
    direction: str = "both",
    match: Sequence[str] = ("",),
    links: Optional[Sequence[str]] = None,
) -> str:
    """Return the nft script that cuts `peers` (IPv4).

    `window_s` are the whole epoch seconds between which it holds; without it, it holds at once until the
    elements time out. `direction` is in, out or both, as this node sees it. `links` are the link addresses of
    the peers that this node has a link with; None where it has one with every node: none forwards then.
    """
    window = f"meta time >= {window_s[0]} meta time < {window_s[1]} " if window_s else ""
    elements = ", ".join(f"{peer} timeout {timeout_ms}ms" for peer in sorted(peers))
    parts = [
        "  counter dropped_in { }",
        "  counter dropped_out { }",
        f"  set peers {{\n    type ipv4_addr\n    flags timeout\n    elements = {{ {elements} }}\n  }}",
    ]
    if links:
        ends = ", ".join(f"{link} timeout {timeout_ms}ms" for link in sorted(links))
        parts.append(
            f"  set links {{\n    type ether_addr\n    flags timeout\n    elements = {{ {ends} }}\n  }}"
        )
    for hook, found in drops(direction, links).items():
        rules = "".join(
            f"    {window}{one}{what} counter name dropped_{way} drop\n"
            for way, what in found
            for one in match
        )
        parts.append(
            f"  chain {hook} {{\n    type filter hook {hook} priority -300; policy accept;\n{rules}  }}"
        )
    return f"table inet {table} {{\n" + "\n".join(parts) + "\n}\n"


def drops(direction: str, links: Optional[Sequence[str]]) -> dict[str, list[tuple[str, str]]]:
    """Return what is dropped in which chain: the counter's way, and what the packet is.

    Where packets are forwarded the links to the peers are cut as well, whoever's packets go over them.
    """
    out = [("out", "rt ip nexthop @peers")] if links is not None and direction != "in" else []
    into = [("in", "ether saddr @links")] if links and direction != "out" else []
    found = {
        "input": ([("in", "ip saddr @peers"), *into] if direction != "out" else []),
        "output": ([("out", "ip daddr @peers"), *out] if direction != "in" else []),
        "forward": [*into, *out],
    }
    return {hook: rules for hook, rules in found.items() if rules}


def parse_groups(value: object) -> dict[str, list[str]]:
    """Return named groups of nodes; raises ValueError."""
    if not isinstance(value, Mapping) or len(value) < 2:
        raise ValueError(f"given {shown(value)}; allowed: a mapping of at least two names to lists of nodes")
    groups = {}
    for name, members in value.items():
        try:
            groups[str(name)] = names(members)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    everyone = [member for members in groups.values() for member in members]
    for member in everyone:
        if everyone.count(member) > 1:
            raise ValueError(
                f"given the node {member!r} {everyone.count(member)} times; allowed: every node once"
            )
    return groups


def complete_grudge(sides: Mapping[str, str]) -> dict[str, list[str]]:
    """Who drops whom: everyone everybody of another side. Symmetrical, and nobody drops itself."""
    return {name: [peer for peer, other in sides.items() if other != side] for name, side in sides.items()}


def ring_grudge(ring: Sequence[str]) -> dict[str, list[str]]:
    """Every node sees a majority around itself, and no two see the same one (Jepsen's majorities ring)."""
    reach = -(-(len(ring) // 2) // 2)
    grudges = {}
    for place, name in enumerate(ring):
        seen = {ring[(place + step) % len(ring)] for step in range(-reach, reach + 1)}
        grudges[name] = [peer for peer in ring if peer not in seen]
    return grudges


def bridge_grudge(order: Sequence[str]) -> dict[str, list[str]]:
    """Two halves that do not see each other, and one node that sees both (after Jepsen's bridge)."""
    middle = len(order) // 2
    left, right = order[:middle], order[middle + 1 :]
    grudges = {order[middle]: list[str]()}
    grudges |= {name: list(right) for name in left}
    grudges |= {name: list(left) for name in right}
    return grudges


def split(shape: str, chosen: Sequence[str], targets: Targets) -> dict[str, str]:
    """Return the side of every node for the shapes that have sides; the first side is the larger one."""
    if shape == "alone":
        return {name: name if name in chosen else "rest" for name in targets.cluster.nodes}
    order = list(chosen)
    targets.draw.shuffle(order)
    minority = {
        "majority": (len(order) - 1) // 2,
        "halves": len(order) // 2,
        "random": targets.draw.randint(1, max(1, len(order) // 2)),
    }[shape]
    return {name: "minority" if order.index(name) < minority else "majority" for name in chosen}


def grudges_of(params: Mapping[str, Any], targets: Targets) -> dict[str, list[str]]:
    """Return which peers every node drops, an address standing for itself; raises ValueError."""
    shape, chosen = params.get("shape"), list(targets.chosen)
    if "peers" in params:
        return {name: [peer for peer in params["peers"] if peer != name] for name in chosen}
    if targets.conditional:
        if shape != "alone":
            said = "groups: given" if shape is None else f"shape: given {shape!r}"
            raise ValueError(
                f"{said} on a state of the system; allowed: shape alone, or peers (each node acts by itself)"
            )
        others = {
            **targets.cluster.nodes,
            **(targets.cluster.observers if params["clients"] == "cut" else {}),
        }
        return {name: [peer for peer in others if peer != name] for name in chosen}
    if shape == "one_way":
        return _one_way(params["groups"])
    if shape in ("majorities_ring", "bridge"):
        least = {"majorities_ring": 4, "bridge": 3}[shape]
        if len(chosen) < least:
            raise ValueError(f"shape: given {shape!r} of {len(chosen)} nodes; allowed: {least} nodes or more")
        targets.draw.shuffle(chosen)
        return ring_grudge(chosen) if shape == "majorities_ring" else bridge_grudge(chosen)
    if shape is None:
        groups = params["groups"]
        sides = {name: group for group, members in groups.items() for name in members}
        first = next(iter(groups))
    else:
        if shape != "alone" and len(chosen) < 2 + (shape == "majority"):
            raise ValueError(f"shape: given {shape!r} of {len(chosen)} nodes; allowed: more nodes")
        sides, first = split(shape, chosen, targets), "rest" if shape == "alone" else "majority"
    if params["clients"] == "cut":  # the clients find themselves on the side of the first group
        sides = {**sides, **dict.fromkeys(targets.cluster.observers, first)}
    return complete_grudge(sides)


def _one_way(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    (_, senders), (_, receivers) = groups.items()
    return {**{name: list(receivers) for name in senders}, **{name: list(senders) for name in receivers}}


class Partition(Fault):
    """The partition of one run as this node sees it.

    Program: `blocked` and `open` (addresses by peer), `direction` (in, out, both), `protocol`, `ports`.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "groups": Parameter(parse_groups, "named groups of nodes that cannot reach each other"),
        "shape": Parameter(choice(*SHAPES), "a cut by rule instead of by groups, drawn from the seed"),
        "peers": Parameter(names, "peers (names or addresses) that each chosen node is cut from"),
        "clients": Parameter(choice("stay", "cut"), "whether clients keep reaching all sides", "stay"),
        "protocol": Parameter(choice("tcp", "udp", "icmp"), "drop packets of this protocol only"),
        "ports": Parameter(
            many(whole(1, 65535)), "drop packets from and to these ports only (tcp by default)"
        ),
    }
    whole_seconds: ClassVar[bool] = True
    catalogue: ClassVar[Sequence[Row]] = (
        Row(
            "partition: named groups",
            "groups: {a: [n1, n2, n3], b: [n4, n5]}",
            "nftables `meta time` rules and set time-outs, an own table per fault",
            "packets dropped by each rule; probes refused at both edges; ping after the heal",
        ),
        Row("partition: one node", "shape: alone, nodes: [n5]", "the same", "the same"),
        Row("partition: majority from minority", "shape: majority", "the same", "the same"),
        Row("partition: halves", "shape: halves", "the same", "the same"),
        Row("partition: ring of overlapping majorities", "shape: majorities_ring", "the same", "the same"),
        Row("partition: bridge", "shape: bridge", "the same", "the same"),
        Row(
            "partition: one-way",
            "shape: one_way, groups: {from: [n1], to: [n2]}",
            "the same, output rules on one side, input rules on the other",
            "the same; the receiving side by its counter alone",
        ),
        Row(
            "partition: the leader alone",
            "shape: alone, nodes: leader",
            "the same; each node asks its own system at the start instant",
            "the same, and the system's answer",
        ),
        Row("partition: a port or protocol only", "groups: ..., ports: [2380]", "the same", "the same"),
        Row("partition: random by seed", "shape: random", "the same", "the same"),
    )

    def __init__(self, context: Context):
        super().__init__(context)
        self.table = table_name(context.run, context.fault_id)
        self.blocked: list[str] = list(self.program["blocked"].values())
        self.open: list[str] = list(self.program["open"].values())
        self.direction: str = self.program["direction"]
        self.protocol: Optional[str] = self.program.get("protocol")
        self.ports: list[int] = self.program.get("ports", [])
        self.start_s, self.end_s = context.start_wall_ns / 1e9, context.end_wall_ns / 1e9
        self.links = links_to(part.read(), self.blocked)
        self.probe = Probe(self.protocol or "udp", (self.ports or [DISCARD])[0])
        self.probes = {"sent": 0, "blocked": 0, "passed": 0, "open_sent": 0, "open_passed": 0}

    @staticmethod
    def problems(params: Mapping[str, Any]) -> Iterable[str]:
        """Groups, a shape or peers: one of them; one-way needs two groups; ports belong to tcp or udp."""
        shape, groups = params.get("shape"), params.get("groups")
        said = [key for key in ("groups", "shape", "peers") if key in params]
        if said not in (["groups"], ["shape"], ["peers"]) and not (shape == "one_way" and groups):
            yield f"given {' and '.join(said) or 'nothing'}; allowed: one of groups, shape, peers"
        if shape == "one_way" and len(groups or {}) != 2:
            yield "groups: one_way cuts the way from the first group to the second; allowed: two groups"
        if params["clients"] == "cut" and ("peers" in params or shape not in SIDED):
            yield f"clients: given 'cut'; allowed: stay, as {shape or 'peers'} has no sides"
        if "ports" in params and params.get("protocol", "tcp") == "icmp":
            yield "protocol: given 'icmp' beside ports; allowed: tcp, udp"

    @staticmethod
    def names_nodes(params: Mapping[str, Any]) -> Optional[str]:
        """Groups say who is cut from whom."""
        return "groups" if "groups" in params else None

    @staticmethod
    def plan(params: dict[str, Any], targets: Targets) -> dict[str, dict[str, Any]]:
        """Every host's own part: whom it drops, and whom of the others it still has to reach."""
        cluster = targets.cluster
        known = {**cluster.nodes, **cluster.observers}
        for group, members in params.get("groups", {}).items():
            for name in members:
                if name not in cluster.nodes:
                    raise ValueError(f"groups.{group}: {not_allowed(name, cluster.nodes)}")
        grudges = grudges_of(params, targets)
        if not any(grudges.values()):
            raise ValueError("nobody would be cut from anybody; allowed: more nodes, or others")
        match: dict[str, Any] = {key: params[key] for key in ("protocol", "ports") if key in params}
        if "ports" in match:
            match.setdefault("protocol", "tcp")
        senders = next(iter(params["groups"].values())) if params.get("shape") == "one_way" else None
        return {
            name: {
                "blocked": {
                    peer: peer_address(peer, known, cluster.management, known[name]) for peer in peers
                },
                "open": {peer: known[peer] for peer in grudges if peer != name and peer not in peers},
                "direction": "both" if senders is None else "out" if name in senders else "in",
                **match,
            }
            for name, peers in grudges.items()
        }

    @staticmethod
    def capable(program: dict[str, Any]) -> list[str]:
        """Ask the kernel whether it takes such rules."""
        if shutil.which("nft") is None:
            return ["nftables is not installed"]
        match = matches(program.get("protocol"), program.get("ports", []))
        done = _nft(
            "--check",
            "-f",
            "-",
            stdin=ruleset(
                f"{TABLE_PREFIX}sample",
                ["192.0.2.1"],
                (1, 2),
                1000,
                match=match,
                links=links_to(part.read(), []),
            ),
        )
        return [] if done.returncode == 0 else [f"the kernel refuses the rules: {done.stderr.strip()}"]

    @property
    def lead_s(self) -> float:
        """The rules are loaded ahead, and begin by themselves, unless a state begins them."""
        return LEAD_S if self.context.scheduled else 0.0

    @property
    def lapses(self) -> bool:
        """The rules end by themselves at the planned instant."""
        return self.context.scheduled

    @property
    def feels(self) -> bool:
        """Whether this node is kept from sending to anybody."""
        return bool(self.blocked) and self.direction != "in"

    def felt(self) -> bool:
        """Whether a probe to the first blocked peer is dropped right now."""
        return not self.probe.passes(self.blocked[0])

    def undo(self) -> dict[str, Any]:
        """The table is all that there is."""
        return {"trace": self.table}

    def apply(self) -> None:
        """Load the rules in one transaction; raises RuntimeError when the kernel refuses them."""
        margin_s = TIMEOUT_MARGIN_S if self.context.scheduled else 0.0
        left_ms = int((self.end_s - time.time() + margin_s) * 1000)
        window_s = (int(self.start_s), int(self.end_s)) if self.context.scheduled else None
        match = matches(self.protocol, self.ports)
        rules = ruleset(
            self.table, self.blocked, window_s, max(left_ms, 1), self.direction, match, self.links
        )
        done = _nft("-f", "-", stdin=rules)
        if done.returncode != 0:
            raise RuntimeError(f"nft: {done.stderr.strip()}")

    def observe(self) -> None:
        """Probe every blocked and every open peer once."""
        if self.direction == "in":
            return
        for address in self.blocked:
            passed = self.probe.passes(address)
            self.probes["sent"] += 1
            self.probes["passed"] += passed
            self.probes["blocked"] += not passed
        for address in self.open:
            self.probes["open_sent"] += 1
            self.probes["open_passed"] += self.probe.passes(address)

    def evidence(self) -> dict[str, Any]:
        """Whether the rules are in place, packets dropped in each direction, and what probes felt."""
        listing = _nft("-j", "list", "table", "inet", self.table).stdout
        found_in = drops(self.direction, self.links).items()
        chains = [hook for hook, rules in found_in for _ in rules]
        wanted = sorted(chains * len(matches(self.protocol, self.ports)))
        found = evidence_of(listing, wanted)
        dropped = sum(found["packets"].values()) + self.probes["blocked"]
        return {**found, "effective": dropped > 0 or not self.blocked, "probes": dict(self.probes)}

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Remove the fault's table if it is there; raises RuntimeError when the kernel refuses."""
        if undo["trace"] in _tables():
            _nfqueue.release_all()  # else the packets of link faults would go with the table
            done = _nft("delete", "table", "inet", undo["trace"])
            if done.returncode != 0:
                raise RuntimeError(f"nft: {done.stderr.strip()}")

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every table that bears this testbed's prefix."""
        return [{"trace": table} for table in _tables() if table.startswith(TABLE_PREFIX)]

    async def recovered(self) -> bool:
        """Whether every peer that was blocked answers again within five seconds."""
        self.probe.close()
        return await pings(self.blocked, RECOVERY_S)


def links_to(topology: Optional[part.Part], peers: Sequence[str]) -> Optional[list[str]]:
    """Return the link addresses of those peers with which this node shares a link; None where all do."""
    if topology is None or topology.complete:
        return None
    return [topology.macs[name] for name in topology.neighbours if topology.addresses[name] in peers]


def peer_address(peer: str, known: Mapping[str, str], management: Sequence[str], own: str = "") -> str:
    """Return the address of a peer given by name or by address; raises ValueError.

    `own` is that of the node which is to be cut from it.
    """
    address = known.get(peer) or _ipv4(peer, known)
    reason = _beyond_reach(address)
    if address in management:
        reason = "the management address: the controller would lose its nodes"
    elif address == own:
        reason = "the node's own address"
    if reason:
        raise ValueError(f"peers: given {peer!r}, {reason}; allowed: any other")
    return address


def _ipv4(peer: str, known: Mapping[str, str]) -> str:
    try:
        return str(ipaddress.IPv4Address(peer))
    except ValueError:
        raise ValueError(f"peers: {not_allowed(peer, known)}; or an IPv4 address") from None


@functools.lru_cache(maxsize=1024)
def _beyond_reach(address: str) -> str:
    """Return why no single peer has such an address, empty where one may."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # an inventory may know a host by name alone
        return ""
    kinds = {
        "a loopback address": parsed.is_loopback,
        "the unspecified address": parsed.is_unspecified,
        "a multicast address": parsed.is_multicast,
    }
    return next((kind for kind, given in kinds.items() if given), "")


def evidence_of(listing: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Read `nft -j list table`: `{"present": bool, "packets": {"in": n, "out": n}}`; no table is absent.

    `wanted` are the chains of all rules, sorted.
    """
    items = json.loads(listing)["nftables"] if listing.strip() else []
    counters = {item["counter"]["name"]: item["counter"]["packets"] for item in items if "counter" in item}
    rules = [item["rule"]["chain"] for item in items if "rule" in item]
    return {
        "present": sorted(rules) == list(wanted),
        "packets": {"in": counters.get("dropped_in", 0), "out": counters.get("dropped_out", 0)},
    }


def _tables() -> list[str]:
    done = _nft("-j", "list", "tables", "inet")
    items = json.loads(done.stdout)["nftables"] if done.stdout.strip() else []
    return [item["table"]["name"] for item in items if "table" in item]


def _nft(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nft", *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=20
    )


FAULT = Partition
