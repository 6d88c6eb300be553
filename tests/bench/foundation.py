# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure the system foundation on three nodes of this machine: at rest, and as S8.4 loads it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator

from ansible_collections.foundation.testbed.tests.bench.lab import HERE, must, new_lab, say
from ansible_collections.foundation.testbed.tests.integration.support import ROOT, Lab, record

LATENCY = ROOT / "tests/support/foundation_latency.py"
SCENARIO = HERE / "foundation.yml"
CRITERIA = {
    "average_response_time": "<= 100",
    "p95_response_time": "<= 500",
    "error_rate": "<= 0.01",
    "throughput": ">= 1000",
}
TAKEN = 0.35
"""Share of each processor that is taken away in the second half of the bench, in turns of `TURN_S`."""
TURN_S = 0.004


def main(times: int = 5) -> None:
    """Measure and print."""
    lab = new_lab("inventory_foundation")
    must(lab, "provision")
    must(lab, "deploy")
    at_rest(lab)
    loaded(lab, times, "foundation at 1,000/s")
    with slowed(TAKEN):
        loaded(lab, 3, f"the same with {TAKEN:.0%} of the processors taken")
    must(lab, "destroy")


def at_rest(lab: Lab, count: int = 20) -> None:
    """An event to a reader at another node, and a lookup of what another node registered."""
    here, there = (lab.variables(node)["testbed_address"] for node in ("n1", "n2"))
    found = json.loads(lab.on("n3", f"python3 - {here} {there} {count}", stdin=LATENCY.read_text()))
    say("foundation at rest: an event across nodes", found["event_ms"], "ms", "<= 50")
    say("foundation at rest: a lookup across nodes", found["lookup_ms"], "ms", "<= 20")


def loaded(lab: Lab, times: int, what: str) -> None:
    """S8.4, as its report states it."""
    found: dict[str, list[float]] = {name: [] for name in CRITERIA}
    units = dict.fromkeys(CRITERIA, "")
    for _ in range(times):
        lab.playbook("run", "-e", f"scenario={SCENARIO}")
        results = record(lab.newest(), "results.json")
        print(f"a run at 1,000/s: {results['verdict']} {results['reasons'] or ''}", flush=True)
        for criterion in results["criteria"]:
            if criterion["name"] in CRITERIA and criterion["actual"] is not None:
                found[criterion["name"]].append(criterion["actual"])
                units[criterion["name"]] = criterion["unit"]
    for name, values in found.items():
        say(f"{what}: {name}", values, units[name], CRITERIA[name])


@contextlib.contextmanager
def slowed(share: float) -> Iterator[None]:
    """Take a share of each processor from everything else, as on a machine that is so much slower."""
    processors = os.sched_getaffinity(0)
    takers = [
        multiprocessing.Process(target=_take, args=(share, os.getpid()), daemon=True) for _ in processors
    ]
    try:
        for taker, processor in zip(takers, processors, strict=True):
            taker.start()
            os.sched_setaffinity(taker.pid, {processor})
            os.sched_setscheduler(taker.pid, os.SCHED_FIFO, os.sched_param(1))
        yield
        if not all(taker.is_alive() for taker in takers):
            raise SystemExit("not all of the share was taken to the end")
    finally:
        for taker in takers:
            if taker.pid is not None:
                taker.terminate()
                taker.join()


def _take(share: float, parent: int) -> None:
    while os.getppid() == parent:
        end_s = time.monotonic() + TURN_S * share
        while time.monotonic() < end_s:
            pass
        time.sleep(TURN_S * (1 - share))
