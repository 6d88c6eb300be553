# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cluster as a playbook sees it, out of Ansible's variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import ClusterView
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
    return ClusterView(
        testbed_id=str(hostvars[nodes[0]]["testbed_id"]),
        nodes={name: str(hostvars[name]["testbed_address"]) for name in nodes},
        observers={name: str(hostvars[name]["testbed_address"]) for name in observers},
        systems=systems,
        workloads={system: read_system(system).workloads for system in used},
    )
