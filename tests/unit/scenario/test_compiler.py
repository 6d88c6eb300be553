# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The compiler: same input, same bytes; who drops whom; who gets which part."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.module_utils.faults._grudges import complete_grudge
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import (
    compile_plan,
    enough_in_flight,
    node_programs,
    plan_text,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.seeds import sub_seed
from ansible_collections.foundation.testbed.plugins.plugin_utils.timeline import timeout_words
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def inputs(draw):
    """A cluster and a scenario that fits it."""
    names = [f"n{i}" for i in range(1, draw(st.integers(2, 9)) + 1)]
    observers = {f"observer{i}": f"10.0.1.{i}" for i in range(1, draw(st.integers(1, 3)) + 1)}
    cluster = ClusterView(
        "t", {name: f"10.0.0.{i}" for i, name in enumerate(names, 1)}, observers,
        {name: ["etcd"] for name in names}, {"etcd": ["register"]},
    )  # fmt: skip
    groups = draw(st.lists(st.sampled_from("abc"), min_size=len(names), max_size=len(names)))
    sides = {
        side: [name for name, group in zip(names, groups, strict=True) if group == side] for side in "abc"
    }
    sides = {side: members for side, members in sides.items() if members}
    conditions = [
        {
            "type": "partition", "at": f"{draw(st.integers(1, 20))}s", "for": f"{draw(st.integers(1, 20))}s",
            "groups": sides, "clients": draw(st.sampled_from(["stay", "cut"])),
        }
    ]  # fmt: skip
    scenario = Scenario.model_validate({
        "name": draw(st.text(min_size=1, max_size=9)), "system": "etcd", "seed": draw(st.integers(0, 2**70)),
        "duration": "60s", "workload": {"rate": draw(st.floats(0, 20000))},
        "conditions": conditions if len(sides) > 1 else [], "success_criteria": {"error_rate": 0.5},
    })  # fmt: skip
    return scenario, cluster


@given(inputs())
def test_the_same_input_gives_the_same_bytes(given_input):
    scenario, cluster = given_input
    first = plan_text(compile_plan("x", scenario, cluster))
    assert plan_text(compile_plan("x", copy.deepcopy(scenario), copy.deepcopy(cluster))) == first
    assert json.loads(first) == json.loads(json.dumps(compile_plan("x", scenario, cluster)))


def test_another_process_gives_the_same_bytes():
    """Nothing hangs on the order of a set or on the hash of a string."""
    program = (
        "from pathlib import Path\n"
        "from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView\n"
        "from ansible_collections.foundation.testbed.plugins.plugin_utils import compiler as c\n"
        "from ansible_collections.foundation.testbed.plugins.plugin_utils import scenario as s\n"
        "v = ClusterView('t', {f'n{i}': f'10.0.0.{i}' for i in range(1, 6)}, {'observer1': '10.0.0.9'},\n"
        "  {f'n{i}': ['etcd'] for i in range(1, 6)}, {'etcd': ['register']})\n"
        "p = s.find_scenario('etcd_majority_partition')\n"
        "print(c.plan_text(c.compile_plan(p.stem, s.load_scenario(p), v)))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(texts) == 1


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.sampled_from("abcd"), max_size=12))
def test_a_grudge_is_symmetrical_and_never_against_oneself_or_ones_own_side(sides):
    grudges = complete_grudge(sides)
    assert set(grudges) == set(sides)
    for name, dropped in grudges.items():
        assert name not in dropped
        assert len(set(dropped)) == len(dropped)
        for peer in sides:
            assert (peer in dropped) == (sides[peer] != sides[name])
            assert (peer in dropped) == (name in grudges[peer])


@given(inputs())
def test_a_cut_is_felt_on_both_sides(given_input):
    """Whoever blocks an address is blocked there too; blocked and open peers do not overlap."""
    plan = compile_plan("x", *given_input)
    for fault in plan["faults"]:
        for name, program in fault["nodes"].items():
            assert not set(program["blocked"]) & set(program["open"])
            assert {name, *program["blocked"], *program["open"]} == set(fault["nodes"])
            assert program["blocked"]
            assert all(name in fault["nodes"][peer]["blocked"] for peer in program["blocked"])


