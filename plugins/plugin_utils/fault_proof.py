# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is missing from the proof that a fault held on a node: its begin, its hold, its effect, its end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import (
    Entry,
    joined,
    number,
    total,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.node_acts import ACT_S, EDGE_S, NodeActs

GAP_S = 4.0
"""The longest time in seconds without evidence, or without a newly blocked packet, that counts as held."""

RAMP_S = 5.0
"""Seconds that a level (memory, tasks, a disk) may take to be reached before it counts as not held."""
HELD_SHARE = 0.5
"""The least share of the looks at which a level must have been seen, once it was reached."""


def lacks_of(node: NodeActs) -> list[str]:
    """Return everything that is missing from the proof of this fault on this node."""
    if not node.entries:
        return ["its ledger says nothing about the fault"]
    check = node.first("check") or {}
    if check.get("able") is False:
        return [f"it was not able to: {joined(check.get('reasons'))}"]
    error = node.first("error")
    lacks = [f"it ended in an error: {error.get('message')}"] if error else []
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
        return [f"traces are left: {joined(traces)}"] if traces else []
    if felt_s is None:
        lacks += ["it never felt the fault end"] if node.feels else []
    elif felt_s < node.end_s - EDGE_S:
        lacks.append(f"it felt the fault end at {felt_s:.2f} s, before the planned {node.end_s:g} s")
    if gone is None:
        lacks.append("nothing shows that the fault is gone")
    elif gone.get("traces"):
        lacks.append(f"traces are left: {joined(gone['traces'])}")
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
