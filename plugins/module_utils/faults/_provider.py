# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What faults share that a node's provider does to it."""

from __future__ import annotations

from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent import own_limits
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import Targets

NO_DISK = "this node has no disk of its own (resource limit disk)"
NO_LIMIT = "this machine's control groups have no limit for one disk (blkio of v1, io of v2)"


def named(targets: Targets) -> list[str]:
    """Return the chosen nodes, unless a state of the system would choose them; raises ValueError."""
    if targets.conditional:
        raise ValueError("nodes: given a state of the system; allowed: names, random, as no node asks itself")
    return list(targets.chosen)


def programs(params: dict[str, Any], targets: Targets, cannot: str) -> dict[str, dict[str, Any]]:
    """Return the same part for every chosen node, all of the container provider; raises ValueError."""
    others = [
        f"{name} of the provider {targets.cluster.provider.get(name, 'baremetal')}"
        for name in named(targets)
        if targets.cluster.provider.get(name, "baremetal") != "container"
    ]
    if others:
        raise ValueError(
            f"action: given {params['action']!r} for {', '.join(others)}; allowed: nothing, as {cannot}"
        )
    return {name: dict(params) for name in targets.chosen}


def own_disk_lacks(limit: bool) -> list[str]:
    """Return why the provider cannot do something to this node's disk; `limit`: it is to be limited."""
    told = own_limits.told()
    if not told.get("disk_bytes"):
        return [NO_DISK]
    return [NO_LIMIT] if limit and not told.get("disk_limit") else []
