# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every mistake in cluster.yml is one line that names file, key, what was given and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster import parse_cluster
from ansible_collections.foundation.testbed.plugins.plugin_utils.cluster_hosts import (
    DEFAULT_LIMITS,
    expand,
    lab_vars,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import read_system
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from ansible_collections.foundation.testbed.tests.support.mutations import mutated
from hypothesis import given

ROOT = Path(__file__).resolve().parents[3]
LOCAL = yaml.safe_load((ROOT / "inventories/local/cluster.yml").read_text(encoding="utf-8"))
SYSTEMS = {"etcd": read_system("etcd")}

MISTAKES = [
    ({"topology": "rnig"}, "topology", "'rnig'", "(did you mean 'ring'?)"),
    ({"topology": None}, "topology", "None", "custom, mesh, ring, star"),
    ({"topology": ["ring"]}, "topology", "['ring']", "custom, mesh, ring, star"),
    ({"node_count": 1}, "node_count", "1", "greater than or equal to 2"),
    ({"node_count": -5}, "node_count", "-5", "greater than or equal to 2"),
    ({"node_count": 10**30}, "node_count", "1" + "0" * 30, "less than or equal to 250"),
    ({"node_count": True}, "node_count", "True", "a whole number"),
    ({"node_count": "5"}, "node_count", "'5'", "a whole number"),
    ({"node_count": 5.5}, "node_count", "5.5", "a whole number"),
    ({"node_count": None}, "node_count", "None", "a whole number"),
    ({"nodes": {"name": "n1"}}, "nodes", "{'name': 'n1'}", "a list"),
    ({"nodes": None}, "nodes", "None", "a list"),
    ({"nodes": ["n1"]}, "nodes[0]", "'n1'", "a mapping"),
    ({"nodes": [{"name": "a"}, {"name": "a"}]}, "nodes", "'a' 2 times", "every name once"),
    ({"nodes": [{"name": "knoten-ü"}]}, "nodes[0].name", "'knoten-ü'", "lower-case host name"),
    ({"nodes": [{"name": "N1"}]}, "nodes[0].name", "'N1'", "lower-case host name"),
    ({"nodes": [{"name": "n_1"}]}, "nodes[0].name", "'n_1'", "letters, digits and hyphens"),
    ({"nodes": [{"name": "n-"}]}, "nodes[0].name", "'n-'", "no hyphen last"),
    ({"nodes": [{"name": "x" * 32}]}, "nodes[0].name", "x" * 32, "at most 31"),
    ({"nodes": [{"name": "n1\n"}]}, "nodes[0].name", r"'n1\n'", "lower-case host name"),
    ({"nodes": [{"name": "observer1"}]}, "nodes", "'observer1'", "no observer's"),
    ({"nodes": [{"name": "localhost"}]}, "nodes", "'localhost'", "no group's"),
    ({"nodes": [{"name": "etcd"}]}, "nodes", "'etcd'", "no group's"),
    ({"nodes": [{"name": "nodes"}]}, "nodes", "'nodes'", "no group's"),
    ({"nodes": [{"nmae": "n1", "name": "n1"}]}, "nodes[0].nmae", "'nmae'", "did you mean 'name'?"),
    ({"nodes": [{"name": f"a{i}"} for i in range(6)]}, "nodes", "6 nodes", "at most node_count (5)"),
    ({"nodes": [{"name": "a", "applications": ["ectd"]}]}, "nodes[0].applications", "'ectd'", "etcd"),
    ({"nodes": [{"name": "a", "config_overrides": {"x": 1}}]}, "nodes[0].config_overrides", "'x'", "etcd_*"),
    ({"nodes": [{"name": "a", "config_overrides": {1: 1}}]}, "nodes[0].config_overrides[1]", "1", "a text"),
    (
        {"nodes": [{"name": "a", "applications": [], "config_overrides": {"etcd_x": 1}}]},
        "nodes[0].config_overrides",
        "'etcd_x'",
        "(it has none)",
    ),
    ({"subnet": "10.77.0.0/29"}, "subnet", "10.77.0.0/29 with 8 addresses", "at least 9 for 5 nodes"),
    ({"subnet": "10.77.0.0/32"}, "subnet", "10.77.0.0/32 with 1 addresses", "at least 9"),
    ({"subnet": "10.77.0.1/24"}, "subnet", "'10.77.0.1/24'", "such as 10.77.0.0/24"),
    ({"subnet": "10.77.0.0/33"}, "subnet", "'10.77.0.0/33'", "an IPv4 network"),
    ({"subnet": "fd00::/64"}, "subnet", "'fd00::/64'", "an IPv4 network such as 10.77.0.0/24"),
    ({"subnet": 10}, "subnet", "10", "an IPv4 network"),
    ({"subnet": "lan"}, "subnet", "'lan'", "an IPv4 network"),
    ({"network_latency": {"min": 1, "max": 2, "unit": "ms"}}, "network_latency.unit", "'ms'", "millisecond"),
    ({"network_latency": {"min": 3, "max": 2, "unit": "second"}}, "network_latency", "min 3.0", "min <= max"),
    (
        {"network_latency": {"min": True, "max": 2, "unit": "second"}},
        "network_latency.min",
        "True",
        "a number",
    ),
    (
        {"network_latency": {"min": 0, "max": float("inf"), "unit": "second"}},
        "network_latency.max",
        "inf",
        "finite",
    ),
    ({"resource_limits": {"memory": "512MB"}}, "resource_limits.memory", "'512MB'", "units: K, M, G"),
    ({"resource_limits": {"memory": 512}}, "resource_limits.memory", "512", "units: K, M, G"),
    ({"resource_limits": {"memory": "0M"}}, "resource_limits.memory", "'0M'", "positive number"),
    ({"resource_limits": {"memory": "0.001K"}}, "resource_limits.memory", "'0.001K'", "at least 1M"),
    (
        {"resource_limits": {"memory": "9" * 400 + "G"}},
        "resource_limits.memory",
        "'999",
        "at most 2^60 bytes",
    ),
    ({"resource_limits": {"cpus": 0}}, "resource_limits.cpus", "0", "greater than or equal to 0.01"),
    ({"resource_limits": {"cpus": True}}, "resource_limits.cpus", "True", "a number"),
    ({"resource_limits": {"cpus": float("nan")}}, "resource_limits.cpus", "nan", "a finite number"),
    ({"resource_limits": {"disk": "1M"}}, "resource_limits.disk", "'1M'", "at least 256M"),
    ({"resource_limits": {"pids": 1}}, "resource_limits.pids", "1", "greater than or equal to 64"),
    ({"resource_limits": {"cpu": 1}}, "resource_limits.cpu", "'cpu'", "did you mean 'cpus'?"),
    ({"resource_limits": None}, "resource_limits", "None", "a mapping"),
    ({"resource_limits": []}, "resource_limits", "[]", "a mapping"),
    ({"applications": "etcd"}, "applications", "'etcd'", "a list"),
    ({"applications": ["ectd"]}, "applications", "'ectd'", "etcd (did you mean 'etcd'?)"),
    ({"applications": ["my-kv"]}, "applications[0]", "'my-kv'", "letters, digits and underscores"),
    ({"applications": ["my_kv"]}, "applications", "'my_kv'", "allowed: etcd"),
    ({"applications": ["etcd\n"]}, "applications[0]", r"'etcd\n'", "letters, digits and underscores"),
    (
        {"nodes": [{"name": "a", "applications": ["my-kv"]}]},
        "nodes[0].applications[0]",
        "'my-kv'",
        "letters, digits and underscores",
    ),
    ({"applications": ["etcd", "etcd"]}, "applications", "'etcd' 2 times", "once"),
    ({"testbed_id": "far-too-long"}, "testbed_id", "'far-too-long'", "at most 11"),
    ({"testbed_id": "labör"}, "testbed_id", "'labör'", "lower-case"),
    ({"testbed_id": "lab\n"}, "testbed_id", r"'lab\n'", "lower-case"),
    ({"partition_tolerance": "yes"}, "partition_tolerance", "'yes'", "true, false or a number of nodes"),
    ({"partition_tolerance": -1}, "partition_tolerance", "-1", "true, false or a number of nodes"),
    ({"partition_tolerance": 1.5}, "partition_tolerance", "1.5", "true, false or a number of nodes"),
    ({"partition_tolerance": None}, "partition_tolerance", "None", "true, false or a number of nodes"),
    ({"scrape_interval": "200ms"}, "scrape_interval", "0.2s", "1s to 60s"),
    ({"scrape_interval": "2min"}, "scrape_interval", "120s", "1s to 60s"),
    ({"scrape_interval": "often"}, "scrape_interval", "often", "15s"),
    ({"partition_tolerance": 6}, "partition_tolerance", "6", "at most node_count (5)"),
    ({"provider": "containers"}, "provider", "'containers'", "container, vm (did you mean 'container'?)"),
    ({"plugin": "cluster"}, "plugin", "'cluster'", "foundation.testbed.cluster"),
    ({"observer_count": 0}, "observer_count", "0", "greater than or equal to 1"),
    ({"topolgy": "mesh"}, "topolgy", "unknown key", "did you mean 'topology'?"),
    ({"two\nlines": 1}, r"'two\nlines'", "unknown key", "topology"),
    ({7: 1}, "[7]", "7", "keys that are texts"),
]


@pytest.mark.parametrize(
    ("change", "key", "given", "allowed"), MISTAKES, ids=[str(m[0])[:60] for m in MISTAKES]
)
def test_a_mistake_is_one_clear_line(change, key, given, allowed):
    with pytest.raises(InputError) as caught:
        parse_cluster({**LOCAL, **change}, "cluster.yml", {"etcd"})
    (line,) = caught.value.problems
    assert line.startswith(f"cluster.yml: {key}: ")
    assert given in line.removeprefix(f"cluster.yml: {key}: ")
    assert allowed in line
    assert "\n" not in line
    assert len(line) < 400


def test_a_node_is_named_as_a_host_and_a_system_as_a_role():
    """Hosts have hyphens and no underscores; roles, groups and Python modules the other way round."""
    description = {**LOCAL, "applications": ["my_kv2"], "nodes": [{"name": "node-1"}]}
    cluster = parse_cluster(description, "cluster.yml", {"my_kv2"})
    assert (cluster.system_names(), cluster.node_specs()[0].name) == (["my_kv2"], "node-1")


@pytest.mark.parametrize("key", ["testbed_id", "node_count", "subnet"])
def test_a_missing_key_is_named(key):
    with pytest.raises(InputError) as caught:
        parse_cluster({k: v for k, v in LOCAL.items() if k != key}, "cluster.yml", {"etcd"})
    assert caught.value.problems == [f"cluster.yml: {key}: is required but missing"]


@pytest.mark.parametrize("data", [None, [], "text", 5, True])
def test_a_file_that_holds_no_mapping_says_so(data):
    with pytest.raises(
        InputError, match=r"^cluster\.yml: given .*; allowed: a mapping with plugin, testbed_id"
    ):
        parse_cluster(data, "cluster.yml", {"etcd"})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(InputError) as caught:
        parse_cluster({**LOCAL, "node_count": 1, "topology": "x", "extra": 1}, "cluster.yml", {"etcd"})
    assert len(caught.value.problems) == 3


@given(data=mutated(LOCAL))
def test_any_mutation_is_a_cluster_or_clear_errors(data):
    """Whatever stands in the file: hosts, or errors whose every line names the file; nothing else."""
    try:
        cluster = parse_cluster(data, "cluster.yml", {"etcd"})
    except InputError as error:
        assert error.problems
        for line in error.problems:
            assert line.startswith("cluster.yml: ")
            assert len(line.splitlines()) == 1
            assert "given" in line or "missing" in line
    else:
        assert len(expand(cluster, SYSTEMS)) == cluster.node_count + cluster.observer_count
        assert lab_vars(cluster)["testbed_id"] == cluster.testbed_id


def test_what_a_node_leaves_open_it_inherits():
    cluster = parse_cluster(
        {
            **LOCAL,
            "resource_limits": {"cpus": 2},
            "nodes": [{"name": "n3", "resource_limits": {"memory": "1G"}}],
        },
        "cluster.yml",
        {"etcd"},
    )
    hosts = {host["name"]: host["vars"] for host in expand(cluster, SYSTEMS)}
    assert (hosts["n3"]["testbed_memory_bytes"], hosts["n3"]["testbed_cpus"]) == (2**30, 2)
    assert (hosts["n1"]["testbed_memory_bytes"], hosts["n1"]["testbed_cpus"]) == (512 * 2**20, 2)
    assert hosts["n1"]["testbed_pids"] == DEFAULT_LIMITS.pids
