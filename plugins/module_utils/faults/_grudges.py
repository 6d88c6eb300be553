# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who drops whose packets in a partition: from a shape or from groups to the peers that each node drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Targets
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import names, shown

SHAPES = ("alone", "majority", "halves", "random", "majorities_ring", "bridge", "one_way")
# Shapes in which the clients can find themselves on one of the sides.
SIDED = (None, "alone", "majority", "halves", "random")


def parse_groups(value: object) -> dict[str, list[str]]:
    """Return named groups of nodes; raises ValueError."""
    if not isinstance(value, Mapping) or len(value) < 2:
        raise ValueError(f"given {shown(value)}; allowed: a mapping of at least two names to lists of nodes")
    groups = {}
    for name, members in value.items():
        try:
            groups[str(name)] = names(members)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    everyone = [member for members in groups.values() for member in members]
    for member in everyone:
        if everyone.count(member) > 1:
            raise ValueError(
                f"given the node {member!r} {everyone.count(member)} times; allowed: every node once"
            )
    return groups


def complete_grudge(sides: Mapping[str, str]) -> dict[str, list[str]]:
    """Who drops whom: everyone everybody of another side. Symmetrical, and nobody drops itself."""
    return {name: [peer for peer, other in sides.items() if other != side] for name, side in sides.items()}


def ring_grudge(ring: Sequence[str]) -> dict[str, list[str]]:
    """Every node sees a majority around itself, and no two see the same one (Jepsen's majorities ring)."""
    reach = -(-(len(ring) // 2) // 2)
    grudges = {}
    for place, name in enumerate(ring):
        seen = {ring[(place + step) % len(ring)] for step in range(-reach, reach + 1)}
        grudges[name] = [peer for peer in ring if peer not in seen]
    return grudges


def bridge_grudge(order: Sequence[str]) -> dict[str, list[str]]:
    """Two halves that do not see each other, and one node that sees both (after Jepsen's bridge)."""
    middle = len(order) // 2
    left, right = order[:middle], order[middle + 1 :]
    grudges = {order[middle]: list[str]()}
    grudges |= {name: list(right) for name in left}
    grudges |= {name: list(left) for name in right}
    return grudges


def split(shape: str, chosen: Sequence[str], targets: Targets) -> dict[str, str]:
    """Return the side of every node for the shapes that have sides; the first side is the larger one."""
    if shape == "alone":
        return {name: name if name in chosen else "rest" for name in targets.cluster.nodes}
    order = list(chosen)
    targets.draw.shuffle(order)
    minority = {
        "majority": (len(order) - 1) // 2,
        "halves": len(order) // 2,
        "random": targets.draw.randint(1, max(1, len(order) // 2)),
    }[shape]
    return {name: "minority" if order.index(name) < minority else "majority" for name in chosen}


def grudges_of(params: Mapping[str, Any], targets: Targets) -> dict[str, list[str]]:
    """Return which peers every node drops, an address standing for itself; raises ValueError."""
    shape, chosen = params.get("shape"), list(targets.chosen)
    if "peers" in params:
        return {name: [peer for peer in params["peers"] if peer != name] for name in chosen}
    if targets.conditional:
        if shape != "alone":
            said = "groups: given" if shape is None else f"shape: given {shape!r}"
            raise ValueError(
                f"{said} on a state of the system; allowed: shape alone, or peers (each node acts by itself)"
            )
        others = {
            **targets.cluster.nodes,
            **(targets.cluster.observers if params["clients"] == "cut" else {}),
        }
        return {name: [peer for peer in others if peer != name] for name in chosen}
    if shape == "one_way":
        return _one_way(params["groups"])
    if shape in ("majorities_ring", "bridge"):
        least = {"majorities_ring": 4, "bridge": 3}[shape]
        if len(chosen) < least:
            raise ValueError(f"shape: given {shape!r} of {len(chosen)} nodes; allowed: {least} nodes or more")
        targets.draw.shuffle(chosen)
        return ring_grudge(chosen) if shape == "majorities_ring" else bridge_grudge(chosen)
    if shape is None:
        groups = params["groups"]
        sides = {name: group for group, members in groups.items() for name in members}
        first = next(iter(groups))
    else:
        if shape != "alone" and len(chosen) < 2 + (shape == "majority"):
            raise ValueError(f"shape: given {shape!r} of {len(chosen)} nodes; allowed: more nodes")
        sides, first = split(shape, chosen, targets), "rest" if shape == "alone" else "majority"
    if params["clients"] == "cut":  # the clients find themselves on the side of the first group
        sides = {**sides, **dict.fromkeys(targets.cluster.observers, first)}
    return complete_grudge(sides)


def _one_way(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    (_, senders), (_, receivers) = groups.items()
    return {**{name: list(receivers) for name in senders}, **{name: list(senders) for name in receivers}}
