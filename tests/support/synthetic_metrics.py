# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Prometheus and the observer's probes would have seen of a synthetic run."""

from __future__ import annotations

import math
from typing import Any

from ansible_collections.foundation.testbed.tests.support.synthetic_ledger import MAJORITY, MINORITY, NODES

SERIES = (
    ("cpu", "CPU", "ratio", 0.2), ("memory", "Memory", "bytes", 80e6),
    ("memory_share", "Memory, share of the limit", "ratio", 0.3),
    ("network_in", "Network in", "bytes/s", 40e3), ("network_out", "Network out", "bytes/s", 55e3),
    ("disk_write", "Disk writes", "bytes/s", 120e3), ("fsync", "Fsync, 99th percentile", "s", 0.004),
)  # fmt: skip


def metrics(shape: Any) -> dict[str, Any]:
    """Return metrics.json: the standard series, one of the system, and one of a criterion."""
    series = [
        {
            "name": name, "title": title, "unit": unit, "query": f"testbed_{name}", "criterion": None,
            "lines": [_line(shape, node, place, level) for place, node in enumerate(NODES)],
        }
        for name, title, unit, level in SERIES
    ]  # fmt: skip
    points = [[float(at), 2e6 + at * 4e4] for at in _times(shape)]
    series.append({
        "name": "db_size", "title": "db_size", "unit": "bytes", "query": "max(db_size_bytes)",
        "criterion": "db_size", "lines": [{"label": "", "labels": {}, "points": points}],
    })  # fmt: skip
    return {"step_s": 1.0, "series": series, "problems": ["n4 was not scraped from 20 s to 24 s."]}


def probes(shape: Any) -> list[dict[str, Any]]:
    """Return probes.jsonl: the cut nodes answer no writes, and reads again half-way."""
    found = []
    for quarter in range(int(shape.duration_s * 4)):
        at_s = quarter / 4
        for node in NODES:
            for kind in ("read", "write"):
                cut = node in MINORITY and shape.cut_s <= at_s < shape.heal_s + 0.5
                ok = not cut or (kind == "read" and quarter % 4 == 0)
                found.append({
                    "node": node, "t_s": at_s, "kind": kind, "ok": ok, "latency_ms": 1.9,
                    "error": None if ok else "timeout",
                })  # fmt: skip
    return found


def _times(shape: Any) -> range:
    return range(int(shape.duration_s))


def _line(shape: Any, node: str, place: int, level: float) -> dict[str, Any]:
    def value(at_s: int) -> float:
        cut = shape.cut_s <= at_s < shape.heal_s
        share = 1.0 if not cut else 1.3 if node in MAJORITY else 0.35
        return level * share * (1 + 0.08 * math.sin(at_s / 3 + place) + 0.05 * place)

    return {"label": node, "labels": {"instance": node}, "points": [[at, value(at)] for at in _times(shape)]}
