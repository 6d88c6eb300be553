# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check that consensus is what it says: one decision for each proposal, which its votes support, by the one
coordinator of its time.

Reads show the proposal's votes, how often it was completed, and the outcome with the revision of the store
that wrote it and the token of the coordinator. A token is the revision that elected it, so that an outcome
which was written after a later token came to be was written by a coordinator that was none any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.anomaly import (
    anomaly,
    ended_at,
    ended_ns,
    who,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.checkers.linearizable import CheckResult
from ansible_collections.foundation.testbed.plugins.plugin_utils.history import Operation

NAME = "agreement-consensus"
APPROVED, REJECTED, EXPIRED = "approved", "rejected", "expired"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one proposal, and the operations that show it."""

    sentence: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The history of one proposal: votes that may have been taken, and reads that were answered."""

    votes: list[Operation]
    reads: list[Operation]

    @property
    def outcomes(self) -> list[Operation]:
        """Return the reads that saw an outcome."""
        return [read for read in self.reads if read.value["outcome"] is not None]


def check_consensus(operations: Sequence[Operation], clock_error_ns: int = 0) -> CheckResult:
    """Check a history of the workload `consensus`; pure."""
    began = time.monotonic()
    proposals = proposals_of(operations)
    tokens = sorted({outcome["token"] for outcome in _all_outcomes(proposals)})
    faults = {key: _first(proposal, tokens, clock_error_ns) for key, proposal in proposals.items()}
    anomalies = [
        anomaly(key, f"key {key}: {fault.sentence}", fault.operations, _drawn)
        for key, fault in sorted(faults.items())
        if fault is not None
    ]
    completed = sum(bool(proposal.outcomes) for proposal in proposals.values())
    detail = {
        "keys": len(proposals), "operations": len(operations), "completed": completed, "tokens": tokens,
        "undecided": 0, "failed_keys": [each["key"] for each in anomalies],
        "seconds": round(time.monotonic() - began, 3),
    }  # fmt: skip
    if anomalies:
        more = f" (and {len(anomalies) - 1} more of {len(proposals)} keys)" if len(anomalies) > 1 else ""
        return CheckResult(NAME, "fail", anomalies, detail, anomalies[0]["message"] + more)
    if not completed:
        return CheckResult(NAME, "unknown", [], detail, "no read saw a consensus that was completed")
    return CheckResult(NAME, "pass", [], detail)


def proposals_of(operations: Sequence[Operation]) -> dict[str, Proposal]:
    """Return the history of each proposal; what was certainly not done is none of it."""
    proposals: dict[str, Proposal] = {}
    for one in operations:
        if one.outcome == "drop":
            continue
        proposal = proposals.setdefault(one.key, Proposal([], []))
        if one.f == "vote" and one.outcome != "fail":
            proposal.votes.append(one)
        elif one.f == "read" and one.outcome == "ok" and isinstance(one.value, Mapping):
            proposal.reads.append(one)
    return proposals


def _all_outcomes(proposals: Mapping[str, Proposal]) -> Iterator[Mapping[str, Any]]:
    for proposal in proposals.values():
        for read in proposal.outcomes:
            yield read.value["outcome"]


def _first(proposal: Proposal, tokens: Sequence[int], clock_error_ns: int) -> Fault | None:
    """Return the first thing that is wrong with a proposal."""
    rules = (
        _completed_twice(proposal),
        _two_outcomes(proposal),
        _not_supported(proposal),
        _replaced_coordinator(proposal, tokens),
        _never_cast(proposal),
        _voted_twice(proposal),
        _undone(proposal, clock_error_ns),
        _lost_or_late(proposal, clock_error_ns),
    )
    return next((fault for rule in rules for fault in rule), None)


def _completed_twice(proposal: Proposal) -> Iterator[Fault]:
    for read in proposal.reads:
        times, there = read.value["completions"], read.value["outcome"] is not None
        if times != int(there):
            yield Fault(f"{who(read)} read at {ended_at(read)} that it was completed {times} times", (read,))


def _two_outcomes(proposal: Proposal) -> Iterator[Fault]:
    for one, other in zip(proposal.outcomes, proposal.outcomes[1:], strict=False):
        if one.value["outcome"] != other.value["outcome"]:
            yield Fault(
                f"{who(one)} read at {ended_at(one)} that it was {_shown(one)}, "
                f"and {who(other)} at {ended_at(other)} that it was {_shown(other)}",
                (one, other),
            )


def _not_supported(proposal: Proposal) -> Iterator[Fault]:
    for read in proposal.outcomes:
        said, outcome = read.value, read.value["outcome"]
        votes = list(outcome["votes"].values())
        approved = votes.count("approve") >= said["quorum"]
        rejected = votes.count("reject") > said["members"] - said["quorum"]
        right = APPROVED if approved else REJECTED if rejected else EXPIRED
        if outcome["decision"] != right:
            counted = f"{votes.count('approve')} for and {votes.count('reject')} against it"
            yield Fault(f"it was {outcome['decision']} with {counted} of {said['members']}", (read,))
        if not outcome["votes"].items() <= said["votes"].items():
            yield Fault(
                f"{who(read)} read at {ended_at(read)} that votes were counted that there are not", (read,)
            )
        if any(int(member) >= said["members"] for member in said["votes"]):
            yield Fault(f"{who(read)} read at {ended_at(read)} a vote of one that is no member", (read,))


def _replaced_coordinator(proposal: Proposal, tokens: Sequence[int]) -> Iterator[Fault]:
    for read in proposal.outcomes:
        token, revision = read.value["outcome"]["token"], read.value["outcome"]["revision"]
        later = [other for other in tokens if token < other < revision]
        if later or token >= revision:
            why = (
                f"although coordinator {later[0]} had been elected by then"
                if later
                else "before its election"
            )
            yield Fault(f"coordinator {token} completed it at revision {revision} {why}", (read,))


def _never_cast(proposal: Proposal) -> Iterator[Fault]:
    for read in proposal.reads:
        cast = {
            (str(vote.value[0]), vote.value[1]) for vote in proposal.votes if vote.invoke_ns <= ended_ns(read)
        }
        for member, choice in read.value["votes"].items():
            if (member, choice) not in cast:
                sentence = (
                    f"{who(read)} read at {ended_at(read)} that {member} voted {choice}, which it never did"
                )
                yield Fault(sentence, (read,))


def _voted_twice(proposal: Proposal) -> Iterator[Fault]:
    first: dict[int, Operation] = {}
    for vote in proposal.votes:
        if vote.outcome == "ok":
            other = first.setdefault(vote.value[0], vote)
            if other is not vote:
                yield Fault(
                    f"two votes of member {vote.value[0]} were taken, "
                    f"at {ended_at(other)} and {ended_at(vote)}",
                    (other, vote),
                )


def _undone(proposal: Proposal, clock_error_ns: int) -> Iterator[Fault]:
    done = min(proposal.outcomes, key=ended_ns, default=None)
    for read in proposal.reads:
        if done and read.value["outcome"] is None and read.invoke_ns > ended_ns(done) + clock_error_ns:
            yield Fault(
                f"{who(read)} read at {ended_at(read)} that it was open, though it was completed",
                (done, read),
            )


def _lost_or_late(proposal: Proposal, clock_error_ns: int) -> Iterator[Fault]:
    done = min(proposal.outcomes, key=ended_ns, default=None)
    for vote in (vote for vote in proposal.votes if vote.outcome == "ok"):
        if done and vote.invoke_ns > ended_ns(done) + clock_error_ns:
            yield Fault(f"a vote was taken at {ended_at(vote)} though it was completed", (done, vote))
        for read in proposal.reads:
            lost = read.value["votes"].get(str(vote.value[0])) != vote.value[1]
            if lost and read.invoke_ns > ended_ns(vote) + clock_error_ns:
                yield Fault(
                    f"{who(read)} did not see at {ended_at(read)} "
                    f"the vote that was taken at {ended_at(vote)}",
                    (vote, read),
                )


def _shown(read: Operation) -> str:
    outcome = read.value["outcome"]
    return f"{outcome['decision']} by coordinator {outcome['token']} at revision {outcome['revision']}"


def _drawn(operation: Operation) -> Any:
    """Return the value of an operation as the diagram has room for it."""
    value = operation.value
    if isinstance(value, Mapping):
        return value["outcome"]["decision"] if value["outcome"] else f"open, {len(value['votes'])} votes"
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
