# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which nodes share a link, how packets go between the others, and how long each link holds them: pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Annotated, Any, Literal

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    not_allowed,
    parse_duration,
    shown,
)
from ansible_collections.foundation.testbed.plugins.module_utils.network import graph
from ansible_collections.foundation.testbed.plugins.plugin_utils.seeds import sub_seed
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Kind = Literal["ring", "star", "mesh", "custom"]
Pair = tuple[str, str]

_UNITS_MS = {"microsecond": 0.001, "millisecond": 1.0, "second": 1000.0}
# The longest latency of a link.
MAX_MS = 10_000.0
# Digits behind the millisecond: nothing here is as punctual as a microsecond.
_DIGITS = 3
_MOST_GROUPS = 300


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _held_ms(value: object) -> object:
    if value == 0 and not isinstance(value, bool):
        return 0.0
    held_ms = parse_duration(value) * 1000
    if held_ms > MAX_MS:
        raise ValueError(f"given {shown(value)}; allowed: at most {MAX_MS / 1000:g}s")
    return held_ms


def _link(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return {"between": value}
    if not isinstance(value, (Mapping, BaseModel)):
        raise ValueError(
            f"given {shown(value)}; allowed: two nodes such as [n1, n2], or a mapping with between, latency "
            "and back"
        )
    return value


def _ends(value: object) -> object:
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 2
        or not all(isinstance(one, str) for one in value)
    ):
        raise ValueError(f"given {shown(value)}; allowed: the names of two nodes, such as [n1, n2]")
    return tuple(value)


HeldMs = Annotated[float, BeforeValidator(_held_ms)]


class LinkSpec(_Strict):
    """One link of a custom topology; `back` is the latency from the second node to the first."""

    between: Annotated[Pair, BeforeValidator(_ends)]
    latency: HeldMs | None = None
    back: HeldMs | None = None

    @model_validator(mode="after")
    def _whole(self) -> LinkSpec:
        if self.back is not None and self.latency is None:
            raise ValueError("back: given without latency; allowed: beside latency")
        return self


class NetworkLatency(_Strict):
    """Latency of every link: drawn between min and max, or a matrix, from the row's node to the column's."""

    min: Annotated[float, Field(ge=0)] | None = None
    max: Annotated[float, Field(ge=0)] | None = None
    unit: Literal["microsecond", "millisecond", "second"]
    symmetrical: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    matrix: list[list[float | None]] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> NetworkLatency:
        beside = [key for key in ("min", "max", "symmetrical", "seed") if key in self.model_fields_set]
        if self.matrix is not None:
            if beside:
                raise ValueError(f"{beside[0]}: given beside matrix; allowed: one of the two")
            return self
        if self.min is None or self.max is None:
            key = "min" if self.min is None else "max"
            raise ValueError(f"{key}: is required but missing")
        if self.min > self.max:
            raise ValueError(f"given min {self.min} and max {self.max}; allowed: min <= max")
        if self.max * self.factor_ms > MAX_MS:
            raise ValueError(
                f"max: given {self.max:g} {self.unit}s; allowed: at most {MAX_MS / 1000:g} seconds"
            )
        return self

    @property
    def factor_ms(self) -> float:
        """Milliseconds of the unit."""
        return _UNITS_MS[self.unit]


LinkOrPair = Annotated[LinkSpec, BeforeValidator(_link)]


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
    _refuse(_foreign_keys(kind, links, hub, latency))
    matrix = latency.matrix if latency else None
    factor = latency.factor_ms if latency else 1.0
    if matrix is not None:
        _refuse(_matrix_problems(matrix, nodes, factor))
    given = list(links or [])
    if kind == "custom":
        _refuse(_link_problems(given, nodes))
        pairs = [link.between for link in given] or _pairs_of(matrix or [], nodes)
    else:
        _refuse(_kind_problems(kind, nodes, hub))
        pairs = links_of(kind, nodes, hub)
    place = {name: at for at, name in enumerate(nodes)}
    ordered = sorted(
        (tuple(sorted(pair, key=place.__getitem__)) for pair in pairs),
        key=lambda pair: [place[one] for one in pair],
    )
    unique = tuple((one, other) for one, other in ordered)
    _refuse(_split_problems(nodes, unique, "links" if given else "network_latency.matrix"))
    if matrix is not None:
        _refuse(_matrix_link_problems(matrix, nodes, unique))
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


def _foreign_keys(
    kind: str, links: Sequence[LinkSpec] | None, hub: str | None, latency: NetworkLatency | None
) -> Iterator[str]:
    matrix = latency is not None and latency.matrix is not None
    if links is not None and kind != "custom":
        yield f"links: given beside topology {kind}; allowed: beside topology custom"
    if hub is not None and kind != "star":
        yield f"hub: given beside topology {kind}; allowed: beside topology star"
    if matrix and kind != "custom":
        yield f"network_latency.matrix: given beside topology {kind}; allowed: beside topology custom"
    if kind == "custom" and not links and not matrix:
        yield "links: given none; allowed: the links of a custom topology, such as [[n1, n2], [n2, n3]]"
    if matrix:
        for at, link in enumerate(links or []):
            if link.latency is not None:
                yield f"links[{at}].latency: given beside network_latency.matrix; allowed: one of the two"