def test_clients_stay_unless_they_are_cut():
    nodes = {"n1": "10.0.0.1", "n2": "10.0.0.2"}
    cluster = ClusterView(
        "t", nodes, {"o1": "10.0.0.9"}, {name: ["etcd"] for name in nodes}, {"etcd": ["register"]}
    )
    for clients, involved in (("stay", {"n1", "n2"}), ("cut", {"n1", "n2", "o1"})):
        scenario = Scenario.model_validate({
            "name": "x", "system": "etcd", "duration": "60s", "workload": {"rate": 1},
            "conditions": [{"type": "partition", "at": "0s", "for": "5s", "clients": clients,
                            "groups": {"a": ["n1"], "b": ["n2"]}}],
            "success_criteria": {"error_rate": 1},
        })  # fmt: skip
        (fault,) = compile_plan("x", scenario, cluster)["faults"]
        assert set(fault["nodes"]) == involved
        assert fault["targets"] == ["n1", "n2"]
        assert sorted(fault["nodes"]["n2"]["blocked"]) == sorted(involved - {"n2"})


@given(inputs(), st.floats(min_value=0.1) | st.just(math.inf))
def test_the_rate_is_split_over_the_observers_and_no_more_than_they_can_send(given_input, max_rate):
    scenario, cluster = given_input
    cluster = replace(cluster, max_rate=max_rate)
    load = compile_plan("x", scenario, cluster)["load"]
    assert [part["observer"] for part in load] == list(cluster.observers)
    assert sum(part["rate_per_s"] for part in load) == pytest.approx(min(scenario.workload.rate, max_rate))
    assert sum(part["asked_rate_per_s"] for part in load) == pytest.approx(scenario.workload.rate)
    assert len({part["seed"] for part in load}) == len(load)
    assert [(part["index"], part["generators"]) for part in load] == [
        (i, len(load)) for i in range(len(load))
    ]


@given(inputs(), st.floats(0, 60), st.floats(min_value=0.1) | st.just(math.inf))
def test_a_slow_cluster_gets_the_time_and_the_load_that_it_needs(given_input, min_timeout_s, max_rate):
    """And no more: what it answers of the load that it bears must still be enough to judge."""
    scenario, cluster = given_input
    slow = replace(cluster, min_operation_timeout_s=min_timeout_s, max_rate=max_rate)
    plan = compile_plan("x", scenario, slow)
    asked_s, asked = scenario.workload.operation_timeout, scenario.workload.minimum_operations
    for part in plan["load"]:
        assert part["operation_timeout_s"] == max(asked_s, min_timeout_s)
        assert ("min_operation_timeout" in timeout_words(part)) is (asked_s < min_timeout_s)
    least = plan["minimum_load"]["operations"]
    assert 1 <= least <= asked
    assert least == asked or least <= max_rate * scenario.duration / 2 < asked or least == 1


@given(inputs())
def test_every_host_is_staged_with_its_own_part_alone(given_input):
    plan = compile_plan("x", *given_input)
    programs = node_programs(plan, "run-1", 10**18, {"n1": ["etcd"]})
    assert set(programs) == {host["name"] for host in (*plan["nodes"], *plan["observers"])}
    assert sum(len(program["load"]) for program in programs.values()) == len(plan["load"])
    for name, program in programs.items():
        assert all(part["observer"] == name for part in program["load"])
        assert all(part["namespace"] == "run-1/" for part in program["load"])
        assert [fault["id"] for fault in program["faults"]] == [
            fault["id"] for fault in plan["faults"] if name in fault["nodes"]
        ]
        assert program["systems"] == (["etcd"] if name == "n1" else [])


@given(st.integers(0, 2**80), st.text(), st.text())
def test_each_purpose_has_a_seed_of_its_own(seed, one, other):
    assert 0 <= sub_seed(seed, one) < 2**48
    assert (sub_seed(seed, one) == sub_seed(seed, other)) == (one == other)


def test_a_silent_system_does_not_slow_the_open_loop():
    assert enough_in_flight(200.0, 2.0) >= 200 * 3
    assert enough_in_flight(0.0, 2.0) >= 1
