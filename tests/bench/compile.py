# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure how long it takes to read, check and compile a large scenario: 50 nodes and 200 events."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import compile_plan, plan_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import load_scenario

NODES, EVENTS, TRIES = 50, 200, 7
HEAD = """name: large
system: etcd
duration: 60min
workload: {rate: 100}
success_criteria: {error_rate: 1}
conditions:
"""
KINDS = (
    "{type: partition, shape: majority, at: %ds, for: 5s}",
    "{type: link, delay: 50ms, jitter: 5ms, nodes: {group: etcd, percentage: 30}, at: %ds, for: 5s}",
    "{type: process, action: kill, nodes: leader, at: %ds, for: 5s}",
    "{type: power, action: crash, nodes: {random: 1}, at: %ds, for: 5s}",
)


def cluster() -> ClusterView:
    """Return a cluster of so many nodes."""
    nodes = {f"n{i}": f"10.0.0.{i}" for i in range(1, NODES + 1)}
    return ClusterView(
        "bench",
        nodes,
        {"observer1": "10.0.1.1"},
        {name: ["etcd"] for name in nodes},
        {"etcd": ["register"]},
        units={"etcd": ["etcd.service"]},
        states={"etcd": ["leader"]},
        provider=dict.fromkeys(nodes, "container"),
        groups={"etcd": list(nodes)},
        max_down=24,
    )


def main() -> None:
    """Print the seconds from the file to the text of the plan, median and longest of several tries."""
    lines = [f"  - {KINDS[i % len(KINDS)] % (10 * i)}\n" for i in range(EVENTS)]
    took_s, cpu_s, size = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.yml"
        path.write_text(HEAD + "".join(lines), encoding="utf-8")
        for _ in range(TRIES):
            began_s, before_s = time.perf_counter(), time.process_time()
            size = len(plan_text(compile_plan("large", load_scenario(path), cluster())))
            took_s.append(time.perf_counter() - began_s)
            cpu_s.append(time.process_time() - before_s)
    print(
        f"compile {NODES} nodes, {EVENTS} events: median {statistics.median(took_s):.2f} s, "
        f"longest {max(took_s):.2f} s, {statistics.median(cpu_s):.2f} s of processor time, "
        f"plan of {size / 2**20:.1f} MiB",
        flush=True,
    )
