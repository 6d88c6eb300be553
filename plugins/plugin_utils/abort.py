# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a run is to be ended early, by what its generators have said of themselves so far. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

Sample = Mapping[str, Any]
"""What `combined` returns: totals of all generators at one time."""

UNITS = {"error_rate": "", "throughput": " operations/s", "unhealthy_nodes": " nodes"}


def combined(generators: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up what the generators said (`progress.json`); the oldest of their times counts."""
    totals: dict[str, Any] = {
        name: sum(part[name] for part in generators)
        for name in ("sent", "answered", "dropped", "in_flight", "ops_per_s")
    }
    nodes: dict[str, dict[str, int]] = {}
    for part in generators:
        for node, counts in part.get("nodes", {}).items():
            known = nodes.setdefault(node, {"asked": 0, "answered": 0})
            for name in known:
                known[name] += counts[name]
    totals["unanswered"] = totals["sent"] + totals["dropped"] - totals["in_flight"] - totals["answered"]
    phases = {part["phase"] for part in generators}
    return {
        **totals,
        "t_s": min((part["t_s"] for part in generators), default=0.0),
        "phase": phases.pop() if len(phases) == 1 else "main",
        "nodes": nodes,
    }


def abort_reason(conditions: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> str | None:
    """Return in words the first condition that has held for its whole time; None when none has.

    `samples` are those of the load's main phase, about one a second, the oldest first.
    """
    for condition in conditions:
        value = beyond(condition, window(samples, condition["for_s"]))
        if value is not None:
            return _sentence(condition, value)
    return None


def window(samples: Sequence[Sample], for_s: float) -> Sequence[Sample]:
    """Return the samples of the last so many seconds; none when they do not reach back so far."""
    if not samples:
        return []
    since_s = samples[-1]["t_s"] - for_s
    first = max((i for i, sample in enumerate(samples) if sample["t_s"] <= since_s + 0.1), default=None)
    return [] if first is None else samples[first:]


def beyond(condition: Mapping[str, Any], samples: Sequence[Sample]) -> float | None:
    """Return the measure over the whole window where each of its steps is beyond the limit, else None.

    A step in which no operation ended says nothing of the error rate. A node is unhealthy that was asked in
    the window and answered nothing in all of it.
    """
    if len(samples) < 2:
        return None
    measure, whole = condition["measure"], (samples[0], samples[-1])
    steps = [whole] if measure == "unhealthy_nodes" else list(itertools.pairwise(samples))
    values = [value for step in steps if (value := MEASURES[measure](*step)) is not None]
    if values and all(_is_beyond(condition, value) for value in values):
        return MEASURES[measure](*whole)
    return None


def silent_nodes(before: Sample, after: Sample) -> list[str]:
    """Names of the nodes that were asked between two samples and answered nothing."""
    return [
        node
        for node, counts in after["nodes"].items()
        if counts["asked"] > before["nodes"].get(node, {}).get("asked", 0)
        and counts["answered"] == before["nodes"].get(node, {}).get("answered", 0)
    ]


def error_rate(before: Sample, after: Sample) -> float | None:
    """Share of the operations that ended between two samples and were not answered; None where none ended."""
    unanswered = after["unanswered"] - before["unanswered"]
    ended = unanswered + after["answered"] - before["answered"]
    return max(unanswered, 0) / ended if ended > 0 else None


def throughput(before: Sample, after: Sample) -> float | None:
    """Operations answered per second between two samples."""
    elapsed_s = after["t_s"] - before["t_s"]
    return (after["answered"] - before["answered"]) / elapsed_s if elapsed_s > 0 else None


def unhealthy_nodes(before: Sample, after: Sample) -> float | None:
    """How many nodes answered nothing between two samples."""
    return float(len(silent_nodes(before, after)))


MEASURES = {"error_rate": error_rate, "throughput": throughput, "unhealthy_nodes": unhealthy_nodes}


def _is_beyond(condition: Mapping[str, Any], value: float) -> bool:
    above, below = condition.get("above"), condition.get("below")
    return (above is not None and value > above) or (below is not None and value < below)


def _sentence(condition: Mapping[str, Any], value: float) -> str:
    side = "above" if condition.get("above") is not None else "below"
    unit = UNITS[condition["measure"]]
    return (
        f"{condition['measure']} {side} {condition[side]:g}{unit} for {condition['for_s']:g} s "
        f"(it was {round(value, 3):g})"
    )
