# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cluster description: what a user writes about an environment, checked and expanded into hosts."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import netaddr
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    not_allowed,
    parse_size,
    shown,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils import cluster_baremetal, cluster_vm
from ansible_collections.foundation.testbed.plugins.plugin_utils.fields import Duration
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import System
from ansible_collections.foundation.testbed.plugins.plugin_utils.topology import (
    Kind,
    LinkOrPair,
    NetworkLatency,
    Topology,
    group_names,
    host_vars,
    kind_group,
    lay_out,
    shared_vars,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Source, parse_model
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

STATE_DIR = "/var/lib/foundation-testbed"

# The smallest disk of a node: its journal of the file system and its logs.
MIN_DISK = 256 * 2**20
# Names that mean something else to Ansible or to our playbooks.
RESERVED_NAMES = ("all", "ungrouped", "localhost", "nodes", "observers")


def _subnet(value: object) -> netaddr.IPNetwork:
    try:
        network = netaddr.IPNetwork(value if isinstance(value, str) else "")
    except (netaddr.AddrFormatError, ValueError):
        raise ValueError(f"given {shown(value)}; allowed: an IPv4 network such as 10.77.0.0/24") from None
    if network.version != 4 or network.ip != network.network:
        example = network.cidr if network.version == 4 else "10.77.0.0/24"
        raise ValueError(f"given {shown(value)}; allowed: an IPv4 network such as {example}")
    return network


def _name(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?", value):
        raise ValueError(
            f"given {shown(value)}; allowed: a lower-case host name: letters, digits and hyphens, "
            "at most 31, a letter first, no hyphen last"
        )
    return value


def _system_name(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", value):
        raise ValueError(
            f"given {shown(value)}; allowed: the name of a system's role: lower-case letters, digits and "
            "underscores, at most 31, a letter first"
        )
    return value


def _testbed_id(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9-]{0,10}", value):
        raise ValueError(
            f"given {shown(value)}; allowed: at most 11 lower-case letters, digits, hyphens, a letter first"
        )
    return value


def _memory(value: object) -> int:
    size = parse_size(value)
    if size < 2**20:
        raise ValueError(f"given {shown(value)}; allowed: at least 1M")
    return size


def _disk(value: object) -> int:
    size = parse_size(value)
    if size < MIN_DISK:
        raise ValueError(f"given {shown(value)}; allowed: at least 256M, which a node needs to boot and log")
    return size


def _tolerance(value: object) -> object:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"given {shown(value)}; allowed: true, false or a number of nodes, such as 1")
    return value


HostName = Annotated[str, BeforeValidator(_name)]
SystemName = Annotated[str, BeforeValidator(_system_name)]
TestbedId = Annotated[str, BeforeValidator(_testbed_id)]
Memory = Annotated[int, BeforeValidator(_memory)]
Disk = Annotated[int, BeforeValidator(_disk)]
Subnet = Annotated[Any, BeforeValidator(_subnet)]
Tolerance = Annotated[bool | int, BeforeValidator(_tolerance)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class ResourceLimits(_Strict):
    """Limits of one node; what is not given is inherited."""

    memory: Memory | None = None
    cpus: Annotated[float, Field(ge=0.01, le=1024)] | None = None
    pids: Annotated[int, Field(ge=64, le=4194304)] | None = None
    disk: Disk | None = None

    def over(self, base: ResourceLimits) -> ResourceLimits:
        """Return these limits, with what they leave open taken from `base`."""
        return base.model_copy(update=self.model_dump(exclude_none=True))


def _scrape_interval(seconds: float) -> float:
    if not 1 <= seconds <= 60:
        raise ValueError(f"given {seconds:g}s; allowed: 1s to 60s")
    return seconds


class NodeSpec(cluster_baremetal.ExistingHost, _Strict):
    """One node as the user describes it."""

    name: HostName
    applications: list[SystemName] | None = None
    config_overrides: dict[str, Any] = {}
    resource_limits: ResourceLimits = ResourceLimits()


class Cluster(_Strict):
    """The whole description, as it stands in `inventories/<env>/cluster.yml`."""

    plugin: Literal["foundation.testbed.cluster"] = "foundation.testbed.cluster"
    testbed_id: TestbedId
    provider: Literal["container", "vm", "baremetal"] = "container"
    vm: cluster_vm.Vm | None = None
    baremetal: cluster_baremetal.BareMetal | None = None
    node_count: Annotated[int, Field(ge=2, le=250)]
    topology: Kind = "mesh"
    links: list[LinkOrPair] | None = None
    hub: HostName | None = None
    partition_tolerance: Tolerance = True
    max_rate: Annotated[float, Field(gt=0, le=20000)] | None = None
    min_operation_timeout: Duration | None = None
    scrape_interval: Annotated[Duration, AfterValidator(_scrape_interval)] = 1.0
    # needed unless the provider is baremetal
    subnet: Subnet = None
    applications: list[SystemName] = []
    resource_limits: ResourceLimits = ResourceLimits()
    network_latency: NetworkLatency | None = None
    nodes: list[NodeSpec] = []
    observer_count: Annotated[int, Field(ge=1, le=8)] = 1
    observer_resource_limits: ResourceLimits = ResourceLimits()

    @model_validator(mode="after")
    def _consistent(self) -> Cluster:
        cluster_baremetal.check(self)
        cluster_vm.check(self)
        names = [node.name for node in self.nodes]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ValueError(
                f"nodes: given the name {double[0]!r} {names.count(double[0])} times; "
                "allowed: every name once"
            )
        if len(names) > self.node_count:
            raise ValueError(
                f"nodes: given {len(names)} nodes; allowed: at most node_count ({self.node_count})"
            )
        if self.partition_tolerance > self.node_count:
            raise ValueError(
                f"partition_tolerance: given {shown(self.partition_tolerance)}; "
                f"allowed: at most node_count ({self.node_count})"
            )
        clash = sorted(set(names) & set(self.observer_names))
        if clash:
            raise ValueError(
                f"nodes: given the name {clash[0]!r}; allowed: a name that is no observer's "
                f"({', '.join(self.observer_names)})"
            )
        groups = {*RESERVED_NAMES, *self.system_names()} & set(names)
        if groups:
            raise ValueError(
                f"nodes: given the name {min(groups)!r}; allowed: a name that is no group's and not localhost"
            )
        needed = self.node_count + self.observer_count + 3
        if self.provider != "baremetal" and self.subnet.size < needed:
            raise ValueError(
                f"subnet: given {self.subnet} with {self.subnet.size} addresses; allowed: a network "
                f"with at least {needed} for {self.node_count} nodes, {self.observer_count} observers, "
                "the gateway, network and broadcast addresses"
            )
        _ = self.laid_out
        return self

    @cached_property
    def laid_out(self) -> Topology:
        """Who shares a link with whom; raises Mistakes."""
        names = [node.name for node in self.node_specs()]
        return lay_out(self.topology, names, self.testbed_id, self.links, self.hub, self.network_latency)

    @property
    def observer_names(self) -> list[str]:
        """Names of the observers: observer1, observer2, …."""
        return [f"observer{i}" for i in range(1, self.observer_count + 1)]

    @property
    def tolerated_nodes(self) -> int:
        """How many nodes may be down or cut off at once; `true` stands for a minority, `false` for none."""
        given = self.partition_tolerance
        return (self.node_count - 1) // 2 if given is True else int(given)

    def existing_hosts(self) -> dict[str, cluster_baremetal.ExistingHost]:
        """Nodes and observers of hosts that exist, by name; empty for every other provider."""
        if self.provider != "baremetal" or self.baremetal is None:
            return {}
        observers = zip(self.observer_names, self.baremetal.observers, strict=True)
        return {**dict(observers), **{node.name: node for node in self.nodes}}

    def system_names(self) -> list[str]:
        """Every application that some node runs."""
        return sorted(set(self.applications).union(*(node.applications or [] for node in self.nodes)))

    def node_specs(self) -> list[NodeSpec]:
        """The nodes given, filled up to node_count with n1, n2, … that are not yet taken."""
        taken = {node.name for node in self.nodes} | set(self.observer_names)
        fresh = (name for i in range(1, 2 * self.node_count + 1) if (name := f"n{i}") not in taken)
        missing = self.node_count - len(self.nodes)
        return [*self.nodes, *(NodeSpec(name=next(fresh)) for _ in range(missing))]


# What every host exports its figures with, and what an observer needs beside the clients of the systems.
EXPORTER_PACKAGE = "prometheus-node-exporter"
OBSERVER_PACKAGES = ("prometheus", EXPORTER_PACKAGE)

DEFAULT_LIMITS = ResourceLimits.model_validate({"memory": "512M", "cpus": 1.0, "pids": 512})
DEFAULT_OBSERVER_LIMITS = ResourceLimits.model_validate({"memory": "1G"}).over(DEFAULT_LIMITS)
OBSERVER_CPU_WEIGHT = 800
"""A node has 100. Where processors are short, a generator that has to wait for one measures its own delay."""


def parse_cluster(data: object, source: str | Source, known_applications: set[str]) -> Cluster:
    """Check a description; raises InputError with one line for each mistake."""
    cluster = parse_model(Cluster, data, source)
    problems = _unknown_applications("applications", cluster.applications, known_applications)
    for i, node in enumerate(cluster.nodes):
        problems += _unknown_applications(
            f"nodes[{i}].applications", node.applications or [], known_applications
        )
        problems += _foreign_overrides(f"nodes[{i}].config_overrides", node, cluster)
    if problems:
        where = source if isinstance(source, Source) else Source(source)
        raise where.refused(problems)
    return cluster


def _unknown_applications(key: str, given: list[str], known: set[str]) -> list[str]:
    problems = [f"{key}: {not_allowed(name, known)}" for name in given if name not in known]
    double = sorted({name for name in given if given.count(name) > 1})
    return problems + [f"{key}: given {name!r} {given.count(name)} times; allowed: once" for name in double]


def _foreign_overrides(key: str, node: NodeSpec, cluster: Cluster) -> list[str]:
    applications = cluster.applications if node.applications is None else node.applications
    prefixes = tuple(f"{name}_" for name in applications)
    return [
        f"{key}: given {name!r}; allowed: variables of the node's applications, named "
        f"{', '.join(prefix + '*' for prefix in prefixes) or '(it has none)'}"
        for name in node.config_overrides
        if not name.startswith(prefixes)
    ]


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
