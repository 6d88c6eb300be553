# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each node was at each time, as spans in seconds since the start instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.faults import number

SAMPLE_S = 1.0

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One node in one state from ``from_s`` to ``to_s``: its health, leader, or a fault's side."""

    node: str
    kind: str
    from_s: float
    to_s: float
    label: str = ""


def node_names(plan: Entry, samples: Sequence[Entry]) -> list[str]:
    """Return the nodes of the plan, or those that left samples."""
    names = [str(node.get("name")) for node in plan.get("nodes") or []]
    return names or sorted({str(sample.get("node")) for sample in samples})


def health_spans(samples: Iterable[Entry], duration_s: float) -> list[Span]:
    """Return for every node the spans in which it was healthy, was not, or said nothing."""
    spans = []
    for node, series in _by_node(samples):
        spans += _runs(node, [(at_s, _health(sample)) for at_s, sample in series], duration_s)
    return spans


def leader_spans(samples: Iterable[Entry], duration_s: float) -> list[Span]:
    """Return the spans in which a node said that it led."""
    spans = []
    for node, series in _by_node(samples):
        states = [(at_s, "leader" if sample.get("leader") else "") for at_s, sample in series]
        spans += [span for span in _runs(node, states, duration_s) if span.kind == "leader"]
    return spans


def fault_spans(plan: Entry, faults: Iterable[Entry]) -> list[Span]:
    """Return one span per fault and node, labelled with the fault and the side the node was on."""
    spans = []
    planned = {fault.get("id"): fault for fault in plan.get("faults") or []}
    for fault in faults:
        of_plan = planned.get(fault.get("id"), {})
        from_s, to_s = fault_window(of_plan, fault)
        groups = (of_plan.get("params") or {}).get("groups") or {}
        idle = (fault.get("evidence") or {}).get("idle") or {}
        for node in (name for name in fault.get("targets") or [] if name not in idle):
            side = next((name for name, members in groups.items() if node in members), "")
            label = f"{fault.get('id')}: {side}" if side else str(fault.get("id"))
            spans.append(Span(str(node), side or "fault", from_s, to_s, label))
    return spans


def fault_window(planned: Entry, fault: Entry) -> tuple[float, float]:
    """Return when a fault held in seconds: as it was felt, else as it was planned."""
    from_s = number(fault.get("applied_s"), number(planned.get("start_s"), 0.0))
    return from_s, number(fault.get("reverted_s"), number(planned.get("end_s"), from_s))


def _health(sample: Entry) -> str:
    return "healthy" if sample.get("healthy") else "unhealthy"


def _by_node(samples: Iterable[Entry]) -> Iterator[tuple[str, list[tuple[float, Entry]]]]:
    ordered = sorted(samples, key=lambda sample: (str(sample.get("node")), number(sample.get("t_s"), 0.0)))
    for node, series in groupby(ordered, key=lambda sample: str(sample.get("node"))):
        yield node, [(number(sample.get("t_s"), 0.0), sample) for sample in series]


def _runs(node: str, states: Sequence[tuple[float, str]], duration_s: float) -> list[Span]:
    """Join samples of one state; more than two samples missing is silence."""
    spans: list[Span] = []
    for place, (at_s, kind) in enumerate(states):
        after_s = states[place + 1][0] if place + 1 < len(states) else max(duration_s, at_s)
        to_s = min(after_s, at_s + 2 * SAMPLE_S)
        spans.append(Span(node, kind, at_s, to_s))
        if after_s > to_s:
            spans.append(Span(node, "silent", to_s, after_s))
    merged = []
    for kind, group in groupby(spans, key=lambda span: span.kind):
        members = list(group)
        merged.append(Span(node, kind, members[0].from_s, members[-1].to_s))
    return merged
