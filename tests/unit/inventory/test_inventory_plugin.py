# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory plugin: Ansible's view of cluster.yml."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible_collections.foundation.testbed.plugins.filter.hosts import FilterModule
from ansible_collections.foundation.testbed.plugins.inventory.cluster import InventoryModule
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hosts import OBSERVER_CPU_WEIGHT

LOCAL = Path(__file__).resolve().parents[3] / "inventories/local/cluster.yml"


def read(path):
    inventory = InventoryData()
    InventoryModule().parse(inventory, DataLoader(), str(path))
    inventory.reconcile_inventory()
    return inventory


def test_the_local_cluster_becomes_hosts_and_groups():
    inventory = read(LOCAL)
    groups = inventory.get_groups_dict()
    assert groups["nodes"] == groups["etcd"] == ["n1", "n2", "n3", "n4", "n5"]
    assert groups["observers"] == ["observer1"]
    assert sorted(groups["provider_container"]) == sorted([*groups["nodes"], "observer1"])
    assert inventory.get_host("n1").vars["ansible_host"] == "10.77.0.11"
    assert inventory.groups["all"].vars["testbed_id"] == "local"


def test_a_mistake_ends_ansible_with_bad_input(tmp_path, capsys):
    """One line for each mistake on stderr, nothing of a traceback, exit status 12."""
    path = tmp_path / "cluster.yml"
    path.write_text(
        LOCAL.read_text().replace("topology: mesh", "topology: net").replace("count: 5", "count: 1")
    )
    with pytest.raises(SystemExit) as caught:
        read(path)
    words = capsys.readouterr().err
    assert caught.value.code == 12
    assert f"{path}:7: topology: given 'net'; allowed: custom, mesh, ring, star" in words
    assert f"{path}:6: node_count: given 1; allowed: greater than or equal to 2" in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "\t",
        "a: 2020-02-31",
        "a: !!int x",
        "a: !!python/name:os.system",
        "[" * 1500,
        "{[]: 1}",
        "a: 0x_",
    ],
)
def test_a_file_that_is_no_yaml_is_bad_input(tmp_path, capsys, text):
    path = tmp_path / "cluster.yml"
    path.write_text(text)
    with pytest.raises(SystemExit) as caught:
        read(path)
    assert caught.value.code == 12
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "taken"), [("cluster.yml", True), ("cluster.yaml", True), ("hosts.yml", False)]
)
def test_only_files_of_its_name_are_taken(tmp_path, name, taken):
    path = tmp_path / name
    path.write_text("plugin: foundation.testbed.cluster\n")
    assert InventoryModule().verify_file(str(path)) is taken


def test_lab_nodes_are_the_options_of_the_container_modules():
    inventory = read(LOCAL)
    hostvars = {name: host.vars for name, host in inventory.hosts.items()}
    node, observer = FilterModule().filters()["lab_nodes"](["n2", "observer1"], hostvars)
    assert observer["cpu_weight"] == OBSERVER_CPU_WEIGHT
    assert node == {
        "name": "n2", "address": "10.77.0.12",
        "packages": ["etcd-client", "etcd-server", "prometheus-node-exporter"],
        "memory_bytes": 512 * 2**20, "cpus": 1.0, "pids": 512, "cpu_weight": None, "disk_bytes": 2**30,
    }  # fmt: skip


def test_a_host_without_an_answer_has_an_empty_one():
    answers = FilterModule().filters()["answers"]
    assert answers(["a", "b", "c"], {"a": {"x": {"ok": 1}}, "b": {}, "c": {"x": None}}, "x") == {
        "a": {"ok": 1}, "b": {}, "c": {},
    }  # fmt: skip
