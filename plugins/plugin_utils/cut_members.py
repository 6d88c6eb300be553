# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Members that a partition leaves without a majority, and when each says so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any


def applied_by(ledger: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return the nodes that put each fault in place, by its id, as the ledger says."""
    nodes: dict[str, set[str]] = {}
    for entry in ledger:
        if entry.get("event") == "apply":
            nodes.setdefault(str(entry.get("fault")), set()).add(str(entry.get("node")))
    return nodes


def without_majority(
    fault: Mapping[str, Any], members: Sequence[str], applied: Collection[str] = ()
) -> list[str]:
    """Return the members that a planned partition of all traffic leaves with no more than half of all.

    A member has itself and those with which packets pass both ways. Of a fault that chooses its nodes when
    its time comes (`where`), those count that `applied` it.
    """
    programs = {
        name: program
        for name, program in (fault.get("nodes") or {}).items()
        if not fault.get("where") or name in applied
    }
    partial = any(program.get("ports") or program.get("protocol") for program in programs.values())
    if fault.get("type") != "partition" or fault.get("when") or partial:
        return []
    blocked = {name: set(programs.get(name, {}).get("blocked") or {}) for name in members}
    return [
        one
        for one in members
        if 2 * sum(other not in blocked[one] and one not in blocked[other] for other in members)
        <= len(members)
    ]


def noticed_s(samples: Iterable[Mapping[str, Any]], node: str, from_s: float, to_s: float) -> float | None:
    """Return the seconds after which a member first called itself unhealthy: inf for never, None unknown.

    `samples` are those of samples.jsonl; times count from the start instant.
    """
    own = [one for one in samples if one.get("node") == node and from_s <= float(one["t_s"]) <= to_s]
    if not own:
        return None
    return min((float(one["t_s"]) - from_s for one in own if not one.get("healthy")), default=float("inf"))
