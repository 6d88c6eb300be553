# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All charts of a run on one shared axis of seconds, as parts of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import Columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.figure import Chart, Frame, Item
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.lanes import Span
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.load_charts import load_charts
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.metric_charts import metric_charts
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.node_charts import (
    lane_chart,
    probe_chart,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.probes import probe_spans
from bokeh.embed import components
from bokeh.models import Range1d
from bokeh.resources import Resources


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the charts show; times in seconds since the start instant."""

    columns: Columns
    duration_s: float
    nodes: Sequence[str]
    health: Sequence[Span]
    leaders: Sequence[Span]
    faults: Sequence[Span]
    recoveries: Sequence[tuple[float, float]] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    probes: Sequence[Mapping[str, Any]] = ()
    criteria: Sequence[Mapping[str, Any]] = ()

    def __bool__(self) -> bool:
        return bool(len(self.columns) or self.health or self.metrics.get("series") or self.probes)


@dataclass(frozen=True, slots=True)
class Placed:
    """One chart on the page: what is said above it, its empty element, and its legend."""

    title: str
    note: str
    div: str
    legend: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Charts:
    """Parts of a page: the library, the script that draws, and the charts by name."""

    library: str
    script: str
    placed: Mapping[str, Placed]


def charts(timeline: Timeline) -> Charts:
    """Draw all charts of a run."""
    drawn = _drawn(timeline)
    script, divs = components({name: chart.plot for name, chart in drawn.items()}, wrap_script=False)
    placed = {
        name: Placed(chart.title, chart.note, divs[name], chart.legend) for name, chart in drawn.items()
    }
    return Charts(library(), script, placed)


def library() -> str:
    """Return the charts' JavaScript library as one inline text: nothing is loaded from anywhere."""
    resources = Resources(mode="inline", minified=True, components=["bokeh"])
    return "\n".join(resources.js_raw)


def _drawn(timeline: Timeline) -> dict[str, Chart]:
    held = tuple(dict.fromkeys((span.from_s, span.to_s) for span in _joined(timeline.faults)))
    axis = Range1d(start=0, end=max(timeline.duration_s, 1.0), bounds="auto")
    frame, bare = Frame(axis, held, timeline.recoveries), Frame(axis, (), ())
    drawn = load_charts(timeline.columns, timeline.duration_s, frame) if len(timeline.columns) else {}
    if timeline.nodes and (timeline.health or timeline.faults):
        drawn["lanes"] = lane_chart(timeline.nodes, timeline.health, timeline.leaders, timeline.faults, bare)
    spans = probe_spans(timeline.probes, timeline.duration_s)
    probed = [
        node for node in timeline.nodes if any(span.node == node for own in spans.values() for span in own)
    ]
    if probed:
        drawn["probes"] = probe_chart(probed, spans, frame)
    return {**drawn, **metric_charts(timeline.metrics, timeline.criteria, timeline.duration_s, frame)}


def _joined(faults: Sequence[Span]) -> list[Span]:
    """Return one span for each fault, over all its nodes: they begin and end some milliseconds apart."""
    by_fault: dict[str, list[Span]] = {}
    for span in faults:
        by_fault.setdefault(span.label.split(":")[0], []).append(span)
    return [
        Span("", own[0].kind, min(span.from_s for span in own), max(span.to_s for span in own))
        for own in by_fault.values()
    ]
