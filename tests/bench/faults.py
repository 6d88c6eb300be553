# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every fault in every way that a sceptic would try it, and random mixes: none may leave a trace."""

from __future__ import annotations

import contextlib
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import leases
from support import Lab

INVENTORY = Path(__file__).resolve().parent / "inventory_faults"
# Every second node is broken, each with the next one as a peer that is not.
BROKEN = ("n1", "n3", "n5")
MIXES = 100


class Nodes:
    """The nodes of one lab, each of which tries one thing at a time."""

    def __init__(self, lab: Lab):
        self.lab, self.cluster = lab, leases.cluster_of(lab)
        self.free: queue.Queue[str] = queue.Queue()
        for node in BROKEN:
            leases.prepare(lab, node)
            self.free.put(node)

    def try_one(self, attempt: Callable[[Lab, str, object], list[str]]) -> list[str]:
        """Try something on the next free node; returns what was left or wrong."""
        node = self.free.get()
        try:
            return attempt(self.lab, node, self.cluster)
        except Exception as error:  # one that cannot even be tried is a line of the table as well
            return [f"{type(error).__name__}: {error}"]
        finally:
            self.free.put(node)


def matrix(nodes: Nodes) -> int:
    """Print the table fault by way; returns how many cells are not clean."""
    cells = {
        (name, way): attempt
        for name, said in leases.SAID.items()
        for way, attempt in leases.tries(said).items()
    }
    with ThreadPoolExecutor(len(BROKEN)) as pool:
        left = dict(zip(cells, pool.map(nodes.try_one, cells.values()), strict=True))
    ways = list(dict.fromkeys(way for _, way in cells))
    print(f"{'fault':<24}" + "".join(f"{way:<19}" for way in ways))
    for name in leases.SAID:
        print(f"{name:<24}" + "".join(f"{_cell(left.get((name, way))):<19}" for way in ways))
    for (name, way), problems in left.items():
        for problem in problems:
            print(f"  {name}, {way}: {problem}")
    return sum(map(bool, left.values()))


def _cell(problems: list[str] | None) -> str:
    return "-" if problems is None else "LEFT" if problems else "nothing left"


def mixes(nodes: Nodes, count: int = MIXES) -> int:
    """Try random mixes by seed; returns how many left a trace."""

    def attempt(seed: int) -> list[str]:
        return nodes.try_one(lambda lab, node, cluster: leases.try_mix(lab, node, seed, cluster))

    with ThreadPoolExecutor(len(BROKEN)) as pool:
        left = dict(zip(range(count), pool.map(attempt, range(count)), strict=True))
    for seed, problems in left.items():
        for problem in problems:
            print(f"  mix {seed}: {problem}")
    return sum(map(bool, left.values()))


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
        began = time.monotonic()
        unclean = matrix(nodes)
        cells = sum(len(leases.tries(said)) for said in leases.SAID.values())
        print(f"{cells - unclean} of {cells} left nothing ({time.monotonic() - began:.0f} s)", flush=True)
        began = time.monotonic()
        unclean = mixes(nodes)
        print(f"{MIXES - unclean} of {MIXES} random mixes left nothing ({time.monotonic() - began:.0f} s)")
