# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the main job on five nodes of this machine: start, deployment, skew, overhead, traces."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from pathlib import Path

from ansible_collections.foundation.testbed.tests.integration.support import (
    Lab,
    record,
    traces_on_machine,
    wait_until,
)

HERE = Path(__file__).resolve().parent
SCENARIO_DURATION_S = 20


def new_lab(inventory: str = "inventory") -> Lab:
    """A lab of the bench, which has not been made yet."""
    lab = Lab(HERE / inventory, Path(tempfile.mkdtemp(prefix="testbed-bench-")))
    must(lab, "destroy")
    return lab


def output_of(lab: Lab, playbook: str, *arguments: str) -> str:
    """Run a playbook that has to succeed; returns what it said, whatever failed first where it did not."""
    outcome = lab.playbook(playbook, *arguments)
    if outcome.status != 0:
        said = outcome.output
        failure = said[max(said.find("fatal: "), 0) :][:2000]
        raise SystemExit(f"{playbook}: exit status {outcome.status}\n{failure}\n…\n{said[-1000:]}")
    return outcome.output


def must(lab: Lab, playbook: str, *arguments: str) -> float:
    """Run a playbook that has to succeed; returns its wall time in seconds."""
    began = time.monotonic()
    output_of(lab, playbook, *arguments)
    return time.monotonic() - began


def say(what: str, values: list[float], unit: str, target: str) -> None:
    """Print one figure: the median of several, with their range."""
    print(
        f"{what:<58} {statistics.median(values):8.2f} {unit:<4} (target {target}; n={len(values)}, "
        f"{min(values):.2f} to {max(values):.2f})",
        flush=True,
    )


def starts(times: int = 3) -> None:
    """From nothing to ssh on all nodes, and from nothing to a healthy etcd; the image is warm."""
    lab = new_lab()
    must(lab, "provision")
    boots, healthy = [], []
    for _ in range(times):
        must(lab, "destroy")
        began = time.monotonic()
        boots.append(boot_seconds(lab))
        must(lab, "deploy")
        healthy.append(time.monotonic() - began)
    must(lab, "destroy")
    say("five nodes and an observer answering ssh, image warm", boots, "s", "<= 10")
    say("five-node etcd healthy from nothing, image warm", healthy, "s", "<= 30")


def boot_seconds(lab: Lab, *arguments: str) -> float:
    """From the first command to the last node's first answer over ssh, as the provider measured it."""
    output = output_of(lab, "provision", "-v", *arguments)
    return float(re.findall(r"seconds: ([0-9.]+)", output)[0])


def runs(times: int = 5) -> None:
    """Skew of the cut and of the heal, and wall time beyond the declared duration."""
    lab = new_lab()
    must(lab, "provision")
    must(lab, "deploy")
    skews, heal_skews, overheads = [], [], []
    for _ in range(times):
        began = time.monotonic()
        outcome = lab.playbook("run", "-e", f"scenario={HERE / 'scenario.yml'}")
        overheads.append(time.monotonic() - began - SCENARIO_DURATION_S)
        results = record(lab.newest(), "results.json")
        fault = results["faults"][0]
        if outcome.status != 0 or fault["skew_ms"] is None or fault["heal_skew_ms"] is None:
            print(f"a run ended with the verdict {results['verdict']}: {results['reasons']}", flush=True)
            continue
        skews.append(fault["skew_ms"])
        heal_skews.append(fault["heal_skew_ms"])
    must(lab, "destroy")
    say("skew of the cut, first to last of five nodes", skews, "ms", "<= 3")
    say("skew of the heal, first to last of five nodes", heal_skews, "ms", "<= 3")
    say("wall time of a run beyond its declared duration", overheads, "s", "<= 20")


def cycles(times: int = 20) -> None:
    """Provision and destroy again and again: the machine must be as before."""
    lab = new_lab()
    must(lab, "provision")
    must(lab, "destroy")
    before = wait_for_quiet()
    began = time.monotonic()
    for _ in range(times):
        must(lab, "provision")
        must(lab, "destroy")
    wait_until(lambda: traces_on_machine() == before, 30, "the machine as it was before")
    print(
        f"{times} cycles of provision and destroy in {time.monotonic() - began:.0f} s: nothing left",
        flush=True,
    )


def wait_for_quiet() -> dict[str, list[str]]:
    """Return the machine's traces once init has reaped what was killed."""
    wait_until(
        lambda: not any("defunct" in line for line in traces_on_machine()["processes"]), 30, "no zombie"
    )
    return traces_on_machine()
