# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is removed: one dead member at a time, by the leader of a majority, and never so that there is none."""

from __future__ import annotations

import pytest
from etcd_keeper.connections import sever_command
from etcd_keeper.decisions import JOIN_S, LEAST_MISSES, Member, Rules, Silence, promotions, removal
from etcd_keeper.watch import Silences
from hypothesis import given
from hypothesis import strategies as st

RULES = Rules(3.0, 3)


def member(number, learner=False, started=True):
    url = f"http://10.0.0.{number}"
    return Member(number, f"{url}:2380", f"{url}:2379" if started else "", learner)


def silent(*numbers, s=10.0, misses=10):
    return {number: Silence(s, misses) for number in numbers}


SIX = [member(number) for number in range(1, 7)]


def removed(members, own, leader, quiet, rules=RULES):
    found = removal(members, own, leader, quiet, rules)
    return found and found.id


@pytest.mark.parametrize(
    ("what", "members", "own", "leader", "quiet", "expected"),
    [
        ("nobody is silent", SIX, 1, 1, {}, None),
        ("one is dead", SIX, 1, 1, silent(4), 4),
        ("the leader alone does it", SIX, 2, 1, silent(4), None),
        ("without a leader nobody does", SIX, 1, 0, silent(4), None),
        ("not silent for long enough", SIX, 1, 1, silent(4, s=2.9), None),
        ("hardly asked: this node stood still", SIX, 1, 1, silent(4, misses=LEAST_MISSES - 1), None),
        ("two are dead: the one that was so first", SIX, 1, 1, {**silent(4), **silent(5, s=11)}, 5),
        ("4 | 2", SIX, 1, 1, silent(5, 6), 5),
        ("3 | 3: no majority", SIX, 1, 1, silent(4, 5, 6), None),
        ("silent for a moment is no answer", SIX, 1, 1, {**silent(4), **silent(5, 6, s=0.5)}, None),
        ("five, three answer", SIX[:5], 1, 1, silent(4, 5), 4),
        ("four, two answer", SIX[:4], 1, 1, silent(3, 4), None),
        ("down to the floor", SIX[:4], 1, 1, silent(4), 4),
        ("not below it", SIX[:3], 1, 1, silent(3), None),
        ("one that has never started", [*SIX[:5], member(6, started=False)], 1, 1, silent(6), None),
        ("a learner at the floor", [*SIX[:3], member(9, True)], 1, 1, silent(9, s=JOIN_S), 9),
        ("a learner before a voter", [*SIX, member(9, True)], 1, 1, silent(6, 9, s=JOIN_S), 9),
        ("a learner about to start", [*SIX, member(9, True, False)], 1, 1, silent(9, s=JOIN_S - 1), None),
        ("a learner that never started", [*SIX, member(9, True, False)], 1, 1, silent(9, s=JOIN_S), 9),
        ("a learner counts for no majority", [*SIX[:4], member(9, True)], 1, 1, silent(3, 4), None),
        ("not in the list itself", SIX[1:], 1, 1, silent(4), None),
        ("never itself", SIX, 1, 1, silent(1), None),
    ],
)  # fmt: skip
def test_who_is_removed(what, members, own, leader, quiet, expected):
    assert removed(members, own, leader, quiet) == expected, what


CLUSTERS = st.integers(1, 9).flatmap(
    lambda count: st.tuples(st.just([member(i) for i in range(1, count + 1)]), st.sets(st.integers(1, count)))
)
FLOORS = st.integers(1, 5)


@given(CLUSTERS, FLOORS)
def test_a_majority_stands_before_and_after(cluster, floor):
    members, dead = cluster
    own = next((one.id for one in members if one.id not in dead), None)
    found = own and removed(members, own, own, silent(*dead), Rules(3.0, floor))
    if found:
        left = [one.id for one in members if one.id != found]
        assert found in dead and len(left) >= floor
        assert 2 * len({*left} - dead) > len(members) > len(left)


@given(CLUSTERS, FLOORS, st.data())
def test_two_groups_that_are_cut_from_each_other_never_both_remove(cluster, floor, data):
    """Each may even have a leader of its own: at most one is a majority, whatever else is dead."""
    members, dead = cluster
    sides = {one.id: data.draw(st.booleans()) for one in members}
    decide = []
    for side in (True, False):
        group = [number for number in sides if sides[number] is side and number not in dead]
        quiet = silent(*({*sides} - {*group}))
        decide.append(any(removed(members, own, own, quiet, Rules(3.0, floor)) for own in group))
    assert not all(decide)


@given(st.integers(3, 9), st.lists(st.integers(1, 9), max_size=9))
def test_of_any_losses_one_after_the_other_the_rest_serves_down_to_the_floor(count, losses):
    """Each loss is followed by a removal: a majority stands until less than one of the floor does."""
    members, dead = [member(i) for i in range(1, count + 1)], set()
    for loss in losses:
        dead |= {loss} & {one.id for one in members}
        alive = [one.id for one in members if one.id not in dead]
        if 2 * len(alive) <= len(members):
            assert len(members) <= RULES.floor
            return
        found = removed(members, alive[0], alive[0], silent(*dead))
        members = [one for one in members if one.id != found]
        assert 2 * len(alive) > len(members)


@pytest.mark.parametrize(
    ("members", "own", "leader", "quiet", "expected"),
    [
        ([*SIX, member(9, True)], 1, 1, {}, [9]),
        ([*SIX, member(9, True)], 2, 1, {}, []),
        ([*SIX, member(9, True)], 1, 1, silent(9, s=0.1), []),
        ([*SIX, member(9, True, False)], 1, 1, {}, []),
        (SIX, 1, 1, {}, []),
    ],
)
def test_a_learner_that_answers_is_promoted_by_the_leader(members, own, leader, quiet, expected):
    assert [one.id for one in promotions(members, own, leader, quiet)] == expected


def test_connections_are_ended_by_the_address_and_port_that_a_member_has_for_others():
    assert sever_command("http://10.0.0.4:2380") == [
        "ss", "-K", "dst", "10.0.0.4", "( sport = :2380 or dport = :2380 )"
    ]  # fmt: skip


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_silence_begins_with_the_last_answer():
    silences = Silences(Clock())
    assert silences.note(SIX, {1, 2, 3, 4, 5, 6}) == {}
    assert silences.note(SIX, {1, 2, 3, 4, 5}) == {6: Silence(1.0, 1)}
    assert silences.note(SIX, {1, 2, 3, 4, 5}) == {6: Silence(2.0, 2)}
    assert silences.note(SIX, {1, 2, 3, 4, 6}) == {5: Silence(1.0, 1)}


def test_who_hears_no_majority_may_be_cut_off_himself_and_counts_nobodys_silence():
    silences = Silences(Clock())
    silences.note(SIX, {1, 2, 3, 4, 5, 6})
    for _ in range(9):
        assert set(silences.note(SIX, {1, 2, 3}).values()) == {Silence(0.0, 1)}
    assert silences.note(SIX, {1, 2, 3, 4}) == {5: Silence(1.0, 1), 6: Silence(1.0, 1)}


def test_a_member_that_is_new_counts_as_heard_and_one_that_went_is_forgotten():
    silences = Silences(Clock())
    silences.note(SIX[:5], {1, 2, 3, 4})
    assert silences.note([*SIX[:4], member(9, True, False)], {1, 2, 3, 4}) == {9: Silence(0.0, 1)}
    assert silences.note(SIX[:5], {1, 2, 3, 4}) == {5: Silence(0.0, 1)}
