# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge from the ledger what each fault did: when it began and ended, its skew, its evidence, its proof.

A fault is proved only when every node that took part saw it begin, held it without a gap, saw its effect, saw
it end and was left clean. Anything else is named: the node and what is missing. A node that a state of its
own system kept out took no part; where none took part, nothing is proved. Times are seconds since the start
instant unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

EDGE_S = 0.1
"""Seconds at each edge of the planned window in which a packet may still pass, or a cut be felt."""
ACT_S = 1.0
"""Seconds by which a node may be late with an act of its own: it is not the kernel that begins it."""
GAP_S = 4.0
"""The longest time in seconds without evidence, or without a newly blocked packet, that counts as held."""

RAMP_S = 5.0
"""Seconds that a level (memory, tasks, a disk) may take to be reached before it counts as not held."""
HELD_SHARE = 0.5
"""The least share of the looks at which a level must have been seen, once it was reached."""

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

Entry = Mapping[str, Any]
LEDGER_KEYS = ("node", "fault", "type", "event", "wall_ns", "mono_ns", "t_s")
"""What every line of the ledger says; the rest is the event's own."""


@dataclass(frozen=True, slots=True)
class NodeActs:
    """What the ledger holds about one fault on one node; ``blocked`` are the peers it must not reach.

    ``asked`` are the nodes that its probe after the removal concerns, ``others`` when a fault silenced those.
    ``cut_as_planned``: its end is a boot that another fault of the plan brought about.
    """

    node: str
    start_s: float
    end_s: float
    blocked: tuple[str, ...]
    entries: tuple[Entry, ...]
    start_wall_ns: int | None = None
    asked: frozenset[str] = frozenset()
    others: tuple[tuple[float, float], ...] = ()
    cut_as_planned: bool = False

    def excused(self, at_s: float) -> bool:
        """Whether a fault that can silence its probes held, on it or on a peer, while nobody answered."""
        return any(from_s <= at_s and self.end_s < to_s for from_s, to_s in self.others)

    def held_s(self) -> tuple[float, float] | None:
        """Return from when to when it held on the node, as its ledger says; None where it never did."""
        if self.idle is not None or (self.first("apply") is None and self.first("load") is None):
            return None
        from_s, gone = self.felt_s("apply"), self.first("gone") or {}
        # Until its own probe has passed, else only to its end: two failed probes do not excuse each other.
        to_s = number(gone.get("t_s"), self.end_s) if gone.get("probe_passed") is True else self._ended_s()
        return (self.start_s if from_s is None else from_s), to_s

    def _ended_s(self) -> float:
        ends = (self.first(event) for event in ("revert", "reverted", "interrupted", "gone"))
        last = next((entry for entry in ends if entry is not None), self.entries[-1])
        return number(last.get("t_s"), self.end_s)

    @property
    def idle(self) -> str | None:
        """Return why a state of its own system kept this node out; None when it took part."""
        entry = self.first("idle")
        return None if entry is None else str(entry.get("reason"))

    @property
    def by_itself(self) -> bool:
        """Whether the kernel begins and ends it, rather than an act of the agent."""
        return (self.first("check") or {}).get("lapses") is True

    @property
    def feels(self) -> bool:
        """Whether the node can tell when it begins and ends."""
        return not self.by_itself or (self.first("check") or {}).get("feels") is True

    def felt_s(self, event: str) -> float | None:
        """Return when a packet felt the fault begin ("apply") or end ("revert")."""
        entry = self.first(event)
        if entry is None:
            return None
        if self.start_wall_ns is None or not isinstance(entry.get("felt_ns"), (int, float)):
            return number(entry.get("t_s"), self.start_s if event == "apply" else self.end_s)
        return _since(int(entry["felt_ns"]), self.start_wall_ns)

    def first(self, event: str) -> Entry | None:
        """Return the first ledger entry of this kind."""
        return next((entry for entry in self.entries if entry.get("event") == event), None)

    def held(self) -> list[Entry]:
        """Return the evidence from within the planned window, without its edges."""
        low_s = self.start_s + EDGE_S
        high_s = self.end_s - EDGE_S if self.by_itself else self.end_s + ACT_S
        entries = (entry for entry in self.entries if entry.get("event") == "evidence")
        return [entry for entry in entries if low_s <= number(entry.get("t_s"), -1.0) <= high_s]

    def tally(self) -> dict[str, Any]:
        """Return the node's packets and probes: the agent's totals, or the last evidence it left."""
        entry = self.first("record") or next(
            (entry for entry in reversed(self.entries) if entry.get("event") == "evidence"), {}
        )
        probes = entry.get("probes") or {}
        names = ("sent", "blocked", "passed", "open_sent", "open_passed")
        shared = ("packets", "probes", "present", "effective", *LEDGER_KEYS)
        return (
            {"packets": int(total(entry.get("packets")))}
            | {f"probes_{name}": int(total(probes.get(name))) for name in names}
            | {"figures": {key: value for key, value in entry.items() if key not in shared}}
        )


