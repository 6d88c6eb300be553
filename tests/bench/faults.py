# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every fault in every way that a sceptic would try it, and random mixes: none may leave a trace."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import leases
import said as rows
import ways
from ansible_collections.foundation.testbed.plugins.module_utils.lab.command import LabError
from ansible_collections.foundation.testbed.plugins.module_utils.lab.switch_container import ContainerSwitch
from power_lab import await_boot, paths_of
from support import Lab

INVENTORY = Path(__file__).resolve().parent / "inventory_faults"
# Three nodes are broken at once; their peers are those that are not.
BROKEN = ("n1", "n3", "n5")
WHOLE = ("n2", "n4", "n6")
MIXES = 100
# How often a node that does not answer is cut and switched on again.
MENDS = 5
WAYS = (*ways.WAYS, "controller killed", "two runs", "full disk")
# Only attempts of which this finds the name, such as `link|mix 7$` or `disk: fail, reboot`.
ONLY = re.compile(os.environ.get("ONLY", ""))


class Nodes:
    """The nodes of one lab, each of which tries one thing at a time."""

    def __init__(self, lab: Lab):
        self.lab, self.cluster = lab, leases.cluster_of(lab)
        self.limits = ContainerSwitch(paths_of(lab, BROKEN[0]), BROKEN[0]).note()
        self.free: queue.Queue[str] = queue.Queue()
        for node in BROKEN:
            leases.prepare(lab, node)
            self.free.put(node)

    def try_one(self, name: str, attempt: leases.Attempt) -> list[str]:
        """Try something on the next free node; returns what was left or wrong."""
        node = self.free.get()
        try:
            left = attempt(self.lab, node, leases.with_peers(self.cluster, node, WHOLE))
        except Exception as error:  # one that cannot even be tried is a line of the table as well
            left = [f"{type(error).__name__}: {error}"]
            self.mend(node)
        finally:
            self.free.put(node)
        print(f"  {name} ({node}): {'; '.join(left) or 'nothing left'}", file=sys.stderr, flush=True)
        return left

    def mend(self, node: str) -> None:
        """Have a node on anew, so that what went wrong on it is not the fault of what comes next."""
        switch = ContainerSwitch(paths_of(self.lab, node), node)
        for _ in range(MENDS):
            with contextlib.suppress(AssertionError, LabError):
                if switch.answers():
                    return
                switch.cut()
                switch.on(self.limits)
                await_boot(self.lab, node)

    def try_all(self, attempts: dict[str, leases.Attempt]) -> dict[str, list[str]]:
        """Try those that are wanted, as many at once as nodes can be broken; returns what each left."""
        names = [name for name in attempts if ONLY.search(name)]
        # Alike ones are far from each other: etcd outlives that one of three is down, not that all are.
        random.Random(0).shuffle(names)
        wanted = {name: attempts[name] for name in names}
        began = time.monotonic()
        with ThreadPoolExecutor(len(BROKEN)) as pool:
            found = dict(zip(wanted, pool.map(self.try_one, wanted, wanted.values()), strict=True))
        clean = sum(not left for left in found.values())
        print(f"{clean} of {len(found)} left nothing ({time.monotonic() - began:.0f} s)")
        for name, left in found.items():
            for problem in left:
                print(f"  {name}: {problem}", flush=True)
        return found


def matrix(nodes: Nodes) -> None:
    """Print the table fault by way."""
    found = nodes.try_all(
        {
            f"{name}, {way}": attempt
            for name, said in rows.SAID.items()
            for way, attempt in leases.tries(said).items()
        }
    )
    print(f"{'fault':<24}" + "".join(f"{way:<19}" for way in WAYS))
    reasons: dict[str, list[str]] = {}
    for name, said in rows.SAID.items():
        cells = [_cell(found.get(f"{name}, {way}"), rows.senseless(said, way)) for way in WAYS]
        print(f"{name:<24}" + "".join(f"{cell:<19}" for cell in cells))
        for way in WAYS:
            reason = rows.senseless(said, way)
            if reason is not None:
                reasons.setdefault(f"{name}: {reason}", []).append(way)
    for reason, of in reasons.items():
        print(f"  n/a: {reason} ({', '.join(of)})")


def _cell(left: list[str] | None, senseless: str | None) -> str:
    if senseless is not None:
        return "n/a"
    return "-" if left is None else "LEFT" if left else "nothing left"


def mixes(nodes: Nodes, count: int = MIXES) -> None:
    """Try random mixes by seed."""

    def attempt(seed: int) -> leases.Attempt:
        return lambda lab, node, cluster: leases.try_mix(lab, node, seed, cluster)

    nodes.try_all({f"mix {seed}": attempt(seed) for seed in range(count)})


@contextlib.contextmanager
def standing_lab() -> Iterator[Lab]:
    """A lab with etcd, made for the time of a measurement."""
    lab = Lab(INVENTORY, Path(tempfile.mkdtemp(prefix="testbed-bench-")))
    for playbook in ("destroy", "provision", "deploy"):
        outcome = lab.playbook(playbook)
        if outcome.status != 0:
            raise SystemExit(outcome.output[-3000:])
    try:
        yield lab
    finally:
        lab.playbook("destroy")


def main() -> None:
    """Try everything on a lab of its own."""
    with standing_lab() as lab:
        nodes = Nodes(lab)
        matrix(nodes)
        print(f"{MIXES} random mixes:", flush=True)
        mixes(nodes)
