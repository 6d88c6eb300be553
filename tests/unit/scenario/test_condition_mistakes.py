# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mistakes in conditions: each is one line that says what is allowed, before anything is done."""

from __future__ import annotations

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.validation import InputError
from condition_support import faults, slow, wrong

pytestmark = pytest.mark.usefixtures("kinds")


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


def test_no_condition_follows_itself_through_others():
    with pytest.raises(InputError) as caught:
        faults(slow(id="a", after="b"), slow(id="b", after="a"), slow(id="c", after="aa"))
    assert "conditions[0].after: given 'b', a after b after a; allowed: no circle" in caught.value.problems[0]
    assert "conditions[2].after: given 'aa'; allowed: a, b (did you mean 'a'?)" in caught.value.problems[2]


def test_what_follows_is_within_the_duration():
    assert ".after: given 'a', a begin at 65s; allowed: before the duration, 60s" in wrong(
        slow(id="a", at="50s"), slow(after="a")
    )
