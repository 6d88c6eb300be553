# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The checker of consensus: what a service that works answers passes, and every kind of defect is found."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.consensus import check_consensus
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation
from ansible_collections.foundation.testbed.plugins.plugin_utils.judge import CHECKERS
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000_000
MEMBERS, QUORUM = 5, 3


class Service:
    """A service of one process that works: one proposal, and what it answers at one moment after another."""

    def __init__(self) -> None:
        self.votes: dict[str, str] = {}
        self.outcome: dict[str, Any] | None = None
        self.revision, self.token = 10, 4

    def vote(self, member: int, choice: str) -> str | None:
        """Take a vote; returns why not."""
        if self.outcome:
            return "closed"
        if str(member) in self.votes:
            return "already_voted"
        self.votes[str(member)] = choice
        self.revision += 1
        return None

    def coordinate(self, elect: bool) -> None:
        """Complete what can be completed, after an election if so wished."""
        if elect:
            self.revision += 1
            self.token = self.revision
        counted = list(self.votes.values())
        approved, rejected = counted.count("approve") >= QUORUM, counted.count("reject") > MEMBERS - QUORUM
        if self.outcome is None and (approved or rejected):
            self.revision += 1
            self.outcome = {
                "decision": "approved" if approved else "rejected",
                "votes": dict(self.votes),
                "token": self.token,
                "revision": self.revision,
            }

    def read(self) -> dict[str, Any]:
        """Return what a read shows."""
        shown = {"members": MEMBERS, "quorum": QUORUM, "votes": self.votes}
        return copy.deepcopy({**shown, "completions": int(self.outcome is not None), "outcome": self.outcome})


def history(seed: int, steps: int = 40, key: str = "k0-0", service: Service | None = None) -> list[Operation]:
    """Return what clients that overlap in time were answered; each operation acts within its interval."""
    chance, service, operations = random.Random(seed), service or Service(), []
    for number in range(steps):
        at = (number + 1) * SECOND
        start, stop = at - chance.randrange(5 * SECOND), at + chance.randrange(5 * SECOND)
        f, value, error = chance.choice([("vote", None, None), ("read", None, None)])
        outcome = "ok"
        if f == "vote":
            value = [chance.randrange(MEMBERS), chance.choice(["approve", "reject"])]
            if chance.random() < 0.2:  # in doubt: it was done, or never will be
                outcome, error = "info", "timeout"
                if chance.random() < 0.5:
                    service.vote(*value)
            elif error := service.vote(*value):
                outcome = "fail"
        else:
            value = service.read()
        service.coordinate(elect=chance.random() < 0.1)
        node = f"n{chance.randrange(3) + 1}"
        operations.append(
            Operation(
                "o-0", number, number, node, f, key, value, start, stop, start, node, outcome, error, "main"
            )
        )
    last = (steps + 20) * SECOND
    operations.append(
        Operation(
            "o-0",
            steps,
            0,
            "n1",
            "read",
            key,
            service.read(),
            last,
            last + 1,
            last,
            "n1",
            "ok",
            None,
            "final",
        )
    )
    return sorted(operations, key=lambda operation: operation.invoke_ns)


@given(st.integers(0, 2**32))
def test_what_a_service_that_works_answers_passes(seed):
    """Also with doubt, with operations that overlap, and with elections in between."""
    result = check_consensus(history(seed))
    assert result.verdict in ("pass", "unknown"), result.reason
    assert (result.verdict == "pass") == bool(result.detail["completed"])


def decided(seed: int) -> list[Operation]:
    """Return a history whose consensus was completed."""
    while True:
        found = history(seed)
        if check_consensus(found).verdict == "pass":
            return found
        seed += 1


def in_last(operations: list[Operation], **changes: Any) -> list[Operation]:
    """Return the history with another answer to the last read."""
    value = {**copy.deepcopy(operations[-1].value), **changes}
    return [*operations[:-1], replace(operations[-1], value=value)]


