# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts, groups and variables of the inventory that a cluster description means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils import cluster_baremetal, cluster_vm
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import Cluster, ResourceLimits
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import System
from ansible_collections.foundation.testbed.plugins.plugin_utils.topology_inventory import (
    group_names,
    host_vars,
    kind_group,
    shared_vars,
)

STATE_DIR = "/var/lib/foundation-testbed"

# What every host exports its figures with, and what an observer needs beside the clients of the systems.
EXPORTER_PACKAGE = "prometheus-node-exporter"
OBSERVER_PACKAGES = ("prometheus", EXPORTER_PACKAGE)

DEFAULT_LIMITS = ResourceLimits.model_validate({"memory": "512M", "cpus": 1.0, "pids": 512})
DEFAULT_OBSERVER_LIMITS = ResourceLimits.model_validate({"memory": "1G"}).over(DEFAULT_LIMITS)
OBSERVER_CPU_WEIGHT = 800
"""A node has 100. Where processors are short, a generator that has to wait for one measures its own delay."""


def expand(cluster: Cluster, systems: dict[str, System], state_dir: str = STATE_DIR) -> list[dict[str, Any]]:
    """Every host with its groups and variables, addresses in the order gateway, observers, nodes.

    Each item is `{"name", "groups": [...], "vars": {...}}`, values plain enough for Ansible to store.
    Nodes start at offset 11 where the network has room, so that n1 is .11.
    """
    nodes, topology = cluster.node_specs(), cluster.laid_out
    linked = group_names(topology)
    addresses = _addresses(cluster)
    hosts = [
        _host(
            cluster,
            state_dir,
            name,
            addresses[name],
            ["observers"],
            [],
            cluster.observer_resource_limits.over(DEFAULT_OBSERVER_LIMITS),
            [],
            {*OBSERVER_PACKAGES, *(name for system in systems.values() for name in system.observer_packages)},
        )
        for name in cluster.observer_names
    ]
    for node in nodes:
        applications = cluster.applications if node.applications is None else node.applications
        limits = node.resource_limits.over(cluster.resource_limits.over(DEFAULT_LIMITS))
        host = _host(
            cluster,
            state_dir,
            node.name,
            addresses[node.name],
            ["nodes", *applications],
            applications,
            limits,
            [systems[name] for name in applications],
            {EXPORTER_PACKAGE, *(package for name in applications for package in systems[name].packages)},
        )
        host["groups"] += [group for group, ends in linked.items() if node.name in ends]
        host["groups"] += [] if linked else [kind_group(topology)]
        host["vars"].update({**host_vars(topology, node.name), **node.config_overrides})
        hosts.append(host)
    for name, existing in cluster.existing_hosts().items():
        next(host for host in hosts if host["name"] == name)["vars"].update(existing.own_variables())
    return hosts


def nested_groups(cluster: Cluster) -> dict[str, list[str]]:
    """Return the groups that hold other groups: the topology's, with its links."""
    links = list(group_names(cluster.laid_out))
    return {kind_group(cluster.laid_out): links} if links else {}


def _addresses(cluster: Cluster) -> dict[str, str]:
    """Return each host's address: its own where it exists, else one of the subnet."""
    if existing := cluster.existing_hosts():
        return {name: str(host.address) for name, host in existing.items()}
    names, room = [node.name for node in cluster.node_specs()], cluster.subnet.size
    first = (
        11 if room > cluster.node_count + 12 and cluster.observer_count < 10 else (2 + cluster.observer_count)
    )
    observers = {name: str(cluster.subnet[2 + i]) for i, name in enumerate(cluster.observer_names)}
    return {**observers, **{name: str(cluster.subnet[first + i]) for i, name in enumerate(names)}}


def lab_vars(cluster: Cluster, state_dir: str = STATE_DIR) -> dict[str, Any]:
    """Variables that all hosts share."""
    return {
        "testbed_id": cluster.testbed_id,
        "testbed_provider": cluster.provider,
        "testbed_state_dir": state_dir,
        **shared_vars(cluster.laid_out),
        "testbed_partition_tolerance": cluster.tolerated_nodes,
        "testbed_max_rate": cluster.max_rate,
        "testbed_min_operation_timeout_s": cluster.min_operation_timeout,
        "testbed_scrape_interval_s": cluster.scrape_interval,
        **_subnet_vars(cluster),
        "testbed_systems": cluster.system_names(),
    }


def provider_lab_vars(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Variables that the provider's role needs on whichever host it runs; `folder` is the inventory's."""
    return cluster_vm.lab_variables(cluster.vm, folder) if cluster.provider == "vm" else {}


def provider_vars(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Variables of the provider's group; `folder` is the inventory's."""
    if cluster.provider == "baremetal" and cluster.baremetal is not None:
        return cluster_baremetal.group_variables(cluster.baremetal, folder)
    return cluster_vm.group_variables(cluster.vm, folder) if cluster.provider == "vm" else {}


def _subnet_vars(cluster: Cluster) -> dict[str, Any]:
    """The network that the provider lays out for its nodes; hosts that exist are on somebody else's."""
    if cluster.provider == "baremetal":
        return {}
    return {
        "testbed_subnet": str(cluster.subnet),
        "testbed_gateway": str(cluster.subnet[1]),
        "testbed_prefix_length": cluster.subnet.prefixlen,
    }


def _reached(cluster: Cluster, state_dir: str) -> dict[str, Any]:
    """How ssh gets to a node that a provider made, with the keys that it made."""
    if cluster.provider == "baremetal":
        return {}
    ssh_dir = Path(state_dir) / "labs" / cluster.testbed_id / "ssh"
    return {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(ssh_dir / "id_ed25519"),
        # a node that has lost its power closes no connection: ssh has to ask whether it is there
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={ssh_dir / 'known_hosts'} "
        "-o StrictHostKeyChecking=yes -o ServerAliveInterval=5 -o ServerAliveCountMax=3",
    }


def _host(
    cluster: Cluster,
    state_dir: str,
    name: str,
    address: str,
    groups: list[str],
    applications: list[str],
    limits: ResourceLimits,
    systems: list[System],
    packages: set[str],
) -> dict[str, Any]:
    made = cluster.provider != "baremetal"
    return {
        "name": name,
        "groups": [*groups, f"provider_{cluster.provider}"],
        "vars": {
            "ansible_host": address,
            **_reached(cluster, state_dir),
            "testbed_address": address,
            "testbed_applications": list(applications),
            "testbed_packages": sorted(packages),
            "testbed_units": [unit for system in systems for unit in system.units],
            "testbed_log_paths": [path for system in systems for path in system.log_paths],
            "testbed_config_paths": [path for system in systems for path in system.config_paths],
            "testbed_data_paths": [path for system in systems for path in system.data_paths],
            "testbed_ports": {
                f"{system.title} ({what})": port for system in systems for what, port in system.ports.items()
            },
            "testbed_memory_bytes": limits.memory if made else None,
            "testbed_cpus": limits.cpus if made else None,
            "testbed_pids": limits.pids if cluster.provider == "container" else None,
            "testbed_cpu_weight": OBSERVER_CPU_WEIGHT if made and "observers" in groups else None,
            "testbed_disk_bytes": limits.disk,
            **(cluster_vm.own_variables(cluster.testbed_id, name) if cluster.provider == "vm" else {}),
        },
    }
