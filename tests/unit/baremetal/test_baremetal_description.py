# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that exist, as cluster.yml describes them: every mistake is told; group_vars go before."""

from __future__ import annotations

import copy
from pathlib import Path

import netaddr
import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import parse_cluster
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hosts import (
    expand,
    lab_vars,
    provider_vars,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import read_system
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from hypothesis import given
from hypothesis import strategies as st

SYSTEMS = {"etcd": read_system("etcd")}
LAB = {
    "plugin": "foundation.testbed.cluster",
    "provider": "baremetal",
    "testbed_id": "lab",
    "node_count": 2,
    "applications": ["etcd"],
    "baremetal": {"ssh": {"user": "admin"}, "observers": [{"address": "192.0.2.20"}]},
    "nodes": [{"name": "a", "address": "192.0.2.11"}, {"name": "b", "address": "192.0.2.12"}],
}


def with_node(**keys):
    return {"nodes": [{"name": "a", "address": "192.0.2.11", **keys}, LAB["nodes"][1]]}


BMC = {"switch": "redfish", "address": "192.0.2.111", "user": "u", "password": "{{ vault_bmc_password }}"}
MISTAKES = [
    (with_node(address="192.0.2.300"), "nodes[0].address: given '192.0.2.300'; allowed: the IPv4 address"),
    (with_node(address="192.0.2"), "nodes[0].address: given '192.0.2'; allowed: the IPv4 address"),
    (with_node(address="127.0.0.1"), "nodes[0].address: given '127.0.0.1'; allowed"),
    (with_node(address="2001:db8::1"), "nodes[0].address: given '2001:db8::1'; allowed: the IPv4"),
    (
        with_node(address="192.0.2.12"),
        "nodes[1].address: given 192.0.2.12, which is nodes[0].address already",
    ),
    (with_node(address="192.0.2.20"), "which is nodes[0].address already; allowed: every address once"),
    ({"nodes": LAB["nodes"][:1]}, "nodes: given 1 nodes; allowed: node_count (2)"),
    ({"nodes": [{"name": "a"}, LAB["nodes"][1]]}, "nodes[0].address: is required but missing"),
    ({"baremetal": {}}, "baremetal.observers: given 0 observers; allowed: observer_count (1)"),
    ({"subnet": "198.51.100.0/24"}, "nodes[0].address: given 192.0.2.11; allowed: an address in the subnet"),
    (
        {"resource_limits": {"memory": "1G"}},
        "resource_limits: given; allowed: nothing with provider baremetal",
    ),
    (with_node(resource_limits={"cpus": 1.0}), "nodes[0].resource_limits: given; allowed: nothing"),
    (with_node(host_key="SHA256:abc"), "nodes[0].host_key: given 'SHA256:abc'; allowed: a fingerprint"),
    (with_node(power={**BMC, "password": "hunter2"}), "nodes[0].power.password: given something else than"),
    (with_node(power={"switch": "ipmi", "user": "u"}), "nodes[0].power.address: is required but missing"),
    (with_node(power={"switch": "sysrq", "user": "u"}), "nodes[0].power.user: given for the switch sysrq"),
    (with_node(power={"switch": "redfihs"}), "(did you mean 'redfish'?)"),
    (
        {"baremetal": {"ssh": {"usr": "x"}, "observers": [{"address": "192.0.2.20"}]}},
        "(did you mean 'user'?)",
    ),
    ({"provider": "container", "subnet": "10.0.0.0/24"}, "baremetal: given for provider container; allowed"),
    (
        {"provider": "container", "subnet": "10.0.0.0/24", "baremetal": None},
        "nodes[0].address: given for provider container; allowed: with provider baremetal",
    ),
    ({"provider": "container", "baremetal": None, "nodes": []}, "subnet: is required but missing"),
]


@pytest.mark.parametrize(("change", "said"), MISTAKES)
def test_a_mistake_is_one_line_with_key_given_and_allowed(change, said):
    with pytest.raises(InputError) as error:
        parse_cluster({**copy.deepcopy(LAB), **change}, "cluster.yml", {"etcd"})
    assert any(said in line and "hunter2" not in line for line in error.value.problems), error.value.problems


def hosts_of(change=None):
    cluster = parse_cluster({**copy.deepcopy(LAB), **(change or {})}, "cluster.yml", {"etcd"})
    return {host["name"]: host for host in expand(cluster, SYSTEMS)}, cluster


def test_a_host_is_reached_as_the_group_says_unless_it_says_otherwise():
    hosts, cluster = hosts_of(with_node(ssh={"user": "root", "port": 2222}, power=BMC))
    shared = provider_vars(cluster, Path("/inv"))
    assert (shared["ansible_user"], shared["ansible_become"]) == ("admin", True)
    assert (
        "UserKnownHostsFile=/inv/known_hosts -o StrictHostKeyChecking=yes"
        in shared["ansible_sftp_extra_args"]
    )
    own = hosts["a"]["vars"]
    assert (own["ansible_user"], own["ansible_port"], own["ansible_become"]) == ("root", 2222, False)
    assert own["testbed_power"]["password"] == "{{ vault_bmc_password }}"
    assert own["testbed_power_switch"] == own["testbed_power"]["switch"]
    # what the group says must not stand at the host, where it would go before the user's group_vars
    assert not {"ansible_user", "ansible_become", "ansible_ssh_common_args"} & set(hosts["b"]["vars"])
    assert {"provider_baremetal", "etcd", "nodes", "topology_mesh"} == set(hosts["b"]["groups"])


def test_a_host_has_its_own_address_and_no_limits_and_no_gateway():
    hosts, cluster = hosts_of()
    found = {name: host["vars"]["testbed_address"] for name, host in hosts.items()}
    assert found == {"observer1": "192.0.2.20", "a": "192.0.2.11", "b": "192.0.2.12"}
    assert all(host["vars"]["testbed_memory_bytes"] is None for host in hosts.values())
    assert "testbed_gateway" not in lab_vars(cluster)


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_taken_exactly_where_a_host_can_have_it(number):
    """A typo must not send faults to a broadcast, a loopback or a network that no host is in."""
    address = netaddr.IPAddress(number)
    usable = 2**24 <= number < 224 * 2**24 and (number >> 24) != 127
    try:
        hosts, _cluster = hosts_of(with_node(address=str(address)))
    except InputError as error:
        clash = any("every address once" in line for line in error.problems)
        assert clash or not usable
    else:
        assert usable
        assert hosts["a"]["vars"]["testbed_address"] == str(address)
