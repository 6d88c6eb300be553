# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cluster as a playbook sees it, out of Ansible's variables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.plugin_utils.monitoring import system_series
from ansible_collections.foundation.testbed.plugins.plugin_utils.power_switches import switch_name
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import read_system
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError


def cluster_view(task_vars: Mapping[str, Any]) -> ClusterView:
    """Build the compiler's view; raises InputError when the inventory holds no cluster."""
    groups, hostvars = task_vars["groups"], task_vars["hostvars"]
    nodes, observers = groups.get("nodes") or [], groups.get("observers") or []
    if not nodes or not observers:
        raise InputError(
            [
                "inventory: given no host in the groups nodes and observers; allowed: an inventory of a "
                "testbed, such as -i inventories/local"
            ]
        )
    systems = {name: list(hostvars[name]["testbed_applications"]) for name in nodes}
    used = sorted({system for names in systems.values() for system in names})
    descriptions = {system: read_system(system) for system in used}
    first = hostvars[nodes[0]]
    return ClusterView(
        testbed_id=str(first["testbed_id"]),
        nodes={name: str(hostvars[name]["testbed_address"]) for name in nodes},
        observers={name: str(hostvars[name]["testbed_address"]) for name in observers},
        systems=systems,
        workloads={system: description.workloads for system, description in descriptions.items()},
        units={system: description.units for system, description in descriptions.items()},
        states={system: description.states for system, description in descriptions.items()},
        data_paths={system: description.data_paths for system, description in descriptions.items()},
        series={system: system_series(description) for system, description in descriptions.items()},
        options={system: description.options for system, description in descriptions.items()},
        provider={name: str(hostvars[name]["testbed_provider"]) for name in nodes},
        switches={name: switch_name(hostvars[name]) for name in nodes},
        groups=_groups(groups, nodes),
        topology={
            "kind": str(first.get("testbed_topology", "mesh")),
            "hub": first.get("testbed_hub"),
            "links": [dict(link) for link in first.get("testbed_links", [])],
        },
        management=[str(first["testbed_gateway"])] if "testbed_gateway" in first else [],
        max_down=int(first["testbed_partition_tolerance"]),
        max_rate=float(first.get("testbed_max_rate") or math.inf),
        min_operation_timeout_s=float(first.get("testbed_min_operation_timeout_s") or 0.0),
        scrape_interval_s=float(first.get("testbed_scrape_interval_s", 1.0)),
    )


def _groups(groups: Mapping[str, list[str]], nodes: list[str]) -> dict[str, list[str]]:
    """Return the inventory's groups that hold nodes, each with its nodes."""
    found = {name: [node for node in nodes if node in members] for name, members in groups.items()}
    return {name: members for name, members in sorted(found.items()) if members}


def loose_view(task_vars: Mapping[str, Any]) -> ClusterView:
    """Build a view for one fault in anybody's playbook: of a testbed's inventory, or of any other.

    Without the testbed's variables the nodes are the group `nodes`, or else the hosts of the play, known by
    their connection's address.
    """
    groups, hostvars = task_vars["groups"], task_vars["hostvars"]
    nodes = groups.get("nodes") or list(task_vars["ansible_play_hosts"])
    if groups.get("observers") and all("testbed_provider" in hostvars[name] for name in nodes):
        return cluster_view(task_vars)
    return ClusterView(
        testbed_id=str(task_vars.get("testbed_id", "")),
        nodes={name: str(hostvars[name].get("ansible_host", name)) for name in nodes},
        observers={},
        systems={name: list(hostvars[name].get("testbed_applications", [])) for name in nodes},
        workloads={},
        provider={name: str(hostvars[name].get("testbed_provider", "baremetal")) for name in nodes},
        switches={name: switch_name(hostvars[name]) for name in nodes},
        max_down=(len(nodes) - 1) // 2,
    )
