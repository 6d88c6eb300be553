# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The charts of metrics.json: CPU, memory, network, and what the system and the scenario ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import Floats
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.figure import (
    DASHES,
    LINES,
    TEXT,
    Chart,
    Frame,
    Item,
    hover,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.series import bucket_width_s
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import is_number
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d
from bokeh.models.annotations import Span

MAX_CHARTS = 24
MAX_LINES = 24
FORMATS = {"ratio": "0.[0]%", "bytes": "0.[0] d", "bytes/s": "0.[0] d"}

Entry = Mapping[str, Any]


def left_out(metrics: Entry, duration_s: float) -> list[str]:
    """Say which series and lines no chart shows, as a page bears only so many."""
    drawn = [series for series in metrics.get("series") or [] if _lines(series, duration_s)]
    titles = [str(series.get("title") or series.get("name")) for series in drawn]
    said = [
        f"{title}: {len(series['lines']) - MAX_LINES} more lines are in metrics.json."
        for title, series in zip(titles, drawn, strict=True)
        if len(series["lines"]) > MAX_LINES
    ]
    more = titles[MAX_CHARTS:]
    return said + ([f"Not drawn, but in metrics.json: {', '.join(more)}."] if more else [])


def metric_charts(
    metrics: Entry, criteria: Sequence[Entry], duration_s: float, frame: Frame
) -> dict[str, Chart]:
    """Draw a chart for each series that holds anything, as many as a page bears."""
    limits = {str(item.get("name")): item.get("threshold") for item in criteria}
    charts: dict[str, Chart] = {}
    for series in metrics.get("series") or []:
        lines = _lines(series, duration_s)
        if lines and len(charts) < MAX_CHARTS:
            name = f"metric-{len(charts)}"
            charts[name] = _chart(name, series, lines, limits.get(str(series.get("criterion"))), frame)
    return charts


def _chart(
    name: str, series: Entry, lines: Sequence[tuple[str, Floats, Floats]], limit: Any, frame: Frame
) -> Chart:
    unit = str(series.get("unit") or "")
    highest = [float(values.max()) for _, _, values in lines] + ([float(limit)] if is_number(limit) else [])
    lowest = min(0.0, *(float(values.min()) for _, _, values in lines))
    top = max(highest) if max(highest) > lowest else lowest + 1.0
    plot = frame.figure(190, y_range=Range1d(start=lowest, end=top + (top - lowest) * 0.08))
    form = FORMATS.get(unit, "0,0.[00]" if top >= 1 else "0.[00000]")
    tip_unit = "/s" if unit == "bytes/s" else "" if unit in FORMATS else f" {unit}"
    legend, drawn = [], []
    for place, (label, times_s, values) in enumerate(lines):
        colour, dash = LINES[place % len(LINES)], DASHES[place // len(LINES) % len(DASHES)]
        source = ColumnDataSource({"t_s": times_s, "value": values, "label": [label] * len(times_s)})
        line = plot.line("t_s", "value", source=source, line_width=1.8, color=colour, line_dash=dash,
                         name=f"{name}:{place}")  # fmt: skip
        drawn.append(line)
        legend.append(Item(label, colour, f"{name}:{place}", dash))
    hover(plot, [("@label", f"@value{{{form}}}{tip_unit} at @t_s{{0.0}} s")], drawn, "mouse")
    if is_number(limit):
        plot.add_layout(Span(location=float(limit), dimension="width", line_color=TEXT, line_dash="dashed"))
    plot.yaxis.formatter = NumeralTickFormatter(format=form)
    plot.yaxis.axis_label = unit if unit not in FORMATS else "per second" if unit == "bytes/s" else ""
    note = f"criterion {series['criterion']}, its threshold dashed" if series.get("criterion") else ""
    named = [item for item in legend if item.name]
    return Chart(str(series.get("title") or series.get("name")), note, plot, named)


def _lines(series: Entry, duration_s: float) -> list[tuple[str, Floats, Floats]]:
    """Return label, times and values of each line within the run, a long run in means of buckets."""
    found = []
    for line in (series.get("lines") or [])[:MAX_LINES]:
        points = [
            (float(at_s), float(value))
            for at_s, value in line.get("points") or []
            if is_number(at_s) and is_number(value) and np.isfinite(value) and 0 <= at_s <= duration_s + 1
        ]
        if points:
            found.append((str(line.get("label")), *_thinned(np.array(points), duration_s)))
    return found


def _thinned(points: Floats, duration_s: float) -> tuple[Floats, Floats]:
    times_s, values = points[:, 0], points[:, 1]
    places = np.floor_divide(times_s, bucket_width_s(duration_s)).astype(int)
    if len(np.unique(places)) == len(points):
        return times_s, values
    _, inverse, counts = np.unique(places, return_inverse=True, return_counts=True)
    return np.bincount(inverse, times_s) / counts, np.bincount(inverse, values) / counts
