# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Operations summed up in buckets of time, so that a chart of a million of them stays small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from ansible_collections.foundation.testbed.plugins.plugin_utils.columns import (
    OUTCOMES,
    Bools,
    Columns,
    Floats,
)

MAX_BUCKETS = 240
WIDTHS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Rates:
    """Operations per second by the bucket in which they were due; ``middle_s`` is each bucket's middle."""

    width_s: float
    middle_s: Floats
    answered: Floats
    failed: Floats
    indeterminate: Floats
    dropped: Floats


def bucket_width_s(duration_s: float) -> float:
    """Return the smallest round width that needs at most MAX_BUCKETS buckets."""
    return next((width for width in WIDTHS_S if duration_s / width <= MAX_BUCKETS), WIDTHS_S[-1])


def rates(columns: Columns, duration_s: float) -> Rates:
    """Count outcomes per second in each bucket."""
    width_s = bucket_width_s(duration_s)
    edges = _edges(duration_s, width_s)

    def per_second(chosen: Bools) -> Floats:
        counts, _ = np.histogram(columns.intended_s[chosen], bins=edges)
        return counts.astype(np.float64) / width_s

    failed = (columns.outcome == OUTCOMES.index("fail")) & ~columns.answered
    return Rates(
        width_s=width_s,
        middle_s=(edges[:-1] + edges[1:]) / 2,
        answered=per_second(columns.answered),
        failed=per_second(failed),
        indeterminate=per_second(columns.outcome == OUTCOMES.index("info")),
        dropped=per_second(columns.outcome == OUTCOMES.index("drop")),
    )


def latencies(columns: Columns, duration_s: float) -> tuple[Floats, dict[str, Floats]]:
    """Return bucket middles in s and each quantile's latencies in ms; NaN where nothing was answered."""
    edges = _edges(duration_s, bucket_width_s(duration_s))
    times_s = columns.intended_s[columns.answered]
    latency_ms = columns.latency_s[columns.answered] * 1000.0
    cuts = np.searchsorted(times_s, edges)
    parts = [latency_ms[start:end] for start, end in pairwise(cuts)]
    middle_s: Floats = (edges[:-1] + edges[1:]) / 2
    return middle_s, {name: _quantiles(parts, share) for name, share in QUANTILES.items()}


def error_shares(found: Rates) -> dict[str, Floats]:
    """Return what share of the operations due in each bucket got no answer, by what came instead."""
    due = found.answered + found.failed + found.indeterminate + found.dropped
    due[due == 0] = 1.0  # nothing was due: no share of it failed
    parts = {"failed": found.failed, "indeterminate": found.indeterminate, "not sent": found.dropped}
    return {name: part / due for name, part in parts.items()}


def as_record(columns: Columns, duration_s: float) -> dict[str, Any]:
    """Return series.json: throughput and latency over time, small enough to lay runs over one another."""
    found = rates(columns, duration_s)
    _, quantiles = latencies(columns, duration_s)
    return {
        "width_s": found.width_s,
        "middle_s": found.middle_s.tolist(),
        "answered": _rounded(found.answered),
        "unanswered": _rounded(found.failed + found.indeterminate + found.dropped),
        "latency_ms": {name: _rounded(values) for name, values in quantiles.items()},
    }


def _rounded(values: Floats) -> list[float | None]:
    return [round(value, 3) if np.isfinite(value) else None for value in values.tolist()]


def _edges(duration_s: float, width_s: float) -> Floats:
    count = max(1, int(np.ceil(duration_s / width_s)))
    return np.arange(count + 1, dtype=np.float64) * width_s


def _quantiles(parts: Sequence[Floats], share: float) -> Floats:
    values = [np.quantile(part, share, method="inverted_cdf") if len(part) else np.nan for part in parts]
    return np.array(values, dtype=np.float64)
