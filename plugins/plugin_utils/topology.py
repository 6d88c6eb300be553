# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which nodes share a link, how packets go between the others, and how long each link holds them: pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from ansible_collections.foundation.testbed.plugins.module_utils.network import graph
from ansible_collections.foundation.testbed.plugins.plugin_utils.link_spec import (
    LinkSpec,
    NetworkLatency,
    Pair,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.seeds import sub_seed
from ansible_collections.foundation.testbed.plugins.plugin_utils.topology_problems import (
    foreign_keys,
    kind_problems,
    link_problems,
    matrix_link_problems,
    matrix_problems,
    split_problems,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes

# Digits behind the millisecond: nothing here is as punctual as a microsecond.
_DIGITS = 3


@dataclass(frozen=True)
class Topology:
    """The nodes in the inventory's order, the links by node order, the latency of each in both directions."""

    kind: str
    nodes: tuple[str, ...]
    links: tuple[Pair, ...]
    latency_ms: Mapping[Pair, float]
    hub: str | None = None

    @cached_property
    def neighbours(self) -> dict[str, list[str]]:
        """Whom each node shares a link with."""
        return graph.neighbours(self.nodes, self.links)

    @cached_property
    def next_hops(self) -> dict[str, dict[str, str]]:
        """Through which neighbour each node sends to each other."""
        if self.complete:
            return {name: {peer: peer for peer in beside} for name, beside in self.neighbours.items()}
        return {name: graph.next_hops(self.neighbours, name) for name in self.nodes}

    @cached_property
    def complete(self) -> bool:
        """Whether every node shares a link with every other."""
        return graph.is_complete(self.nodes, self.links)

    @cached_property
    def plain(self) -> bool:
        """Whether there is nothing to lay out: a full mesh that holds no packet."""
        return self.complete and not any(self.latency_ms.values())

    def path(self, start: str, end: str) -> list[str]:
        """Return the nodes that a packet passes, both ends among them."""
        return graph.path(self.next_hops, start, end)

    @cached_property
    def _ways(self) -> dict[Pair, tuple[int, float]]:
        """Links, and milliseconds that they hold a packet, of every way."""
        found: dict[Pair, tuple[int, float]] = {(name, name): (0, 0.0) for name in self.nodes}
        for end in self.nodes:
            for start in self.nodes:
                todo = [start]
                while (todo[-1], end) not in found:
                    todo.append(self.next_hops[todo[-1]][end])
                for one, other in zip(todo[-2::-1], todo[:0:-1], strict=True):
                    hops, held = found[other, end]
                    found[one, end] = hops + 1, held + self.latency_ms.get((one, other), 0.0)
        return found

    def hops(self, start: str, end: str) -> int:
        """Return over how many links a packet goes."""
        return self._ways[start, end][0]

    def one_way_ms(self, start: str, end: str) -> float:
        """Return how long the links hold a packet on its way."""
        return round(self._ways[start, end][1], _DIGITS)

    def round_trip_ms(self, start: str, end: str) -> float:
        """Return how long the links hold a packet and its answer."""
        return round(self.one_way_ms(start, end) + self.one_way_ms(end, start), _DIGITS)

    def expected(self, start: str) -> dict[str, dict[str, float]]:
        """Return what a node should measure of every other: links back from it, and the round trip."""
        return {
            name: {"hops": self.hops(name, start), "rtt_ms": self.round_trip_ms(start, name)}
            for name in self.nodes
            if name != start
        }

    def held_ms(self, name: str) -> dict[str, float]:
        """Return how long a node holds what it sends over each of its links."""
        found = {peer: self.latency_ms.get((name, peer), 0.0) for peer in self.neighbours[name]}
        return {peer: held for peer, held in found.items() if held}


def lay_out(
    kind: str,
    nodes: Sequence[str],
    testbed_id: str,
    links: Sequence[LinkSpec] | None = None,
    hub: str | None = None,
    latency: NetworkLatency | None = None,
) -> Topology:
    """Return the topology that a description means; raises Mistakes with one line for each mistake."""
    _refuse(foreign_keys(kind, links, hub, latency))
    matrix = latency.matrix if latency else None
    factor = latency.factor_ms if latency else 1.0
    if matrix is not None:
        _refuse(matrix_problems(matrix, nodes, factor))
    given = list(links or [])
    if kind == "custom":
        _refuse(link_problems(given, nodes))
        pairs = [link.between for link in given] or _pairs_of(matrix or [], nodes)
    else:
        _refuse(kind_problems(kind, nodes, hub))
        pairs = links_of(kind, nodes, hub)
    place = {name: at for at, name in enumerate(nodes)}
    ordered = sorted(
        (tuple(sorted(pair, key=place.__getitem__)) for pair in pairs),
        key=lambda pair: [place[one] for one in pair],
    )
    unique = tuple((one, other) for one, other in ordered)
    _refuse(split_problems(nodes, unique, "links" if given else "network_latency.matrix"))
    if matrix is not None:
        _refuse(matrix_link_problems(matrix, nodes, unique))
        held = {
            (one, other): round((matrix[place[one]][place[other]] or 0.0) * factor, _DIGITS)
            for pair in unique
            for one, other in (pair, pair[::-1])
        }
    else:
        held = {**(drawn(unique, latency, testbed_id) if latency else {}), **_own(given)}
    return Topology(kind, tuple(nodes), unique, held, (hub or nodes[0]) if kind == "star" else None)


def links_of(kind: str, nodes: Sequence[str], hub: str | None = None) -> list[Pair]:
    """Return the links of a topology that has a name."""
    if kind == "ring":
        return list(zip(nodes, [*nodes[1:], nodes[0]], strict=True))
    if kind == "star":
        middle = hub or nodes[0]
        return [(middle, name) for name in nodes if name != middle]
    return list(combinations(nodes, 2))


def drawn(links: Iterable[Pair], latency: NetworkLatency, testbed_id: str) -> dict[Pair, float]:
    """Draw the latency of every link, each from a seed of its own: one more link moves no other."""
    seed = latency.seed
    if seed is None:
        seed = int.from_bytes(hashlib.sha256(testbed_id.encode()).digest()[:6], "big")
    low, high = (latency.min or 0.0) * latency.factor_ms, (latency.max or 0.0) * latency.factor_ms
    held: dict[Pair, float] = {}
    for one, other in links:
        draw = random.Random(sub_seed(seed, f"latency of {one} {other}"))
        there = round(draw.uniform(low, high), _DIGITS)
        back = there if latency.symmetrical else round(draw.uniform(low, high), _DIGITS)
        held |= {(one, other): there, (other, one): back}
    return held


def _own(links: Iterable[LinkSpec]) -> dict[Pair, float]:
    held: dict[Pair, float] = {}
    for link in links:
        if link.latency is not None:
            one, other = link.between
            back = link.latency if link.back is None else link.back
            held |= {(one, other): round(link.latency, _DIGITS), (other, one): round(back, _DIGITS)}
    return held


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise Mistakes(found)


def _pairs_of(matrix: list[list[float | None]], nodes: Sequence[str]) -> list[Pair]:
    return [
        (nodes[at], nodes[to]) for at, to in combinations(range(len(nodes)), 2) if matrix[at][to] is not None
    ]
