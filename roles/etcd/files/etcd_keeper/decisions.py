# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of the members. Pure: whoever asks has looked before, and acts after."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

JOIN_S = 15.0
"""Seconds without an answer after which a learner is given up, also one that has not started yet."""
LEAST_MISSES = 3
"""Questions in a row without an answer that make a member silent, however long each took."""


@dataclass(frozen=True)
class Member:
    """A member as a list of members says it; `client_url` is empty until it has started."""

    id: int
    peer_url: str
    client_url: str = ""
    learner: bool = False


@dataclass(frozen=True)
class Rules:
    """When a member counts as dead, and how many voters are kept whatever happens."""

    dead_s: float
    floor: int


@dataclass(frozen=True)
class Silence:
    """How long a member has not answered (seconds), and how many questions in a row."""

    s: float
    misses: int


def removal(
    members: Sequence[Member],
    own_id: int,
    leader_id: int,
    silent: Mapping[int, Silence],
    rules: Rules,
) -> Member | None:
    """Return the one member that this one is to have removed now, if any.

    `silent` has the members that did not answer the last question; all others answered it. A voter that has
    never started is left alone: it may be about to. A dead learner has no vote, and holds the only place
    that there is for one.
    """
    voters = [member for member in members if not member.learner]
    if own_id != leader_id or own_id not in {voter.id for voter in voters}:
        return None
    answering = sum(voter.id not in silent for voter in voters)
    # More than half of the voters, so also more than half of those that are left.
    if 2 * answering <= len(voters):
        return None
    gone = [member for member in dead(members, silent, rules) if member.id != own_id]
    learners = [member for member in gone if member.learner]
    dead_voters = [member for member in gone if not member.learner] if len(voters) > rules.floor else []
    return min(learners or dead_voters, key=lambda member: (-silent[member.id].s, member.id), default=None)


def dead(members: Sequence[Member], silent: Mapping[int, Silence], rules: Rules) -> list[Member]:
    """Return the members that have been silent for so long that they count as dead."""
    return [member for member in members if _dead(member, silent, rules)]


def _dead(member: Member, silent: Mapping[int, Silence], rules: Rules) -> bool:
    found = silent.get(member.id)
    if found is None or found.misses < LEAST_MISSES:
        return False
    if member.learner:
        return found.s >= max(JOIN_S, rules.dead_s)
    return bool(member.client_url) and found.s >= rules.dead_s


def promotions(
    members: Sequence[Member], own_id: int, leader_id: int, silent: Mapping[int, Silence]
) -> list[Member]:
    """Return the learners that are to be made voters; the leader refuses one that has not caught up."""
    if own_id != leader_id:
        return []
    return [member for member in members if member.learner and member.client_url and member.id not in silent]


@dataclass(frozen=True)
class Known:
    """What a node knows of itself from before: its cluster, and its member's id there."""

    cluster_id: int
    member_id: int


@dataclass(frozen=True)
class Listing:
    """The members of a cluster, as its leader says them."""

    cluster_id: int
    members: tuple[Member, ...]


class Step(enum.Enum):
    """What a node does before its etcd starts."""

    START = "start as it is"
    WAIT = "do not start: the data of the member that this node has been is not here"
    ADD = "ask for a place"
    TAKE = "take the place that was asked for before; the data here is of a member that was removed"
    GO_ON = "start in the place that was taken before"


def before_start(known: Known | None, has_data: bool, own_peer_url: str, listing: Listing | None) -> Step:
    """Return what a node does before its etcd starts; `listing` is None when no leader answers.

    Data is only given up (`TAKE`, which follows `ADD`) where the leader of the cluster that it belongs to
    lists another member, not yet started, in this node's place.
    """
    if listing is None:
        # Of a member that there was, but whose data is lost, the others decide.
        return Step.WAIT if known is not None and not has_data else Step.START
    if known is None:
        if has_data:
            return Step.START
    elif listing.cluster_id != known.cluster_id:
        return Step.START
    place = next((member for member in listing.members if member.peer_url == own_peer_url), None)
    own = next((member for member in listing.members if known and member.id == known.member_id), None)
    if own is not None and own != place:
        return Step.START  # a member still, by an address that it had before
    if place is None:
        return Step.ADD
    if place == own:
        if not place.client_url:
            # A member of the first hour says its address late, and is no learner.
            return Step.GO_ON if place.learner else Step.START
        # A member that votes anew without its log could take back what it has agreed to.
        return Step.START if has_data else Step.WAIT
    if place.client_url:
        return Step.WAIT
    return Step.TAKE if place.learner else Step.START


def was_removed(known: Known | None, own_peer_url: str, listing: Listing | None) -> bool:
    """Whether this node is no member any more, so that it would ask for a place before a start."""
    return known is not None and before_start(known, True, own_peer_url, listing) is Step.ADD


def own_learner(known: Known | None, own_peer_url: str, listing: Listing | None) -> Member | None:
    """Return this node's member while it is a learner, in the place that it was given."""
    if known is None or listing is None:
        return None
    own = next((member for member in listing.members if member.id == known.member_id), None)
    return own if own is not None and own.peer_url == own_peer_url and own.learner else None


def initial_cluster(listing: Listing, names: Mapping[str, str]) -> str:
    """Return etcd's `initial-cluster` for one that joins; `names` by peer URL. etcd compares URLs alone."""
    return ",".join(
        f"{names.get(member.peer_url, f'{member.id:x}')}={member.peer_url}" for member in listing.members
    )
