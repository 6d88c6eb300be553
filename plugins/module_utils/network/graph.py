# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links and the shortest ways over them: pure, and the same on the controller and on every node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Links = Iterable[Sequence[str]]


def neighbours(nodes: Sequence[str], links: Links) -> dict[str, list[str]]:
    """Return whom each node shares a link with, in the order of `nodes`."""
    found: dict[str, set[str]] = {name: set() for name in nodes}
    for one, other in links:
        found[one].add(other)
        found[other].add(one)
    place = {name: at for at, name in enumerate(nodes)}
    return {name: sorted(others, key=place.__getitem__) for name, others in found.items()}


def next_hops(beside: Mapping[str, Sequence[str]], start: str) -> dict[str, str]:
    """Return the neighbour through which the shortest way leads to every node that can be reached.

    Of several ways of one length it is that by the neighbour which comes first in the order of nodes. Every
    node that knows the same links sends a packet one step nearer, so none goes in a circle.
    """
    found = {name: name for name in beside[start]}
    place = {name: at for at, name in enumerate(beside)}
    seen, edge = {start, *found}, list(found)
    while edge:
        reached: dict[str, str] = {}
        for name in edge:
            for other in beside[name]:
                if other not in seen:
                    best = reached.get(other, found[name])
                    reached[other] = min(best, found[name], key=place.__getitem__)
        found.update(reached)
        seen.update(reached)
        edge = list(reached)
    return found


def path(ways: Mapping[str, Mapping[str, str]], start: str, end: str) -> list[str]:
    """Return the nodes from `start` to `end` by everybody's next hops; raises KeyError if there is no way."""
    passed = [start]
    while passed[-1] != end:
        passed.append(ways[passed[-1]][end])
    return passed


def is_complete(nodes: Sequence[str], links: Links) -> bool:
    """Whether every node shares a link with every other: nothing is to be forwarded or refused."""
    return len({frozenset(link) for link in links}) == len(nodes) * (len(nodes) - 1) // 2


def has_another_way(nodes: Sequence[str], links: Sequence[Sequence[str]]) -> bool:
    """Whether some link may fail and its ends still reach each other: in a tree none may."""
    return len({frozenset(link) for link in links}) >= len(nodes)
