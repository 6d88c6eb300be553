# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long each step takes on ever more nodes, and what that would be on many more (`make bench-scale`)."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.lab import kernel_limits
from ansible_collections.foundation.testbed.tests.bench.lab import boot_seconds, must
from ansible_collections.foundation.testbed.tests.integration.support import ROOT, Lab, record
from ansible_collections.foundation.testbed.tests.support.chromium import chromium
from bokeh.io import export_svg
from bokeh.palettes import Category10
from bokeh.plotting import figure

NODES = (3, 5, 10, 20, 40)
FORETOLD = (100, 1000, 10_000)
MEMBERS = 3
FEW, MANY = 1, 20
DURATION_S = 10.0
PATIENCE = ("-e", "lab_container_timeout_s=300", "-e", "network_timeout_s=60")
CHART = ROOT / "docs" / "images" / "scale.svg"
STAGING = "Hand over the node's part and arm it"

Figures = dict[str, float]


@contextlib.contextmanager
def room_for(hosts: int) -> Iterator[None]:
    """Let this machine's kernel hold so many hosts for a while."""
    needed = {
        Path("/proc", kernel_limits.WATCHES): kernel_limits.watches_in_use()
        + hosts * kernel_limits.WATCHES_PER_NODE,
        Path("/proc", kernel_limits.NEIGHBOURS): kernel_limits.neighbours(hosts),
    }
    before = {path: int(path.read_text(encoding="utf-8")) for path in needed}
    try:
        for path, value in needed.items():
            path.write_text(str(max(before[path], value)), encoding="utf-8")
        yield
    finally:
        for path, value in before.items():
            path.write_text(str(value), encoding="utf-8")


def lab_of(nodes: int, folder: Path) -> Lab:
    """A lab of so many nodes, of which three run etcd."""
    members = [{"name": f"n{i}", "applications": ["etcd"]} for i in range(1, MEMBERS + 1)]
    cluster = {
        "plugin": "foundation.testbed.cluster", "testbed_id": "scale", "node_count": nodes,
        "subnet": "10.77.12.0/24", "nodes": members, "resource_limits": {"memory": "256M", "cpus": 1},
    }  # fmt: skip
    inventory = folder / str(nodes)
    inventory.mkdir()
    (inventory / "cluster.yml").write_text(yaml.safe_dump(cluster), encoding="utf-8")
    return Lab(inventory, folder / "runs")


def scenario_of(faults: int, folder: Path) -> Path:
    """A short run with so many faults on every node, each of a port that nobody uses."""
    path = folder / f"faults_{faults}.yml"
    conditions = [
        {"type": "partition", "shape": "halves", "at": "2s", "for": "5s", "ports": [20_000 + i]}
        for i in range(faults)
    ]
    scenario = {
        "name": f"{faults} faults", "system": "etcd", "duration": f"{DURATION_S:g}s",
        "workload": {"rate": 50}, "conditions": conditions, "success_criteria": {"error_rate": 1.0},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    return path


def measured(nodes: int, folder: Path) -> Figures:
    """Wall time in seconds of each step on so many nodes."""
    lab = lab_of(nodes, folder)
    found: Figures = {}
    with room_for(nodes + 1):
        try:
            began = time.monotonic()
            found["boot"] = boot_seconds(lab, *PATIENCE)
            found["provision"] = time.monotonic() - began
            found["provision again"] = must(lab, "provision", *PATIENCE)
            found["deploy"] = must(lab, "deploy")
            for faults in (MANY, FEW):
                outcome = lab.playbook("run", "-e", f"scenario={scenario_of(faults, folder)}")
                run = record(lab.newest())
                steps = {step["name"]: step["ended_s"] - step["started_s"] for step in run["steps"]}
                tasks = outcome.output.count(f"TASK [{STAGING}]")
                print(
                    f"{nodes} nodes, {faults} faults: staged by {tasks} task in {steps['stage']:.1f} s",
                    flush=True,
                )
                found |= {name: steps[name] for name in ("preflight", "stage", "collect", "judge")}
        finally:
            found["destroy"] = must(lab, "destroy")
    told = ", ".join(f"{step} {seconds:.1f}" for step, seconds in found.items())
    print(f"{nodes} nodes, in seconds: {told}", flush=True)
    return found


def line_through(nodes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds that a step takes anyhow, and for each node more."""
    for_each, anyhow = np.polyfit(nodes, seconds, 1)
    return float(anyhow), float(for_each)


def draw(nodes: Sequence[int], found: Sequence[Figures]) -> None:
    """Draw wall time over nodes, a line for each step."""
    plot = figure(width=760, height=420, x_axis_label="container nodes", y_axis_label="wall time, s",
                  toolbar_location=None, output_backend="svg")  # fmt: skip
    for colour, step in zip(Category10[10], found[0], strict=False):
        values = [each[step] for each in found]
        plot.line(nodes, values, color=colour, line_width=2, legend_label=step)
        plot.scatter(nodes, values, color=colour, size=6, legend_label=step)
    plot.legend.location = "top_left"
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as driver:
        export_svg(plot, filename=str(CHART), webdriver=driver)
    CHART.write_text(re.sub(r"\bp[0-9]{4,}\b", "scale", CHART.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> None:
    """Measure, print and draw."""
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        found = [measured(nodes, Path(folder)) for nodes in NODES]
    head = "".join(f"{nodes:>9}" for nodes in (*NODES, "each", *FORETOLD))
    print(f"{'wall time, s':<18}{head}")
    for step in found[0]:
        values = [each[step] for each in found]
        anyhow, for_each = line_through(NODES, values)
        foretold = "".join(f"{anyhow + for_each * nodes:9.0f}" for nodes in FORETOLD)
        print(f"{step:<18}" + "".join(f"{value:9.1f}" for value in values) + f"{for_each:9.3f}{foretold}")
    draw(NODES, found)
