# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Success criteria, steady state, abort conditions and options: how they stand in the plan, and mistakes."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import compile_plan
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.system_options import Option
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError, parse_model

SNAPSHOT_COUNT = Option(
    about="x", variable="etcd_snapshot_count", type="number", default=7, minimum=5, maximum=9
)
CLUSTER = ClusterView(
    "t", {"n1": "10.0.0.1"}, {"o1": "10.0.1.1"}, {"n1": ["etcd"]}, {"etcd": ["register"]},
    states={"etcd": ["leader", "lag"]}, options={"etcd": {"snapshot_count": SNAPSHOT_COUNT}},
)  # fmt: skip
GOOD = {
    "name": "x", "system": "etcd", "duration": "60s", "workload": {"rate": 1},
    "success_criteria": {"error_rate": 1},
}  # fmt: skip


def plan(**more):
    return compile_plan("x", parse_model(Scenario, {**GOOD, **more}, "x.yml"), CLUSTER)


def test_what_is_not_said_is_empty_in_the_plan():
    made = plan()
    assert (made["steady_state"], made["abort_conditions"], made["recovery_wait_s"]) == ([], [], 30.0)
    assert made["scenario"]["options"] == {}


def test_what_must_hold_stands_in_the_plan():
    made = plan(
        success_criteria={"error_rate": 0.5, "cpu": {"promql": " max(x) ", "below": 0.9, "unit": "ratio"}},
        steady_state=[
            {"state": "healthy", "is": True}, {"state": "leader", "is": True, "nodes": "any"},
            {"promql": "up", "at_least": 1},
        ],
        recovery_wait="0s",
        abort_conditions=[{"error_rate": {"above": 0.9, "for": "5s"}}],
        options={"snapshot_count": 6},
    )  # fmt: skip
    assert made["criteria"] == [
        {"name": "error_rate", "threshold": 0.5, "comparison": "<="},
        {"name": "cpu", "threshold": 0.9, "comparison": "<", "query": "max(x)", "unit": "ratio"},
    ]
    assert made["steady_state"] == [
        {"state": "healthy", "is": True, "nodes": "all"}, {"state": "leader", "is": True, "nodes": "any"},
        {"promql": "up", "at_least": 1},
    ]  # fmt: skip
    assert made["recovery_wait_s"] == 0
    assert made["abort_conditions"] == [{"measure": "error_rate", "above": 0.9, "for_s": 5.0}]
    assert made["scenario"]["options"] == {"snapshot_count": 6}
    assert made["role_variables"] == {"etcd_snapshot_count": 6}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"success_criteria": {"cpu": {"promql": " ", "below": 1}}},
            "success_criteria.cpu.promql: given ' '",
        ),
        ({"success_criteria": {"cpu": {"promql": "x"}}}, "success_criteria.cpu: given nothing; allowed: one"),
        ({"success_criteria": {"cpu": {"promql": "x", "below": 1, "above": 0}}}, "given below and above"),
        ({"success_criteria": {"cpu": {"promql": "x", "belw": 1}}}, "cpu.belw: unknown key; given 'belw'"),
        (
            {"success_criteria": {"error_rate": {"promql": "x", "below": 1}}},
            "error_rate: given promql; allow",
        ),
        (
            {"success_criteria": {"": {"promql": "x", "below": 1}}},
            "success_criteria: given ''; allowed: name",
        ),
        (
            {"success_criteria": {"eror_rate": 1}},
            "success_criteria.eror_rate: given 'eror_rate'; allowed: a",
        ),
        (
            {"steady_state": [{"state": "laeder", "is": True}]},
            "steady_state[0].state: given 'laeder'; allowed",
        ),
        (
            {"steady_state": [{"state": "lag"}]},
            "steady_state[0]: given nothing; allowed: one of is, above, be",
        ),
        ({"steady_state": [{"is": True}]}, "steady_state[0]: given nothing; allowed: one of state, promql"),
        (
            {"steady_state": [{"state": "lag", "is": 1, "at_most": 2}]},
            "steady_state[0].at_most: given beside",
        ),
        (
            {"steady_state": [{"promql": "x", "above": 1, "nodes": "any"}]},
            "steady_state[0].nodes: given besi",
        ),
        (
            {"steady_state": [{"state": "lag", "is": 1, "nodes": "some"}]},
            "nodes: given 'some'; allowed: all,",
        ),
        ({"recovery_wait": 30}, "recovery_wait: given 30; allowed: a positive number with a unit"),
        (
            {"abort_conditions": [{"errors": {"above": 1, "for": "5s"}}]},
            "abort_conditions[0].errors: unknown",
        ),
        ({"abort_conditions": [{"error_rate": {"above": 1}}]}, "[0].error_rate.for: is required but missing"),
        (
            {"abort_conditions": [{"error_rate": {"for": "5s"}}]},
            "[0].error_rate: given nothing; allowed: one",
        ),
        (
            {"options": {"snapshotcount": 5}},
            "options.snapshotcount: given 'snapshotcount'; allowed: snapshot_count",
        ),
        ({"options": {"snapshot_count": [5]}}, "options.snapshot_count: given [5]; allowed: a"),
    ],
)
def test_a_mistake_is_told(more, words):
    with pytest.raises(InputError) as caught:
        plan(**more)
    assert any(words in line for line in caught.value.problems), caught.value.problems
