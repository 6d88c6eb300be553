# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Members that a partition leaves without a majority, and when each says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def without_majority(fault: Mapping[str, Any], members: Sequence[str]) -> list[str]:
    """Return the members that a planned partition of all traffic leaves with no more than half of all.

    A member has itself and those with which packets pass both ways.
    """
    programs = fault.get("nodes") or {}
    partial = any(program.get("ports") or program.get("protocol") for program in programs.values())
    if fault.get("type") != "partition" or fault.get("when") or fault.get("where") or partial:
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
