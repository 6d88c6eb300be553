# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each node was at each time, as spans in seconds since the start instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.fault_words import kind_words, state, told
from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One node in one state from ``from_s`` to ``to_s``: its health, leader, or what a fault made of it."""

    node: str
    kind: str
    from_s: float
    to_s: float
    label: str = ""


def node_names(plan: Entry, samples: Sequence[Entry]) -> list[str]:
    """Return the nodes of the plan, or those that left samples."""
    names = [str(node.get("name")) for node in plan.get("nodes") or []]
    return names or sorted({str(sample.get("node")) for sample in samples})


def health_spans(samples: Iterable[Entry], duration_s: float, every_s: float) -> list[Span]:
    """Return for every node the spans in which it was healthy, was not, or said nothing."""
    spans = []
    for node, series in _by_node(samples):
        spans += _runs(node, [(at_s, _health(sample)) for at_s, sample in series], duration_s, every_s)
    return spans


def leader_spans(samples: Iterable[Entry], duration_s: float, every_s: float) -> list[Span]:
    """Return the spans in which a node said that it led."""
    spans = []
    for node, series in _by_node(samples):
        states = [(at_s, "leader" if sample.get("leader") else "") for at_s, sample in series]
        spans += [span for span in _runs(node, states, duration_s, every_s) if span.kind == "leader"]
    return spans


def fault_spans(plan: Entry, faults: Iterable[Entry]) -> list[Span]:
    """Return one span per fault and node that took part: what it made of the node, as the node felt it."""
    spans = []
    planned = {fault.get("id"): fault for fault in plan.get("faults") or []}
    for fault in faults:
        of_plan = planned.get(fault.get("id"), {})
        window = fault_window(of_plan, fault)
        evidence = fault.get("evidence") or {}
        felt, idle = evidence.get("nodes") or {}, evidence.get("idle") or {}
        for node in (name for name in fault.get("targets") or [] if name not in idle):
            own = felt.get(node) or {}
            from_s = number(own.get("applied_s"), window[0])
            to_s = max(from_s, number(own.get("reverted_s"), window[1]))
            kind = state({**of_plan, "type": fault.get("type")})
            spans.append(Span(str(node), kind, from_s, to_s, _label(of_plan, fault, node)))
    return spans


def tracks(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return for each span its row within its node and how many rows the node needs: overlaps lie apart."""
    ends: dict[str, list[float]] = {}
    rows = [0] * len(spans)
    for place in sorted(range(len(spans)), key=lambda place: spans[place].from_s):
        span = spans[place]
        own = ends.setdefault(span.node, [])
        rows[place] = next((row for row, end_s in enumerate(own) if end_s <= span.from_s), len(own))
        own[rows[place] : rows[place] + 1] = [span.to_s]
    return [(row, len(ends[span.node])) for row, span in zip(rows, spans, strict=True)]


def recovery_spans(faults: Sequence[Entry]) -> list[tuple[float, float]]:
    """Return the stretches between the end of a fault and its recovery in which no other fault held."""
    held = sorted((number(one.get("applied_s"), 0.0), number(one.get("reverted_s"), 0.0)) for one in faults)
    ends = [to_s + number(one.get("recovery_s"), 0.0) for one in faults if (to_s := _end_s(one)) is not None]
    spans: list[tuple[float, float]] = []
    for place, (_, to_s) in enumerate(held):
        from_s = max(end_s for _, end_s in held[: place + 1])
        until_s = held[place + 1][0] if place + 1 < len(held) else max(ends, default=0.0)
        reached_s = max((end_s for end_s in ends if end_s > to_s), default=0.0)
        if min(until_s, reached_s) > from_s:
            spans.append((from_s, min(until_s, reached_s)))
    return spans


def _end_s(fault: Entry) -> float | None:
    found = fault.get("reverted_s")
    return number(found, 0.0) if fault.get("recovery_s") is not None and found is not None else None


def _label(planned: Entry, fault: Entry, node: str) -> str:
    groups = (planned.get("params") or {}).get("groups") or {}
    side = next((name for name, members in groups.items() if node in members), "")
    words = (
        kind_words(fault)
        if not planned
        else f"{kind_words(fault)} {told({**planned, 'params': _own(planned)})}"
    )
    return f"{fault.get('id')}: {words.strip()}{f', side {side}' if side else ''}"


def _own(planned: Entry) -> dict[str, Any]:
    return {key: value for key, value in (planned.get("params") or {}).items() if key != "groups"}


def fault_window(planned: Entry, fault: Entry) -> tuple[float, float]:
    """Return when a fault held in seconds: as it was felt, else as it was planned."""
    from_s = number(fault.get("applied_s"), number(planned.get("start_s"), 0.0))
    return from_s, number(fault.get("reverted_s"), number(planned.get("end_s"), from_s))


def _health(sample: Entry) -> str:
    return "up" if sample.get("healthy") else "not healthy"


def _by_node(samples: Iterable[Entry]) -> Iterator[tuple[str, list[tuple[float, Entry]]]]:
    ordered = sorted(samples, key=lambda sample: (str(sample.get("node")), number(sample.get("t_s"), 0.0)))
    for node, series in groupby(ordered, key=lambda sample: str(sample.get("node"))):
        yield node, [(number(sample.get("t_s"), 0.0), sample) for sample in series]


def _runs(node: str, states: Sequence[tuple[float, str]], duration_s: float, every_s: float) -> list[Span]:
    """Join samples of one state, taken every so many seconds; more than two samples missing is silence."""
    spans: list[Span] = []
    for place, (at_s, kind) in enumerate(states):
        after_s = states[place + 1][0] if place + 1 < len(states) else max(duration_s, at_s)
        to_s = min(after_s, at_s + 2 * every_s)
        spans.append(Span(node, kind, at_s, to_s))
        if after_s > to_s:
            spans.append(Span(node, "silent", to_s, after_s))
    merged = []
    for kind, group in groupby(spans, key=lambda span: span.kind):
        members = list(group)
        merged.append(Span(node, kind, members[0].from_s, members[-1].to_s))
    return merged
