# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a checked description to hosts, groups and addresses."""

from __future__ import annotations

import ipaddress
import json

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import Cluster
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hosts import expand, lab_vars
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import (
    System,
    known_systems,
    read_system,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from hypothesis import given
from hypothesis import strategies as st

SYSTEMS = {
    "etcd": read_system("etcd"),
    "other": System(
        title="other", packages=["other-server"], units=["other.service"], workloads=["register"]
    ),
}


@st.composite
def descriptions(draw):
    count, observers = draw(st.integers(2, 250)), draw(st.integers(1, 8))
    name = st.from_regex(r"[a-z]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)
    names = draw(st.lists(name, max_size=count, unique=True))
    size = 2 ** draw(st.integers((count + observers + 3 - 1).bit_length(), 20))
    base = int(ipaddress.ip_address("10.0.0.0")) + size * draw(st.integers(0, 2**24 // size - 1))
    chosen = st.lists(st.sampled_from(sorted(SYSTEMS)), unique=True)
    return {
        "testbed_id": "t", "node_count": count, "observer_count": observers,
        "subnet": f"{ipaddress.ip_address(base)}/{32 - (size.bit_length() - 1)}",
        "applications": draw(chosen),
        "nodes": [
            {"name": name, **({"applications": draw(chosen)} if draw(st.booleans()) else {})}
            for name in names
            if name not in ("all", "nodes", "etcd", "other") and not name.startswith("observer")
        ],
    }  # fmt: skip


@given(descriptions())
def test_addresses_are_unique_and_usable(description):
    """Inside the subnet; never network, broadcast or gateway; one for each host."""
    cluster = Cluster.model_validate(description)
    hosts = expand(cluster, SYSTEMS)
    network = ipaddress.ip_network(description["subnet"])
    addresses = [ipaddress.ip_address(host["vars"]["testbed_address"]) for host in hosts]
    gateway = ipaddress.ip_address(lab_vars(cluster)["testbed_gateway"])
    assert len(set(addresses)) == len(hosts) == cluster.node_count + cluster.observer_count
    assert all(address in network for address in addresses)
    assert not {network.network_address, network.broadcast_address, gateway} & set(addresses)
    assert gateway in network


@given(descriptions())
def test_hosts_have_names_of_their_own_and_the_groups_of_their_applications(description):
    hosts = expand(Cluster.model_validate(description), SYSTEMS)
    assert len({host["name"] for host in hosts}) == len(hosts)
    assert json.loads(json.dumps(hosts)) == hosts  # values plain enough for Ansible to store
    for host in hosts:
        assert ("nodes" in host["groups"]) != ("observers" in host["groups"])
        assert set(host["vars"]["testbed_applications"]) == set(host["groups"]) & set(SYSTEMS)


def test_a_small_cluster_counts_its_nodes_from_eleven():
    hosts = expand(Cluster.model_validate({"testbed_id": "t", "node_count": 3, "subnet": "10.9.0.0/24"}), {})
    assert [(host["name"], host["vars"]["ansible_host"]) for host in hosts] == [
        ("observer1", "10.9.0.2"), ("n1", "10.9.0.11"), ("n2", "10.9.0.12"), ("n3", "10.9.0.13"),
    ]  # fmt: skip


def test_nodes_given_come_first_and_the_rest_is_filled_up():
    nodes = [{"name": "n2"}, {"name": "leader"}]
    cluster = Cluster.model_validate(
        {"testbed_id": "t", "node_count": 4, "subnet": "10.9.0.0/24", "nodes": nodes}
    )
    assert [node.name for node in cluster.node_specs()] == ["n2", "leader", "n1", "n3"]


@pytest.mark.parametrize(
    ("node_count", "given", "nodes"),
    [
        (5, {}, 2), (5, {"partition_tolerance": True}, 2), (4, {"partition_tolerance": True}, 1),
        (2, {"partition_tolerance": True}, 0), (5, {"partition_tolerance": False}, 0),
        (5, {"partition_tolerance": 0}, 0), (5, {"partition_tolerance": 1}, 1),
        (5, {"partition_tolerance": 5}, 5),
    ],
)  # fmt: skip
def test_the_partition_tolerance_becomes_a_number_of_nodes(node_count, given, nodes):
    """`true` stands for a minority: what is left can still decide."""
    cluster = Cluster.model_validate({
        "testbed_id": "t", "node_count": node_count, "subnet": "10.9.0.0/24", **given
    })  # fmt: skip
    tolerance = lab_vars(cluster)["testbed_partition_tolerance"]
    assert (type(tolerance), tolerance) == (int, nodes)


def test_host_keys_are_checked():
    hosts = expand(Cluster.model_validate({"testbed_id": "t", "node_count": 2, "subnet": "10.9.0.0/24"}), {})
    for host in hosts:
        arguments = host["vars"]["ansible_ssh_common_args"]
        assert "StrictHostKeyChecking=yes" in arguments and "ServerAliveInterval=5" in arguments


def test_overrides_reach_their_node_alone():
    cluster = Cluster.model_validate({
        "testbed_id": "t", "node_count": 2, "subnet": "10.9.0.0/24", "applications": ["etcd"],
        "nodes": [{"name": "n1", "config_overrides": {"etcd_heartbeat_ms": 7}}],
    })  # fmt: skip
    by_name = {host["name"]: host["vars"] for host in expand(cluster, SYSTEMS)}
    assert by_name["n1"]["etcd_heartbeat_ms"] == 7
    assert "etcd_heartbeat_ms" not in by_name["n2"]


def test_the_observers_get_what_the_clients_need():
    cluster = Cluster.model_validate(
        {"testbed_id": "t", "node_count": 2, "subnet": "10.9.0.0/24", "applications": ["etcd"]}
    )
    observer, node, _ = expand(cluster, {"etcd": SYSTEMS["etcd"]})
    assert observer["vars"]["testbed_packages"] == sorted(
        ["prometheus", "prometheus-node-exporter", *SYSTEMS["etcd"].observer_packages]
    )
    assert node["vars"]["testbed_packages"] == sorted(["prometheus-node-exporter", *SYSTEMS["etcd"].packages])


def test_a_role_with_a_system_file_is_a_system(tmp_path):
    (tmp_path / "kv").mkdir()
    (tmp_path / "kv/system.yml").write_text("title: KV\nunits: [kv.service]\nworkloads: [register]\n")
    (tmp_path / "node").mkdir()
    assert list(known_systems(tmp_path)) == ["kv"]
    assert read_system("kv", tmp_path).title == "KV"


def test_a_wrong_system_file_is_named(tmp_path):
    (tmp_path / "kv").mkdir()
    path = tmp_path / "kv/system.yml"
    path.write_text("title: KV\nunits: kv.service\nports: {client: 0}\n")
    try:
        read_system("kv", tmp_path)
    except InputError as error:
        assert sorted(error.problems) == [
            f"{path}:1: workloads: is required but missing",
            f"{path}:2: units: given 'kv.service'; allowed: a list",
            f"{path}:3: ports.client: given 0; allowed: greater than or equal to 1",
        ]
    else:
        raise AssertionError("it was taken")


def test_every_system_of_the_collection_is_described_right():
    assert all(read_system(name).workloads for name in known_systems())
