# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a consensus is reached, and what it is: a pure function of the proposal and the votes.

A quorum is a majority of the members or more, so a proposal cannot be approved and rejected by the same
votes, and what a quorum said, later votes do not change. Without a quorum in time the vote is closed first,
so that no vote comes after those that were counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from mabeam_service.coordination.act import Act, Coordinator
from mabeam_service.coordination.board import Thing, said
from mabeam_service.coordination.keys import CONSENSUS, OUTCOME, key_of
from testbed_service.batch import absent, put

APPROVE, REJECT = "approve", "reject"
APPROVED, REJECTED, EXPIRED = "approved", "rejected", "expired"


def majority(members: int) -> int:
    """Return the smallest number of members that is more than half of them."""
    return members // 2 + 1


def decision(members: int, quorum: int, votes: Mapping[str, str], closed: bool) -> str | None:
    """Return what the votes decide; None while they decide nothing."""
    counted = list(votes.values())
    if counted.count(APPROVE) >= quorum:
        return APPROVED
    if counted.count(REJECT) > members - quorum:
        return REJECTED
    return EXPIRED if closed else None


def next_act(name: str, consensus: Thing, coordinator: Coordinator, now_s: float) -> Act | None:
    """Return what is to be done next for a consensus."""
    if "proposal" not in consensus:
        return None
    proposal = said(consensus["proposal"])
    votes = {agent: said(held)["vote"] for agent, held in consensus.below("votes").items()}
    decided = decision(len(proposal["members"]), proposal["quorum"], votes, "closing" in consensus)
    if decided is not None:
        return _complete(name, decided, votes, coordinator)
    if now_s - consensus.since_s < proposal["timeout_s"]:
        return None
    closing, outcome = key_of(CONSENSUS, name, "closing"), key_of(CONSENSUS, name, OUTCOME)
    return Act([absent(closing), absent(outcome)], [put(closing, json.dumps(coordinator.record))], [])


def _complete(name: str, decided: str, votes: Mapping[str, str], coordinator: Coordinator) -> Act:
    key = key_of(CONSENSUS, name, OUTCOME)
    value = {"decision": decided, "votes": dict(votes), "coordinator": coordinator.record}
    told = {"consensus_id": name, "decision": decided, "votes": dict(votes)}
    return Act([absent(key)], [put(key, json.dumps(value))], [("coordination.consensus.completed", told)])
