# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Coordination decides: shares, consensus, and a board that is made of changes or of a view alike."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mabeam_service.coordination import consensus_rules, group_rules
from mabeam_service.coordination.act import Coordinator
from mabeam_service.coordination.board import Board
from mabeam_service.coordination.consensus_rules import APPROVE, REJECT, decision, majority
from mabeam_service.coordination.keys import AGENTS, COORDINATOR, GROUPS, key_of, place_of
from mabeam_service.coordination.shares import STRATEGIES, by_priority, fair, shared
from testbed_service.etcd import decoded
from testbed_service.feed import Change, Held

AMOUNTS = st.integers(0, 200)
NAMES = st.sampled_from([f"a{number}" for number in range(12)])
WANTED = st.dictionaries(NAMES, AMOUNTS, min_size=1)


@given(AMOUNTS, WANTED)
def test_fair_shares_conserve_and_are_fair(amount, wanted):
    """Nothing is given twice, nothing is left that somebody wants, and nobody has less than another but
    by a unit, unless it wanted no more."""
    shares = fair(amount, wanted)
    assert sum(shares.values()) == min(amount, sum(wanted.values()))
    assert all(0 <= shares[name] <= wanted[name] for name in wanted)
    most = max(shares.values())
    assert all(share == wanted[name] or share >= most - 1 for name, share in shares.items())


@given(AMOUNTS, WANTED, st.data())
def test_priority_goes_first_and_leaves_a_unit_for_everybody(amount, wanted, data):
    priorities = {name: data.draw(st.integers(0, 3), label=name) for name in wanted}
    shares = by_priority(amount, wanted, priorities)
    assert sum(shares.values()) == min(amount, sum(wanted.values()))
    assert all(0 <= shares[name] <= wanted[name] for name in wanted)
    needy = [name for name in wanted if wanted[name]]
    if amount >= len(needy):
        assert all(shares[name] >= 1 for name in needy)
    for high in wanted:
        for low in wanted:
            if priorities[high] > priorities[low] and shares[low] > 1:
                assert shares[high] == wanted[high]


@given(
    st.sampled_from(STRATEGIES),
    st.dictionaries(st.sampled_from(["cpu", "memory"]), AMOUNTS),
    st.dictionaries(NAMES, st.dictionaries(st.sampled_from(["cpu", "memory"]), AMOUNTS)),
)
def test_shares_never_exceed_the_pool(strategy, capacity, wanted):
    shares = shared(strategy, capacity, wanted, dict.fromkeys(wanted, 0))
    assert set(shares) == set(wanted)
    for resource, amount in capacity.items():
        assert sum(own[resource] for own in shares.values()) <= amount


VOTES = st.dictionaries(NAMES, st.sampled_from([APPROVE, REJECT]))


@given(VOTES, VOTES, st.integers(0, 3))
def test_what_votes_decided_later_votes_do_not_change(votes, later, more):
    """So it does not matter whether a coordinator has seen the latest vote, as long as none is closed out."""
    members = 12
    quorum = min(majority(members) + more, members)
    decided = decision(members, quorum, votes, closed=False)
    if decided is not None:
        assert decision(members, quorum, {**later, **votes}, closed=False) == decided
    if len(votes) == members:
        assert decided is not None
    if decided == consensus_rules.APPROVED:
        assert list(votes.values()).count(APPROVE) >= quorum


@pytest.mark.parametrize(
    ("votes", "closed", "decided"),
    [
        ({}, False, None),
        ({}, True, "expired"),
        ({"a": APPROVE}, False, None),
        ({"a": APPROVE, "b": APPROVE}, True, "approved"),
        ({"a": REJECT, "b": REJECT}, False, "rejected"),
    ],
)
def test_a_quorum_decides(votes, closed, decided):
    assert decision(3, 2, votes, closed) == decided


KEYS = st.sampled_from(
    [COORDINATOR, "/mabeam/other/x"]
    + [key_of(AGENTS, name) for name in ("a", "b")]
    + [
        key_of(kind, name, part)
        for kind in ("groups", "consensus", "allocations", "pools")
        for name in ("x", "y")
        for part in ("plan", "outcome", "votes/a")
    ]
)


