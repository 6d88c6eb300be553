# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventory source: a short description of a cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster
short_description: Hosts and groups from a short description of a cluster
version_added: 0.1.0
author: Foundation Testbed contributors (@foundation)
description:
  - Reads a file named C(cluster.yml) and expands it into nodes, observers, addresses and groups.
  - Groups are C(nodes), C(observers), one for each application, one for the provider
    (C(provider_container)) and one for the topology (C(topology_ring)); in it one for each link, with its
    latency (C(link__n1__n2__5ms)).
  - Every mistake is one line that names file, key, what was given and what is allowed.
requirements:
  - netaddr
  - pydantic
options:
  plugin:
    description: Marks the file as a source for this plugin.
    type: str
    required: true
    choices: [foundation.testbed.cluster]
  testbed_id:
    description: Name of this testbed, at most 11 characters; enrolment, bridge and state folder carry it.
    type: str
    required: true
  provider:
    description: How nodes come to be.
    type: str
    default: container
    choices: [container, vm, baremetal]
  node_count:
    description: Number of nodes, at least 2.
    type: int
    required: true
  topology:
    description:
      - Which nodes share a link. The others reach each other through the nodes between.
      - V(custom) needs O(links), or a matrix of latencies.
    type: str
    default: mesh
    choices: [ring, star, mesh, custom]
  links:
    description:
      - Links of a custom topology, each two names such as C([n1, n2]), or a mapping with C(between),
        C(latency) (such as C(5ms)) and C(back), the latency from the second to the first.
    type: list
    elements: raw
  hub:
    description: The node in the middle of a star; the first one, unless it is given.
    type: str
  partition_tolerance:
    description:
      - The largest number of nodes that scenarios may take down or cut off at once, at most O(node_count).
      - V(true) stands for a minority of the nodes, V(false) for none.
      - All hosts have the number as the variable C(testbed_partition_tolerance).
    type: raw
    default: true
  max_rate:
    description:
      - The most operations per second that the observers here are able to send; a scenario that asks for more
        gets so many, and its report says so.
      - All hosts have it as the variable C(testbed_max_rate).
    type: float
  min_operation_timeout:
    description:
      - The shortest time, such as C(5s), after which an operation counts as unanswered here; a scenario that
        asks for less gets so much, and its report says so.
      - All hosts have it in seconds as the variable C(testbed_min_operation_timeout_s).
    type: str
  scrape_interval:
    description:
      - How often Prometheus and the nodes look at their figures, and a run asks every node's system how it
        is, from C(1s) to C(60s).
      - All hosts have it in seconds as the variable C(testbed_scrape_interval_s).
    type: str
    default: 1s
  subnet:
    description:
      - IPv4 network of the nodes, which must be free on this machine.
      - With O(provider=baremetal) not needed; every address has to be in it where it is given.
    type: str
  vm:
    description:
      - For O(provider=vm) alone, C(bridge), a bridge of the hypervisor's in place of the lab's, C(image), a
        disk image with cloud-init in place of those made there, and C(nameservers), addresses for machines
        with C(image).
      - With C(hypervisor) the machines are another machine's, else this one's. It has C(address) and, where
        wanted, C(ssh) (C(user), root unless it is given, C(port), C(key), C(become)), C(host_key),
        C(known_hosts), and C(reach), which is C(jump) (through the hypervisor) or C(direct). It becomes the
        host C(hypervisor) of the group C(testbed_hypervisors).
    type: dict
  baremetal:
    description:
      - For O(provider=baremetal) alone, C(ssh) (C(user), C(port), C(key), C(become)), C(known_hosts) and
        C(observers), each with its C(address).
      - Variables of ssh become those of the group C(provider_baremetal), so that group_vars and host_vars go
        before.
    type: dict
  applications:
    description: Systems that every node runs unless it says otherwise, each a role with a C(system.yml).
    type: list
    elements: str
    default: []
  resource_limits:
    description:
      - Limits of every node, C(memory) (such as C(512M)), C(cpus), C(pids) and C(disk) (such as C(1G)).
      - Without C(disk) the nodes write to this machine's own file system, and no fault fills it.
    type: dict
    default: {}
  network_latency:
    description:
      - Latency of every link, C(min), C(max) and C(unit) (microsecond, millisecond or second), drawn for each
        link from the testbed's id, or from C(seed).
      - Both directions are alike unless C(symmetrical) is false.
      - Or C(matrix) and C(unit), for a custom topology, a row for each node with the latency to each other,
        null where there is no link.
    type: dict
  nodes:
    description:
      - Nodes that differ from the rest, each with C(name) and, where wanted, C(applications),
        C(config_overrides) (variables of that host) and C(resource_limits).
      - With O(provider=baremetal) every node is listed, with its C(address) and, where wanted, C(host_key),
        C(ssh) and C(power).
      - Nodes that are not listed are named n1, n2 and so on, up to O(node_count).
    type: list
    elements: dict
    default: []
  observer_count:
    description: Number of extra nodes that run the load.
    type: int
    default: 1
  observer_resource_limits:
    description: Limits of every observer.
    type: dict
    default: {}
"""

EXAMPLES = r"""
# inventories/local/cluster.yml: five nodes with etcd on this machine
plugin: foundation.testbed.cluster
testbed_id: local
node_count: 5
topology: mesh
subnet: 10.77.0.0/24
applications: [etcd]
resource_limits:
  memory: 512M
  cpus: 1
nodes:
  - name: n5
    resource_limits:
      memory: 256M
"""

from pathlib import Path

from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.utils.display import Display
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import parse_cluster
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hosts import (
    expand,
    lab_vars,
    nested_groups,
    provider_lab_vars,
    provider_vars,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_vm import hypervisors
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.monitoring import monitoring_vars
from ansible_collections.foundation.testbed.plugins.plugin_utils.source_file import read_source
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import known_systems, read_system
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError


class InventoryModule(BaseInventoryPlugin):
    """Reads `cluster.yml`."""

    NAME = "foundation.testbed.cluster"
    # The file is the user's own; what it says of a node's configuration may hold templates.
    trusted_by_default = True

    def verify_file(self, path):
        return super().verify_file(path) and Path(path).name in ("cluster.yml", "cluster.yaml")

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        try:
            cluster = parse_cluster(*read_source(Path(path)), set(known_systems()))
            systems = {name: read_system(name) for name in cluster.system_names()}
            hosts = expand(cluster, systems)
        except InputError as error:
            # An AnsibleError would send the file on to the next plugin, and its complaints bury the mistake.
            Display().error(str(error), wrap_text=False)
            raise SystemExit(ExitStatus.BAD_INPUT) from None
        folder = Path(path).resolve().parent
        lab = {**lab_vars(cluster), **provider_lab_vars(cluster, folder), **monitoring_vars(systems)}
        for name, value in lab.items():
            inventory.set_variable("all", name, value)
        for group in ("nodes", "observers", f"provider_{cluster.provider}"):
            inventory.add_group(group)
        for name, value in provider_vars(cluster, folder).items():
            inventory.set_variable(f"provider_{cluster.provider}", name, value)
        for host in [*hosts, *hypervisors(cluster, folder)]:
            for group in host["groups"]:
                inventory.add_group(group)
                inventory.add_host(host["name"], group=group)
            for name, value in host["vars"].items():
                inventory.set_variable(host["name"], name, value)
        for group, inner in nested_groups(cluster).items():
            inventory.add_group(group)
            for one in inner:
                inventory.add_child(group, one)
