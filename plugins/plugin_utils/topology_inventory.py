# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A topology as the inventory has it: its groups and its variables."""

from __future__ import annotations

from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.topology import Topology

MOST_GROUPS = 300


def kind_group(topology: Topology) -> str:
    """Return the inventory's group that holds the groups of links, or all nodes where there are none."""
    return f"topology_{topology.kind}"


def group_names(topology: Topology) -> dict[str, list[str]]:
    """Return the inventory's group of each link, its latency in the name; none of a full mesh without any.

    The name of a group has no dots: whole milliseconds, else microseconds; both ways if they differ. Of
    hundreds of links, which nobody would read, there are none.
    """
    if topology.plain or len(topology.links) > MOST_GROUPS:
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
