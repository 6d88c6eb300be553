# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lanes of the nodes: what each was at each time, and whether it answered its probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.report.figure import (
    BROWN,
    GOLD,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    SKY,
    SLATE,
    Chart,
    Frame,
    hover,
    items,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.lanes import Span, tracks
from bokeh.models import ColumnDataSource, FactorRange

STATES = {
    "up": GREEN, "not healthy": RED, "silent": GREY, "leader": GOLD, "partitioned": PURPLE, "down": SLATE,
    "paused": SKY, "pressured": ORANGE, "impaired": PINK, "damaged": BROWN,
}  # fmt: skip
HATCHES = {
    "partitioned": "right_diagonal_line", "down": "cross", "paused": "vertical_line", "pressured": "dot",
    "impaired": "left_diagonal_line", "damaged": "diagonal_cross",
}  # fmt: skip
ANSWERS = {"answered": GREEN, "in part": ORANGE, "no answer": RED}
Row = tuple[float, float]
"""The middle of a bar and its height within a lane of height one."""


def lane_chart(
    nodes: Sequence[str],
    health: Sequence[Span],
    leaders: Sequence[Span],
    faults: Sequence[Span],
    frame: Frame,
) -> Chart:
    """Draw a lane per node: above what it said of itself, below what was done to it."""
    plot = _lanes(nodes, 38, frame)
    rows = [(-0.04 - 0.42 * (row + 0.5) / count, 0.4 / count) for row, count in tracks(faults)]
    placed = [
        *((span, (0.24, 0.36)) for span in health), *((span, (0.24, 0.16)) for span in leaders),
        *zip(faults, rows, strict=True),
    ]  # fmt: skip
    kinds = _draw(plot, "lanes", placed, STATES)
    note = "above what a node says of itself, below what was done to it"
    return Chart("Nodes", note, plot, items("lanes", STATES, kinds))


def probe_chart(nodes: Sequence[str], spans: Mapping[str, Sequence[Span]], frame: Frame) -> Chart:
    """Draw a lane per node: above whether it answered reads, below writes."""
    plot = _lanes(nodes, 30, frame)
    rows = {"read": (0.22, 0.34), "write": (-0.2, 0.34)}
    kinds = _draw(plot, "probes", [(span, rows[kind]) for kind in rows for span in spans[kind]], ANSWERS)
    note = "probes of each node from the observer: reads above, writes below"
    return Chart("Availability", note, plot, items("probes", ANSWERS, kinds))


def _lanes(nodes: Sequence[str], height_px: int, frame: Frame) -> Any:
    lanes = FactorRange(factors=list(reversed(nodes)))
    plot = frame.figure(64 + height_px * max(len(nodes), 1), y_range=lanes)
    plot.ygrid.grid_line_color = None
    plot.xaxis.axis_label = "seconds since the start of the run"
    return plot


def _draw(plot: Any, chart: str, placed: Sequence[tuple[Span, Row]], colours: Mapping[str, str]) -> list[str]:
    """Draw the bars, those of each kind together, and return the kinds that there are."""
    kinds = [kind for kind in colours if any(span.kind == kind for span, _ in placed)]
    by_kind = {kind: [one for one in placed if one[0].kind == kind] for kind in kinds}
    bars = [_bars(plot, own, f"{chart}:{kind}", colours[kind], kind) for kind, own in by_kind.items()]
    tips = [("node", "@node"), ("state", "@label"), ("from", "@from_s{0.0} s"), ("to", "@to_s{0.0} s")]
    hover(plot, tips, bars, "mouse")
    return kinds


def _bars(plot: Any, placed: Sequence[tuple[Span, Row]], name: str, colour: str, kind: str) -> Any:
    source = ColumnDataSource({
        "lane": [(span.node, middle) for span, (middle, _) in placed],
        "height": [height for _, (_, height) in placed],
        "node": [span.node for span, _ in placed], "label": [span.label or span.kind for span, _ in placed],
        "from_s": [span.from_s for span, _ in placed], "to_s": [span.to_s for span, _ in placed],
    })  # fmt: skip
    return plot.hbar(
        y="lane", left="from_s", right="to_s", height="height", color=colour, line_color=None, source=source,
        name=name, hatch_pattern=HATCHES.get(kind, "blank"), hatch_color="#ffffff", hatch_alpha=0.35,
        hatch_scale=10, hatch_weight=1.5,
    )  # fmt: skip
