# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a description may say of virtual machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import parse_cluster
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hosts import (
    expand,
    provider_lab_vars,
    provider_vars,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError

CLUSTER = {"testbed_id": "t", "provider": "vm", "node_count": 3, "subnet": "10.77.30.0/24"}


def parsed(**changes):
    return parse_cluster({**CLUSTER, **changes}, "cluster.yml", set())


def test_each_machine_says_which_domain_it_is_and_whose():
    cluster = parsed(vm={"bridge": "br0"})
    hosts = {host["name"]: host["vars"] for host in expand(cluster, {})}
    assert {name: host["testbed_domain"] for name, host in hosts.items()} == {
        "observer1": "tb-t.observer1", "n1": "tb-t.n1", "n2": "tb-t.n2", "n3": "tb-t.n3",
    }  # fmt: skip
    assert all(host["testbed_pids"] is None for host in hosts.values())
    assert provider_vars(cluster, Path()) == {"testbed_hypervisor": "qemu:///system"}


def test_whoever_makes_the_machines_is_told_of_bridge_and_image():
    """The role runs on the hypervisor, which is none of the machines."""
    assert provider_lab_vars(parsed(), Path()) == {}
    cluster = parsed(vm={"bridge": "br0", "image": "own.qcow2"})
    told = {"testbed_bridge": "br0", "testbed_vm_image": "/inv/own.qcow2"}
    assert provider_lab_vars(cluster, Path("/inv")) == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"provider": "container", "vm": {}}, "vm: given for provider container; allowed: with provider vm"),
        (
            {"resource_limits": {"pids": 99}},
            "resource_limits.pids: given for provider vm; allowed: memory, cpus, disk",
        ),
        (
            {"nodes": [{"name": "a", "resource_limits": {"memory": "64M"}}]},
            "nodes[0].resource_limits.memory: given 64M for provider vm; allowed: at least 256M",
        ),
        (
            {"observer_resource_limits": {"disk": "512M"}},
            "observer_resource_limits.disk: given 512M for provider vm; allowed: at least 1G",
        ),
        ({"vm": {"bridge": "a name with blanks"}}, "vm.bridge: "),
        ({"vm": {"brige": "br0"}}, "vm.brige: "),
    ],
)
def test_what_does_not_fit_is_one_clear_line(changes, told):
    with pytest.raises(InputError) as refused:
        parsed(**changes)
    (line,) = str(refused.value).splitlines()
    assert told in line