@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=30))
def test_a_board_made_of_changes_is_that_of_the_view(steps):
    """Where changes were missed it is made of the view; it must not matter which."""
    board, other, view = Board(), Board(), {}
    for revision, (key, there) in enumerate(steps, 2):
        held = Held(json.dumps({"number": revision}), revision, "7") if there else None
        before = view.pop(key, None)
        if held:
            view[key] = held
        # a thing ends for good: nothing removes a part of it before its outcome is removed at last
        board.apply([Change(revision, key, before, held)], revision, 1.0)
    other.rebuild(view, len(steps) + 1, 2.0)
    assert (board.agents, board.coordinator) == (other.agents, other.coordinator)
    assert set(board.ended) == set(other.ended)
    for name, thing in board.open.items():
        assert dict(thing).items() <= dict(other.open[name]).items()


@given(NAMES, st.sampled_from(["", "plan", "votes/a"]))
def test_keys_say_what_they_are_about(name, part):
    place = place_of(key_of(AGENTS, name, part) if part else key_of(AGENTS, name))
    assert place == (AGENTS, name, part)


def test_keys_of_nothing_are_about_nothing():
    assert [place_of(key) for key in (COORDINATOR, "/mabeam/economics/x/y", "/foundation/")] == [None] * 3


def board_of(agents, **parts):
    """A board with a group g of agents a and b, where some agents live."""
    board = Board()
    plan = {"agents": ["a", "b"], "steps": 2, "task": "", "timeout_s": 60}
    held = {
        key_of(GROUPS, "g", "plan"): plan,
        **{key_of(GROUPS, "g", *part.split("_")): said for part, said in parts.items()},
    }
    view = {key: Held(json.dumps(said), 5, None) for key, said in held.items()}
    view |= {key_of(AGENTS, agent): Held('{"available": true}', 4, lease) for agent, lease in agents.items()}
    board.rebuild(view, 5, 0.0)
    return board


def act_on(board, now_s=0.0):
    (group,) = board.of_kind(GROUPS).values()
    free = group_rules.free_agents(board)
    return group_rules.next_act("g", group, board, free, Coordinator("n1", 3), now_s)


def topics(act):
    return [topic.removeprefix("coordination.") for topic, _ in act.events]


STATE = {"failed": [], "replacements": [], "recoveries": 0}
HELD = {"slots_0": {"agent": "a", "lease": "1"}, "slots_1": {"agent": "b", "lease": "2"}}


@pytest.mark.parametrize(
    ("agents", "parts", "expected"),
    [
        ({"a": "1", "b": "2"}, {}, ["group.started"]),
        ({"a": "1"}, {}, ["group.started", "agents.failed", "recovery.initiated"]),
        ({"a": "1", "b": "2"}, {"state": STATE, **HELD}, None),
        ({"a": "1", "c": "9"}, {"state": STATE, **HELD}, ["agents.failed", "recovery.initiated"]),
        ({"a": "1", "b": "8"}, {"state": STATE, **HELD}, ["agents.failed", "recovery.initiated"]),
        ({"a": "1", "c": "9"}, {"state": STATE, "slots_0": HELD["slots_0"]}, ["agents.joined"]),
        ({"a": "1"}, {"state": STATE, "slots_0": HELD["slots_0"]}, None),
        (
            {},
            {"state": STATE, **HELD, "progress_0": {"done": 2}, "progress_1": {"done": 2}},
            ["group.completed"],
        ),
    ],
)
def test_what_a_group_needs_next(agents, parts, expected):
    act = act_on(board_of(agents, **parts))
    assert (topics(act) if act else None) == expected


def test_a_group_that_takes_too_long_expires():
    board = board_of({"a": "1", "b": "2"}, state=STATE, **HELD)
    assert topics(act_on(board, 61.0)) == ["group.expired"]


def test_whoever_acts_on_a_crash_has_it_compared():
    """The agent must still be gone, and the slot still its own, when the store takes the change."""
    act = act_on(board_of({"a": "1"}, state=STATE, **HELD))
    compared = {decoded(each["key"]): each for each in act.compare}
    assert compared[key_of(AGENTS, "b")]["create_revision"] == "0"
    assert {key_of(GROUPS, "g", "state"), key_of(GROUPS, "g", "slots", 1)} <= set(compared)
