# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Prometheus saw of a run (`metrics.json`): its worst value, and where it saw nothing. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

ABSENT_S = 5
"""Seconds in a row for which a series may be absent; more is a gap over which nobody can judge."""
BOOT_S = 15.0
"""Seconds after a planned power cut within which a node need not be heard again."""

Entry = Mapping[str, Any]
Windows = Mapping[str, Sequence[tuple[float, float]]]
"""By node, from when to when it was switched off by plan."""


def series_named(series: Iterable[Entry], name: str) -> Entry | None:
    """Return a series of the testbed or of the system by its name."""
    return next((each for each in series if each.get("name") == name and not each.get("criterion")), None)


def series_of_criterion(series: Iterable[Entry], name: str) -> Entry | None:
    """Return what a criterion's own expression gave."""
    return next((each for each in series if each.get("criterion") == name), None)


def points_of(line: Entry, duration_s: float) -> list[tuple[float, float]]:
    """Return the points of one line within the declared duration."""
    pairs = [(float(at), float(value)) for at, value in line.get("points") or []]
    return [(at, value) for at, value in pairs if 0 <= at <= duration_s and math.isfinite(value)]


def worst_value(lines: Iterable[Entry], highest: bool, duration_s: float) -> float | None:
    """Return the highest, or the lowest, value of all lines within the declared duration."""
    values = [value for line in lines for _at, value in points_of(line, duration_s)]
    return (max if highest else min)(values, default=None)


def first_gap(lines: Iterable[Entry], duration_s: float, down: Windows) -> str:
    """Return one sentence for the first line that is absent for too long; empty when none is."""
    for line in lines:
        node = str((line.get("labels") or {}).get("node"))
        seen = {round(at) for at, _value in points_of(line, duration_s)}
        for from_s, to_s in _absences(seen, duration_s, down.get(node, ())):
            return f"{line.get('label')} is absent from {from_s} s to {to_s} s"
    return ""


def _absences(
    seen: set[int], duration_s: float, down: Sequence[tuple[float, float]]
) -> Iterator[tuple[int, int]]:
    """Yield first and last second of each stretch absent for too long; a planned power cut is none."""
    absent: list[int] = []
    for second in [*range(math.floor(duration_s) + 1), None]:
        excused = second is not None and any(from_s <= second <= to_s for from_s, to_s in down)
        if second is not None and second not in seen and not excused:
            absent.append(second)
            continue
        if len(absent) > ABSENT_S:
            yield absent[0], absent[-1]
        absent = []


def switched_off(plan: Entry, faults: Iterable[Entry]) -> dict[str, list[tuple[float, float]]]:
    """Return when each node was switched off by plan, the time of its boot included."""
    planned = {fault.get("id"): fault for fault in plan.get("faults") or []}
    windows: dict[str, list[tuple[float, float]]] = {}
    for fault in faults:
        meant = planned.get(fault.get("id"), {})
        from_s, to_s = fault.get("applied_s"), fault.get("reverted_s")
        if not meant.get("takes_down") or not isinstance(from_s, (int, float)):
            continue
        end_s = to_s if isinstance(to_s, (int, float)) else meant.get("end_s", from_s)
        for node in {*(meant.get("power") or {}), *(fault.get("targets") or [])}:
            windows.setdefault(str(node), []).append((float(from_s), float(end_s) + BOOT_S))
    return windows
