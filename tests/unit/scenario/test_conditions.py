# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Conditions: which nodes, when, how often, on which state; the specification's words; mistakes."""

from __future__ import annotations

import types
from typing import ClassVar

import pytest
from ansible_collections.foundation.testbed.plugins.module_utils.agent.fault import ClusterView, Fault
from ansible_collections.foundation.testbed.plugins.module_utils.agent.values import (
    Parameter,
    choice,
    parse_duration,
    percentage,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils import conditions, fault_plan, specification
from ansible_collections.foundation.testbed.plugins.plugin_utils.compiler import (
    asked_of,
    compile_plan,
    node_programs,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.scenario import Scenario
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError, parse_model
from hypothesis import given
from hypothesis import strategies as st

NODES = {f"n{i}": f"10.0.0.{i}" for i in range(1, 11)}
CLUSTER = ClusterView(
    "t", NODES, {"o1": "10.0.1.1"}, {name: ["etcd"] for name in NODES}, {"etcd": ["register"]},
    states={"etcd": ["leader", "lag"]}, max_down=3,
    groups={"rack1": ["n1", "n2", "n3", "n4"], "rack2": ["n5", "n6", "n7", "n8", "n9", "n10"]},
)  # fmt: skip


class Down(Fault):
    """A kind that takes nodes down, from beside them."""

    on_node: ClassVar[bool] = False
    parameters: ClassVar = {"action": Parameter(choice("off"), "what", "off")}

    @staticmethod
    def takes_down(params):
        return True


class Slow(Fault):
    """A kind that a node does by itself."""

    parameters: ClassVar = {
        "delay": Parameter(parse_duration, "how long"), "jitter": Parameter(parse_duration, "how unsteady"),
        "loss": Parameter(percentage, "share"), "distribution": Parameter(choice("uniform"), "which"),
    }  # fmt: skip


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    known = {"power": Down, "link": Slow}
    real = conditions.fault_class
    for module in (conditions,):
        monkeypatch.setattr(module, "fault_class", lambda kind: known.get(kind) or real(kind))
        monkeypatch.setattr(module, "fault_kinds", lambda: ["link", "partition", "power"])
    return types.SimpleNamespace(**known)


def scenario(*entries, seed=1, duration="60s"):
    return {
        "name": "x", "system": "etcd", "seed": seed, "duration": duration, "workload": {"rate": 1},
        "conditions": list(entries), "success_criteria": {"error_rate": 1},
    }  # fmt: skip


def plan(*entries, **more):
    return compile_plan("x", parse_model(Scenario, scenario(*entries, **more), "x.yml"), CLUSTER)


def faults(*entries, **more):
    return plan(*entries, **more)["faults"]


def slow(**more):
    return {"type": "link", "at": "5s", "for": "10s", "delay": "50ms", **more}


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


@given(st.integers(0, 2**40))
def test_repeated_faults_take_other_nodes_down_one_after_the_other(seed):
    entry = {"type": "power", "at": "5s", "every": "5s", "count": 3, "for": "40s", "nodes": {"random": 1}}
    found = faults(entry, seed=seed)
    assert [fault["id"] for fault in found] == ["power-1-1", "power-1-2", "power-1-3"]
    assert [fault["start_s"] for fault in found] == [5, 10, 15]
    assert len({fault["targets"][0] for fault in found}) == 3
    assert all(fault["nodes"] == {} and list(fault["power"]) == fault["targets"] for fault in found)


def test_a_node_is_asked_of_what_is_done_to_it_from_beside_it_too():
    compiled = plan({"type": "power", "at": "5s", "for": "5s", "nodes": ["n2"]}, slow(nodes=["n2"]))
    assert [asked["id"] for asked in asked_of(compiled, "n2")] == ["power-1", "link-2"]
    assert [fault["id"] for fault in node_programs(compiled, "r", 0, {})["n2"]["faults"]] == ["link-2"]


S33 = (
    {"node_failure": {"type": "random", "interval": 10000, "count": 2}},
    {"network_latency": {"min": 100, "max": 1000, "affected_percentage": 30}},
)


def test_the_specifications_own_scenario_is_understood():
    """S3.3 to the letter: numbers are milliseconds, each condition is stopped at the end."""
    *down, latency = faults(*S33)
    assert [(fault["start_s"], fault["end_s"]) for fault in down] == [(10, 48), (20, 48)]
    assert (latency["start_s"], latency["end_s"], len(latency["targets"])) == (0, 48, 3)
    assert latency["params"]["delay"] == pytest.approx(0.55)
    assert latency["params"]["jitter"] == pytest.approx(0.45)
    (loss,) = faults({"message_loss": {"percentage": 20, "at": "5s", "for": "5s"}})
    assert (loss["params"], loss["start_s"], loss["end_s"]) == ({"loss": 20.0}, 5, 10)


def wrong(*entries, **more):
    with pytest.raises(InputError) as caught:
        faults(*entries, **more)
    (line,) = caught.value.problems
    return line


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (slow(nodes=["n11"]), "x.yml: conditions[0].nodes: given 'n11'; allowed: n1"),
        (slow(nodes=["n1", "n1"]), "conditions[0].nodes: given 'n1' 2 times; allowed: each once"),
        (slow(nodes={"random": 11}), "conditions[0].nodes.random: given 11; allowed: at most 10"),
        (slow(affected_percentage=0), "conditions[0].affected_percentage: given 0; allowed: a percentage"),
        (slow(affected_percentage=101), "given 101; allowed: a percentage above 0, up to 100"),
        (slow(affected_percentage=5, nodes=["n1"]), "affected_percentage: given beside nodes"),
        (slow(delay="-5ms"), "conditions[0].delay: given '-5ms'; allowed: a positive number with a unit"),
        (slow(delya="5ms"), "conditions[0].delya: unknown key"),
        ({"type": "link", "at": "1s"}, "conditions[0].for: is required but missing"),
        (slow(**{"for": "7h"}), "conditions[0].for: given '7h'; allowed: at most 6h, the longest lease"),
        (slow(**{"for": "0s"}), "conditions[0].for: given '0s'"),
        (slow(at="55s"), "conditions[0]: given an end at 65s; allowed: at most the duration, 60s"),
        (slow(every="10s"), "count: belongs to every"),
        (slow(when={"state": "leader", "is": True}), "within: belongs to when"),
        (slow(until={"state": "leader"}), "conditions[0].until: given nothing; allowed: one of is, above"),
        (slow(until={"state": "queue", "above": 1}), "until.state: given 'queue'; allowed: lag, leader"),
        (
            {"type": "power", "at": "1s", "for": "9s", "until": {"state": "lag", "above": 1}},
            "until: given for power",
        ),
        ({"type": "power", "at": "1s", "for": "9s", "nodes": {"random": 4}}, "given 4 nodes down at once"),
        ({"type": "power", "at": "1s", "for": "9s", "nodes": ["n1"], "max_down": 0}, "allowed: max_down, 0"),
        ({"network_latency": {"min": 9, "max": 1}}, "network_latency.min: given 9; allowed: at most max"),
        ({"network_latency": {"max": 1}}, "conditions[0].network_latency.min: is required but missing"),
        ({"network_latency": 5}, "conditions[0].network_latency: given 5; allowed: a mapping"),
        ({"node_failure": {"interval": "5s", "count": 0}}, "conditions[0].node_failure.count: given 0"),
        ({"type": "network_latency"}, ".type: given 'network_latency', a word of the specification"),
        ({"type": "network_latency"}, "or, without type, {network_latency: {min: ..., max: ...}}"),
        ({"type": ["link"]}, "conditions[0].type: given ['link']; allowed: link, partition, power"),
        ({"network_latncy": {"min": 1}}, "network_latncy: given 'network_latncy'; allowed: message_loss"),
        ({"network_latency": {"min": 1, "max": 2, "a\nb": 1}}, r"network_latency.'a\nb': unknown key"),
        ({"network_latency": {"min": 0, "max": 0}}, "conditions[0].network_latency.max: given 0; allowed"),
        (
            {"network_latency": {"min": 1, "max": 2, "at": "70s"}},
            "network_latency.at: given '70s'; allowed: before 48s, when the system is left to recover",
        ),
        ({"network_latency": {"min": 1, "max": 2, "at": 70000, "for": "5s"}}, "].at: given 70s; allowed:"),
        (slow(at="70s"), "conditions[0].at: given 70s; allowed: before the duration, 60s"),
        (slow(at="5s", every="30s", count=3), ".every: given a begin at 65s; allowed: before the"),
        (slow(at="5s", every="5s", count=3, end="15s"), "every: given a begin at 15s; allowed: before end,"),
        (slow(end="70s", **{"for": "70s"}), "given an end at 70s; allowed: at most the duration, 60s"),
        (slow(end="20s", within="5s", when={"state": "lag", "above": 5}), "end: given beside when"),
        ({"node_failure": {"interval": 10000, "count": 6}}, "node_failure.count: given 6, the last one at"),
        ({"node_failure": {"interval": "50s", "count": 1}}, "node_failure.interval: given '50s'; allowed:"),
        (slow(nodes={"random": "2"}), ".nodes.random: given '2'; allowed: a whole number from 1"),
        (slow(nodes={"random": 0}), "conditions[0].nodes.random: given 0; allowed: a whole number from 1"),
        (slow(nodes={"random": True}), "conditions[0].nodes.random: given True; allowed: a whole number"),
        (slow(nodes={"percentage": "x"}), "conditions[0].nodes.percentage: given 'x'; allowed: a percentage"),
        (slow(nodes=3), ".nodes: given 3; allowed: all, leader, followers, a list of names, or a map"),
        (slow(nodes=[3]), "conditions[0].nodes: given 3; allowed: a name of letters"),
        (slow(nodes={"random": 1, "percentage": 3}), "allowed: one of random, percentage"),
        (slow(nodes={"share": 1}), ".nodes.share: unknown key; given 'share'; allowed: group, percentage"),
        (slow(nodes={}), "conditions[0].nodes: given {}; allowed: group, role, random, percentage"),
        (slow(nodes=[]), "conditions[0].nodes: given []; allowed: a list of at least one"),
        (slow(until={"state": "lag", "above": "high"}), "until.above: given 'high'; allowed: a number"),
        (slow(until={"state": "lag", "below": 10**5000}), "until.below: given a int too large to show;"),
        (slow(until={"state": "lag", "is": [1]}), "until.is: given [1]; allowed: a text, a number, true or"),
        (slow(until={"state": "lag", "changed": False}), "until.changed: given False; allowed: true"),
        (slow(until={"state": "lag", "is_": 5}), "until.is_: unknown key; given 'is_'; allowed: above,"),
        (slow(until="lag"), "conditions[0].until: given 'lag'; allowed: a mapping"),
        (slow(id="A b"), "conditions[0].id: given 'A b'; allowed: a lower-case letter, then at most 20"),
        (slow(id=5), "conditions[0].id: given 5; allowed: a lower-case letter"),
        (slow(nodes={"group": "rack3"}), ".nodes.group: given 'rack3'; allowed: rack1, rack2 (did you mean"),
        (slow(nodes={"group": "rack1", "random": 5}), ".nodes.random: given 5; allowed: at most 4 nodes"),
        (slow(nodes={"role": "ectd"}), ".nodes.role: given 'ectd'; allowed: etcd (did you mean 'etcd'?)"),
        (slow(nodes={"role": "etcd", "group": "rack1"}), "allowed: one of group, role"),
        (slow(every={"interval": "10s", "jitter": "5s"}, count=2), ".every.jitter: given '5s'; allowed"),
        (slow(every={"jitter": "5s"}, count=2), ".every.interval: is required but missing"),
        (slow(every={"interval": "9s", "jiter": "5s"}, count=2), "every.jiter: unknown key; given 'jiter'"),
        (slow(every=10, count=2), ".every: given 10; allowed: a duration, or a mapping of interval, jitter"),
        (slow(at="45s", every={"interval": "5s", "jitter": "1s"}, count=2), ": given an end at 61s;"),
        (slow(after="b"), "conditions[0].after: given 'b'; allowed: nothing"),
        (slow(id="a", after="a"), ".after: given 'a', a after a; allowed: no circle"),
        ({"type": "link", "for": "5s", "delay": "5ms"}, ".at: is required but missing; allowed: at"),
        (slow(for_="5s"), "(did you mean 'for'?)"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(entry, words):
    if entry.get("type") == "power" and entry.get("nodes") is None:
        entry = {**entry, "nodes": ["n1"]}
    assert words in wrong(entry)


def test_faults_of_several_conditions_count_together_as_down():
    first = {"type": "power", "id": "a", "at": "1s", "for": "20s", "nodes": ["n1", "n2", "n3"]}
    second = {"type": "power", "id": "b", "at": "10s", "for": "5s", "nodes": ["n4"]}
    assert "conditions[1].nodes: given 4 nodes down at once (n1, n2, n3, n4)" in wrong(first, second)
    assert len(faults(first, {**second, "at": "26s"})) == 2


def off(node, start_s, end_s, **more):
    times = {"at": f"{start_s}s", "for": f"{end_s - start_s}s"}
    return {"type": "power", "id": f"{node}-{start_s}", "nodes": [node], **times, **more}


def test_nodes_that_are_down_one_after_the_other_are_not_down_at_once():
    """n1 and n2 never meet, though both meet n3."""
    outages = [off("n1", 1, 10), off("n2", 15, 20), off("n3", 5, 16, max_down=2)]
    assert len(faults(*outages)) == 3
    line = wrong(*outages, off("n4", 8, 9, max_down=2))
    assert "conditions[3].nodes: given 3 nodes down at once (n1, n3, n4); allowed: max_down, 2" in line


def test_a_node_that_boots_is_still_down():
    assert "given 2 nodes down at once" in wrong(off("n1", 1, 10), off("n2", 14, 20, max_down=1))
    assert "given 2 nodes down at once" in wrong(off("n2", 14, 20), off("n1", 1, 10, max_down=1))
    assert len(faults(off("n1", 1, 10), off("n2", 15, 20, max_down=1))) == 2


OUTAGES = st.lists(
    st.tuples(st.sampled_from(list(NODES)), st.integers(1, 40), st.integers(1, 10)), max_size=6, unique=True
)


@given(OUTAGES, st.integers(0, 4))
def test_no_instant_of_a_plan_has_more_nodes_down_than_allowed(outages, most):
    said = [
        off(f"{node}", at, at + span, max_down=most, id=f"x{i}") for i, (node, at, span) in enumerate(outages)
    ]
    down = [
        {node for node, at, span in outages if at <= now_s < at + span + fault_plan.BOOT_S}
        for now_s in range(60)
    ]
    try:
        faults(*said)
    except InputError:
        assert any(len(names) > most for names in down)
    else:
        assert all(len(names) <= most for names in down)


SHARED_WORDS = {"id": "own", "at": 0, "for": 5000}


@pytest.mark.parametrize("none", [0, 0.0, "0s", "0ms", "0 s"])
def test_the_specification_may_begin_at_once_and_delay_by_nothing_at_least(none):
    (fault,) = faults({"network_latency": {"min": none, "max": 100, "at": none}})
    assert (fault["start_s"], fault["params"]["delay"], fault["params"]["jitter"]) == (0, 0.05, 0.05)


@pytest.mark.parametrize(
    ("word", "more"),
    [
        ("node_failure", {"interval": 1000, "count": 1, "max_down": 1}),
        ("network_latency", {"min": 1, "max": 2, "affected_percentage": 50}),
        ("resource_exhaustion", {"type": "cpu", "target_percentage": 40, "affected_percentage": 50}),
        ("message_loss", {"percentage": 5, "affected_percentage": 50}),
    ],
)
def test_every_word_of_the_specification_takes_what_its_condition_takes(monkeypatch, word, more):
    monkeypatch.setattr(conditions, "fault_kinds", lambda: ["link", "power", "pressure"])
    (fault,) = faults({word: {**SHARED_WORDS, **more}})
    assert fault["id"] == ("own-1" if word == "node_failure" else "own")
    assert (fault["start_s"], fault["end_s"]) == (0, 5)
    assert len(fault["targets"]) == (5 if "affected_percentage" in more else 1)


@pytest.mark.parametrize(
    ("duration_s", "begins_s"), [(60, 48), (50, 40), (30, 20), (100, 80), (600, 480), (12, 6), (1, 0.5)]
)
def test_the_system_is_left_to_recover(duration_s, begins_s):
    assert specification.settling_begins_s(duration_s) == begins_s


@given(st.integers(1, 40), st.integers(1, 3), st.integers(20, 300))
def test_nodes_that_fail_stay_down_until_the_system_is_left_to_recover(interval_s, count, duration_s):
    entry = {"node_failure": {"interval": interval_s * 1000, "count": count}}
    end_s = specification.settling_begins_s(duration_s)
    try:
        found = faults(entry, duration=f"{duration_s}s")
    except InputError as error:
        assert interval_s * count >= end_s
        assert "when the system is left to recover" in str(error)
    else:
        assert [fault["start_s"] for fault in found] == [interval_s * (i + 1) for i in range(count)]
        assert {fault["end_s"] for fault in found} == {end_s}
        assert all(fault["for_s"] == pytest.approx(end_s - fault["start_s"]) for fault in found)


def test_a_length_that_is_said_is_kept():
    found = faults({"node_failure": {"interval": 20000, "count": 2, "for": "20s"}})
    assert [(fault["start_s"], fault["end_s"]) for fault in found] == [(20, 40), (40, 60)]


def test_no_repetition_lasts_beyond_the_end_that_is_said():
    found = faults(slow(every="8s", count=3, end="25s"))
    assert [(fault["start_s"], fault["end_s"], fault["for_s"]) for fault in found] == [
        (5, 15, 10), (13, 23, 10), (21, 25, 4)
    ]  # fmt: skip


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("0s")
WORDS = st.sampled_from(
    ["min", "max", "at", "for", "interval", "count", "type", "percentage", "id", "max_down", "a\nb"]
)


@given(
    st.sampled_from(list(specification.SPECIFICATION)), st.dictionaries(WORDS, ANYTHING, max_size=6),
    st.floats(0.001, 1e6),
)  # fmt: skip
def test_whatever_is_said_in_the_specifications_words_is_a_condition_or_one_line(said, params, duration_s):
    try:
        entry = specification.translated({said: params}, duration_s)
    except ValueError as error:
        assert str(error).startswith(f"{said}.") and len(str(error).splitlines()) == 1
    else:
        assert parse_duration(entry["for"]) > 0


@pytest.mark.parametrize("shape", [{}, {"shape": "one_way"}])
def test_groups_name_their_nodes_so_none_are_chosen_beside_them(shape):
    cut = {"type": "partition", "at": "5s", "for": "10s", "groups": {"a": ["n1"], "b": ["n2"]}, **shape}
    for key, value in (("nodes", ["n1"]), ("nodes", "all"), ("affected_percentage", 50)):
        assert f"conditions[0].{key}: given beside groups; allowed: one of them" in wrong({**cut, key: value})


@pytest.mark.parametrize("key", ["until", "when"])
def test_sides_that_need_each_other_neither_begin_nor_end_on_a_nodes_own_state(key):
    """A node whose system comes to the state would leave its side alone, and the others cut from it."""
    state = {key: {"state": "lag", "above": 5}, **({"within": "5s"} if key == "when" else {})}
    cut = {"type": "partition", "at": "5s", "for": "10s", **state}
    for said in ({"shape": "halves"}, {"groups": {"a": ["n1"], "b": ["n2"]}}):
        assert "on a state of the system; allowed: shape alone, or peers" in wrong({**cut, **said})
    (fault,) = faults({**cut, "shape": "alone", "nodes": ["n1"]})
    assert list(fault["nodes"]) == ["n1"]


@pytest.mark.parametrize("turned", [False, True])
def test_a_repetition_never_bears_another_conditions_name(turned):
    """Two faults of one name on a node share one undo record, and one of them is never taken back."""
    entries = [slow(id="a", every="5s", count=2), slow(id="a-1")]
    line = wrong(*(reversed(entries) if turned else entries))
    assert (
        "conditions[1].id: given 'a-1' a second time, first by conditions[0]; allowed: every id once" in line
    )
    assert "id: given 'link-1'" in wrong(slow(), slow(id="link-1"))


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


def test_all_mistakes_of_a_condition_are_told_at_once():
    with pytest.raises(InputError) as caught:
        faults(slow(at="5", delya="5ms", loss=0, count=2, nodes=[]), {"network_latency": {"mn": 1, "max": 0}})
    told = "\n".join(caught.value.problems)
    for words in (
        "conditions[0].at: given '5'", "conditions[0].delya: unknown key", "conditions[0].loss: given 0",
        "conditions[0].count: belongs to every", "conditions[0].nodes: given []",
        "conditions[1].network_latency.mn: unknown key", "conditions[1].network_latency.max: given 0",
        "conditions[1].network_latency.min: is required",
    ):  # fmt: skip
        assert words in told
    assert len(caught.value.problems) == 8


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


def test_no_condition_follows_itself_through_others():
    with pytest.raises(InputError) as caught:
        faults(slow(id="a", after="b"), slow(id="b", after="a"), slow(id="c", after="aa"))
    assert "conditions[0].after: given 'b', a after b after a; allowed: no circle" in caught.value.problems[0]
    assert "conditions[2].after: given 'aa'; allowed: a, b (did you mean 'a'?)" in caught.value.problems[2]


def test_what_follows_is_within_the_duration():
    assert ".after: given 'a', a begin at 65s; allowed: before the duration, 60s" in wrong(
        slow(id="a", at="50s"), slow(after="a")
    )