def number(value: Any, default: float) -> float:
    """Return ``value`` if it is a number, else ``default``."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def total(value: Any) -> float:
    """Sum a counter that may be one number or a mapping of numbers, by rule or by peer."""
    if isinstance(value, Mapping):
        return sum(total(item) for item in value.values())
    return number(value, 0.0)


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
        "applied_s": _since(begin_ns, start_wall_ns),
        "reverted_s": _since(end_ns, start_wall_ns) if whole else None,
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
        start_s = _since(by_event["load"].get("start_wall_ns"), start_wall_ns) or start_s
        end_s = _since(by_event["load"].get("end_wall_ns"), start_wall_ns) or end_s
    if "until" in by_event:
        end_s = number(by_event["until"].get("t_s"), end_s)
    return start_s, end_s


def _blocks(fault: Entry) -> bool:
    return any(program.get("blocked") for program in (fault.get("nodes") or {}).values())


def _node_record(node: NodeActs) -> dict[str, Any]:
    apply, revert, gone = node.first("apply") or {}, node.first("revert") or {}, node.first("gone") or {}
    lacks = list(_lacks(node))
    return node.tally() | {
        "blocked": list(node.blocked),
        "applied_s": node.felt_s("apply"), "apply_resolution_ms": apply.get("resolution_ms"),
        "reverted_s": node.felt_s("revert"), "revert_resolution_ms": revert.get("resolution_ms"),
        "traces": gone.get("traces"), "proved": not lacks, "lacks": lacks,
    }  # fmt: skip


def _lacks(node: NodeActs) -> Iterable[str]:
    """Yield everything that is missing from the proof of this fault on this node."""
    if not node.entries:
        return ["its ledger says nothing about the fault"]
    check = node.first("check")
    lacks = (
        [f"it was not able to: {_join(check.get('reasons'))}"] if check and check.get("able") is False else []
    )
    if lacks:
        return lacks
    error = node.first("error")
    lacks += [f"it ended in an error: {error.get('message')}"] if error else []
    return lacks + _lacks_begin(node) + _lacks_hold(node) + _lacks_end(node)


def _lacks_begin(node: NodeActs) -> list[str]:
    felt_s = node.felt_s("apply")
    if not node.feels:
        return []
    if felt_s is None:
        return ["it never felt the fault begin"]
    apply = node.first("apply") or {}
    if apply.get("resolution_ms", 0.0) is None:  # cut at the first look: it may have begun any time before
        return []
    unsure_s = number(apply.get("resolution_ms"), 0.0) / 1000.0
    late_s = felt_s - unsure_s - node.start_s
    return (
        [f"it felt the fault begin {late_s:.2f} s late"]
        if late_s > (EDGE_S if node.by_itself else ACT_S)
        else []
    )


def _lacks_end(node: NodeActs) -> list[str]:
    lacks = []
    felt_s, gone = node.felt_s("revert"), node.first("gone")
    interrupted, reverted = node.first("interrupted"), node.first("reverted")
    if interrupted is not None and not node.cut_as_planned:
        return ["a boot of the node cut it short"]
    # A boot ends the agent as well: what is taken back from then on is as it should be.
    if reverted is not None and (
        interrupted is None or number(reverted.get("t_s"), 0.0) < node.end_s - EDGE_S
    ):
        return ["its agent died, and its unit took the fault back"]
    if interrupted is not None:
        traces = interrupted.get("traces")
        return [f"traces are left: {_join(traces)}"] if traces else []
    if felt_s is None:
        lacks += ["it never felt the fault end"] if node.feels else []
    elif felt_s < node.end_s - EDGE_S:
        lacks.append(f"it felt the fault end at {felt_s:.2f} s, before the planned {node.end_s:g} s")
    if gone is None:
        lacks.append("nothing shows that the fault is gone")
    elif gone.get("traces"):
        lacks.append(f"traces are left: {_join(gone['traces'])}")
    elif gone.get("probe_passed") is False and not node.excused(number(gone.get("t_s"), node.end_s)):
        lacks.append("no probe passed after the removal")
    return lacks


def _lacks_hold(node: NodeActs) -> list[str]:
    held = node.held()
    if not held:
        return ["no evidence was taken while the fault held"]
    lacks = []
    absent = next((entry for entry in held if entry.get("present") is not True), None)
    if absent is not None:
        why = f" ({absent['reason']})" if absent.get("reason") else ""
        lacks.append(f"it was not in place at {number(absent.get('t_s'), 0.0):.1f} s{why}")
    if gap := _gap(node, [number(entry.get("t_s"), 0.0) for entry in held]):
        lacks.append(f"there is no evidence from {gap[0]:.1f} s to {gap[1]:.1f} s")
    if node.blocked:
        lacks += _lacks_blocked(node, held)
    else:
        lacks += _lacks_effect(node, held)
    return lacks


def _lacks_effect(node: NodeActs, held: Sequence[Entry]) -> list[str]:
    """Return what the evidence lacks of the effect, by what one entry of this kind says (agent/fault.py)."""
    seen = [entry for entry in held if entry.get("effective") is True]
    kind = (node.first("check") or {}).get("evidence_kind")
    if not seen:
        return ["its effect was never seen"]
    if kind == "sum" and held[-1] is not seen[-1]:  # the last one has measured longest
        return [f"its effect was not as asked, measured up to {number(held[-1].get('t_s'), 0.0):.1f} s"]
    if kind == "level":
        from_s = min(number(seen[0].get("t_s"), 0.0), node.start_s + RAMP_S)
        counted = [entry for entry in held if number(entry.get("t_s"), 0.0) >= from_s]
        if len(seen) < HELD_SHARE * len(counted):
            return [f"its effect was seen at only {len(seen)} of {len(counted)} looks from {from_s:.1f} s on"]
    return []


def _lacks_blocked(node: NodeActs, held: Sequence[Entry]) -> list[str]:
    lacks = []
    first = (node.first("apply") or {}).get("probes") or {}
    passed = _growth(held, "passed", total(first.get("passed")))
    if passed is not None:
        lacks.append(f"a probe passed to a blocked peer by {passed:.1f} s")
    counts = [(number(entry.get("t_s"), 0.0), _blocked_so_far(entry)) for entry in held]
    grew_s = [
        time_s for (_, before), (time_s, after) in pairwise([(node.start_s, 0.0), *counts]) if after > before
    ]
    if not grew_s:
        lacks.append("it blocked no packet and no probe")
    elif gap := _gap(node, grew_s):
        lacks.append(f"it blocked no packet and no probe from {gap[0]:.1f} s to {gap[1]:.1f} s")
    return lacks


def _growth(held: Sequence[Entry], name: str, seen: float) -> float | None:
    """Return when a probe counter first grew beyond ``seen``, its count when the fault was felt."""
    for entry in held:
        count = total((entry.get("probes") or {}).get(name))
        if count > seen:
            return number(entry.get("t_s"), 0.0)
        seen = count
    return None


def _blocked_so_far(entry: Entry) -> float:
    return total(entry.get("packets")) + total((entry.get("probes") or {}).get("blocked"))


def _gap(node: NodeActs, times_s: Sequence[float]) -> tuple[float, float] | None:
    """Return the first stretch of the planned window longer than GAP_S that holds none of these times."""
    # a slow act, such as that of a management controller, can be seen only once it is done
    marks = [max(node.start_s, node.felt_s("apply") or node.start_s), *times_s, node.end_s]
    return next(((a, b) for a, b in pairwise(marks) if b - a > GAP_S), None)


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


def _since(wall_ns: int | None, start_wall_ns: int | None) -> float | None:
    return (
        round((wall_ns - start_wall_ns) / 1e9, 6)
        if wall_ns is not None and start_wall_ns is not None
        else None
    )


def _iso(wall_ns: int | None) -> str | None:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).isoformat(timespec="milliseconds") if wall_ns else None


def _join(items: Any) -> str:
    return ", ".join(str(item) for item in items) if isinstance(items, (list, tuple)) else str(items)
