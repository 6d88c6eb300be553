# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether each node answered its probes, as spans of time: answered, in part, no answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.ledger_entry import number
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.lanes import Span
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.series import bucket_width_s

KINDS = ("read", "write")

Entry = Mapping[str, Any]
Tally = dict[tuple[str, str], dict[int, list[bool]]]


def probe_spans(probes: Iterable[Entry], duration_s: float) -> dict[str, list[Span]]:
    """Return for reads and for writes what came of the probes of each node; gaps are left open."""
    width_s = max(1.0, bucket_width_s(duration_s))
    tally: Tally = defaultdict(lambda: defaultdict(list))
    for probe in probes:
        at_s = number(probe.get("t_s"), -1.0)
        if probe.get("kind") in KINDS and 0 <= at_s < duration_s:
            tally[str(probe["kind"]), str(probe.get("node"))][int(at_s // width_s)].append(
                probe.get("ok") is True
            )
    return {
        kind: [
            span for (of, node), slots in tally.items() if of == kind for span in _spans(node, slots, width_s)
        ]
        for kind in KINDS
    }


def availability(probes: Iterable[Entry], duration_s: float) -> dict[str, dict[str, float]]:
    """Return the share of the probes that each node answered within the run, by kind."""
    answers: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for probe in probes:
        if probe.get("kind") in KINDS and 0 <= number(probe.get("t_s"), -1.0) < duration_s:
            answers[str(probe.get("node"))][str(probe["kind"])].append(probe.get("ok") is True)
    return {
        node: {kind: sum(found) / len(found) for kind, found in kinds.items()}
        for node, kinds in answers.items()
    }


def _spans(node: str, slots: Mapping[int, list[bool]], width_s: float) -> list[Span]:
    """Join neighbouring slots with the same answer."""
    rows = [(slot, _said(slots[slot]), place) for place, slot in enumerate(sorted(slots))]
    spans = []
    for (kind, _), group in groupby(rows, key=lambda row: (row[1], row[0] - row[2])):
        members = list(group)
        spans.append(Span(node, kind, members[0][0] * width_s, (members[-1][0] + 1) * width_s))
    return spans


def _said(answers: list[bool]) -> str:
    return "answered" if all(answers) else "in part" if any(answers) else "no answer"