def _kind_problems(kind: str, nodes: Sequence[str], hub: str | None) -> Iterator[str]:
    if kind == "ring" and len(nodes) < 3:
        yield f"topology: given 'ring' of {len(nodes)} nodes; allowed: at least 3 nodes"
    if hub is not None and hub not in nodes:
        yield f"hub: {not_allowed(hub, nodes)}"


def _link_problems(links: Sequence[LinkSpec], nodes: Sequence[str]) -> Iterator[str]:
    seen: dict[frozenset[str], int] = {}
    for at, link in enumerate(links):
        one, other = link.between
        for name in dict.fromkeys(link.between):
            if name not in nodes:
                yield f"links[{at}]: {not_allowed(name, nodes)}"
        if one == other:
            yield f"links[{at}]: given a link from {one!r} to itself; allowed: two different nodes"
        first = seen.setdefault(frozenset(link.between), at)
        if first != at and one != other:
            yield (
                f"links[{at}]: given [{one}, {other}], which is links[{first}] already; "
                "allowed: every link once"
            )


def _split_problems(nodes: Sequence[str], links: Sequence[Pair], key: str) -> Iterator[str]:
    reached = {nodes[0], *graph.next_hops(graph.neighbours(nodes, links), nodes[0])}
    lost = [name for name in nodes if name not in reached]
    if lost:
        yield f"{key}: given no way from {nodes[0]} to {', '.join(lost)}; allowed: links that join all nodes"


def _matrix_problems(matrix: list[list[float | None]], nodes: Sequence[str], factor: float) -> Iterator[str]:
    key, size = "network_latency.matrix", len(nodes)
    if len(matrix) != size:
        yield f"{key}: given {len(matrix)} rows; allowed: {size}, one for each node ({', '.join(nodes)})"
        return
    for at, row in enumerate(matrix):
        if len(row) != size:
            yield f"{key}[{at}]: given {len(row)} numbers; allowed: {size}, one for each node"
            continue
        for to, held in enumerate(row):
            where = f"{key}[{at}][{to}]: given {shown(held)}"
            if at == to and held:
                yield f"{where} for {nodes[at]} to itself; allowed: 0 or null"
            elif held is not None and not 0 <= held * factor <= MAX_MS:
                yield f"{where}; allowed: 0 to {MAX_MS / factor:g}, or null where there is no link"
            elif at < to and len(matrix[to]) == size and (held is None) != (matrix[to][at] is None):
                yield (
                    f"{where} and {shown(matrix[to][at])} the other way; "
                    f"allowed: two numbers for a link of {nodes[at]} and {nodes[to]}, or null twice"
                )


def _pairs_of(matrix: list[list[float | None]], nodes: Sequence[str]) -> list[Pair]:
    return [
        (nodes[at], nodes[to]) for at, to in combinations(range(len(nodes)), 2) if matrix[at][to] is not None
    ]


def _matrix_link_problems(
    matrix: list[list[float | None]], nodes: Sequence[str], links: Sequence[Pair]
) -> Iterator[str]:
    for at, to in combinations(range(len(nodes)), 2):
        linked, held = (nodes[at], nodes[to]) in links, matrix[at][to]
        if linked != (held is not None):
            yield (
                f"network_latency.matrix[{at}][{to}]: given {shown(held)}, and {'a' if linked else 'no'} "
                f"link of {nodes[at]} and {nodes[to]}; allowed: a number for every link, null elsewhere"
            )


def latency_text(held_ms: float) -> str:
    """Return a latency as people write it, such as 7.25 ms."""
    return f"{held_ms:.3f}".rstrip("0").rstrip(".") + " ms"


def kind_group(topology: Topology) -> str:
    """Return the inventory's group that holds the groups of links, or all nodes where there are none."""
    return f"topology_{topology.kind}"


def group_names(topology: Topology) -> dict[str, list[str]]:
    """Return the inventory's group of each link, its latency in the name; none of a full mesh without any.

    The name of a group has no dots: whole milliseconds, else microseconds; both ways if they differ. Of
    hundreds of links, which nobody would read, there are none.
    """
    if topology.plain or len(topology.links) > _MOST_GROUPS:
        return {}
    found = {}
    for one, other in topology.links:
        there, back = topology.latency_ms.get((one, other), 0.0), topology.latency_ms.get((other, one), 0.0)
        held = [_short(there)] + ([] if there == back else [_short(back)])
        ends = [name.replace("-", "_") for name in (one, other)]
        found["__".join(["link", *ends, *(held if there or back else [])])] = [one, other]
    return found


def _short(held_ms: float) -> str:
    return f"{held_ms:.0f}ms" if held_ms == int(held_ms) else f"{held_ms * 1000:.0f}us"


def host_vars(topology: Topology, name: str) -> dict[str, Any]:
    """Return what a node's role needs of the topology; nothing of a full mesh without latency."""
    if topology.plain:
        return {}
    return {
        "testbed_neighbours": topology.neighbours[name],
        "testbed_link_latency_ms": topology.held_ms(name),
        "testbed_expected": topology.expected(name),
    }


def shared_vars(topology: Topology) -> dict[str, Any]:
    """Return what all hosts share of it; the links of a full mesh without latency are not listed."""
    return {
        "testbed_topology": topology.kind,
        "testbed_hub": topology.hub,
        "testbed_links": [
            {
                "between": [one, other],
                "latency_ms": topology.latency_ms.get((one, other), 0.0),
                "back_ms": topology.latency_ms.get((other, one), 0.0),
            }
            for one, other in ([] if topology.plain else topology.links)
        ],
    }
