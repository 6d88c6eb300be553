# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a generator intends to send, and when: a pure function of its program and seed."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

NS = 1_000_000_000


class Op(NamedTuple):
    """One intended operation; `intended_ns` counts from the start instant."""

    number: int
    intended_ns: int
    client: str
    f: str
    key: str


class Choice:
    """Draw names by weight, using nothing but `random()`, whose values no Python version changes."""

    def __init__(self, weights: dict[str, float], what: str) -> None:
        self._names = [name for name, weight in weights.items() if weight > 0]
        self._bounds = list(accumulate(weights[name] for name in self._names))
        if not self._names:
            raise ValueError(f"{what}: no entry has a weight above 0; given {weights}")

    def draw(self, rng: random.Random) -> str:
        """Return one name."""
        at = bisect_right(self._bounds, rng.random() * self._bounds[-1])
        return self._names[min(at, len(self._names) - 1)]


def stream(program: dict[str, Any], name: str) -> random.Random:
    """Return an independent, seeded source of randomness for one purpose."""
    return random.Random(f"{program['seed']}:{program['generator']}:{name}")


def intended_times(program: dict[str, Any]) -> Iterator[int]:
    """Yield the intended times in ns from the start instant, in order, all before the end.

    `pacing` is `constant` (equal gaps, a seeded phase; the default), `jitter` (one operation at a random
    place in each gap) or `poisson` (exponential gaps).
    """
    pacing, rate = program.get("pacing", "constant"), float(program["rate_per_s"])
    if pacing not in ("constant", "jitter", "poisson"):
        raise ValueError(f"load {program['generator']}: pacing {pacing!r} is not constant, jitter or poisson")
    if rate <= 0:
        return
    rng, end_ns = stream(program, "times"), program["duration_s"] * NS
    index, phase, at_s = 0, rng.random(), 0.0
    while True:
        if pacing == "poisson":
            at_s += rng.expovariate(rate)
        else:
            at_s = (index + (rng.random() if pacing == "jitter" else phase)) / rate
        if at_s * NS >= end_ns:
            return
        yield int(at_s * NS)
        index += 1


def operations(program: dict[str, Any]) -> Iterator[Op]:
    """Yield the intended operations of a load program, in order of time.

    A key serves about `operations_per_key` operations and is then left for a fresh one, so that the
    history of each key stays short enough to check.
    """
    if program["rate_per_s"] <= 0:
        return
    groups = Choice({c["name"]: c.get("weight", 1.0) for c in program["clients"]}, "clients")
    mix, rng, keys = Choice(program["mix"], "mix"), stream(program, "operations"), program["keys"]
    per_generation = keys * program["operations_per_key"]
    for index, at_ns in enumerate(intended_times(program)):
        client, f, slot = groups.draw(rng), mix.draw(rng), int(rng.random() * keys)
        yield Op(index, at_ns, client, f, f"r{index // per_generation}-{slot}")


def count(program: dict[str, Any]) -> int:
    """Return how many operations the whole schedule holds."""
    return sum(1 for _ in intended_times(program))
