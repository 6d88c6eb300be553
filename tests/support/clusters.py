# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster as the compiler sees it, with every system on every node."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import known_systems, read_system


def with_every_system(count: int = 5) -> ClusterView:
    """Return a lab of containers, `n1` and so on, with one observer."""
    nodes = {f"n{i}": f"10.77.0.{10 + i}" for i in range(1, count + 1)}
    systems = {name: read_system(name) for name in known_systems()}
    return ClusterView(
        "local", nodes, {"observer1": "10.77.0.2"}, {name: list(systems) for name in nodes},
        {name: system.workloads for name, system in systems.items()},
        units={name: system.units for name, system in systems.items()},
        states={name: system.states for name, system in systems.items()},
        options={name: system.options for name, system in systems.items()},
        provider=dict.fromkeys(nodes, "container"),
        groups={**{name: list(nodes) for name in systems}, "nodes": list(nodes)},
        management=["10.77.0.1"], max_down=2,
    )  # fmt: skip
