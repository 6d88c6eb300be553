# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cluster description: what a user writes about an environment, checked."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal

import netaddr
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    not_allowed,
    parse_size,
    shown,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils import cluster_baremetal, cluster_vm
from ansible_collections.foundation.testbed.plugins.plugin_utils.fields import Duration
from ansible_collections.foundation.testbed.plugins.plugin_utils.link_spec import (
    Kind,
    LinkOrPair,
    NetworkLatency,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.topology import Topology, lay_out
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Source, parse_model
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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
