# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge from the ledger what each fault did: when it began and ended, its skew, its evidence, its proof.

A fault is proved only when every node that took part saw it begin, held it without a gap, saw its effect, saw
it end and was left clean. Anything else is named: the node and what is missing. A node that a state of its
own system kept out took no part; where none took part, nothing is proved. Times are seconds since the start
instant unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_proof import lacks_of
from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import Entry, number, since
from ansible_collections.foundation.testbed.plugins.plugin_utils.node_acts import ACT_S, NodeActs

_DOWN = ("power", "disk")
_NETWORK = ("partition", "link", *_DOWN)
_UNIT = ("process", "pressure", "storage", "disk_fill", "name_service", *_DOWN)
SILENCED_BY: Mapping[str, Sequence[str]] = {
    "partition": _NETWORK, "link": _NETWORK,
    "process": _UNIT, "pressure": _UNIT, "storage": _UNIT,
}  # fmt: skip
"""Kinds that can keep a kind's probe after the removal from passing: its pings, or its look at a unit.

A kind that is not named here is silenced only by what takes the whole node down.
"""


def fault_results(plan: Entry, ledger: Sequence[Entry], start_wall_ns: int | None) -> list[dict[str, Any]]:
    """Return one record per fault of the plan, in the plan's order."""
    faults = plan.get("faults") or []
    acts_of = {str(fault.get("id")): list(_acts(fault, ledger, start_wall_ns)) for fault in faults}
    return [fault_result(fault, _beside_others(fault, faults, acts_of), start_wall_ns) for fault in faults]


def fault_result(fault: Entry, own: Sequence[NodeActs], start_wall_ns: int | None) -> dict[str, Any]:
    """Return one fault's record, from the first node's begin to the last node's end; ``own`` are its acts."""
    targets = [node for node in own if node.blocked or not _blocks(fault)]
    acts = [node for node in targets if node.idle is None]
    applied_ns, reverted_ns = _felt(acts, "apply"), _felt(acts, "revert")
    nodes = {node.node: _node_record(node) for node in acts}
    lacks = [f"{name}: {', '.join(node['lacks'])}" for name, node in nodes.items() if node["lacks"]]
    if not acts:
        idle = [f"{node.node}: {node.idle}" for node in targets]
        lacks = [f"no node took part ({'; '.join(idle)})" if idle else "it has no target in the plan"]
    begin_ns, end_ns = min(applied_ns, default=None), max(reverted_ns, default=None)
    whole = len(reverted_ns) == len([node for node in acts if node.feels])
    return {
        "id": fault.get("id"), "type": fault.get("type"), "targets": list(fault.get("targets") or []),
        "applied_at": _iso(begin_ns), "reverted_at": _iso(end_ns) if whole else None,
        "applied_s": since(begin_ns, start_wall_ns),
        "reverted_s": since(end_ns, start_wall_ns) if whole else None,
        "skew_ms": _skew_ms(acts, "apply"), "heal_skew_ms": _skew_ms(acts, "revert"),
        "evidence": {
            "packets_dropped": sum(node["packets"] for node in nodes.values()),
            "probes_blocked": sum(node["probes_blocked"] for node in nodes.values()),
            "nodes": nodes,
            "idle": {node.node: node.idle for node in targets if node.idle is not None},
        },
        "proved": not lacks,
        "reason": f"Fault {fault.get('id')} is not proved: {'; '.join(lacks)}." if lacks else "",
        "recovery_s": None,
    }  # fmt: skip


def _acts(fault: Entry, ledger: Sequence[Entry], start_wall_ns: int | None) -> Iterator[NodeActs]:
    own = [entry for entry in ledger if entry.get("fault") == fault.get("id")]
    own.sort(key=lambda entry: number(entry.get("t_s"), 0.0))
    programs = {**(fault.get("nodes") or {}), **(fault.get("power") or {})}
    for name in dict.fromkeys([*(fault.get("targets") or []), *programs]):
        entries = tuple(entry for entry in own if entry.get("node") == name)
        start_s, end_s = _window(fault, entries, start_wall_ns)
        program = programs.get(name) or {}
        yield NodeActs(
            node=name,
            start_s=start_s,
            end_s=end_s,
            blocked=tuple(program.get("blocked") or ()),
            entries=entries,
            start_wall_ns=start_wall_ns,
            asked=frozenset((name, *(program.get("blocked") or ()), *(program.get("affected") or ()))),
        )


