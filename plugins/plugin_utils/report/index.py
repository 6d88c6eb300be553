# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``index.html`` of the folder of all runs: the history of verdicts, and any two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.report.page import environment, script
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.sentence import sentence
from ansible_collections.foundation.testbed.plugins.plugin_utils.report.words import (
    VERDICT_WORDS,
    amount,
    threshold,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.run_records import write_text

MAX_RUNS = 500
MAX_SERIES = 100
MAX_POINTS = 120
QUANTILES = ("p50", "p95", "p99", "max")

Entry = dict[str, Any]


def write_index(runs_dir: Path) -> Path:
    """Write index.html over all judged runs of a folder and return its path."""
    path = runs_dir / "index.html"
    names = sorted((found.parent.name for found in runs_dir.glob("*/results.json")), reverse=True)
    names = [name for name in names if not (runs_dir / name).is_symlink()]
    write_text(path, render(list(read_runs(runs_dir, names[:MAX_RUNS])), len(names)))
    return path


def render(runs: list[Entry], count: int) -> str:
    """Return the page as text; `count` is how many runs there are in all, the newest first."""
    scenarios = list(dict.fromkeys(run["scenario"] for run in runs))
    history = {name: [run for run in reversed(runs) if run["scenario"] == name] for name in scenarios}
    data = script(json.dumps(runs, separators=(",", ":")))
    page = environment().get_template("index.html.j2")
    return page.render(runs=runs, count=count, history=history, data=data, words=VERDICT_WORDS)


def read_runs(runs_dir: Path, names: list[str]) -> Iterator[Entry]:
    """Yield what the index says of each run; one that cannot be read is left out."""
    for place, name in enumerate(names):
        folder = runs_dir / name
        results = _object(folder / "results.json")
        if not results:
            continue
        series = _object(folder / "series.json") if place < MAX_SERIES else {}
        yield about(name, results, _object(folder / "plan.json"), _object(folder / "run.json"), series)


def about(name: str, results: Entry, plan: Entry, run: Entry, series: Entry) -> Entry:
    """Return what the index says of one run."""
    load = results.get("load") or {}
    latency = load.get("latency_ms") or {}
    return {
        "run": name, "scenario": str(results.get("scenario") or "?"), "seed": results.get("seed"),
        "verdict": results.get("verdict") if results.get("verdict") in ("pass", "fail") else "unknown",
        "started": str(run.get("started_at") or "")[:19].replace("T", " "),
        "sentence": sentence(results, plan),
        "criteria": [
            {
                "name": str(item.get("name")), "required": threshold(item), "actual": item.get("actual"),
                "unit": item.get("unit"),
                "measured": amount(item.get("actual"), str(item.get("unit") or "")),
                "verdict": item.get("verdict"), "low": str(item.get("comparison")).startswith("<"),
            }
            for item in results.get("criteria") or []
        ],
        "latency": {name: latency.get(name) for name in QUANTILES},
        "rate": load.get("rate"), "faults": [str(fault.get("id")) for fault in results.get("faults") or []],
        "series": thinned(series),
    }  # fmt: skip


def thinned(series: Mapping[str, Any]) -> Entry:
    """Return a run's series.json with at most MAX_POINTS points; empty where it has none."""
    times = series.get("middle_s") or []
    if not times:
        return {}
    step = -(-len(times) // MAX_POINTS)
    latency = series.get("latency_ms") or {}
    rows = {
        "t": times, "answered": series.get("answered") or [], "unanswered": series.get("unanswered") or [],
        "p50": latency.get("p50") or [], "p99": latency.get("p99") or [],
    }  # fmt: skip
    return {
        name: [_mean(values[at : at + step]) for at in range(0, len(times), step)]
        for name, values in rows.items()
    }


def _mean(values: list[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


def _object(path: Path) -> Entry:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
