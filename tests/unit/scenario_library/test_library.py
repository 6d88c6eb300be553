# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The specification's scenarios keep its figures, and every one of the library is for the cluster it says."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import compile_plan, plan_text
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import SCENARIOS_DIR, load_scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import read_system

SYSTEMS = {name: read_system(name) for name in ("etcd", "foundation", "mabeam")}
FILES = {path.stem: path for path in sorted(SCENARIOS_DIR.glob("*.yml"))}


def cluster(count: int) -> ClusterView:
    nodes = {f"n{i}": f"10.77.0.{10 + i}" for i in range(1, count + 1)}
    return ClusterView(
        "t", nodes, {"observer1": "10.77.0.2"}, {name: list(SYSTEMS) for name in nodes},
        {name: system.workloads for name, system in SYSTEMS.items()},
        states={name: system.states for name, system in SYSTEMS.items()},
        options={name: system.options for name, system in SYSTEMS.items()},
        provider=dict.fromkeys(nodes, "container"), max_down=(count - 1) // 2,
    )  # fmt: skip


def plan(name: str):
    scenario = load_scenario(FILES[name])
    return compile_plan(name, scenario, cluster(scenario.node_count or 5))


@pytest.mark.parametrize("name", FILES)
def test_every_scenario_compiles_for_its_cluster_to_the_same_bytes(name):
    assert plan(name)["faults"] and plan_text(plan(name)) == plan_text(plan(name))


def spans(compiled) -> dict[str, tuple[float, float]]:
    return {fault["id"]: (fault["start_s"], fault["end_s"]) for fault in compiled["faults"]}


def criteria(compiled) -> dict[str, float]:
    return {item["name"]: item["threshold"] for item in compiled["criteria"] if "query" not in item}


def test_progressive_node_failures_are_as_specified():
    """S3.3: 60 s; random failures every 10 s, 2 nodes; 100 to 1000 ms on 30 %; 0.8, 1.0, 30 s."""
    compiled = plan("progressive_node_failures")
    assert (compiled["scenario"]["title"], compiled["duration_s"]) == ("Progressive Node Failures", 60)
    first, second, link = compiled["faults"]
    assert (first["start_s"], second["start_s"]) == (10, 20)
    assert {first["type"], second["type"]} == {"power"} and first["targets"] != second["targets"]
    assert (link["params"]["delay"], link["params"]["jitter"]) == (0.55, 0.45) and len(link["targets"]) == 2
    wanted = {"system_availability": 0.8, "data_consistency": 1.0, "recovery_time": 30.0}
    assert wanted.items() <= criteria(compiled).items()


def test_memory_pressure_with_partitions_is_as_specified():
    """S3.4: 45 s; memory to 90 %; 500 to 2000 ms on 50 %; 0.7, 0.05; and a partition."""
    compiled = plan("memory_pressure_with_partitions")
    assert (compiled["scenario"]["title"], compiled["duration_s"]) == ("Memory Pressure with Partitions", 45)
    memory, link, partition = compiled["faults"]
    assert memory["params"]["target"] == 90 and len(memory["targets"]) == 5
    assert (link["params"]["delay"], link["params"]["jitter"]) == (1.25, 0.75)
    assert partition["type"] == "partition"
    assert {"system_availability": 0.7, "error_rate": 0.05}.items() <= criteria(compiled).items()


def test_partition_tests_are_as_specified():
    """S2.3: 3 | 2 for 30 s, 10 s to heal. S2.4: 2 | 2 for 20 s. S2.5: three of six, after 5, 10 and 15 s."""
    isolation = plan("node_isolation")
    assert spans(isolation) == {"isolation": (10, 40)} and criteria(isolation)["recovery_time"] == 10
    groups = isolation["faults"][0]["params"]["groups"]
    assert sorted(map(len, groups.values())) == [2, 3]
    halves = plan("split_brain")
    assert spans(halves) == {"halves": (10, 30)} and criteria(halves)["data_consistency"] == 1
    assert [len(members) for members in halves["faults"][0]["params"]["groups"].values()] == [2, 2]
    failures = plan("cascading_node_failures")
    assert [fault["start_s"] for fault in failures["faults"]] == [5, 10, 15]
    assert len({fault["targets"][0] for fault in failures["faults"]}) == 3


def test_an_outage_of_thirty_seconds_is_what_cascading_failures_allow():
    """S2.5 has no figure of availability; it follows from the thirty seconds and the duration."""
    failures = plan("cascading_node_failures")
    assert criteria(failures)["system_availability"] == pytest.approx(1 - 30 / failures["duration_s"])
