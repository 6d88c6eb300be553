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
    whole,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults import (
    _cut_rules,
    _nfqueue,
    _nft,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._grudges import (
    SHAPES,
    SIDED,
    grudges_of,
    parse_groups,
)
from ansible_collections.foundation.testbed.plugins.module_utils.faults._peers import peer_address
from ansible_collections.foundation.testbed.plugins.module_utils.faults._table_name import table_name
from ansible_collections.foundation.testbed.plugins.module_utils.network import part

# Seconds before the start at which the rules are loaded.
LEAD_S = 2.0
# Seconds after the planned end at which the set of peers is empty whatever the clock says.
TIMEOUT_MARGIN_S = 0.5
# Seconds in which every peer has to answer again after the end.
RECOVERY_S = 5.0


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
        self.links = _cut_rules.links_to(part.read(), self.blocked)
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
        match = _cut_rules.matches(program.get("protocol"), program.get("ports", []))
        links = _cut_rules.links_to(part.read(), [])
        return _nft.refusals(
            _cut_rules.ruleset(_nft.SAMPLE, ["192.0.2.1"], (1, 2), 1000, match=match, links=links)
        )

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
        match = _cut_rules.matches(self.protocol, self.ports)
        _nft.load(
            _cut_rules.ruleset(
                self.table, self.blocked, window_s, max(left_ms, 1), self.direction, match, self.links
            )
        )

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
        found_in = _cut_rules.drops(self.direction, self.links).items()
        chains = [hook for hook, rules in found_in for _ in rules]
        wanted = sorted(chains * len(_cut_rules.matches(self.protocol, self.ports)))
        found = _cut_rules.evidence_of(_nft.listing(_cut_rules.FAMILY, self.table), wanted)
        dropped = sum(found["packets"].values()) + self.probes["blocked"]
        return {**found, "effective": dropped > 0 or not self.blocked, "probes": dict(self.probes)}

    @staticmethod
    def revert(undo: dict[str, Any]) -> None:
        """Remove the fault's table if it is there; raises RuntimeError when the kernel refuses."""
        if undo["trace"] in _nft.tables(_cut_rules.FAMILY):
            _nfqueue.release_all()  # else the packets of link faults would go with the table
            _nft.delete(_cut_rules.FAMILY, undo["trace"])

    @staticmethod
    def leftovers() -> list[dict[str, Any]]:
        """Every table that bears this testbed's prefix."""
        return [{"trace": table} for table in _nft.tables(_cut_rules.FAMILY)]

    async def recovered(self) -> bool:
        """Whether every peer that was blocked answers again within five seconds."""
        self.probe.close()
        return await pings(self.blocked, RECOVERY_S)


FAULT = Partition