def outcome_with(operations: list[Operation], **changes: Any) -> list[Operation]:
    return in_last(operations, outcome={**operations[-1].value["outcome"], **changes})


def elsewhere(operations: list[Operation], token: int, revision: int) -> list[Operation]:
    """Return the history with another proposal beside it, which another coordinator completed."""
    other = outcome_with(operations, token=token, revision=revision)[-1]
    votes = [replace(one, key="k1-0") for one in operations if one.f == "vote"]
    return [*operations, *votes, replace(other, key="k1-0")]


def after(operations: list[Operation], one: Operation) -> list[Operation]:
    """Return the history with one more operation after all others."""
    last = operations[-1].complete_ns or 0
    return [*operations, replace(one, op=999, invoke_ns=last + 1, complete_ns=last + 2)]


def other_decision(operations: list[Operation]) -> list[Operation]:
    decided_so = operations[-1].value["outcome"]["decision"]
    return outcome_with(operations, decision="rejected" if decided_so == "approved" else "approved")


def counted_more(operations: list[Operation]) -> list[Operation]:
    counted = operations[-1].value["outcome"]["votes"]
    return outcome_with(operations, votes={**counted, "7": "approve"})


def votes_lost(operations: list[Operation]) -> list[Operation]:
    outcome = {**operations[-1].value["outcome"], "votes": {}, "decision": "expired"}
    return in_last(operations, votes={}, outcome=outcome)


def replaced(operations: list[Operation]) -> list[Operation]:
    """Return the history with a coordinator elected just before the first one completed the proposal."""
    revision = operations[-1].value["outcome"]["revision"]
    operations = outcome_with(operations, token=revision - 2)
    return elsewhere(operations, revision - 1, revision + 5)


DEFECTS = {
    "completed twice": lambda h: in_last(h, completions=2),
    "not completed, with an outcome": lambda h: in_last(h, completions=0),
    "another decision": other_decision,
    "expired with a quorum": lambda h: outcome_with(h, decision="expired"),
    "a vote counted that there is not": counted_more,
    "a vote that nobody cast": lambda h: [one for one in h if one.f == "read"],
    "a vote of no member": lambda h: in_last(h, votes={**h[-1].value["votes"], "9": "approve"}),
    "votes that were lost": votes_lost,
    "a completion undone": lambda h: after(h, in_last(h, outcome=None, completions=0)[-1]),
    "written twice": lambda h: after(h, outcome_with(h, revision=10_000)[-1]),
    "a coordinator before its election": lambda h: outcome_with(h, token=9_000),
    "a coordinator that was replaced": replaced,
    "a vote after the end": lambda h: after(h, replace(h[-1], f="vote", value=[0, "approve"])),
}


@pytest.mark.parametrize("defect", DEFECTS)
@given(seed=st.integers(0, 2**32))
def test_every_defect_is_found(defect, seed):
    result = check_consensus(DEFECTS[defect](decided(seed)))
    assert result.verdict == "fail"
    assert result.anomalies[0]["operations"]
    assert result.reason.startswith("key k")


def test_two_votes_of_a_member_that_were_both_taken_are_found():
    found = [one for one in decided(1) if one.f == "vote" and one.outcome == "ok"]
    again = replace(found[0], op=999)
    result = check_consensus([*decided(1), again])
    assert result.verdict == "fail"
    assert "two votes of member" in result.reason


def test_clocks_that_differ_prove_nothing_about_order():
    """Two generators' clocks may be apart: an early read is not called stale within that."""
    operations = decided(3)
    late = in_last(operations, outcome=None, completions=0)[-1]
    early = replace(late, op=999, invoke_ns=late.complete_ns + 5, complete_ns=late.complete_ns + 6)
    assert check_consensus([*operations, early]).verdict == "fail"
    assert check_consensus([*operations, early], clock_error_ns=100 * SECOND).verdict == "pass"


def test_the_judge_knows_the_workload():
    assert CHECKERS["consensus"](decided(5), 0)["verdict"] == "pass"
    assert CHECKERS["consensus"]([], 0)["verdict"] == "unknown"