def _beside_others(
    fault: Entry, faults: Sequence[Entry], acts_of: Mapping[str, Sequence[NodeActs]]
) -> list[NodeActs]:
    """Return what a fault did on its nodes, with what the other faults of the plan did to it."""
    others = [other for other in faults if other.get("id") != fault.get("id")]
    kinds = SILENCED_BY.get(str(fault.get("type")), _DOWN)
    boots = [acts for other in others if _boots(other) for acts in acts_of[str(other["id"])]]
    silencers = [acts for other in others if other.get("type") in kinds for acts in acts_of[str(other["id"])]]
    return [
        replace(
            _cut_as_planned(node, boots),
            others=tuple(
                held_s for acts in silencers if acts.node in node.asked and (held_s := acts.held_s())
            ),
        )
        for node in acts_of[str(fault.get("id"))]
    ]


def _boots(fault: Entry) -> bool:
    """Whether a fault boots the nodes that it is about."""
    action = (fault.get("params") or {}).get("action")
    return fault.get("type") == "power" or (fault.get("type") == "disk" and action == "fail")


def _cut_as_planned(node: NodeActs, boots: Sequence[NodeActs]) -> NodeActs:
    """Return the acts with the end that a boot gave them which another fault of the plan brought about."""
    if node.first("interrupted") is None:
        return node
    for boot in boots:
        felt_s, apply = boot.felt_s("apply"), boot.first("apply")
        if boot.node != node.node or felt_s is None or apply is None:
            continue
        began_s = felt_s - number(apply.get("resolution_ms"), 0.0) / 1000.0
        if node.start_s <= began_s <= node.end_s + ACT_S:
            # It knows no sharp instant, so it says nothing of the skew.
            end = {**apply, "event": "revert", "resolution_ms": None}
            return replace(
                node, end_s=min(node.end_s, began_s), entries=(*node.entries, end), cut_as_planned=True
            )
    return node


def _window(fault: Entry, entries: Sequence[Entry], start_wall_ns: int | None) -> tuple[float, float]:
    """Return when the fault was to hold on a node: as planned, or from and to a state of its system."""
    start_s, end_s = number(fault.get("start_s"), 0.0), number(fault.get("end_s"), 0.0)
    by_event = {entry.get("event"): entry for entry in entries}
    if "when" in fault and "load" in by_event:
        start_s = since(by_event["load"].get("start_wall_ns"), start_wall_ns) or start_s
        end_s = since(by_event["load"].get("end_wall_ns"), start_wall_ns) or end_s
    if "until" in by_event:
        end_s = number(by_event["until"].get("t_s"), end_s)
    return start_s, end_s


def _blocks(fault: Entry) -> bool:
    return any(program.get("blocked") for program in (fault.get("nodes") or {}).values())


def _node_record(node: NodeActs) -> dict[str, Any]:
    apply, revert, gone = node.first("apply") or {}, node.first("revert") or {}, node.first("gone") or {}
    lacks = lacks_of(node)
    return node.tally() | {
        "blocked": list(node.blocked),
        "applied_s": node.felt_s("apply"), "apply_resolution_ms": apply.get("resolution_ms"),
        "reverted_s": node.felt_s("revert"), "revert_resolution_ms": revert.get("resolution_ms"),
        "traces": gone.get("traces"), "proved": not lacks, "lacks": lacks,
    }  # fmt: skip


def _felt(acts: Sequence[NodeActs], event: str) -> list[int]:
    entries = (node.first(event) for node in acts)
    return [
        int(entry["felt_ns"]) for entry in entries if entry and isinstance(entry.get("felt_ns"), (int, float))
    ]


def _skew_ms(acts: Sequence[NodeActs], event: str) -> float | None:
    """Return the latest minus the earliest instant in ms at which nodes felt it; None unless every node did.

    A node that found it so at its first look (`resolution_ms` null) knows no instant and takes no part.
    """
    sharp = [
        node
        for node in acts
        if "resolution_ms" not in (entry := node.first(event) or {}) or entry["resolution_ms"] is not None
    ]
    felt_ns = _felt(sharp, event)
    if len(_felt(acts, event)) != len(acts) or not felt_ns:
        return None
    return round((max(felt_ns) - min(felt_ns)) / 1e6, 3)


def _iso(wall_ns: int | None) -> str | None:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).isoformat(timespec="milliseconds") if wall_ns else None
