# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the description of a topology, a line for each mistake: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import not_allowed, shown
from ansible_collections.foundation.testbed.plugins.module_utils.network import graph
from ansible_collections.foundation.testbed.plugins.plugin_utils.link_spec import (
    MAX_MS,
    LinkSpec,
    NetworkLatency,
    Pair,
)


def foreign_keys(
    kind: str, links: Sequence[LinkSpec] | None, hub: str | None, latency: NetworkLatency | None
) -> Iterator[str]:
    """Yield what stands beside a kind of topology that it has no use for."""
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


def kind_problems(kind: str, nodes: Sequence[str], hub: str | None) -> Iterator[str]:
    """Yield what is wrong with a topology that has a name."""
    if kind == "ring" and len(nodes) < 3:
        yield f"topology: given 'ring' of {len(nodes)} nodes; allowed: at least 3 nodes"
    if hub is not None and hub not in nodes:
        yield f"hub: {not_allowed(hub, nodes)}"


def link_problems(links: Sequence[LinkSpec], nodes: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the links of a custom topology."""
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


def split_problems(nodes: Sequence[str], links: Sequence[Pair], key: str) -> Iterator[str]:
    """Yield which nodes the links leave out."""
    reached = {nodes[0], *graph.next_hops(graph.neighbours(nodes, links), nodes[0])}
    lost = [name for name in nodes if name not in reached]
    if lost:
        yield f"{key}: given no way from {nodes[0]} to {', '.join(lost)}; allowed: links that join all nodes"


def matrix_problems(matrix: list[list[float | None]], nodes: Sequence[str], factor: float) -> Iterator[str]:
    """Yield what is wrong with a matrix of latencies by itself."""
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


def matrix_link_problems(
    matrix: list[list[float | None]], nodes: Sequence[str], links: Sequence[Pair]
) -> Iterator[str]:
    """Yield where a matrix has a latency without a link, or a link without one."""
    for at, to in combinations(range(len(nodes)), 2):
        linked, held = (nodes[at], nodes[to]) in links, matrix[at][to]
        if linked != (held is not None):
            yield (
                f"network_latency.matrix[{at}][{to}]: given {shown(held)}, and {'a' if linked else 'no'} "
                f"link of {nodes[at]} and {nodes[to]}; allowed: a number for every link, null elsewhere"
            )
