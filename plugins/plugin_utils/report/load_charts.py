# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The charts of the load: throughput, latency percentiles and error rate over time."""

from __future__ import annotations

import numpy as np
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import Columns
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.figure import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Chart,
    Frame,
    Item,
    hover,
    items,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.series import (
    Rates,
    error_shares,
    latencies,
    rates,
)
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d

OUTCOMES = {"answered": BLUE, "failed": RED, "indeterminate": ORANGE, "not sent": GREY}
QUANTILES = {
    "p50": (BLUE, "solid"),
    "p95": (GREEN, "solid"),
    "p99": (ORANGE, "dashed"),
    "max": (RED, "dotted"),
}


def load_charts(columns: Columns, duration_s: float, frame: Frame) -> dict[str, Chart]:
    """Draw the charts of the operations."""
    found = rates(columns, duration_s)
    return {
        "throughput": _throughput(found, frame),
        "latency": _latency(columns, duration_s, frame),
        "errors": _errors(found, frame),
    }


def _throughput(found: Rates, frame: Frame) -> Chart:
    parts = {
        "answered": found.answered, "failed": found.failed, "indeterminate": found.indeterminate,
        "not sent": found.dropped,
    }  # fmt: skip
    top = float(max(sum(parts.values()).max(), 1.0))  # type: ignore[union-attr]
    plot = frame.figure(240, y_range=Range1d(start=0, end=top * 1.08))
    source = ColumnDataSource({"middle_s": found.middle_s, **parts})
    bars = plot.vbar_stack(
        list(parts), x="middle_s", width=found.width_s * 0.94, source=source,
        fill_color=[OUTCOMES[name] for name in parts], line_color=None,
        name=[f"throughput:{name}" for name in parts],
    )  # fmt: skip
    tips = [("due at", "@middle_s{0.0} s"), *((name, f"@{{{name}}}{{0.#}}/s") for name in parts)]
    hover(plot, tips, bars[:1])
    plot.yaxis.axis_label = "operations / s"
    return Chart(
        "Throughput", "by the moment operations were due", plot, items("throughput", OUTCOMES, parts)
    )


def _latency(columns: Columns, duration_s: float, frame: Frame) -> Chart:
    middle_s, found = latencies(columns, duration_s)
    values = np.concatenate([*found.values()])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 1000.0)
    plot = frame.figure(230, y_axis_type="log", y_range=Range1d(start=low / 1.5, end=high * 1.8))
    source = ColumnDataSource({"middle_s": middle_s, **found})
    lines = [
        plot.line(
            "middle_s", name, source=source, line_width=2, color=QUANTILES[name][0],
            line_dash=QUANTILES[name][1], name=f"latency:{name}",
        )
        for name in found
    ]  # fmt: skip
    tips = [("due at", "@middle_s{0.0} s"), *((name, f"@{name}{{0.0}} ms") for name in found)]
    hover(plot, tips, lines[:1])
    plot.yaxis.axis_label = "ms"
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    legend = [Item(name, QUANTILES[name][0], f"latency:{name}", QUANTILES[name][1]) for name in found]
    return Chart("Latency", "of what was answered, from the intended send", plot, legend)


def _errors(found: Rates, frame: Frame) -> Chart:
    shares = error_shares(found)
    top = float(max(sum(shares.values()).max(), 0.01))  # type: ignore[union-attr]
    plot = frame.figure(190, y_range=Range1d(start=0, end=min(1.0, top * 1.15)))
    source = ColumnDataSource({"middle_s": found.middle_s, **shares})
    bars = plot.vbar_stack(
        list(shares), x="middle_s", width=found.width_s * 0.94, source=source,
        fill_color=[OUTCOMES[name] for name in shares], line_color=None,
        name=[f"errors:{name}" for name in shares],
    )  # fmt: skip
    tips = [("due at", "@middle_s{0.0} s"), *((name, f"@{{{name}}}{{0.0%}}") for name in shares)]
    hover(plot, tips, bars[:1])
    plot.yaxis.axis_label = "share of all due"
    plot.yaxis.formatter = NumeralTickFormatter(format="0.[0]%")
    return Chart("Error rate", "operations without an answer", plot, items("errors", OUTCOMES, shares))
