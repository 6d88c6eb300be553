# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cluster description says of virtual machines, and what it may not say of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from ansible_collections.foundation.testbed.plugins.module_utils.lab.domain import domain_name
from ansible_collections.foundation.testbed.plugins.module_utils.lab.libvirt import URI
from ansible_collections.foundation.testbed.plugins.plugin_utils import cluster_hypervisor
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_baremetal import Address
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import Mistakes
from pydantic import BaseModel, ConfigDict, Field

# The smallest machine that boots Debian.
MIN_MEMORY = 256 * 2**20
# The smallest disk that Debian with a system fits on.
MIN_DISK = 2**30


class Vm(BaseModel):
    """What all machines of the provider share."""

    model_config = ConfigDict(extra="forbid", strict=True)

    bridge: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,15}$")] | None = None
    # A disk image with cloud-init and a boot loader, beside the description where it is no absolute path.
    image: Annotated[str, Field(min_length=1)] | None = None
    nameservers: list[Address] | None = None
    # Without it the machines are this machine's.
    hypervisor: cluster_hypervisor.Hypervisor | None = None


def check(cluster: Any) -> None:
    """Raise Mistakes for what of a `Cluster` does not fit virtual machines, one line for each."""
    problems = list(_problems(cluster))
    if problems:
        raise Mistakes(problems)


def _problems(cluster: Any) -> Iterator[str]:
    if cluster.provider != "vm":
        if cluster.vm is not None:
            yield f"vm: given for provider {cluster.provider}; allowed: with provider vm"
        return
    if cluster.vm is not None and cluster.vm.nameservers is not None and cluster.vm.image is None:
        yield "vm.nameservers: given without an image; allowed: with vm.image, as other machines have no DNS"
    if cluster.vm is not None and cluster.vm.hypervisor is not None:
        yield from cluster_hypervisor.problems(cluster, cluster.vm.hypervisor)
    limits = {
        "resource_limits": cluster.resource_limits,
        "observer_resource_limits": cluster.observer_resource_limits,
        **{f"nodes[{i}].resource_limits": node.resource_limits for i, node in enumerate(cluster.nodes)},
    }
    for key, given in limits.items():
        if given.pids is not None:
            yield f"{key}.pids: given for provider vm; allowed: memory, cpus, disk"
        if given.memory is not None and given.memory < MIN_MEMORY:
            yield f"{key}.memory: given {given.memory // 2**20}M for provider vm; allowed: at least 256M"
        if given.disk is not None and given.disk < MIN_DISK:
            yield f"{key}.disk: given {given.disk // 2**20}M for provider vm; allowed: at least 1G"


def lab_variables(vm: Vm | None, folder: Path) -> dict[str, Any]:
    """What whoever makes the machines is told, which is none of them; `folder` is the inventory's."""
    own = vm or Vm()
    given = {
        "testbed_bridge": own.bridge,
        "testbed_vm_image": str(folder / Path(own.image).expanduser()) if own.image else None,
        "testbed_nameservers": own.nameservers,
    }
    return {name: value for name, value in given.items() if value is not None}


def group_variables(vm: Vm | None, folder: Path) -> dict[str, Any]:
    """Variables of the machines; `folder` is the inventory's."""
    elsewhere = vm.hypervisor.machine_variables(folder) if vm and vm.hypervisor else {}
    return {"testbed_hypervisor": URI, **elsewhere}


def own_variables(testbed_id: str, name: str) -> dict[str, Any]:
    """Variables of one machine."""
    return {"testbed_domain": domain_name(testbed_id, name)}


def hypervisors(cluster: Any, folder: Path) -> list[dict[str, Any]]:
    """Return the hypervisor elsewhere as a host, as `cluster.expand` returns others; none without one."""
    if cluster.vm is None or cluster.vm.hypervisor is None:
        return []
    variables = cluster.vm.hypervisor.variables(folder)
    host, group = cluster_hypervisor.HOST, cluster_hypervisor.GROUP
    return [{"name": host, "groups": [group], "vars": variables}]
