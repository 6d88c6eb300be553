# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Conditions: which nodes, when, how often, on which state, one after the other."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils import fault_plan
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import (
    asked_of,
    node_programs,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from condition_support import CLUSTER, NODES, faults, plan, slow
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("kinds")


@given(st.integers(0, 2**40), st.integers(1, 10))
def test_nodes_are_drawn_from_the_seed(seed, count):
    (fault,) = faults(slow(nodes={"random": count}), seed=seed)
    assert len(fault["targets"]) == count and set(fault["targets"]) <= set(NODES)
    assert faults(slow(nodes={"random": count}), seed=seed) == [fault]


@pytest.mark.parametrize(("share", "count"), [(30, 3), (4, 1), (100, 10), (55, 6)])
def test_a_share_of_the_nodes_is_affected(share, count):
    for entry in (slow(affected_percentage=share), slow(nodes={"percentage": share})):
        assert len(faults(entry)[0]["targets"]) == count


def test_nodes_may_be_named_or_all():
    assert faults(slow(nodes=["n3", "n1"]))[0]["targets"] == ["n1", "n3"]
    assert faults(slow())[0]["targets"] == faults(slow(nodes="all"))[0]["targets"] == list(NODES)


def test_the_leader_is_whoever_leads_at_the_start():
    (fault,) = faults(slow(nodes="leader"))
    assert fault["where"] == {"state": "leader", "is": True, "system": "etcd"}
    assert fault["targets"] == list(NODES)
    assert faults(slow(nodes="followers"))[0]["where"]["is"] is False


def test_a_fault_may_begin_and_end_on_states_within_bounds():
    (fault,) = faults(
        slow(when={"state": "leader", "changed": True}, within="20s", until={"state": "lag", "above": 5})
    )
    assert (fault["start_s"], fault["end_s"], fault["for_s"]) == (5, 35, 10)
    assert fault["when"] == {"state": "leader", "changed": True, "system": "etcd", "within_s": 20.0}
    assert fault["until"] == {"state": "lag", "above": 5, "system": "etcd"}
    staged = node_programs(plan(slow(until={"state": "lag", "above": 5})), "r", 0, {})["n1"]["faults"][0]
    assert staged["until"]["above"] == 5 and "targets" not in staged and "nodes" not in staged


def test_a_node_is_asked_of_what_is_done_to_it_from_beside_it_too():
    compiled = plan({"type": "power", "at": "5s", "for": "5s", "nodes": ["n2"]}, slow(nodes=["n2"]))
    assert [asked["id"] for asked in asked_of(compiled, "n2")] == ["power-1", "link-2"]
    assert [fault["id"] for fault in node_programs(compiled, "r", 0, {})["n2"]["faults"]] == ["link-2"]


def test_no_repetition_lasts_beyond_the_end_that_is_said():
    found = faults(slow(every="8s", count=3, end="25s"))
    assert [(fault["start_s"], fault["end_s"], fault["for_s"]) for fault in found] == [
        (5, 15, 10), (13, 23, 10), (21, 25, 4)
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["a", "a-1", "a-1-1", "link-2"]), st.integers(1, 3)), max_size=4))
def test_faults_of_a_plan_have_names_of_their_own(said):
    entries = [slow(id=name, every="1s", count=count) for name, count in said]
    try:
        ids = [fault["id"] for fault in faults(*entries)]
    except InputError as error:
        assert all(".id: given " in line for line in error.problems)
    else:
        assert len(set(ids)) == len(ids) == sum(count for _name, count in said)


@given(st.integers(0, 2**48), st.text(max_size=5), st.text(max_size=5))
def test_one_more_draw_here_moves_nothing_there(seed, one, other):
    assert (fault_plan.sub_seed(seed, one) == fault_plan.sub_seed(seed, other)) == (one == other)


@given(st.integers(0, 2**40))
def test_nodes_are_those_of_a_group_or_a_role_or_drawn_from_them(seed):
    rack1 = CLUSTER.groups["rack1"]
    assert faults(slow(nodes={"group": "rack1"}))[0]["targets"] == rack1
    assert faults(slow(nodes={"role": "etcd"}))[0]["targets"] == list(NODES)
    for share in ({"random": 2}, {"percentage": 50}):
        (fault,) = faults(slow(nodes={"group": "rack1", **share}), seed=seed)
        assert len(fault["targets"]) == 2 and set(fault["targets"]) <= set(rack1)


@given(st.integers(0, 2**40))
def test_repetitions_begin_a_little_earlier_or_later_by_the_seed(seed):
    """Whole seconds where the kernel needs them; in order; never before the start."""
    every = {"interval": "10s", "jitter": "4s"}
    repeated = {"at": "2s", "for": "3s", "every": every, "count": 4}
    cut = {"type": "partition", "groups": {"a": ["n1"], "b": ["n2"]}}
    for entry in (slow(**repeated), {**cut, **repeated}):
        found = faults(entry, seed=seed)
        starts = [fault["start_s"] for fault in found]
        assert starts == sorted(starts) and starts[0] >= 0
        assert all(abs(start_s - 2 - 10 * i) <= 4 for i, start_s in enumerate(starts))
        assert all(fault["end_s"] - fault["start_s"] == pytest.approx(3) for fault in found)
        assert faults(entry, seed=seed) == found
        if entry["type"] == "partition":
            assert all(isinstance(start_s, int) for start_s in starts)


def test_one_condition_may_follow_another_wherever_it_stands():
    found = faults(
        slow(id="c", after="b", at="500ms"),
        slow(id="a", every="12s", count=2, **{"for": "1500ms"}),
        {"type": "partition", "id": "b", "after": "a", "for": "5s", "groups": {"a": ["n1"], "b": ["n2"]}},
    )
    begins = {fault["id"]: (fault["start_s"], fault["end_s"]) for fault in found}
    assert begins["a-2"] == (17, 18.5)
    assert begins["b"] == (19, 24), "the kernel begins at the next whole second"
    assert begins["c"] == (24.5, 34.5)


def test_what_follows_a_state_follows_its_latest_end():
    waits = slow(id="a", when={"state": "lag", "above": 5}, within="7s")
    assert [fault["start_s"] for fault in faults(waits, slow(after="a"))] == [5, 27]
