# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is monitored in a run: the standard series, those a system declares, and the plan's own queries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.paths import (
    EXPORTER_PORT,
    PROMETHEUS_PORT,
)
from ansible_collections.foundation.testbed.plugins.module_utils.monitor.prober import EVERY_S
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import System

Entry = dict[str, Any]

# Of each node a read and a write in each round.
PROBES = 2
PROMETHEUS = f"http://127.0.0.1:{PROMETHEUS_PORT}"
RATE_INTERVAL = "$__rate_interval"
"""Stands in a query for four scrape intervals: a `rate()` over that bears a missing one (Grafana's word)."""
# Figures that have not been written anew for that long are nobody's present state: they are missing.
_FRESH = f"and on (node) changes(testbed_figures_total[{RATE_INTERVAL}]) > 0"


def _rate(counter: str) -> str:
    return f"rate({counter}[{RATE_INTERVAL}])"


def _per_node(expression: str) -> str:
    return f"sum by (node) ({expression})"


def _fresh(figure: str) -> str:
    """One figure of each node's own, while it is written."""
    return _per_node(f"{figure} {_FRESH}")


STANDARD: tuple[Entry, ...] = (
    {
        "name": "cpu", "title": "CPU", "unit": "ratio",
        "query": f"{_fresh(_rate('testbed_cpu_seconds_total'))} / {_per_node('testbed_cpu_limit')}",
    },
    {
        "name": "memory", "title": "Memory", "unit": "bytes",
        "query": _fresh("testbed_memory_used_bytes"),
    },
    {
        "name": "memory_share", "title": "Memory, share of the limit", "unit": "ratio",
        "query": f"{_fresh('testbed_memory_used_bytes')} / {_per_node('testbed_memory_limit_bytes')}",
    },
    {
        "name": "network_in", "title": "Network, received", "unit": "bytes/s",
        "query": _per_node(_rate('node_network_receive_bytes_total{device!="lo"}')),
    },
    {
        "name": "network_out", "title": "Network, sent", "unit": "bytes/s",
        "query": _per_node(_rate('node_network_transmit_bytes_total{device!="lo"}')),
    },
    {
        "name": "disk_write", "title": "Disk, written", "unit": "bytes/s",
        "query": _fresh(_rate("testbed_disk_written_bytes_total")),
    },
)  # fmt: skip


def system_series(system: System) -> list[Entry]:
    """Return the series that a system declares."""
    declared = system.metrics.series if system.metrics else {}
    return [{"name": name, **series.model_dump()} for name, series in declared.items()]


def at_interval(entries: Iterable[Entry], key: str, scrape_interval_s: float) -> list[Entry]:
    """Return entries whose queries, under `key`, have their `$__rate_interval` put in."""
    span = f"{round(4000 * scrape_interval_s)}ms"
    return [
        {**entry, key: entry[key].replace(RATE_INTERVAL, span)} if key in entry else entry
        for entry in entries
    ]


def probe_every_s(nodes: int, max_rate: float) -> float:
    """Return the seconds between two rounds of probes: all together are no more than the cluster bears."""
    return max(EVERY_S, round(nodes * PROBES / max_rate, 3))


def monitor_program(
    plan: Mapping[str, Any],
    endpoints: Mapping[str, str],
    series: Mapping[str, Sequence[Entry]],
    max_rate: float = math.inf,
    scrape_interval_s: float = 1.0,
) -> Entry:
    """Return the plan's part for the first observer: whom to probe, and what to ask Prometheus at the end.

    `endpoints` are the addresses of the nodes that run the system; `series` are those that systems declare.
    """
    system = plan["scenario"]["system"]
    asked = [
        {
            "name": wanted["name"],
            "title": wanted["name"],
            "unit": wanted.get("unit") or "",
            "query": wanted["query"],
            "criterion": wanted["name"],
        }
        for wanted in plan["criteria"]
        if "query" in wanted
    ]
    known = [{**each, "criterion": None} for each in (*STANDARD, *series.get(system, ()))]
    return {
        "system": system,
        "endpoints": dict(endpoints),
        "probe_every_s": probe_every_s(len(endpoints), max_rate),
        "prometheus": PROMETHEUS,
        "series": at_interval([*known, *asked], "query", scrape_interval_s),
    }


def queries_of(plan: Mapping[str, Any]) -> dict[str, str]:
    """Return the scenario's own PromQL, by the key under which it stands there."""
    criteria = {
        f"success_criteria.{wanted['name']}.promql": wanted["query"]
        for wanted in plan.get("criteria") or []
        if "query" in wanted
    }
    states = {
        f"steady_state[{i}].promql": state["promql"]
        for i, state in enumerate(plan.get("steady_state") or [])
        if "promql" in state
    }
    return {**criteria, **states}


def monitoring_vars(systems: Mapping[str, System]) -> Entry:
    """Return the inventory's variables about monitoring: ports, and where systems serve metrics."""
    return {
        "testbed_exporter_port": EXPORTER_PORT,
        "testbed_prometheus_port": PROMETHEUS_PORT,
        "testbed_metrics": _targets(systems),
    }


def _targets(systems: Mapping[str, System]) -> Sequence[Entry]:
    return [
        {"system": name, "port": system.metrics.port, "path": system.metrics.path}
        for name, system in systems.items()
        if system.metrics
    ]
