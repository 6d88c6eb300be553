# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The observer's monitoring of one run: probes until the rest has ended, then `metrics.json`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.clock import RunClock
from ansible_collections.foundation.testbed.plugins.module_utils.agent.files import write_json
from ansible_collections.foundation.testbed.plugins.module_utils.monitor import prometheus
from ansible_collections.foundation.testbed.plugins.module_utils.monitor.prober import EVERY_S, Prober

# Seconds for all queries together: what Prometheus does not say by then is missing, and the run ends.
QUERIES_S = 10.0


def run_monitor(folder: str, adapter: ModuleType) -> int:
    """Monitor the run staged in `folder` until SIGTERM or SIGINT; returns the exit status."""
    out = Path(folder)
    program = json.loads((out / "program.json").read_text(encoding="utf-8"))
    asyncio.run(_probe(program, adapter, out))
    start_s = program["start_wall_ns"] / 1e9
    write_json(out / "metrics.json", metrics(program["monitor"], start_s, time.time()))
    return 0


async def _probe(program: dict[str, Any], adapter: ModuleType, out: Path) -> None:
    monitor = program["monitor"]
    clock = RunClock(program["start_wall_ns"])
    namespace = f"{program['run']}/probe/"
    every_s = float(monitor.get("probe_every_s") or EVERY_S)  # a plan of an older version does not say it
    prober = Prober(adapter, monitor["endpoints"], namespace, out, clock, every_s)
    work = asyncio.ensure_future(prober.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def metrics(monitor: dict[str, Any], start_s: float, end_s: float) -> dict[str, Any]:
    """Return the content of `metrics.json`: every series of the plan, once a second from start to end."""
    deadline = time.monotonic() + QUERIES_S
    series, problems = [], []
    for wanted in monitor["series"]:
        found: list[dict[str, Any]] = []
        try:
            if time.monotonic() > deadline:
                raise prometheus.NotAnswered(f"there was no time left after {QUERIES_S:g} s of queries")
            found = prometheus.lines(monitor["prometheus"], wanted["query"], start_s, max(start_s, end_s))
        except prometheus.BadQuery as error:
            problems.append(f"{wanted['name']}: Prometheus refuses the query: {error}.")
        except prometheus.NotAnswered as error:
            problems.append(f"{wanted['name']}: Prometheus on the observer does not answer: {error}.")
        series.append({**wanted, "lines": found})
    return {"step_s": prometheus.STEP_S, "series": series, "problems": problems}
