# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The charts over time: throughput, latency and a lane per node, on one shared axis of seconds.

The page sets the colours of text and lines from its style sheet, so dark mode and print reach the charts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import Columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.lanes import Span
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.series import latencies, rates
from bokeh.embed import components
from bokeh.models import (
    ColumnDataSource,
    FactorRange,
    HoverTool,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.models.annotations import BoxAnnotation, Legend
from bokeh.plotting import figure
from bokeh.resources import Resources

COLOURS = {
    "answered": "#4f8fd6", "failed": "#d1495b", "indeterminate": "#e3a23a", "not sent": "#8b93a1",
    "p50": "#4f8fd6", "p95": "#2fa390", "p99": "#e3a23a", "max": "#d1495b",
    "healthy": "#3f9c6b", "unhealthy": "#d1495b", "silent": "#8b93a1", "leader": "#f2c230",
    "fault": "#8e6bd1",
}  # fmt: skip
SIDES = ("#8e6bd1", "#d0709f", "#5ba3b0", "#a58a4a", "#6f7fd8")
LEFT_PX = 76
TEXT = "#7b8494"


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the charts show; times in seconds since the start instant."""

    columns: Columns
    duration_s: float
    nodes: Sequence[str]
    health: Sequence[Span]
    leaders: Sequence[Span]
    faults: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Charts:
    """Parts of a page: the library, the script that draws, and one empty element per chart."""

    library: str
    script: str
    divs: Mapping[str, str]
    side_colours: Mapping[str, str]


def charts(timeline: Timeline) -> Charts:
    """Draw all charts of a run."""
    axis = Range1d(start=0, end=max(timeline.duration_s, 1.0), bounds="auto")
    sides = side_colours(timeline.faults)
    figures = {
        "throughput": _throughput(timeline, axis),
        "latency": _latency(timeline, axis),
        "lanes": _lanes(timeline, axis, sides),
    }
    script, divs = components(figures, wrap_script=False)
    return Charts(library(), script, divs, sides)


def library() -> str:
    """Return the charts' JavaScript library as one inline text: nothing is loaded from anywhere."""
    resources = Resources(mode="inline", minified=True, components=["bokeh"])
    return "\n".join(resources.js_raw)


def side_colours(faults: Sequence[Span]) -> dict[str, str]:
    """Return a colour for each side of each partition, and one for other faults."""
    kinds = list(dict.fromkeys(span.kind for span in faults))
    return {
        kind: COLOURS["fault"] if kind == "fault" else SIDES[place % len(SIDES)]
        for place, kind in enumerate(kinds)
    }


def _figure(axis: Range1d, height_px: int, **more: Any) -> Any:
    plot = figure(
        x_range=axis, height=height_px, sizing_mode="stretch_width",
        min_border_left=LEFT_PX, min_border_right=12,
        tools="xpan,xbox_zoom,xwheel_zoom,reset,save", active_drag="xbox_zoom", active_scroll=None,
        toolbar_location="above", background_fill_color=None, border_fill_color=None, outline_line_color=None,
        **more,
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.xgrid.grid_line_color = None
    plot.axis.axis_label_text_color = plot.axis.major_label_text_color = plot.axis.axis_line_color = TEXT
    plot.grid.grid_line_alpha = 0.35
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_font = plot.axis.major_label_text_font = "system-ui, sans-serif"
    plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "12px"
    return plot


def _shade(plot: Any, faults: Sequence[Span]) -> None:
    for from_s, to_s in dict.fromkeys((span.from_s, span.to_s) for span in faults):
        plot.add_layout(
            BoxAnnotation(
                left=from_s, right=to_s, fill_color=COLOURS["fault"], fill_alpha=0.14,
                line_color=COLOURS["fault"],
                line_alpha=0.7, line_dash="dashed", level="underlay",
            )
        )  # fmt: skip


def _legend(plot: Any, items: Sequence[tuple[str, list[Any]]]) -> None:
    legend = Legend(
        items=list(items), orientation="horizontal", click_policy="hide", border_line_color=None,
        background_fill_alpha=0.0, margin=0, spacing=8, glyph_width=12, glyph_height=12, label_height=14,
        label_standoff=3, label_text_font="system-ui, sans-serif", label_text_font_size="11px",
        location="left", label_text_color=TEXT,
    )  # fmt: skip
    plot.add_layout(legend, "above")


def _throughput(timeline: Timeline, axis: Range1d) -> Any:
    found = rates(timeline.columns, timeline.duration_s)
    names = ["answered", "failed", "indeterminate", "not sent"]
    source = ColumnDataSource({
        "middle_s": found.middle_s, "answered": found.answered, "failed": found.failed,
        "indeterminate": found.indeterminate, "not sent": found.dropped,
    })  # fmt: skip
    top = float(max((found.answered + found.failed + found.indeterminate + found.dropped).max(), 1.0))
    plot = _figure(axis, 250, y_range=Range1d(start=0, end=top * 1.08))
    _shade(plot, timeline.faults)
    bars = plot.vbar_stack(
        names, x="middle_s", width=found.width_s * 0.94, source=source,
        fill_color=[COLOURS[name] for name in names], line_color=None,
    )  # fmt: skip
    _legend(plot, [(name, [bar]) for name, bar in zip(names, bars, strict=True)])
    tips = [("due at", "@middle_s{0.0} s"), *((name, f"@{{{name}}}{{0.#}}/s") for name in names)]
    plot.add_tools(HoverTool(tooltips=tips, mode="vline", renderers=[bars[0]]))
    plot.yaxis.axis_label = "operations / s"
    return plot


def _latency(timeline: Timeline, axis: Range1d) -> Any:
    middle_s, found = latencies(timeline.columns, timeline.duration_s)
    values = np.concatenate([*found.values()])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 1000.0)
    plot = _figure(axis, 230, y_axis_type="log", y_range=Range1d(start=low / 1.5, end=high * 1.8))
    _shade(plot, timeline.faults)
    source = ColumnDataSource({"middle_s": middle_s, **found})
    lines = [
        plot.line(
            "middle_s", name, source=source, line_width=2 if name == "p50" else 1.6, color=COLOURS[name]
        )
        for name in found
    ]
    _legend(plot, [(name, [line]) for name, line in zip(found, lines, strict=True)])
    tips = [("due at", "@middle_s{0.0} s"), *((name, f"@{name}{{0.0}} ms") for name in found)]
    plot.add_tools(HoverTool(tooltips=tips, mode="vline", renderers=[lines[0]]))
    plot.yaxis.axis_label = "latency, ms"
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    return plot


def _lanes(timeline: Timeline, axis: Range1d, sides: Mapping[str, str]) -> Any:
    lanes = FactorRange(factors=list(reversed(timeline.nodes)))
    plot = _figure(axis, 70 + 34 * max(len(timeline.nodes), 1), y_range=lanes)
    parts = [
        _bars(plot, timeline.faults, 0.86, {span.kind: sides[span.kind] for span in timeline.faults}, 0.45),
        _bars(plot, timeline.health, 0.42, COLOURS, 0.95),
        _bars(plot, timeline.leaders, 0.14, COLOURS, 1.0),
    ]
    tips = [("node", "@node"), ("state", "@label"), ("from", "@from_s{0.0} s"), ("to", "@to_s{0.0} s")]
    plot.add_tools(HoverTool(tooltips=tips, renderers=parts))
    plot.ygrid.grid_line_color = None
    plot.xaxis.axis_label = "seconds since the start of the run"
    return plot


def _bars(plot: Any, spans: Sequence[Span], height: float, colours: Mapping[str, str], alpha: float) -> Any:
    source = ColumnDataSource({
        "node": [span.node for span in spans], "label": [span.label or span.kind for span in spans],
        "from_s": [span.from_s for span in spans], "to_s": [span.to_s for span in spans],
        "colour": [colours[span.kind] for span in spans],
    })  # fmt: skip
    return plot.hbar(
        y="node", left="from_s", right="to_s", height=height, color="colour", alpha=alpha, line_color=None,
        source=source,
    )  # fmt: skip
