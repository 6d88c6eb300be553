# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scenario and compiler: mistakes are named before anything is touched; plans are the same byte for byte."""

from __future__ import annotations

import copy

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.module_utils.faults._grudges import complete_grudge
from ansible_collections.foundation.testbed.plugins.plugin_utils import admission
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import (
    compile_plan,
    node_programs,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.exit_status import ExitStatus
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import (
    SCENARIOS_DIR,
    Scenario,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError, parse_model
from hypothesis import given
from hypothesis import strategies as st

NODES = {f"n{i}": f"10.0.0.{10 + i}" for i in range(1, 6)}
CLUSTER = ClusterView(
    "t", NODES, {"observer1": "10.0.0.2"}, {name: ["etcd"] for name in NODES}, {"etcd": ["register"]}
)
GOOD = yaml.safe_load((SCENARIOS_DIR / "etcd_majority_partition.yml").read_text(encoding="utf-8"))
del GOOD["conditions"][0]["shape"]
GOOD["conditions"][0]["groups"] = {"majority": ["n1", "n2", "n3"], "minority": ["n4", "n5"]}


def changed(path, value):
    data = copy.deepcopy(GOOD)
    spot = data
    for part in path[:-1]:
        spot = spot[part]
    spot[path[-1]] = value
    return data


def problems(data):
    with pytest.raises(InputError) as caught:
        compile_plan("s", parse_model(Scenario, data, "s.yml"), CLUSTER)
    return caught.value.problems


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("system",), "etdc", ["s.yml: system", "given 'etdc'", "allowed: etcd"]),
        (("duration",), "50 sec", ["s.yml: duration", "given '50 sec'", "units: ms, s, min, h"]),
        (("duration",), 50, ["s.yml: duration", "given 50", "allowed"]),
        (("durration",), "50s", ["unknown key", "did you mean 'duration'"]),
        (("workload", "rate"), -1, ["workload.rate", "given -1", "allowed"]),
        (("conditions", 0, "groups", "minority"), ["n4", "n9"], ["groups.minority", "given 'n9'", "n1, n2"]),
        (
            ("conditions", 0, "groups", "minority"),
            ["n4", "n1"],
            ["groups", "'n1' 2 times", "every node once"],
        ),
        (("conditions", 0, "at"), "1500ms", ["at", "whole seconds"]),
        (("conditions", 0, "for"), "60s", ["conditions[0]", "at most the duration"]),
        (("conditions", 0, "for"), "0s", ["for", "given '0s'", "allowed"]),
        (("success_criteria",), {"recovery": 3}, ["success_criteria", "given 'recovery'", "recovery_time"]),
        (("success_criteria",), {}, ["success_criteria"]),
        (("workload", "clients"), [{"to": "any"}, {"to": "any"}], ["clients", "'any' 2 times", "once"]),
        (("workload", "clients"), [{"to": "each"}, {"to": "n5"}], ["clients", "'each' beside 'n5'"]),
    ],
)
def test_a_mistake_is_one_line_with_key_given_and_allowed(path, value, words):
    (line,) = problems(changed(path, value))
    assert all(word in line for word in words), line


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from("xyz"), max_size=8))
def test_a_grudge_is_symmetrical_and_spares_the_own_side(sides):
    grudge = complete_grudge(sides)
    for name, dropped in grudge.items():
        assert {peer for peer, side in sides.items() if side != sides[name]} == set(dropped)
        assert all(name in grudge[peer] for peer in dropped)


def test_clients_stay_unless_cut_is_asked_for():
    stay = compile_plan("s", parse_model(Scenario, GOOD, "s.yml"), CLUSTER)["faults"][0]["nodes"]
    cut = compile_plan(
        "s", parse_model(Scenario, changed(("conditions", 0, "clients"), "cut"), "s.yml"), CLUSTER
    )
    assert "observer1" not in stay and "observer1" not in stay["n4"]["blocked"]
    assert "observer1" in cut["faults"][0]["nodes"]["n4"]["blocked"]
    assert "observer1" in cut["faults"][0]["nodes"]["n1"]["open"]


def test_each_host_gets_its_own_part_and_keys_of_its_own_run():
    plan = compile_plan("s", parse_model(Scenario, GOOD, "s.yml"), CLUSTER)
    programs = node_programs(plan, "run-1", 10**18, CLUSTER.systems)
    assert set(programs) == {*NODES, "observer1"}
    assert [fault["id"] for fault in programs["n1"]["faults"]] == ["split"]
    assert programs["n1"]["load"] == [] and programs["observer1"]["faults"] == []
    assert programs["observer1"]["load"][0]["namespace"] == "run-1/"


def answer(**more):
    return {"blockers": [], "incapable": [], "unhealthy": [], "wall_ns": 0, **more}


@pytest.mark.parametrize(
    ("answers", "offsets", "status", "words"),
    [
        ({"n1": answer()}, {}, ExitStatus.PASS, ""),
        (
            {"n1": answer(unhealthy=["etcd: no leader"])},
            {},
            ExitStatus.CLUSTER_NOT_HEALTHY,
            "n1 was not healthy",
        ),
        (
            {"n1": {"unreachable": True, "msg": "timed out"}},
            {},
            ExitStatus.UNREACHABLE,
            "n1: none of the nodes answers",
        ),
        ({"n1": {"failed": True, "msg": "not enrolled"}}, {}, ExitStatus.TESTBED_FAILED, "not enrolled"),
        ({"n1": {}}, {}, ExitStatus.TESTBED_FAILED, "it gave no answer"),
        (
            {"n1": answer(incapable=["slow (link): no"])},
            {},
            ExitStatus.BAD_INPUT,
            "n1 cannot do slow (link): no",
        ),
        ({"n1": answer(blockers=["disk"])}, {}, ExitStatus.TESTBED_FAILED, "disk"),
        ({"n1": answer()}, {"n1": -900.0}, ExitStatus.TESTBED_FAILED, "-900 ms"),
    ],
)
def test_a_run_starts_only_where_every_node_is_fit(answers, offsets, status, words):
    verdict = admission.admit(answers, offsets)
    assert verdict.status == status
    assert words in " ".join(verdict.reasons) and bool(verdict.reasons) == (status != ExitStatus.PASS)


@given(st.integers(0, 2**62), st.floats(0, 100))
def test_a_start_instant_is_a_whole_second_ahead_of_staging(now_ns, preflight_s):
    start_ns = admission.start_instant(now_ns, preflight_s)
    assert start_ns % 10**9 == 0
    assert start_ns / 1e9 >= now_ns / 1e9 + 2 * preflight_s + 1
